"""Networks as pictures: what is in them, how they are folded, and that nothing lies on top of anything else."""

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise

import pytest

import minidl
import minidl.nn.functional as F
from architectures.catalog import NETWORKS
from architectures.lenet import lenet5
from minidl import cli, nn
from minidl.cli.blank import undrawn
from minidl.inspect.graph import graph
from minidl.inspect.graph_boxes import HEADER, LABEL_SPACE, NOTE, text_width
from minidl.inspect.graph_folding import MOST
from minidl.inspect.graph_layers import Link, Vertex, arrange
from minidl.inspect.graph_layout import Box, Frame
from minidl.inspect.graph_nodes import Node

SVG = "{http://www.w3.org/2000/svg}"


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.relu(self.conv2(self.relu(self.bn(self.conv1(x)))) + x)


class Small(nn.Module):
    """Everything that there is to draw: equal blocks, a sum, a concatenation, operations outside of layers."""

    def __init__(self, blocks=3):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.body = nn.Sequential(*[Residual(4) for _ in range(blocks)])
        self.left = nn.Conv2d(4, 2, 1, groups=2)
        self.right = nn.MaxPool2d(3, 1, 1)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(6 * 8 * 8, 5)
        self.scale = nn.Parameter(minidl.ones(3))  # of constants: no part of the picture

    def forward(self, x):
        self.scale * 2
        x = self.body(self.stem(x))
        x = minidl.cat([self.left(x), self.right(x)], 1)
        return self.fc(self.dropout(F.relu(x.flatten(1))))


IMAGE = (3, 16, 16)


def name(node):
    return f"{node.path}:{node.label}" if node.path else node.label


def pairs(picture):
    return [(name(edge.source), name(edge.target), edge.shape) for edge in picture.edges]


def parameters(picture):
    return picture.root.total("parameters")


# ------------------------------------------------------------------------------------------------- what is in it


def test_every_node_edge_and_block():
    model = Small().eval()
    picture = graph(model, IMAGE, unroll=True)
    maps, features, hidden = (4, 8, 8), (6, 8, 8), (384,)
    chain = [("input", "stem:Conv2d", IMAGE)]
    before = "stem:Conv2d"
    for i in range(3):
        block = f"body.{i}"
        chain += [
            (before, f"{block}.conv1:Conv2d", maps),
            (f"{block}.conv1:Conv2d", f"{block}.conv2:Conv2d", maps),
            (before, f"{block}:+", maps),
            (f"{block}.conv2:Conv2d", f"{block}:+", maps),
            (f"{block}:+", f"{block}.relu:ReLU", maps),
        ]
        before = f"{block}.relu:ReLU"
    chain += [
        (before, "left:Conv2d", maps),
        (before, "right:MaxPool2d", maps),
        ("left:Conv2d", "concat", (2, 8, 8)),
        ("right:MaxPool2d", "concat", maps),
        ("concat", "flatten", features),
        ("flatten", "fc:Linear", hidden),
        ("fc:Linear", "output", (5,)),
    ]
    assert sorted(pairs(picture)) == sorted(chain)
    assert [(block.path, block.type) for block in picture.root.blocks()] == [
        ("body", "Sequential"),
        *[(f"body.{i}", "Residual") for i in range(3)],
    ]
    nodes = {name(node): node for node in picture.root.nodes()}
    assert [node.label for node in nodes["body.1.conv1:Conv2d"].below] == ["BatchNorm2d", "ReLU"]
    assert [node.label for node in nodes["flatten"].below] == ["relu"]  # dropout does nothing at test time
    assert [nodes[key].kind for key in ("stem:Conv2d", "body.0:+", "concat", "right:MaxPool2d", "fc:Linear")] == [
        "convolution",
        "merge",
        "merge",
        "pooling",
        "linear",
    ]
    details = [nodes[key].detail for key in ("stem:Conv2d", "left:Conv2d", "right:MaxPool2d")]
    assert details == ["3×3/2", "1×1, 2 groups", "3×3"]
    assert nodes["left:Conv2d"].parameters == 2 * 2 + 2
    assert nodes["body.0.bn:BatchNorm2d"].parameters == 8
    assert parameters(picture) == sum(p.numel() for p in model.parameters()) - 3
    assert nodes["fc:Linear"].multiply_adds == 384 * 5


def test_equal_blocks_are_drawn_once():
    model = Small().eval()
    picture = graph(model, IMAGE)
    (block,) = picture.root.blocks()
    assert (block.path, block.type, block.repeat) == ("body.0 … 2", "Residual", 3)
    assert parameters(picture) == parameters(graph(model, IMAGE, unroll=True))
    assert picture.root.total("multiply_adds") == graph(model, IMAGE, unroll=True).root.total("multiply_adds")
    assert ("stem:Conv2d", "body.0:+", (4, 8, 8)) in pairs(picture)
    assert ("body.0.relu:ReLU", "left:Conv2d", (4, 8, 8)) in pairs(picture)
    assert not [edge for edge in picture.edges if edge.source.path == "body.0.relu" and "body" in edge.target.path]
    assert "Residual × 3" in picture.to_svg()


def test_blocks_that_differ_are_not_equal():
    model = Small().eval()
    model.body[1].conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    assert [block.repeat for block in graph(model, IMAGE).root.blocks()] == [1, 1, 1, 1]


def test_blocks_that_are_read_elsewhere_are_not_equal():
    class Dense(Small):
        def forward(self, x):
            first = self.body[0](self.stem(x))
            return self.body[2](self.body[1](first)) + first

    blocks = list(graph(Dense().eval(), IMAGE).root.blocks())
    assert [(block.path, block.repeat) for block in blocks] == [("body.0", 1), ("body.1 … 2", 2)]


def test_depth_folds_blocks():
    model = Small().eval()
    deep, flat = graph(model, IMAGE, depth=2, unroll=True), graph(model, IMAGE, depth=1)
    assert [(node.label, node.path) for node in deep.root.nodes() if node.kind == "folded"] == [
        ("Residual", f"body.{i}") for i in range(3)
    ]
    assert [(block.path, block.type) for block in deep.root.blocks()] == [("body", "Sequential")]
    assert ("body.0:Residual", "body.1:Residual", (4, 8, 8)) in pairs(deep)
    (folded,) = [node for node in flat.root.nodes() if node.kind == "folded"]
    assert (folded.label, folded.path) == ("Sequential", "body")
    assert not list(flat.root.blocks())
    assert folded.parameters == 3 * (2 * (4 * 4 * 9 + 4) + 8)
    assert parameters(flat) == parameters(deep) == parameters(graph(model, IMAGE))
    (pile,) = [node for node in graph(model, IMAGE, depth=2).root.nodes() if node.kind == "folded"]
    assert (pile.repeat, pile.parameters) == (3, folded.parameters)


def test_large_networks_are_folded():
    with undrawn():
        dense = NETWORKS["densenet121"].build().eval()
    picture = graph(dense, (3, 32, 32))
    piles = [(node.path, node.label, node.repeat) for node in picture.root.nodes() if node.kind == "folded"]
    counts = ((1, 6), (2, 12), (3, 24), (4, 16))
    assert piles == [
        (f"features.denseblock{i}.denselayer2 … denselayer{n}", "BottleneckLayer", n - 1) for i, n in counts
    ]
    assert parameters(picture) == 7_978_856
    unrolled = graph(dense, (3, 32, 32), unroll=True)
    assert parameters(unrolled) == 7_978_856
    assert len(unrolled.drawing().boxes) <= MOST
    assert "features.denseblock3.denselayer24" in {node.path for node in unrolled.root.nodes()}


def test_what_runs_only_in_training():
    picture = graph(Small().train(), IMAGE)
    assert [node.kind for node in picture.root.nodes()].count("dropout") == 1
    with undrawn():
        googlenet = NETWORKS["googlenet"].build()
    picture = graph(googlenet, (3, 224, 224))
    outputs = [node.label for node in picture.root.nodes() if node.kind == "output"]
    assert outputs == ["output 1", "output 2", "output 3"]
    assert " 13,378,280 parameters" in picture.facts
    check(picture)
    assert "6,998,552 of 13,378,280 parameters" in graph(googlenet.eval(), (3, 32, 32)).facts


def test_a_layer_alone_and_shared_parameters():
    picture = graph(nn.Linear(4, 3), minidl.zeros(2, 4))
    assert pairs(picture) == [("input", "Linear", (4,)), ("Linear", "output", (3,))]
    layer = nn.Linear(4, 4)
    twice = graph(nn.Sequential(layer, nn.ReLU(), layer), minidl.zeros(1, 4))
    assert [node.parameters for node in twice.root.nodes() if node.label == "Linear"] == [20, 0]


def test_the_model_is_left_as_it_was():
    model = Small()
    mean = model.body[0].bn.running_mean.tolist()
    graph(model, IMAGE)
    assert model.training
    assert model.body[0].bn.running_mean.tolist() == mean


# ------------------------------------------------------------------------------------------------- where it is


def overlap(a, b):
    return min(a.x + a.width, b.x + b.width) - max(a.x, b.x) > 0.1 and (
        min(a.y + a.height, b.y + b.height) - max(a.y, b.y) > 0.1
    )


def contains(frame, item):
    return (
        frame.x < item.x
        and item.x + item.width < frame.x + frame.width
        and frame.y < item.y
        and item.y + item.height < frame.y + frame.height
    )


def on_the_way(line):
    """Points on a line, close to each other."""
    for (x0, y0), (x1, y1) in pairwise(line.points):
        count = 2 + int(math.hypot(x1 - x0, y1 - y0) / 5)
        for t in (i / count for i in range(count + 1)):
            if x0 != x1 and y0 != y1:  # the S of graph_svg: its control points are half way down
                s = 3 * t * t - 2 * t**3
                yield x0 + s * (x1 - x0), y0 + (1.5 * t * (1 - t) + t**3) * (y1 - y0)
            else:
                yield x0 + t * (x1 - x0), y0 + t * (y1 - y0)


def check(picture):
    """No box lies on another, each is in its frame, lines end where they should and pass no box."""
    drawing = picture.drawing()
    for a, b in combinations(drawing.boxes, 2):
        assert not overlap(a, b), (a.node, b.node)
    for a, b in combinations(drawing.frames, 2):
        assert not overlap(a, b) or contains(a, b) or contains(b, a), (a.block.path, b.block.path)
    for box in drawing.boxes:
        around = [frame for frame in drawing.frames if overlap(frame, box)]
        assert all(contains(frame, box) for frame in around)
        inside = {frame.block for frame in around}
        assert inside == {block for block in picture.root.blocks() if box.node in set(block.nodes())}
        for frame in around:
            assert box.y >= frame.y + HEADER
    heads = {
        child for block in (picture.root, *picture.root.blocks()) for child in block.children if isinstance(child, Node)
    }
    assert len(drawing.boxes) == len(heads)
    assert {box.node for box in drawing.boxes} == heads
    for line in drawing.lines:
        check_ends(line, drawing)
        if line.label:
            check_label(line, drawing)
        for x, y in on_the_way(line):
            assert -1 <= x <= drawing.width + 1
            assert -1 <= y <= drawing.height + 1
            for box in drawing.boxes:
                if box is not line.start and box is not line.end:
                    assert not (box.x + 1 < x < box.x + box.width - 1 and box.y + 1 < y < box.y + box.height - 1)


def check_label(line, drawing):
    """No box is below it."""
    (x, y), width = line.points[0], text_width(line.label, NOTE)
    left = x + LABEL_SPACE if line.label_side > 0 else x - LABEL_SPACE - width
    label = Box(None, "", left, y + 5, width, 10)
    assert not any(overlap(label, box) for box in drawing.boxes), line.label


def check_ends(line, drawing):
    (x, y), (ex, ey) = line.points[0], line.points[-1]

    def below(item, bottom):
        return item.x <= x <= item.x + item.width and abs(bottom - y) < 0.1

    def above(item, top):
        return item.x <= ex <= item.x + item.width and abs(top - ey) < 0.1

    if line.start is None:
        assert any(below(frame, frame.y + HEADER) for frame in drawing.frames)
    else:
        assert below(line.start, line.start.y + line.start.height)
    if line.end is None:
        (frame,) = [frame for frame in drawing.frames if above(frame, frame.y + frame.height)]
        leaving = [line.points[0] for line in drawing.lines if line.start is frame]
        assert any(math.dist(point, (ex, ey)) < 0.1 for point in leaving)  # it goes on outside
    elif isinstance(line.end, Box) and line.end.node.kind == "merge" and abs(ey - line.end.y) > 0.1:
        assert abs(ey - line.end.y - line.end.height / 2) < 0.1
        assert min(abs(ex - line.end.x), abs(ex - line.end.x - line.end.width)) < 0.1
    else:
        assert above(line.end, line.end.y)


def test_lines_are_the_edges_cut_at_the_frames():
    picture = graph(Small(1).eval(), IMAGE, unroll=True)
    drawing = picture.drawing()

    def end(item):
        return item.block.path if isinstance(item, Frame) else name(item.node) if item else None

    lines = [(end(line.start), end(line.end), line.label) for line in drawing.lines]
    assert sorted(lines, key=str) == sorted(
        [
            ("input", "stem:Conv2d", "3×16×16"),
            ("stem:Conv2d", "body.0", "4×8×8"),
            (None, "body.0.conv1:Conv2d", ""),
            (None, "body.0:+", ""),  # around the block
            ("body.0.conv1:Conv2d", "body.0.conv2:Conv2d", "4×8×8"),
            ("body.0.conv2:Conv2d", "body.0:+", "4×8×8"),
            ("body.0:+", "body.0.relu:ReLU", "4×8×8"),
            ("body.0.relu:ReLU", None, ""),
            ("body.0", "left:Conv2d", "4×8×8"),
            ("body.0", "right:MaxPool2d", ""),  # one label for both
            ("left:Conv2d", "concat", "2×8×8"),
            ("right:MaxPool2d", "concat", "4×8×8"),
            ("concat", "flatten", "6×8×8"),
            ("flatten", "fc:Linear", "384"),
            ("fc:Linear", "output", "5"),
        ],
        key=str,
    )
    check(picture)


def test_the_main_path_is_straight_and_the_skip_goes_around():
    drawing = graph(Small(1).eval(), IMAGE).drawing()
    boxes = {name(box.node): box for box in drawing.boxes}
    middles = {
        round(boxes[key].x + boxes[key].width / 2, 1)
        for key in ("body.0.conv1:Conv2d", "body.0.conv2:Conv2d", "body.0:+", "body.0.relu:ReLU")
    }
    assert len(middles) == 1
    (straight,) = [line for line in drawing.lines if line.start is boxes["body.0.conv2:Conv2d"]]
    assert straight.points[-1][1] == boxes["body.0:+"].y
    (skip,) = [line for line in drawing.lines if line.start is None and line.end is boxes["body.0:+"]]
    beside = boxes["body.0.conv1:Conv2d"]
    assert skip.points[0][0] == skip.points[1][0] > beside.x + beside.width
    assert skip.points[1][1] == skip.points[2][1]


# Their pictures have more or fewer of the same layers than those of others that are drawn; they cost time.
SIBLINGS = {"vgg11", "vgg13", "vgg19", "vgg11_bn", "vgg13_bn", "vgg19_bn", "zfnet_wide", "alexnet_grouped"}


@pytest.mark.parametrize("network", sorted(NETWORKS.keys() - SIBLINGS))
def test_all_networks(network):
    """On the smallest image that they can read."""
    network = NETWORKS[network]
    with undrawn():
        model = network.build().eval()
    for size in ((8, 8), (32, 32), (64, 64), network.input_shape[1:]):
        try:
            picture = graph(model, (network.input_shape[0], *size), title=network.name)
            break
        except (RuntimeError, ValueError):
            assert size != network.input_shape[1:]
    drawing = picture.drawing()
    assert len(drawing.boxes) <= MOST
    assert drawing.width < 2600
    assert drawing.height < 1900
    check(picture)
    run = sum(p.numel() for key, p in model.named_parameters() if not key.startswith("aux"))
    assert parameters(picture) == run
    ElementTree.fromstring(picture.to_svg())


def test_layers_without_crossings():
    """Two chains whose ends are listed the other way round."""
    a, b, c, d, e, f = (Vertex(20, 10) for _ in range(6))
    arrange([a, b, c, d, e, f], [Link(a, d), Link(b, c), Link(c, f), Link(d, e)])
    assert (a.x < b.x) == (d.x < c.x) == (e.x < f.x)
    assert a.x == d.x == e.x
    assert b.x == c.x == f.x


def test_links_enter_round_boxes_from_the_side_if_nothing_is_between():
    a, b = Vertex(100, 10), Vertex(100, 10)
    circle, box = Vertex(20, 20, is_round=True), Vertex(40, 20)
    first, second, main = Link(a, circle), Link(b, circle), Link(b, box)
    arrange([a, b, circle, box], [first, second])
    assert first.points[-1] == (circle.x - 10, circle.y + 10)
    assert second.points[-1] == (circle.x + 10, circle.y + 10)
    arrange([a, b, circle, box], [first, second, main])
    assert circle.x < box.x
    assert first.points[-1] == (circle.x - 10, circle.y + 10)
    assert second.points[-1] == (circle.x, circle.y)


def test_long_links_bend_around_boxes():
    a, b, c, d = (Vertex(20, 10) for _ in range(4))
    skip = Link(a, d)
    width, height = arrange([a, b, c, d], [Link(a, b), Link(b, c), Link(c, d), skip])
    assert a.x == b.x == c.x == d.x
    assert (a.y, d.y + d.height) == (0, height)
    assert max(x for x, _ in skip.points) > b.x + b.width / 2
    assert max(x for x, _ in skip.points) <= width
    assert skip.points[0] == (a.x, a.y + a.height)
    assert skip.points[-1] == (d.x, d.y)


# ------------------------------------------------------------------------------------------------- how it is drawn


def test_svg():
    picture = graph(lenet5().eval(), (1, 32, 32), title="LeNet-5 <&>")
    svg = picture.to_svg()
    assert picture._repr_svg_() == svg
    root = ElementTree.fromstring(svg)
    assert root.tag == SVG + "svg"
    assert root.find(SVG + "title").text == "LeNet-5 <&>"
    assert "61,706 parameters" in root.find(SVG + "desc").text
    assert "3 Linear" in root.find(SVG + "desc").text
    words = [text.text for text in root.iter(SVG + "text")]
    assert {"Conv2d 5×5", "conv2", "2,416", "MaxPool2d 2×2/2", "6×28×28", "Flatten", "output"} <= set(words)
    assert "input 1×32×32 · 61,706 parameters · 416,520 multiply-adds" in words
    assert words[-5:] == ["convolution", "linear", "pooling", "activation", "other"]  # the legend
    tips = [title.text for title in root.iter(SVG + "title")]
    assert any("conv1: Conv2d(1, 6" in tip and "117,600 multiply-adds" in tip for tip in tips)
    style = root.find(SVG + "style").text
    assert "@media screen and (prefers-color-scheme: dark)" in style
    classes = {each for element in root.iter() for each in element.get("class", "").split()}
    assert all(f".{each} " in style for each in classes - {"minidl-graph"})
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert width < 700
    assert height < 700


def test_the_same_picture_every_time():
    with undrawn():
        build = NETWORKS["fractalnet"].build
        first, second = (graph(build().eval(), (3, 32, 32)).to_svg() for _ in range(2))
    assert first == second


def luminance(colour):
    """Relative luminance as in WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(mode):
    style = re.search("<style>(.*)</style>", graph(lenet5(), (1, 32, 32)).to_svg(), re.DOTALL).group(1)
    rules = dict(re.findall(r"\.minidl-graph (\S+) \{ (.*) \}", style.split("@media")[mode]))

    def fill(selector):
        return luminance(re.search("fill: (#[0-9a-f]{6})", rules[selector]).group(1))

    papers = [selector for selector in rules if selector.startswith((".frame", ".header", ".paper"))]
    boxes = [f".{kind}" for kind in ("convolution", "linear", "pooling", "normalization", "activation", "merge")]
    for text, least in (("text", 7), (".note", 4.5)):
        for paper in papers + boxes + [".folded", ".dropout", ".other"]:
            low, high = sorted((fill(text), fill(paper)))
            assert (high + 0.05) / (low + 0.05) >= least, (text, paper)


# ----------------------------------------------------------------------------------------------------- the command


def test_command(tmp_path, capsys):
    path = tmp_path / "new" / "lenet.svg"
    assert cli.main(["graph", "lenet5", "--out", str(path)]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[0] == "lenet5: input 1×32×32 · 61,706 parameters · 416,520 multiply-adds"
    assert output.splitlines()[1] == f"Picture: {path}"
    assert ElementTree.parse(path).getroot().find(SVG + "title").text == "lenet5"


def test_command_options(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["graph", "resnet20", "--depth", "1", "--input", "1,16,16"]) == 0
    flat = (tmp_path / "out" / "graph-resnet20.svg").read_text(encoding="utf-8")
    assert "1×16×16" in flat
    assert "BasicBlock" not in flat
    assert cli.main(["graph", "resnet20", "--input", "3,16,16", "--unroll", "--out", "unrolled.svg"]) == 0
    assert "layer3.2" in (tmp_path / "unrolled.svg").read_text(encoding="utf-8")
    assert cli.main(["graph", "nin_cifar", "--training", "--input", "3,16,16", "--out", "training.svg"]) == 0
    assert "Dropout" in (tmp_path / "training.svg").read_text(encoding="utf-8")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet19"], "there is no network 'resnet19'; did you mean"),
        (["lenet5", "--input", "1,4,4"], "lenet5 cannot read an image of 1x4x4"),
        (["lenet5", "--out", "."], "cannot write ."),
    ],
)
def test_command_mistakes(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["graph", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_argument_mistakes():
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        graph(lenet5(), (1, 32, 32), depth=0)
    with pytest.raises(TypeError, match=r"graph\(\): input must be a Tensor"):
        graph(lenet5(), "image")

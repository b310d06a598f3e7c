"""`minidl compare`: what the figures show, and that no label hides another."""

import re
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from architectures.catalog import NETWORKS, TORCHVISION, WINNERS
from minidl import cli
from minidl.cli import compare
from minidl.cli.complexity_plots import Bar, complexity_figure, winners_figure
from minidl.cli.nets import Counted

NUMBERS = {  # parameters (of which in training only), multiply-adds: what `minidl nets` counts
    "alexnet_owt": (61_100_840, 0, 714_188_480),
    "vgg16": (138_357_544, 0, 15_470_264_320),
    "vgg19": (143_667_240, 0, 19_632_062_464),
    "googlenet": (13_378_280, 6_379_728, 1_582_671_872),
    "resnet18": (11_689_512, 0, 1_814_073_344),
    "resnet34": (21_797_672, 0, 3_663_761_408),
    "resnet50": (25_557_032, 0, 4_089_184_256),
    "resnet101": (44_549_160, 0, 7_801_405_440),
    "resnet152": (60_192_808, 0, 11_513_626_624),
    "wide_resnet50_2": (68_883_240, 0, 11_398_021_120),
    "resnext50_32x4d": (25_028_904, 0, 4_230_479_872),
    "resnext101_32x8d": (88_791_336, 0, 16_414_015_488),
    "densenet121": (7_978_856, 0, 2_834_161_664),
    "densenet169": (14_149_480, 0, 3_359_843_328),
    "densenet201": (20_013_928, 0, 4_291_365_888),
    "densenet161": (28_681_000, 0, 7_727_907_072),
    "squeezenet1_0": (1_248_424, 0, 818_924_576),
}
COUNTED = [Counted(NETWORKS[name], *numbers, activation_bytes=0) for name, numbers in NUMBERS.items()]
POINTS = [compare.point(counted) for counted in COUNTED]
BARS = [Bar(winner.entry, winner.year, winner.top5, winner.depth) for winner in WINNERS]


def test_points_follow_one_protocol():
    assert list(compare.DRAWN) == list(NUMBERS)
    for point, counted in zip(POINTS, COUNTED, strict=True):
        (error,) = [error for error in counted.network.published if error.source == TORCHVISION]
        assert error.protocol.startswith("1 crop")
        assert point.accuracy == pytest.approx(100 - error.top1)
    google = POINTS[list(NUMBERS).index("googlenet")]
    assert google.parameters == 6_998_552
    assert google.accuracy == pytest.approx(69.778)


def shown_texts(figure):
    """The boxes of all texts, in pixels, after a drawing."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return {text: text.get_window_extent(renderer) for text in texts if text.get_text() and text.get_visible()}


@pytest.mark.parametrize(
    "figure",
    [
        complexity_figure(POINTS, "What accuracy costs: operations and parameters", compare.COMPLEXITY_NOTE),
        winners_figure(BARS, "The ImageNet challenge: errors fall as networks grow deeper", compare.WINNERS_NOTE),
    ],
    ids=["complexity", "winners"],
)
def test_texts_are_inside_and_do_not_overlap(figure):
    boxes = shown_texts(figure)
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{text.get_text()!r} is cut off"
    for (text, box), (other, its_box) in combinations(boxes.items(), 2):
        assert not box.overlaps(its_box), f"{text.get_text()!r} and {other.get_text()!r} overlap"


def test_no_label_lies_on_a_centre():
    figure = complexity_figure(POINTS, "title", "note")
    boxes = {text: box for text, box in shown_texts(figure).items() if isinstance(text, Annotation)}
    assert {text.get_text() for text in boxes} == {point.label for point in POINTS}
    (axes,) = figure.axes
    for point in POINTS:
        x, y = axes.transData.transform((point.multiply_adds / 1e9, point.accuracy))
        assert axes.bbox.contains(x, y), f"{point.label} is outside"
        for text, box in boxes.items():
            assert not box.contains(x, y), f"{text.get_text()!r} hides {point.label}"


def test_area_means_parameters():
    figure = complexity_figure(POINTS, "title", "note")
    sizes = {
        tuple(circle.get_offsets()[0].round(6)): circle.get_sizes()[0]
        for circle in reversed(figure.axes[0].collections)
    }
    vgg, small = POINTS[1], POINTS[-1]
    area = {point.label: sizes.get((round(point.multiply_adds / 1e9, 6), round(point.accuracy, 6))) for point in POINTS}
    assert area[vgg.label] / area[small.label] == pytest.approx(vgg.parameters / small.parameters)


def test_winners_say_error_and_depth():
    texts = {text.get_text() for text in shown_texts(winners_figure(BARS, "title", "note"))}
    assert texts >= {"28.2 %", "16.4 %", "3.57 %", "8 layers", "19 layers", "22 layers", "152 layers", "ResNet\n2015"}


def test_the_command_writes_both_figures_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, "count", lambda networks: [COUNTED[list(NUMBERS).index(net.name)] for net in networks])
    assert cli.main(["compare", "--out", str(tmp_path)]) == 0
    names = ["complexity.png", "complexity.svg", "winners.png", "winners.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in names]
    for name in names:
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")

    first = (tmp_path / "winners.svg").read_bytes()
    assert cli.main(["compare", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "winners.svg").read_bytes() == first  # no date, no random ids
    assert not re.search(rb"<dc:date>", first)


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["compare", "--out", str(tmp_path / "file")]) == 1
    assert "cannot write" in capsys.readouterr().err

"""Where everything in the picture of a network is: each block is laid out for itself, and is then a box of the next.

An edge between boxes of different blocks passes the frames in between: in at the header, out at the lower side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from minidl.inspect import graph_boxes as boxes
from minidl.inspect.graph_layers import DIGITS, Link, Point, Vertex, arrange
from minidl.inspect.graph_nodes import Block, Edge, Node

SIDE = 16  # between a frame and what is inside
WHOLE = 480  # lower frames are not cut


@dataclass(eq=False)
class Box:
    """A node at its place; `frame` is the path of the innermost frame around it."""

    node: Node
    frame: str
    x: float
    y: float
    width: float
    height: float


@dataclass(eq=False)
class Frame:
    """The frame of a block, `depth` frames around it; `continued` where its beginning stands in another column."""

    block: Block
    depth: int
    x: float
    y: float
    width: float
    height: float
    continued: bool = False


@dataclass(eq=False)
class Line:
    """An edge, or the part of one inside of a frame.

    start, end   what it connects: a Box, a Frame from outside, or (None) the border of the frame that it is in
    label        a shape, at the start; `label_side` is 1 for the right side of the line, -1 for the left
    """

    points: list[Point]
    start: Box | Frame | None
    end: Box | Frame | None
    label: str = ""
    label_side: int = 1
    connector: bool = False  # not a curve but straight pieces, from one column to the next


@dataclass(eq=False)
class Cut:
    """A place where the picture may go on in another column: between `upper` and `lower`, only `line` passes."""

    upper: float
    lower: float
    line: Line
    frames: list[Frame]  # that it would cut, the outer ones first


@dataclass(eq=False)
class Drawing:
    """All that is to be drawn."""

    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)


@dataclass(eq=False)
class _Group:
    """A block with its inside laid out, from (0, 0)."""

    block: Block
    vertices: dict[object, Vertex]  # of its children, and of its ports: ("in" or "out", node that the edge comes from)
    links: dict[Link, tuple[object, object, str]]  # between which of them, and the label
    width: float
    height: float
    shift: float  # of the inside, if the header is wider
    inner: dict[Block, _Group]

    def port(self, side: str, source: Node) -> float:
        """Where an edge enters or leaves the frame, from its middle. A single one goes on below where it came."""
        outs = [key for key in self.vertices if isinstance(key, tuple) and key[0] == "out"]
        if side == "in" and len(outs) == 1 and self.vertices[side, source].is_bus:
            side, source = outs[0]
        return self.shift + self.vertices[side, source].x - self.width / 2


def lay_out(root: Block, edges: Iterable[Edge]) -> Drawing:
    """Everything at its place, in one column."""
    parents = {child: block for block in (root, *root.blocks()) for child in block.children}
    pieces: dict[Block, dict[tuple, str]] = {block: {} for block in (root, *root.blocks())}
    for edge in edges:
        _cut_at_frames(edge, parents, pieces)
    group = _group(root, pieces, _common_width(root), is_root=True)
    drawing = Drawing(group.width, group.height)
    _place(group, 0.0, 0.0, [], drawing, may_cut=True)
    return drawing


def _cut_at_frames(edge: Edge, parents: dict[Node | Block, Block], pieces: dict[Block, dict[tuple, str]]) -> None:
    """Adds the parts of the edge to those of each block: (from, to) -> label. Ports are ("in" or "out", source)."""
    ups, downs = _around(edge.source, parents), _around(edge.target, parents)
    common = next(block for block in ups if block in downs)
    here: object = edge.source
    for block in ups[: ups.index(common)]:
        pieces[block].setdefault((here, ("out", edge.source)), "")
        here = block
    there: object = edge.target
    for block in downs[: downs.index(common)]:
        pieces[block].setdefault((("in", edge.source), there), "")
        there = block
    pieces[common][here, there, edge.source] = boxes.shape_words(edge.shape)


def _around(node: Node, parents: dict[Node | Block, Block]) -> list[Block]:
    """The blocks that it is in, the innermost first."""
    around = [parents[node]]
    while around[-1] in parents:
        around.append(parents[around[-1]])
    return around


def _common_width(root: Block) -> float:
    """Of the boxes: that of the widest, but for exceptions."""
    widths = [
        boxes.node_width(node, block.path)
        for block in (root, *root.blocks())
        for node in block.children
        if isinstance(node, Node) and not boxes.is_small(node)
    ]
    return max(width for width in [boxes.NARROWEST, *widths] if width <= boxes.WIDEST)


def _group(block: Block, pieces: dict[Block, dict[tuple, str]], common: float, is_root: bool = False) -> _Group:
    inner: dict[Block, _Group] = {}
    vertices: dict[object, Vertex] = {}
    parts = pieces[block]
    sources = dict.fromkeys(part[0] for part in parts if isinstance(part[0], tuple))
    for source in sources:
        vertices[source] = Vertex(is_bus=len(sources) == 1)
    for child in block.children:
        if isinstance(child, Block):
            inner[child] = _group(child, pieces, common)
            vertices[child] = Vertex(inner[child].width, inner[child].height)
        else:
            width = boxes.node_width(child, block.path)
            if not boxes.is_small(child):
                width = max(width, common)
            vertices[child] = Vertex(width, boxes.node_height(child), is_round=boxes.is_small(child))
    targets = dict.fromkeys(part[1] for part in parts if isinstance(part[1], tuple))
    for target in targets:
        vertices[target] = Vertex(common if len(targets) > 1 else 0.0, is_last=True)

    links = {}
    for part, label in parts.items():
        start, end = part[:2]
        source = part[2] if len(part) == 3 else (start[1] if isinstance(start, tuple) else end[1])
        leave = inner[start].port("out", source) if isinstance(start, Block) else 0.0
        arrive = inner[end].port("in", source) if isinstance(end, Block) else 0.0
        links[Link(vertices[start], vertices[end], leave, arrive)] = start, end, label
    content, height = arrange(list(vertices.values()), list(links))
    width = content
    if not is_root:
        width = max(content + 2 * SIDE, boxes.block_words(block).width)
        height += boxes.HEADER
    return _Group(block, vertices, links, width, height, (width - content) / 2, inner)


def _place(group: _Group, x: float, y: float, around: list[Frame], drawing: Drawing, may_cut: bool) -> None:
    """Adds what is inside of a block, whose frame (the last one `around`) has its upper left corner at (x, y)."""
    x += group.shift
    y += boxes.HEADER if around else 0.0
    placed: dict[object, Box | Frame] = {}
    frames: dict[Block, Frame] = {}
    for item, vertex in group.vertices.items():
        left, top = x + vertex.x - vertex.width / 2, y + vertex.y
        if isinstance(item, Block):
            placed[item] = frame = frames[item] = Frame(item, len(around), left, top, vertex.width, vertex.height)
            drawing.frames.append(frame)
        elif isinstance(item, Node):
            placed[item] = box = Box(item, group.block.path, left, top, vertex.width, vertex.height)
            drawing.boxes.append(box)
    lines = []
    first: dict[tuple, Line] = {}  # of the lines that leave one place: it has the label
    for link, (start, end, label) in group.links.items():
        line = Line([(round(x + px, DIGITS), y + py) for px, py in link.points], placed.get(start), placed.get(end))
        lines.append(line)
        labelled = first.setdefault((start, link.leave), line)
        if labelled is line:
            line.label = label
        if any(px > line.points[0][0] for px, _ in line.points):
            labelled.label_side = -1  # not where a line bends to
    drawing.lines += lines

    passing = list(_passing(group, lines, y))
    if may_cut:
        drawing.cuts += [Cut(upper, lower, line, list(around)) for upper, lower, line in passing]
    alone = {block for block in _alone(group) if group.inner[block].height > WHOLE}
    for child, inner in group.inner.items():
        frame = frames[child]
        _place(inner, frame.x, frame.y, [*around, frame], drawing, may_cut and child in alone)


def _passing(group: _Group, lines: Iterable[Line], y: float) -> Iterator[tuple[float, float, Line]]:
    """The gaps between layers which a single line passes, straight down."""
    rows = sorted({(y + vertex.y, y + vertex.y + vertex.height) for vertex in group.vertices.values() if vertex.height})
    for _, upper in rows:
        lower = min((top for top, _ in rows if top > upper), default=None)
        if lower is None or any(top < upper < bottom or top < lower < bottom for top, bottom in rows):
            continue
        crossing = [line for line in lines if line.points[0][1] < lower and line.points[-1][1] > upper]
        if len(crossing) == 1:
            (line,) = crossing
            if len(line.points) == 2 and line.points[0][0] == line.points[1][0]:
                yield upper, lower, line


def _alone(group: _Group) -> set[Block]:
    """The blocks that have nothing beside them: no box, and no line that passes."""
    return {
        block
        for block in group.inner
        for box in [group.vertices[block]]
        if not any(
            other is not box and other.y < box.y + box.height and other.y + other.height > box.y
            for other in group.vertices.values()
        )
        and not any(
            link.points[0][1] < box.y + box.height - 1 and link.points[-1][1] > box.y + 1 for link in group.links
        )
    }

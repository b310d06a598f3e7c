"""Draws the picture of a network as SVG: text that can be selected, colours that can be told apart, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import pairwise

from minidl.inspect import graph_boxes as boxes
from minidl.inspect.graph_layers import Point
from minidl.inspect.graph_layout import Box, Drawing, Frame, Line
from minidl.inspect.graph_nodes import Node

MARGIN = 28
TITLE, LEGEND = 66, 44  # heights
ROUND = 5  # radius of corners
TURNING = 9  # the same of connectors
ARROW = 6
PILE = 6, 3  # by how much the frames that lie below another one stand out

# Fill and border of each kind, in light and dark. The borders are those of Okabe & Ito, which are told apart in every
# common kind of colour blindness; the fills differ in lightness too, for print in grey.
COLOURS = {
    "convolution": ("#cfe3f3", "#0072b2", "#123a56", "#4ea3dc"),
    "linear": ("#f9d9c3", "#d55e00", "#57290a", "#f0844a"),
    "pooling": ("#c3e8db", "#009e73", "#0b4435", "#2fbf95"),
    "normalization": ("#eef0f2", "#8a939b", "#2b3238", "#7d8790"),
    "activation": ("#fdf0c4", "#e0a000", "#4a3a0c", "#dfb640"),
    "dropout": ("#f6f1ff", "#8d7bc0", "#332b4d", "#a493d8"),
    "merge": ("#f6dcea", "#c0578f", "#4f2340", "#e08fb9"),
    "folded": ("#e3e6ee", "#5b6b8c", "#2a3346", "#8c9dc0"),
    "other": ("#ffffff", "#8a939b", "#22282d", "#7d8790"),
}
INK, MUTED, LINE, PAPER = ("#1c2126", "#e8ebee"), ("#4f5860", "#b3bcc4"), ("#59636c", "#98a2ab"), ("#ffffff", "#14181c")
FRAMES = (("#f7f8fa", "#1a1f24"), ("#eef1f4", "#20262c"))  # by their depth, in turn
HEADERS = (("#e4e8ed", "#2a3138"), ("#d9dfe6", "#323a43"))
BORDER = ("#c3cad1", "#454f58")

NAME = "minidl-graph"
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans Condensed', sans-serif"


def to_svg(drawing: Drawing, title: str, facts: str, description: str) -> str:
    """The whole picture. Below the title stand `facts`; `description` is for those who cannot see it."""
    kinds = [kind for kind in COLOURS if any(node.kind == kind for box in drawing.boxes for node in box.node.nodes())]
    least = max(boxes.text_width(title, 20), boxes.text_width(facts, boxes.FONT), _legend_width(kinds))
    inner = max(drawing.width, least)
    width, height = inner + 2 * MARGIN, drawing.height + TITLE + LEGEND + 2 * MARGIN
    left = MARGIN + (inner - drawing.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{NAME}" role="img" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONTS}" font-size="{boxes.FONT}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(description)}</desc>",
        f"<style>{_style()}</style>",
        f'<rect class="paper" width="{_n(width)}" height="{_n(height)}"/>',
        _text(MARGIN, MARGIN + 18, title, "title"),
        _text(MARGIN, MARGIN + 40, facts, "muted"),
        f'<g transform="translate({_n(left)} {_n(MARGIN + TITLE)})">',
        *map(_frame, sorted(drawing.frames, key=lambda frame: frame.depth)),
        *(part for line in drawing.lines for part in _line(line)),
        *map(_box, drawing.boxes),
        *(_label(line) for line in drawing.lines if line.label),
        "</g>",
        *_legend(kinds, MARGIN, height - MARGIN - 12),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" x="{_n(x)}" y="{_n(y)}"{at}>{escape(text, quote=False)}</text>'


def _style() -> str:
    return _rules(0) + "\n@media screen and (prefers-color-scheme: dark) {\n" + _rules(1) + "\n}"


def _rules(mode: int) -> str:
    """Light (0) or dark (1)."""
    rules = {
        "text": f"fill: {INK[mode]}",
        ".title": "font-size: 20px; font-weight: bold",
        ".name": "font-weight: bold",
        ".muted": f"fill: {MUTED[mode]}",
        ".note": f"fill: {MUTED[mode]}; font-size: {boxes.NOTE}px",
        ".shape": f"font-size: {boxes.NOTE}px; stroke: {PAPER[mode]}; stroke-width: 3; paint-order: stroke; "
        "stroke-linejoin: round",
        ".paper": f"fill: {PAPER[mode]}",
        ".line": f"fill: none; stroke: {LINE[mode]}; stroke-width: 1.4",
        ".arrow": f"fill: {LINE[mode]}",
        ".sign": f"fill: none; stroke: {INK[mode]}; stroke-width: 1.6",
    }
    for i in range(2):
        rules[f".frame{i}"] = f"fill: {FRAMES[i][mode]}; stroke: {BORDER[mode]}"
        rules[f".header{i}"] = f"fill: {HEADERS[i][mode]}; stroke: {BORDER[mode]}"
    for kind, colours in COLOURS.items():
        fill, border = colours[2 * mode : 2 * mode + 2]
        rules[f".{kind}"] = f"fill: {fill}; stroke: {border}"
    return "\n".join(f".{NAME} {selector} {{ {rule} }}" for selector, rule in rules.items())


# --------------------------------------------------------------------------------------------------------- frames


def _frame(frame: Frame) -> str:
    x, y, width, height = frame.x, frame.y, frame.width, frame.height
    words = boxes.block_words(frame.block)
    label = words.label + (" (continued)" if frame.continued else "")
    tint = frame.depth % 2
    parts = ["<g>"]
    if frame.block.repeat > 1:  # a pile of frames
        parts += [_rect(x + d, y + d, width, height, f"frame{tint}") for d in PILE]
    parts.append(_rect(x, y, width, height, f"frame{tint}"))
    parts.append(_round_top(x, y, width, boxes.HEADER, f"header{tint}"))
    baseline = y + boxes.HEADER / 2 + 4
    parts.append(_text(x + boxes.PAD, baseline, label, "name"))
    if not frame.continued:
        after = x + boxes.PAD + boxes.text_width(words.label, boxes.FONT) + 7
        parts += [_text(after, baseline, words.note, "note")] if words.note else []
        parts += [_text(x + width - boxes.PAD, baseline, words.number, "note", "end")] if words.number else []
    return "".join([*parts, "</g>"])


def _rect(x: float, y: float, width: float, height: float, style: str, radius: float = ROUND) -> str:
    return (
        f'<rect class="{style}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"/>'
    )


def _round_top(x: float, y: float, width: float, height: float, style: str, below: bool = False) -> str:
    """A rectangle with two round corners, above or below."""
    r = ROUND
    if below:
        path = f"M{_n(x)} {_n(y)}h{_n(width)}v{_n(height - r)}q0 {r} {-r} {r}h{_n(2 * r - width)}q{-r} 0 {-r} {-r}z"
    else:
        path = f"M{_n(x)} {_n(y + height)}v{_n(r - height)}q0 {-r} {r} {-r}h{_n(width - 2 * r)}q{r} 0 {r} {r}"
        path += f"v{_n(height - r)}z"
    return f'<path class="{style}" d="{path}"/>'


# ---------------------------------------------------------------------------------------------------------- boxes


def _box(box: Box) -> str:
    node = box.node
    note = "\n".join(each.note for each in node.nodes() if each.note)
    parts = ["<g>", f"<title>{escape(note)}</title>" if note else ""]
    if boxes.is_small(node):
        parts += _merge(box)
    elif node.kind in ("input", "output"):
        parts.append(_rect(box.x, box.y, box.width, box.height, "other", box.height / 2))
        parts.append(_text(box.x + box.width / 2, box.y + box.height / 2 + 4, node.label, "name", "middle"))
    else:
        parts += _bands(box)
    return "".join([*parts, "</g>"])


def _bands(box: Box) -> Iterator[str]:
    nodes = list(box.node.nodes())
    if box.node.repeat > 1:
        yield from (_rect(box.x + d, box.y + d, box.width, box.height, "folded") for d in PILE)
    y = box.y
    height = box.height - boxes.LINE * (len(nodes) - 1)
    for i, node in enumerate(nodes):
        is_last = i == len(nodes) - 1
        if i == 0 and is_last:
            yield _rect(box.x, y, box.width, height, node.kind)
        elif i == 0 or is_last:
            yield _round_top(box.x, y, box.width, height, node.kind, below=is_last)
        else:
            yield _rect(box.x, y, box.width, height, node.kind, 0)
        yield from _words(box, node, y, height, is_band=i > 0)
        y, height = y + height, boxes.LINE


def _words(box: Box, node: Node, y: float, height: float, is_band: bool = False) -> Iterator[str]:
    words = boxes.node_words(node, box.frame, is_band)
    left, right = box.x + boxes.PAD, box.x + box.width - boxes.PAD
    if words.two_lines:
        yield _text(left, y + 16, words.label, "name")
        if words.note:
            yield _text(left, y + 31, words.note, "note")
        if words.number:
            yield _text(right, y + 31, words.number, "note", "end")
        return
    baseline = y + height / 2 + 4
    yield _text(left, baseline, words.label, "name" if node.kind == "pooling" else "")
    if words.number:
        yield _text(right, baseline, words.number, "note", "end")


def _merge(box: Box) -> Iterator[str]:
    """A circle with a sign in it, or a word."""
    x, y, r = box.x + box.width / 2, box.y + box.height / 2, box.height / 2
    yield _rect(box.x, box.y, box.width, box.height, "merge", r)
    a = 5
    signs = {"+": f"M{_n(x - a)} {_n(y)}h{2 * a}M{_n(x)} {_n(y - a)}v{2 * a}", "−": f"M{_n(x - a)} {_n(y)}h{2 * a}"}
    if box.node.label in signs:
        yield f'<path class="sign" d="{signs[box.node.label]}"/>'
    else:
        yield _text(x, y + 4, box.node.label, "", "middle")


# ---------------------------------------------------------------------------------------------------------- lines


def _line(line: Line) -> Iterator[str]:
    points = line.points
    (bx, by), (x, y) = points[-2:]
    if line.end is None:
        yield f'<path class="line" d="{_path(points)}"/>'
        return
    across, down = ((x > bx) - (x < bx), 0) if by == y else (0, 1)
    points = [*points[:-1], (x - across * ARROW, y - down * ARROW)]  # the line stops in the arrow
    yield f'<path class="line" d="{_path(points)}"/>'
    long, half = ARROW + 1, ARROW * 0.6
    left = x - across * long + down * half, y - down * long + across * half
    right = x - across * long - down * half, y - down * long - across * half
    yield f'<path class="arrow" d="M{_n(x)} {_n(y)}L{_n(left[0])} {_n(left[1])}L{_n(right[0])} {_n(right[1])}z"/>'


def _path(points: list[Point]) -> str:
    """Straight pieces, with round corners where a level one begins or ends; else an S from one upright to another."""
    path = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for i, ((x, y), (px, py)) in enumerate(pairwise(points)):
        level = y == py
        if x != px and not level:
            middle = _n((y + py) / 2)
            path += f"C{_n(x)} {middle} {_n(px)} {middle} {_n(px)} {_n(py)}"
        elif i + 2 < len(points) and level != (py == points[i + 2][1]):
            (ax, ay), (bx, by) = _towards((px, py), (x, y)), _towards((px, py), points[i + 2])
            path += f"L{_n(ax)} {_n(ay)}Q{_n(px)} {_n(py)} {_n(bx)} {_n(by)}"
        else:
            path += f"L{_n(px)} {_n(py)}"
    return path


def _towards(corner: Point, other: Point) -> Point:
    """A point near the corner, on the way to the other."""
    (x, y), (ox, oy) = corner, other
    length = abs(ox - x) + abs(oy - y)
    part = min(TURNING, length / 2) / length if length else 0.0
    return x + part * (ox - x), y + part * (oy - y)


def _label(line: Line) -> str:
    (x, y), side = line.points[0], line.label_side
    y += 14 + (PILE[0] if _repeat(line.start) > 1 else 0)
    return _text(x + side * boxes.LABEL_SPACE, y, line.label, "shape", "start" if side > 0 else "end")


def _repeat(item: Box | Frame | None) -> int:
    return item.node.repeat if isinstance(item, Box) else item.block.repeat if item else 1


# --------------------------------------------------------------------------------------------------------- legend


def _legend_width(kinds: Iterable[str]) -> float:
    return sum(boxes.text_width(kind, boxes.NOTE) + 36 for kind in kinds)


def _legend(kinds: Iterable[str], x: float, y: float) -> Iterator[str]:
    for kind in kinds:
        yield _rect(x, y, 13, 13, kind, 3)
        yield _text(x + 19, y + 10.5, kind, "note")
        x += boxes.text_width(kind, boxes.NOTE) + 36

"""Breaks a tall picture of a network into columns, where a single line passes: pages and screens are wide.

A frame that is cut goes on in the next column below a header of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from minidl.inspect.graph_boxes import HEADER, LABEL_SPACE, NOTE, text_width
from minidl.inspect.graph_layout import Box, Cut, Drawing, Frame, Line

ASPECT = 1.45  # width to height that the picture should have
GUTTER = 56  # between columns; the line to the next one goes up in its middle
TURN = 20  # from the end of a column down to where the line turns, and from there to the top of the next one
FOOT, BETWEEN_FEET = 24, 8  # of frames that are cut: below the last box
HEADERS = HEADER + 8  # from the header of a continued frame to the next one
INTO = 24  # from the last header to the first box
DEEP = 90  # a cut through a frame counts as if the column were so much taller
MOST_COLUMNS = 8
NEAR = 0.5


def in_columns(drawing: Drawing) -> Drawing:
    """The same picture in as many columns as suit its height."""
    best, least = drawing, math.inf
    for count in range(1, min(MOST_COLUMNS, len(drawing.cuts) + 1) + 1):
        broken = _broken(drawing, _choose(drawing, count))
        off = abs(math.log(broken.width / (broken.height * ASPECT)))
        if off < least:
            best, least = broken, off
    return best


def _choose(drawing: Drawing, count: int) -> list[Cut]:
    """The cuts that make `count` columns, about equally high: the sum of the squared heights is the smallest."""
    cuts = sorted(drawing.cuts, key=lambda cut: cut.upper)
    ways: list[tuple[float, list[Cut]]] = [(0.0, [])]  # to where the last cut is, and the cost so far
    for _ in range(count - 1):
        longer = []
        for cut in cuts:
            costs = [
                (cost + (cut.upper + DEEP * len(cut.frames) - _top(way)) ** 2, [*way, cut])
                for cost, way in ways
                if _top(way) < cut.upper
            ]
            longer += [min(costs, key=lambda way: way[0])] if costs else []
        ways = longer
    return min(ways, key=lambda way: way[0] + (drawing.height - _top(way[1])) ** 2, default=(0.0, []))[1]


def _top(cuts: Sequence[Cut]) -> float:
    """Where the column after these cuts begins."""
    return cuts[-1].lower if cuts else 0.0


def _broken(drawing: Drawing, cuts: Sequence[Cut]) -> Drawing:
    """The columns side by side, and a connector from each to the next."""
    columns = [_Column(drawing, above, below) for above, below in pairwise([None, *cuts, None])]
    result = Drawing()
    left = 0.0
    for column in columns:
        column.move(left)
        left = column.right + GUTTER
        result.boxes += column.boxes.values()
        result.frames += column.frames.values()
        result.lines += column.lines
    between = zip(cuts, pairwise(columns), strict=True)
    result.lines += [_connector(cut, column, following) for cut, (column, following) in between]
    result.width, result.height = left - GUTTER, max(column.foot for column in columns)
    return result


class _Column:
    """What lies between two cuts, at its new place.

    foot    where it ends: its last box or frame, or the turn of the line to the next column
    """

    def __init__(self, drawing: Drawing, above: Cut | None, below: Cut | None):
        self.below = below
        high, low = above.lower if above else 0.0, below.upper if below else drawing.height
        entered, left = above.frames if above else [], below.frames if below else []
        self.down = TURN - high + (HEADERS * (len(entered) - 1) + HEADER + INTO if entered else 0.0)
        self.foot = low + self.down
        if below:
            self.foot += TURN + (FOOT + BETWEEN_FEET * len(left) if left else FOOT)

        def is_inside(top: float, bottom: float) -> bool:
            return top >= high - NEAR and bottom <= low + NEAR

        self.boxes = {
            box: replace(box, y=box.y + self.down) for box in drawing.boxes if is_inside(box.y, box.y + box.height)
        }
        self.frames: dict[Frame, Frame] = {}
        for frame in drawing.frames:
            top, bottom = frame.y + self.down, frame.y + frame.height + self.down
            if frame in entered:
                top = TURN + HEADERS * entered.index(frame)
            if frame in left:
                bottom = low + self.down + FOOT + BETWEEN_FEET * (len(left) - 1 - left.index(frame))
            if frame in entered or frame in left or is_inside(frame.y, frame.y + frame.height):
                continued = frame in entered
                self.frames[frame] = replace(frame, y=top, height=bottom - top, continued=continued)
        cut = [each.line for each in (above, below) if each]
        self.lines = [
            replace(
                line,
                points=[(x, y + self.down) for x, y in line.points],
                start=self.now(line.start),
                end=self.now(line.end),
            )
            for line in drawing.lines
            if line not in cut and is_inside(line.points[0][1], line.points[-1][1])
        ]
        if above:  # from each header of a frame to the next one, and to the box
            x = above.line.points[-1][0]
            for outside, inside in pairwise([*map(self.now, entered), self.now(above.line.end)]):
                if outside and inside:
                    self.lines.append(Line([(x, outside.y + HEADER), (x, inside.y)], None, inside))

    def now(self, item: Box | Frame | None) -> Box | Frame | None:
        """The same at its new place; of a frame, the part that is in this column."""
        return self.boxes.get(item) if isinstance(item, Box) else self.frames.get(item) if item else None

    def move(self, left: float) -> None:
        """Puts its left side there."""
        items: list[Box | Frame] = [*self.boxes.values(), *self.frames.values()]
        lefts, rights = [item.x for item in items], [item.x + item.width for item in items]
        for line in (*self.lines, *([self.below.line] if self.below else [])):
            if line.label:
                reach = line.points[0][0] + line.label_side * (LABEL_SPACE + text_width(line.label, NOTE))
                (rights if line.label_side > 0 else lefts).append(reach)
        self.across = left - min(lefts)
        self.right = max(rights) + self.across
        self.left = left
        for item in items:
            item.x += self.across
        for line in self.lines:
            line.points = [(x + self.across, y) for x, y in line.points]


def _connector(cut: Cut, column: _Column, following: _Column) -> Line:
    """The line that a cut has interrupted: down, up between the columns, and down to where it goes on."""
    x, y = cut.line.points[0]
    start = x + column.across, y + column.down
    entry = cut.line.points[-1][0] + following.across
    first = following.now(cut.frames[0] if cut.frames else cut.line.end)
    between = following.left - GUTTER / 2
    corners = [(start[0], column.foot), (between, column.foot), (between, 0.0), (entry, 0.0)]
    return Line(
        [start, *corners, (entry, TURN)],
        column.now(cut.line.start),
        first,
        cut.line.label,
        cut.line.label_side,
        connector=True,
    )

"""Places the boxes of a directed graph in layers, so that all arrows point down.

Sugiyama, Tagawa & Toda, "Methods for Visual Understanding of Hierarchical System Structures", IEEE Trans. SMC 11(2),
1981, in four steps: a box goes one layer below the lowest that it depends on; an arrow that passes a layer gets a bend
there; each layer is sorted by the mean place of its neighbours, down and up again, and the order with the fewest
crossings is kept; then each box is drawn towards the median of its neighbours, as far as those beside it let it.

Where one of several ways is the longest, it is the main path: it is kept straight, and the others go around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]

BESIDE = 16  # between boxes of one layer
BESIDE_BEND = 12
GAP, GAP_TO_PORT = 32, 20  # between layers, at the least
SLANT = 0.16  # more, where arrows go far to the side
HIGHEST_GAP = 72
STEM = 14  # of arrows that leave one place for several: where the label stands
SWEEPS = 8

DIGITS = 3  # of coordinates that are compared

MAIN, BEND, OTHER = 16.0, 8.0, 1.0  # how much an arrow wants to be straight


@dataclass(eq=False)
class Vertex:
    """A box; without a height, a port on the border of the frame, or a bend. x is its middle, y its upper side.

    is_bus     arrows leave it straight down from wherever they go to: the lower side of a frame's header
    is_round   arrows may enter it from the sides
    is_last    below everything else
    """

    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    is_bend: bool = False
    is_bus: bool = False
    is_round: bool = False
    is_last: bool = False


@dataclass(eq=False)
class Link:
    """An arrow from `leave` on the lower side of a box (0 is the middle) to `arrive` on the upper side of another.

    points    from one to the next it goes straight, or along a curve that starts and ends upright
    """

    source: Vertex
    target: Vertex
    leave: float = 0.0
    arrive: float = 0.0
    points: list[Point] = field(default_factory=list)


@dataclass(eq=False)
class _Step:
    """A link, or the piece of one, from a layer to the next."""

    source: Vertex
    target: Vertex
    leave: float
    arrive: float
    is_main: bool = False
    is_sideways: bool = False  # enters a round box from the side
    stem: float = 0.0  # how far it goes straight down before it bends

    @property
    def start(self) -> float:
        """Its x at the upper end."""
        return self.target.x + self.arrive if self.source.is_bus else self.source.x + self.leave

    @property
    def slant(self) -> float:
        """How far it goes to the side, on its way from a layer to the next."""
        return 0.0 if self.is_sideways else round(self.target.x + self.arrive - self.start, DIGITS)

    @property
    def weight(self) -> float:
        if self.is_main:
            return MAIN
        return BEND if self.source.is_bend and self.target.is_bend else OTHER


def arrange(vertices: Sequence[Vertex], links: Sequence[Link]) -> tuple[float, float]:
    """Sets the places of the vertices, given in an order in which links go forward, and the points of the links.

    Returns the width and the height of the whole, which begins at (0, 0).
    """
    layers, steps, chains = _layered(vertices, links)
    _order(layers, steps)
    _set_x(layers, steps)
    left = min(vertex.x - vertex.width / 2 for layer in layers for vertex in layer)
    for vertex in (vertex for layer in layers for vertex in layer):
        vertex.x -= left
    _enter_sideways(layers, steps)
    bottoms = _set_y(layers, steps)
    for link in links:
        link.points = _points(link, chains[link], bottoms)
    return max(vertex.x + vertex.width / 2 for layer in layers for vertex in layer), bottoms[layers[-1][0]]


# --------------------------------------------------------------------------------------------------------- layers


def _layered(
    vertices: Sequence[Vertex], links: Sequence[Link]
) -> tuple[list[list[Vertex]], list[_Step], dict[Link, list[_Step]]]:
    """The layers with their bends, the steps between them, and the steps of each link."""
    above, below = dict.fromkeys(vertices, 0), dict.fromkeys(vertices, 0)  # the longest ways that end and start there
    into: dict[Vertex, list[Link]] = {vertex: [] for vertex in vertices}
    for link in links:
        into[link.target].append(link)
    for vertex in vertices:
        above[vertex] = max((above[link.source] + 1 for link in into[vertex]), default=0)
    for vertex in reversed(vertices):
        for link in into[vertex]:
            below[link.source] = max(below[link.source], below[vertex] + 1)
    lowest = max(above.values())
    rank = {vertex: lowest if vertex.is_last else above[vertex] for vertex in vertices}

    layers: list[list[Vertex]] = [[] for _ in range(lowest + 1)]
    for vertex in vertices:
        layers[rank[vertex]].append(vertex)
    steps: dict[tuple, _Step] = {}
    chains: dict[Link, list[_Step]] = {}
    bends: dict[tuple, Vertex] = {}  # arrows that leave a box at one place stay together as long as they can
    for link in links:
        via = [link.source]
        for passed in range(rank[link.source] + 1, rank[link.target]):
            key = link.source, link.leave, passed
            if key not in bends:
                bends[key] = Vertex(is_bend=True)
                layers[passed].append(bends[key])
            via.append(bends[key])
        via.append(link.target)
        is_longest = above[link.source] + 1 + below[link.target] == lowest
        chains[link] = [
            steps.setdefault((u, v, leave, arrive), _Step(u, v, leave, arrive, is_longest))
            for u, v in pairwise(via)
            for leave in [link.leave if u is link.source else 0.0]
            for arrive in [link.arrive if v is link.target else 0.0]
        ]
    return layers, list(steps.values()), chains


def _neighbours(steps: Iterable[_Step]) -> tuple[dict[Vertex, list[_Step]], dict[Vertex, list[_Step]]]:
    """The steps into each vertex, and those out of it."""
    into: dict[Vertex, list[_Step]] = {}
    out: dict[Vertex, list[_Step]] = {}
    for step in steps:
        into.setdefault(step.target, []).append(step)
        out.setdefault(step.source, []).append(step)
    return into, out


# ---------------------------------------------------------------------------------------------------------- order


def _order(layers: list[list[Vertex]], steps: Sequence[_Step]) -> None:
    """Sorts the layers so that few steps cross."""
    into, out = _neighbours(steps)
    by_layer = [[step for vertex in layer for step in out.get(vertex, ())] for layer in layers]
    place: dict[Vertex, float] = {}

    def number(layer: Sequence[Vertex]) -> None:
        place.update((vertex, float(i)) for i, vertex in enumerate(layer))

    def start(step: _Step) -> float:
        return place[step.source] + step.leave / (step.source.width + 1)

    def end(step: _Step) -> float:
        return place[step.target] + step.arrive / (step.target.width + 1)

    def sort(layer: list[Vertex], near: dict[Vertex, list[_Step]], where: Callable[[_Step], float]) -> None:
        mean = {
            vertex: sum(map(where, near[vertex])) / len(near[vertex]) if vertex in near else place[vertex]
            for vertex in layer
        }
        layer.sort(key=mean.__getitem__)
        number(layer)

    def crossings() -> int:
        total = 0
        for between in by_layer:
            ends = [(start(step), end(step)) for step in between]
            total += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for i, a in enumerate(ends) for b in ends[:i])
        return total

    for layer in layers:
        number(layer)
    best, fewest = [list(layer) for layer in layers], crossings()
    for _ in range(SWEEPS):
        for layer in layers[1:]:
            sort(layer, into, start)
        for layer in reversed(layers[:-1]):
            sort(layer, out, end)
        if crossings() < fewest:
            best, fewest = [list(layer) for layer in layers], crossings()
    layers[:] = best


# --------------------------------------------------------------------------------------------------------- places


def _set_x(layers: Sequence[Sequence[Vertex]], steps: Sequence[_Step]) -> None:
    """Draws the vertices towards their neighbours, downwards and upwards in turn."""
    into, out = _neighbours(steps)
    for layer in layers:
        x = 0.0
        for i, vertex in enumerate(layer):
            x += _distance(layer[i - 1], vertex) if i else 0.0
            vertex.x = x

    def from_above(step: _Step) -> float:
        if step.source.is_bus:
            return step.target.x  # straight, wherever it is
        return step.source.x + step.leave - step.arrive

    for _ in range(SWEEPS):
        for layer in reversed(layers[:-1]):
            _draw(layer, out, lambda step: step.target.x + step.arrive - step.leave)
        for layer in layers[1:]:
            _draw(layer, into, from_above)


def _draw(layer: Sequence[Vertex], near: dict[Vertex, list[_Step]], straight: Callable[[_Step], float]) -> None:
    """Each vertex as near as possible to the weighted median of where its steps would be straight."""
    wishes = []
    for vertex in layer:
        steps = near.get(vertex, [])
        alone = sum(step.is_main for step in steps) == 1  # else no way is the main one
        weights = [step.weight if alone or not step.is_main else OTHER for step in steps]
        wish = _median(list(zip(map(straight, steps), weights, strict=True))) if steps else vertex.x
        wishes.append((wish, max((step.weight for step in steps), default=OTHER / 8)))

    # Pool adjacent violators: neighbours that would overlap become one group, which goes to its own median.
    offset, offsets = 0.0, []
    groups: list[list[tuple[float, float]]] = []
    for i, (wish, weight) in enumerate(wishes):
        offset += _distance(layer[i - 1], layer[i]) if i else 0.0
        offsets.append(offset)
        groups.append([(wish - offset, weight)])
        while len(groups) > 1 and _median(groups[-2]) > _median(groups[-1]):
            last = groups.pop()
            groups[-1] = groups[-1] + last
    places = [_median(group) for group in groups for _ in group]
    for vertex, place, offset in zip(layer, places, offsets, strict=True):
        vertex.x = place + offset


def _distance(left: Vertex, right: Vertex) -> float:
    """How far apart the middles of two neighbours must be."""
    beside = BESIDE_BEND if left.is_bend or right.is_bend else BESIDE
    return (left.width + right.width) / 2 + beside


def _median(values: list[tuple[float, float]]) -> float:
    """Of (value, weight) pairs; half way, where two values are as good."""
    values = sorted(values)
    half, passed = sum(weight for _, weight in values) / 2, 0.0
    for i, (value, weight) in enumerate(values):
        passed += weight
        if passed == half:
            return (value + values[i + 1][0]) / 2
        if passed > half:
            return value
    return values[-1][0]


def _enter_sideways(layers: Sequence[Sequence[Vertex]], steps: Sequence[_Step]) -> None:
    """Marks the steps that go straight down beside a round box, and then to its side."""
    into, _ = _neighbours(steps)
    for layer in layers:
        for vertex in layer:
            others = [other for other in layer if other is not vertex]
            for step in into.get(vertex, ()) if vertex.is_round else ():
                beside = abs(step.slant) > vertex.width / 2 + BESIDE_BEND
                step.is_sideways = beside and not any(_is_between(other, vertex, step.start) for other in others)


def _is_between(other: Vertex, vertex: Vertex, x: float) -> bool:
    """Whether `other` stands in the way from x to `vertex`."""
    left, right = sorted((vertex.x, x))
    return other.x + other.width / 2 > left - BESIDE_BEND and other.x - other.width / 2 < right + BESIDE_BEND


def _set_y(layers: Sequence[Sequence[Vertex]], steps: Sequence[_Step]) -> dict[Vertex, float]:
    """Stacks the layers; returns the lower side of each vertex's layer."""
    _, out = _neighbours(steps)
    for fan in out.values():
        if sum(step.slant != 0 for step in fan) > 1 and not fan[0].source.is_bend:
            for step in fan:
                step.stem = STEM
    y, bottoms = 0.0, {}
    for layer, following in pairwise([*layers, []]):
        height = max(vertex.height for vertex in layer)
        for vertex in layer:
            vertex.y = y
            bottoms[vertex] = y + height
        going = [step for vertex in layer for step in out.get(vertex, ())]
        slant = max((abs(step.slant) for step in going), default=0.0)
        stem = max((step.stem for step in going), default=0.0)
        is_port = not height or not any(vertex.height for vertex in following)
        y += height + stem + min(max(GAP_TO_PORT if is_port else GAP, 14 + SLANT * slant), HIGHEST_GAP)
    return bottoms


def _points(link: Link, steps: Sequence[_Step], bottoms: dict[Vertex, float]) -> list[Point]:
    """Down through the layer of each vertex on the way, and from there to the next one."""
    points = [(steps[0].start, link.source.y + link.source.height)]
    for step in steps:
        points.append((step.start, bottoms[step.source] + step.stem))
        if step.is_sideways:
            middle, side = step.target.y + step.target.height / 2, 1 if step.start > step.target.x else -1
            points += [(step.start, middle), (step.target.x + side * step.target.width / 2, middle)]
        else:
            points.append((step.target.x + step.arrive, step.target.y))
    points = [(round(x, DIGITS), round(y, DIGITS)) for x, y in points]
    bends = [points[0]]
    for point, following in pairwise(points[1:]):
        if point != bends[-1] and not bends[-1][0] == point[0] == following[0]:
            bends.append(point)
    return [*bends, points[-1]]

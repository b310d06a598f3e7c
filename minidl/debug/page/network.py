"""The graph of the page: the network as it ran on the tape, at its places, for JavaScript to draw and to fold.

The layout is that of `minidl graph` (inspect/graph_layout.py), every block open and no two of them merged. To fold a
frame, the page cuts the rows out that only its inside takes. The document:

    width, height
    nodes       [{path, label, steps}]: an operation, or all those of a layer; numbers of steps
    frames      [{parent, path, label, note, number, depth, closed, entry, x, y, width, height}]: modules; parent: a
                frame, -1 for none; closed: how wide it must be when it is folded; entry: where the first line meets it
    boxes       [{parent, x, y, width, height, round, bands}]
    bands       [{node, path, kind, label, note, number, two, steps, y, height}]: the operations in a box, one below the
                other; two: their words are in two lines; steps: whether there are any
    lines       [{parent, points, arrow, label, side}], from box to box or to the border of a frame
    into, out_of    for each box, the lines that lead to it, and those that leave it, through all frames
    order       [{frame} or {box}]: in the order of the run, for those who read the graph and do not see it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minidl.debug.tape import Event, Tape, Value
from minidl.inspect import graph_boxes as boxes
from minidl.inspect.graph_folding import fold
from minidl.inspect.graph_layout import Box, Drawing, Frame, Line, lay_out
from minidl.inspect.graph_nodes import KINDS, Block, Edge, Node, Shape, detail_of, verb_of
from minidl.inspect.trace import Operation

EVERYTHING = 1000  # nested deeper than any module
SIGN = 16  # pixels: the sign in the header of a frame, which says whether it is open


class Network:
    """Nodes and edges of a tape, and which operation stands in which node."""

    def __init__(self, root: Block, edges: list[Edge], calls: dict[int, Node], layers: dict[str, Node]):
        self.root, self.edges = root, edges
        self.nodes = list(root.nodes())
        self._number = {node: number for number, node in enumerate(self.nodes)}
        self._calls, self._layers = calls, layers

    def node_of(self, event: Event) -> int | None:
        """The node of an operation, forward or backward."""
        return self._number.get(self._calls.get(event.call))  # type: ignore[arg-type]

    def layer(self, path: str) -> int | None:
        """The node of the module of this path."""
        return self._number.get(self._layers.get(path))  # type: ignore[arg-type]

    def document(self, steps: list[dict[str, Any]]) -> dict[str, Any]:
        """All that is drawn. The blocks are folded for that, so this is for once."""
        taken: list[list[int]] = [[] for _ in self.nodes]
        for number, step in enumerate(steps):
            if step["node"] is not None:
                taken[step["node"]].append(number)
        nodes = [
            {"path": node.path, "label": f"{node.label} {node.detail}".strip(), "steps": taken[number]}
            for number, node in enumerate(self.nodes)
        ]
        edges = fold(self.root, self.edges, depth=EVERYTHING, unroll=True)
        drawing = lay_out(self.root, edges)
        return {"width": drawing.width, "height": drawing.height, "nodes": nodes, **self._placed(drawing, taken)}

    def _placed(self, drawing: Drawing, taken: list[list[int]]) -> dict[str, Any]:
        frames = {frame.block: number for number, frame in enumerate(drawing.frames)}
        placed = {box.node: number for number, box in enumerate(drawing.boxes)}
        parents: dict[Node | Block, int] = {}
        order = []
        for block, child in _tree(self.root):
            parents[child] = frames.get(block, -1)
            order.append({"frame": frames[child]} if isinstance(child, Block) else {"box": placed[child]})
        widths: dict[int, float] = {}  # folded, the frames beside and below one another are equally wide
        for frame in drawing.frames:
            width = boxes.block_words(frame.block).width + SIGN
            widths[parents[frame.block]] = max(widths.get(parents[frame.block], 0.0), width)
        entries = {line.end: line.points[-1][0] for line in reversed(drawing.lines)}
        ways = _Ways(drawing, parents)
        paths = {number: frame.block.path for number, frame in enumerate(drawing.frames)}
        return {
            "frames": [
                {
                    **_frame(frame, paths.get(parents[frame.block], "")),
                    "parent": parents[frame.block],
                    "closed": round(widths[parents[frame.block]], 1),
                    "entry": round(entries.get(frame, frame.x + frame.width / 2), 1),
                }
                for frame in drawing.frames
            ],
            "boxes": [
                {
                    "parent": parents[box.node],
                    **_rectangle(box),
                    "round": boxes.is_small(box.node),
                    "bands": list(self._bands(box, taken)),
                }
                for box in drawing.boxes
            ],
            "lines": [
                {
                    "parent": ways.parent(line),
                    "points": [[round(x, 1), round(y, 1)] for x, y in line.points],
                    "arrow": line.end is not None,
                    "label": line.label,
                    "side": line.label_side,
                }
                for line in drawing.lines
            ],
            "into": [ways.into(box) for box in drawing.boxes],
            "out_of": [ways.out_of(box) for box in drawing.boxes],
            "order": order,
        }

    def _bands(self, box: Box, taken: list[list[int]]) -> Iterator[dict[str, Any]]:
        nodes = list(box.node.nodes())
        y, height = 0.0, box.height - boxes.LINE * (len(nodes) - 1)
        for i, node in enumerate(nodes):
            words = boxes.node_words(node, box.frame, is_band=i > 0)
            number = self._number[node]
            yield {
                "node": number,
                "path": node.path,
                "kind": node.kind,
                "label": words.label,
                "note": words.note,
                "number": words.number,
                "two": words.two_lines,
                "steps": bool(taken[number]),
                "y": y,
                "height": height,
            }
            y, height = y + height, boxes.LINE


def operations(tape: Tape) -> list[Event]:
    """The operations forward, as they have ended, that the page has steps for.

    What runs inside of another one has none, and neither has what a layer keeps a record of without a gradient, beside
    what it does with one: the running statistics of a batch norm.
    """
    containers, running = containers_of(tape), [0]
    found: dict[int, list[Event]] = {}  # by the call of the layer that they stand in
    for event in tape:
        if event.phase == "forward" and event.kind == "enter":
            running.append(event.call)
        elif event.phase == "forward" and event.kind == "leave" and event.call in running:
            del running[running.index(event.call) :]
        elif event.phase == "forward" and event.kind == "after" and event.within is None:
            found.setdefault(running[-1], []).append(event)
    shown = []
    for layer, events in found.items():
        with_gradient = [event for event in events if tape.other(event, "backward", "after")]
        is_layer = layer > 0 and layer not in containers
        shown += with_gradient if is_layer and with_gradient else events
    return sorted(shown, key=lambda event: event.number)


def containers_of(tape: Tape) -> set[int]:
    """The calls of modules in which another module was called."""
    running: list[int] = []
    found = set()
    for event in tape:
        if event.kind == "enter" and event.phase == "forward":
            found |= set(running[-1:])
            running.append(event.call)
        elif event.kind == "leave" and event.phase == "forward" and event.call in running:
            del running[running.index(event.call) :]
    return found


def network(tape: Tape) -> Network:
    """From the forward events of a tape."""
    return _Reader(tape).read()


class _Reader:
    """Goes through the forward events once. A module in which no other one was called is a layer: one node."""

    def __init__(self, tape: Tape):
        self.tape = tape
        self.makers: dict[Value, Node] = {}
        self.edges: dict[Edge, None] = {}  # without doubles, in order
        self.calls: dict[int, Node] = {}
        self.layers: dict[str, Node] = {}
        self.uncounted = {} if tape.model is None else {name: p.numel() for name, p in tape.model.named_parameters()}

    def read(self) -> Network:
        root = Block("", "")
        blocks = [root]
        inside: Node | None = None  # the node of the layer that runs, in this call
        layer = 0
        containers = containers_of(self.tape)
        shown = {event.number for event in operations(self.tape)}
        batch: Shape = ()
        for event in self.tape:
            if event.phase != "forward":
                continue
            if event.kind == "enter":
                if not batch:
                    batch = self._input(root, event)
                if event.call in containers:
                    block = blocks[-1] if not event.path else Block(event.path, event.operation)
                    if block is not blocks[-1]:
                        blocks[-1].children.append(block)
                    blocks.append(block)
                elif inside is None:
                    inside = Node(event.path, "other", event.operation, ())
                    layer = event.call
            elif event.kind == "leave":
                if event.call in containers:
                    blocks.pop()
                elif inside is not None and event.call == layer:
                    inside = None
            elif event.number in shown:
                node = inside or Node(event.path, "other", "", ())
                if not node.output:
                    blocks[-1].children.append(node)
                self._ran(event, node, batch)
        _without_empty(root)
        return Network(root, list(self.edges), self.calls, self.layers)

    def _input(self, root: Block, event: Event) -> Shape:
        """A node for what the model is given; returns the batch's part of its shape."""
        given = [value for value in event.inputs if isinstance(value, Value)]
        if not given:
            return ()
        image = given[0]
        self.makers[image] = Node("", "input", "input", image.shape[1:])
        root.children.append(self.makers[image])
        return image.shape[:1]

    def _ran(self, event: Event, node: Node, batch: Shape) -> None:
        edges = len(self.edges)
        inputs = tuple(value for value in event.inputs if isinstance(value, Value))  # without the 2 of 2 * x
        for value in inputs:
            maker = self.makers.get(value)
            if maker is not None and maker is not node:
                self.edges[Edge(maker, node, _without_batch(value.shape, batch))] = None
            if value.name in self.uncounted:
                node.parameters += self.uncounted.pop(value.name)
                self.layers.setdefault(value.name.rpartition(".")[0], node)
        merges = len(self.edges) - edges > 1
        kind = next((kind for kind, types in KINDS.items() if issubclass(event.type or object, types)), "other")
        if node.kind == "other":
            node.kind = "merge" if merges and kind == "other" else kind
        if event.node is not None and inputs:
            operation = Operation(event.node, inputs, event.outputs)  # type: ignore[arg-type]
            node.label = node.label or verb_of(operation, node.kind)
            node.detail = node.detail or detail_of(operation)
        node.label = node.label or event.operation
        outputs = [value for value in event.outputs if isinstance(value, Value)]
        node.output = (_without_batch(outputs[0].shape, batch) if outputs else ()) or (1,)
        self.makers |= dict.fromkeys(outputs, node)
        self.calls[event.call] = node


def _without_batch(shape: Shape, batch: Shape) -> Shape:
    return shape[1:] if batch and shape[:1] == batch else shape


def _without_empty(block: Block) -> None:
    """Takes away the modules in which nothing ran."""
    for child in block.children:
        if isinstance(child, Block):
            _without_empty(child)
    block.children = [child for child in block.children if isinstance(child, Node) or child.children]


def _tree(block: Block) -> Iterator[tuple[Block, Node | Block]]:
    """Every node and block with the block that it is in, in the order of the run."""
    for child in block.children:
        yield block, child
        if isinstance(child, Block):
            yield from _tree(child)


def _rectangle(item: Box | Frame) -> dict[str, float]:
    return {name: round(getattr(item, name), 1) for name in ("x", "y", "width", "height")}


def _frame(frame: Frame, around: str) -> dict[str, Any]:
    words = boxes.block_words(frame.block)
    label = {"label": boxes.name_within(words.label, around), "note": words.note, "number": words.number}
    return {"path": words.label, **label, "depth": frame.depth, **_rectangle(frame)}


class _Ways:
    """Follows lines through the frames that cut them into pieces."""

    def __init__(self, drawing: Drawing, parents: dict[Node | Block, int]):
        self.lines, self.frames, self.parents = drawing.lines, drawing.frames, parents
        self.starting: dict[Any, list[int]] = {}
        self.ending: dict[Any, list[int]] = {}
        for number, line in enumerate(self.lines):
            self.starting.setdefault(line.start or ("in", self.parent(line)), []).append(number)
            self.ending.setdefault(line.end or ("out", self.parent(line)), []).append(number)

    def parent(self, line: Line) -> int:
        """The frame that a line is drawn in, -1 for none."""
        for end in (line.start, line.end):
            if end is not None:
                return self.parents[end.node if isinstance(end, Box) else end.block]
        # From border to border: the smallest frame around it.
        (x, top), (_, bottom) = line.points[0], line.points[-1]
        around = [
            (frame.height, number)
            for number, frame in enumerate(self.frames)
            if frame.x <= x <= frame.x + frame.width and frame.y <= top and bottom <= frame.y + frame.height + 1
        ]
        return min(around)[1] if around else -1

    def into(self, box: Box) -> list[int]:
        """The lines that lead to it."""
        found: dict[int, None] = {}
        waiting = list(self.ending.get(box, ()))
        while waiting:
            number = waiting.pop()
            found[number] = None
            line = self.lines[number]
            x = line.points[0][0]
            if line.start is None:
                waiting += self._meeting(self.ending, self._frame(line), x, -1)
            elif isinstance(line.start, Frame):
                waiting += self._meeting(self.ending, ("out", self.frames.index(line.start)), x, -1)
            waiting = [each for each in waiting if each not in found]
        return sorted(found)

    def out_of(self, box: Box) -> list[int]:
        """The lines that leave it."""
        found: dict[int, None] = {}
        waiting = list(self.starting.get(box, ()))
        while waiting:
            number = waiting.pop()
            found[number] = None
            line = self.lines[number]
            x = line.points[-1][0]
            if line.end is None:
                waiting += self._meeting(self.starting, self._frame(line), x, 0)
            elif isinstance(line.end, Frame):
                waiting += self._meeting(self.starting, ("in", self.frames.index(line.end)), x, 0)
            waiting = [each for each in waiting if each not in found]
        return sorted(found)

    def _frame(self, line: Line) -> Any:
        number = self.parent(line)
        return self.frames[number] if number >= 0 else None

    def _meeting(self, lines: dict[Any, list[int]], at: Any, x: float, end: int) -> list[int]:
        """Of the lines at a border those whose first (0) or last (-1) point is there; all, where none is."""
        candidates = lines.get(at, [])
        return [each for each in candidates if abs(self.lines[each].points[end][0] - x) < 1] or candidates

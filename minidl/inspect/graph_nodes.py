"""The nodes of a network's picture: layers and operations that ran, what flows between them, and the blocks around.

A node is the call of a layer, or an operation outside of layers. What a layer does not do in this run (dropout at test
time) has no node, and neither has what is computed without the image. A block is the call of a module with children.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minidl import ops
from minidl.inspect.tables import pair_text
from minidl.inspect.trace import Call, Operation, Trace, Value
from minidl.nn import Module

Shape = tuple[int, ...]

# The kind of a layer is the first of these that one of its operations belongs to.
KINDS: dict[str, tuple[type, ...]] = {
    "convolution": (ops.Conv2d, ops.ConvTranspose2d),
    "linear": (ops.Linear, ops.MatMul),
    "pooling": (ops.MaxPool2d, ops.AvgPool2d, ops.AdaptiveAvgPool2d, ops.AdaptiveMaxPool2d),
    "normalization": (ops.BatchNorm, ops.GroupNorm, ops.LayerNorm, ops.LocalResponseNorm),
    "activation": (ops.ReLU, ops.LeakyReLU, ops.ELU, ops.GELU, ops.SiLU, ops.Softplus, ops.Sigmoid, ops.Tanh)
    + (ops.Hardtanh, ops.Hardsigmoid, ops.Hardswish, ops.Softmax, ops.LogSoftmax),
    "dropout": (ops.Dropout,),
}
MERGES = {ops.Add: "+", ops.Sub: "−", ops.Mul: "×", ops.Div: "÷", ops.Maximum: "max", ops.Cat: "concat"}
VERBS = {ops.Reshape: "reshape", ops.GetItem: "slice", ops.Cat: "concat"}  # the others: the operation in lower case


@dataclass(eq=False)
class Node:
    """A box of the picture.

    path        dotted name of the module that it is, or in whose forward it stands
    kind        one of KINDS; "merge" where several values come together, "input", "output", "other"; "folded" for what
                stands for a block
    label       the class of the layer, the name of the operation
    detail      kernel and stride, or another setting to be seen
    note        everything, in words
    repeat      how many blocks a folded one stands for
    """

    path: str
    kind: str
    label: str
    output: Shape
    detail: str = ""
    note: str = ""
    parameters: int = 0
    multiply_adds: int = 0
    repeat: int = 1
    below: list[Node] = field(default_factory=list)  # nodes drawn as further bands of this one

    def nodes(self) -> Iterator[Node]:
        """Itself and those below."""
        yield self
        yield from self.below


@dataclass(eq=False)
class Block:
    """A frame of the picture: the call of a module, or `repeat` equal calls one after the other."""

    path: str
    type: str
    children: list[Node | Block] = field(default_factory=list)  # in the order of the run
    repeat: int = 1

    def nodes(self) -> Iterator[Node]:
        """All nodes inside, once each, in the order of the run."""
        for child in self.children:
            yield from child.nodes()

    def blocks(self) -> Iterator[Block]:
        """The blocks inside, and those in them."""
        for child in self.children:
            if isinstance(child, Block):
                yield child
                yield from child.blocks()

    def total(self, name: str) -> int:
        """`parameters` or `multiply_adds` of one of the equal calls."""
        return sum(
            child.repeat * child.total(name)
            if isinstance(child, Block)
            else sum(getattr(node, name) for node in child.nodes())
            for child in self.children
        )


@dataclass(frozen=True)
class Edge:
    """A value that flows from one node to another; its shape is without the batch."""

    source: Node
    target: Node
    shape: Shape


def read(run: Trace) -> tuple[Block, list[Edge]]:
    """The whole model as a block, with nodes for its input and its outputs; and all edges."""
    reader = _Reader(run)
    image = Value(run.input)
    reader.makers[image.origin] = source = Node("", "input", "input", reader.shape(image))
    root = reader.block(run.root)
    root.children.insert(0, source)
    for number, value in enumerate(run.root.outputs, start=1):
        label = "output" if len(run.root.outputs) == 1 else f"output {number}"
        node = Node("", "output", label, reader.shape(value))
        reader.connect(value, node)
        root.children.append(node)
    return root, list(reader.edges)


class _Reader:
    """Goes through a trace once, in the order of the run."""

    def __init__(self, run: Trace):
        self.batch = run.input.shape[:1]
        self.makers: dict[Any, Node] = {}  # by the origin of a value; only of those that depend on the image
        self.edges: dict[Edge, None] = {}  # without doubles, in order
        self.uncounted = {id(parameter): parameter for parameter in run.root.module.parameters()}

    def shape(self, value: Value) -> Shape:
        return value.shape[1:] if value.shape[:1] == self.batch else value.shape

    def connect(self, value: Value, node: Node) -> None:
        """An edge to `node` from where `value` was made, if that depends on the image, and is not the node itself."""
        maker = self.makers.get(value.origin)
        if maker is not None and maker is not node:
            self.edges[Edge(maker, node, self.shape(value))] = None

    def block(self, call: Call) -> Block:
        block = Block(call.path, type(call.module).__name__)
        if _is_layer(call):
            return Block("", block.type, self.node(call.path, list(call.operations()), call.module))
        for step in call.steps:
            if isinstance(step, Operation):
                block.children += self.node(call.path, [step])
            elif _is_layer(step):
                block.children += self.node(step.path, list(step.operations()), step.module)
            else:
                child = self.block(step)
                block.children += [child] if child.children else []
        return block

    def node(self, path: str, operations: list[Operation], module: Module | None = None) -> list[Node | Block]:
        """The node of these operations in a list, which is empty if they do nothing with the image."""
        node = Node(path, "other", "" if module is None else type(module).__name__, ())
        edges = len(self.edges)
        ran = []
        for operation in operations:
            if any(value.origin in self.makers for value in operation.inputs):
                ran.append(operation)
                for value in operation.inputs:
                    self.connect(value, node)
                    parameter = self.uncounted.pop(id(value.tensor), None)
                    node.parameters += 0 if parameter is None else parameter.numel()
                self.makers |= {value.origin: node for value in operation.outputs}
                node.multiply_adds += operation.node.multiply_adds
                node.detail = node.detail or detail_of(operation)
        if not ran:
            return []
        node.kind = kind_of(ran, merges=len(self.edges) - edges > 1)
        node.label = node.label or verb_of(ran[-1], node.kind)
        node.output = self.shape(ran[-1].outputs[0])
        node.note = _note(node, module)
        return [node]


def _is_layer(call: Call) -> bool:
    return next(call.module.children(), None) is None


def kind_of(operations: list[Operation], merges: bool) -> str:
    for kind, types in KINDS.items():
        if any(isinstance(operation.node, types) for operation in operations):
            return kind
    return "merge" if merges else "other"


def verb_of(operation: Operation, kind: str) -> str:
    """What an operation outside of layers is called."""
    if kind == "merge" and type(operation.node) in MERGES:
        return MERGES[type(operation.node)]
    node, before, after = operation.node, operation.inputs[0].shape, operation.outputs[0].shape
    if isinstance(node, ops.Reshape) and len(after) == 2 < len(before) and before[0] == after[0]:
        return "flatten"
    return VERBS.get(type(node), node.name().lower())


def detail_of(operation: Operation) -> str:
    """3×3, or 7×7/2 with its stride, and the groups of a convolution."""
    node: Any = operation.node
    if isinstance(node, (ops.Conv2d, ops.ConvTranspose2d)):
        size, stride = node.weight_shape[2:], node.geometry[0]
    elif isinstance(node, (ops.MaxPool2d, ops.AvgPool2d)):
        size, stride = node.geometry[0], node.geometry[2]
    elif isinstance(node, KINDS["pooling"]):
        return "to " + "×".join(map(str, operation.outputs[0].shape[2:]))
    else:
        return ""
    text = "×".join(map(str, size)) + ("" if stride == (1, 1) else f"/{pair_text(stride)}")
    return text + (f", {node.groups} groups" if getattr(node, "groups", 1) > 1 else "")


def _note(node: Node, module: Module | None) -> str:
    lines = [f"{node.path}: {module!r}" if module is not None and node.path else repr(module) if module else node.label]
    if node.parameters:
        lines.append(f"{node.parameters:,} parameters")
    if node.multiply_adds:
        lines.append(f"{node.multiply_adds:,} multiply-adds")
    return "\n".join(lines)

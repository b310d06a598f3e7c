"""One run of a model, written down: the calls of its modules as a tree, and in it the operations.

run = trace(model, input)
for operation in run.root.operations(): ...    # in the order in which they ran
for line in run.lines(): ...                   # layer by layer, as a table shows it
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from minidl.algorithm import use_algorithm
from minidl.backend import Generator, copied, default_generator, get_default_dtype, transfer
from minidl.errors import explain
from minidl.events import listening
from minidl.function import Function
from minidl.grad_mode import enable_grad
from minidl.nn import Module
from minidl.tensor import Tensor


class Value:
    """A Tensor as it was when it was seen: a change in place gives it a new history afterwards."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor
        self.shape = tensor.shape
        self.origin: Any = id(tensor) if tensor.grad_fn is None else tensor.grad_fn  # equal: the same value


@dataclass
class Operation:
    """A Function that ran, with the Tensors among its inputs, and its outputs."""

    node: Function
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass
class Call:
    """A call of a module: its dotted name in the model ("" for the model itself), and what it did, in order."""

    module: Module
    path: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...] = ()
    steps: list[Call | Operation] = field(default_factory=list)

    def operations(self) -> Iterator[Operation]:
        """What ran in this call and in those below it."""
        for step in self.steps:
            if isinstance(step, Call):
                yield from step.operations()
            else:
                yield step


@dataclass
class Line:
    """A line of a table about a model: the call of a layer, or an operation outside of layers.

    layer   the dotted name; of an operation, that of the module whose forward it stands in
    type    the class of the module, or of the operation
    """

    layer: str
    type: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operations: list[Operation]


@dataclass
class Trace:
    """What `trace` returns. All in it is kept alive, so that tensors and their memory can be told by their ids."""

    root: Call
    input: Tensor
    state: list[Any]  # the arrays of the parameters and buffers, as they were during the run

    def lines(self, depth: int | None = None) -> Iterator[Line]:
        """Every operation in one of the lines. With `depth`, calls nested that deep are one line each."""
        return _lines(self.root, depth)


def _lines(call: Call, depth: int | None) -> Iterator[Line]:
    is_layer = next(call.module.children(), None) is None
    if is_layer or depth == 0:
        yield Line(call.path, type(call.module).__name__, call.inputs, call.outputs, list(call.operations()))
        return
    for step in call.steps:
        if isinstance(step, Call):
            yield from _lines(step, None if depth is None else depth - 1)
        else:
            yield Line(call.path, step.node.name(), step.inputs, step.outputs, [step])


def trace(model: Module, input: Tensor) -> Trace:
    """Run `model` on a copy of `input`, recorded as in training, and write down what happens.

    The model runs in the mode that it is in (train or eval), and is afterwards as it was before. Every operation takes
    its plain formula: what arrays it makes and keeps is then a fact of the network, not of the machine.
    """
    input = input.clone()
    paths = {module: path for path, module in model.named_modules()}
    top = Call(model, "", ())  # its one step is the call of the model
    stack = [top]

    def enter(module: Module, inputs: tuple) -> None:
        call = Call(module, paths[module], values_in(inputs))
        stack[-1].steps.append(call)
        stack.append(call)

    def leave(module: Module, inputs: tuple, output: Any) -> None:
        stack.pop().outputs = values_in(output)

    def ran(node: Function, inputs: tuple, outputs: Any) -> None:
        stack[-1].steps.append(Operation(node, values_in(inputs), values_in(outputs)))

    with unchanged(model), enable_grad(), use_algorithm("im2col"), ExitStack() as hooks, listening(ran):
        state = [tensor.data for tensor in (*model.parameters(), *model.buffers())]
        for module in paths:
            hooks.enter_context(module.register_forward_pre_hook(enter))
            hooks.enter_context(module.register_forward_hook(leave))
        model(input)
    root = next(step for step in top.steps if isinstance(step, Call))
    return Trace(root, input, state)


@contextmanager
def unchanged(model: Module) -> Iterator[None]:
    """Inside, attributes of the modules may be set, buffers written, parameters frozen and random numbers drawn.

    Afterwards all of that is as it was before: mode, hooks, running statistics, and the random numbers to come.
    """
    attributes = [(module, dict(module.__dict__)) for module in model.modules()]
    buffers = [(buffer, buffer.data) for buffer in model.buffers()]
    learnt = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    random = default_generator.get_state()
    for buffer, array in buffers:
        buffer.data = copied(array)
    try:
        yield
    finally:
        for module, before in attributes:
            module.__dict__.clear()
            module.__dict__.update(before)
        for buffer, array in buffers:
            buffer.data = array
        for parameter, requires_grad in learnt:
            parameter.requires_grad = requires_grad
        default_generator.set_state(random)


def values_in(nested: Any) -> tuple[Value, ...]:
    """The Tensors in a Tensor, or in tuples, lists and dictionaries of anything."""
    if isinstance(nested, Tensor):
        return (Value(nested),)
    if isinstance(nested, dict):
        nested = tuple(nested.values())
    if isinstance(nested, (tuple, list)):
        return tuple(value for part in nested for value in values_in(part))
    return ()


def as_input(where: str, model: Module, input: Tensor | Sequence[int]) -> Tensor:
    """`input` itself if it is a Tensor; for the shape of one image, (C, H, W), a random one in a batch of one.

    TypeError for anything else.
    """
    if isinstance(input, Tensor):
        return input
    if isinstance(input, (tuple, list)) and input and all(isinstance(size, int) and size > 0 for size in input):
        return random_input(model, (1, *input), Generator(0))
    raise TypeError(
        explain(
            where,
            "input must be a Tensor, or the shape of one image as a tuple of ints >= 1",
            {"input": input},
            help="(3, 224, 224) for a colour image: the shape comes without the batch",
        )
    )


def random_input(model: Module, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Draws from N(0, 1), in the dtype and on the device of the model's parameters."""
    array = generator.numpy.standard_normal(shape)
    like = next(model.parameters(), None)
    if like is None:
        return Tensor(array.astype(get_default_dtype()))
    return Tensor(transfer(array.astype(like.dtype), like.device))

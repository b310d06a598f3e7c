"""The layer where the first nan or inf of a step arose: the step is taken once more, and every operation looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minidl import engine
from minidl.backend import array_module, is_array, on_device_of
from minidl.creation import ones_like
from minidl.errors import describe
from minidl.function import Function
from minidl.functional.arithmetic import isfinite
from minidl.inspect.trace import Call, Operation, trace
from minidl.nn import Module
from minidl.tensor import Tensor

NOT_FOUND = "the same step once more gives finite numbers: it is not reproducible"


def where_it_began(model: Module, loss_fn: Callable[[Any, Tensor], Tensor], inputs: Tensor, labels: Tensor) -> str:
    """One sentence: the inputs, a parameter, an operation of the forward or one of the backward pass.

    The random numbers must stand where they stood before the step; the model is afterwards as it was.
    """
    if not is_finite(inputs.data):
        count = inputs.numel() - int(isfinite(inputs).sum().item())
        return f"the inputs are not finite: {count} of the {inputs.numel():,} numbers of {describe(inputs)}"
    for name, parameter in model.named_parameters():  # not the running statistics: the step has changed them already
        if not is_finite(parameter.data):
            return f"before the step, {name} was not finite: {describe(parameter)}"

    run = _Recorded(model, loss_fn, labels)
    record = trace(run, inputs)
    paths: dict[Function, str] = {}
    for path, operation in _operations(record.root, "model"):
        paths[operation.node] = path
        if not all(is_finite(value.tensor.data) for value in operation.outputs):
            return f"it began in the forward pass of {_place(path, operation)}"
    for event, node, gradients in engine.walk([(run.loss.gradient_edge(), run.one)]):
        if event == "after" and not all(is_finite(gradient) for gradient in gradients):
            shapes = ", ".join(describe(gradient) for gradient in gradients if is_array(gradient))
            return f"it began in the backward pass of {_named(paths.get(node, ''))}{node.name()}, gradients {shapes}"
    return NOT_FOUND


def is_finite(array: Any) -> bool:
    """False where a number of `array` is nan or infinite; what holds no such numbers is finite."""
    if not is_array(array) or array.dtype.kind != "f":
        return True
    with on_device_of((array,)):
        return bool(array_module(array).isfinite(array).all())


class _Recorded(Module):
    """The model with its loss: what a step computes, as one module."""

    def __init__(self, model: Module, loss_fn: Callable[[Any, Tensor], Tensor], labels: Tensor):
        super().__init__()
        self.model = model
        self.loss_fn = loss_fn
        self.labels = [labels]  # in a list: a Tensor would look like a buffer
        self.results: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        loss = self.loss_fn(self.model(inputs), self.labels[0])
        self.results.append(loss)
        return loss

    @property
    def loss(self) -> Tensor:
        return self.results[0]

    @property
    def one(self) -> Any:
        return ones_like(self.loss).data


def _operations(call: Call, root: str) -> Iterable[tuple[str, Operation]]:
    """Every operation that ran in the call, with the dotted name of the module that it ran in."""
    for step in call.steps:
        if isinstance(step, Call):
            yield from _operations(step, root)
        else:
            yield call.path.removeprefix(root).removeprefix("."), step


def _place(path: str, operation: Operation) -> str:
    inputs = ", ".join(describe(value.tensor) for value in operation.inputs)
    return f"{_named(path)}{operation.node.name()}, inputs {inputs}"


def _named(path: str) -> str:
    return f"{path}: " if path else ""

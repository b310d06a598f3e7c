"""One operation of the graph by itself: run again in float64, away from the network that it stood in."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy

from minidl import autograd
from minidl.backend import array_module, float64, is_array, transfer
from minidl.debug.recorder import input_names
from minidl.errors import explain
from minidl.events import observers
from minidl.function import Function
from minidl.grad_mode import enable_grad, no_grad
from minidl.tensor import Tensor, apply

EPS = 1e-6  # how far a number is moved to see what depends on it


class Alone:
    """The operation of a node as a function of its inputs, in float64: what `gradcheck` can take.

    inputs         for `__call__`: float64 Tensors in place of floats, those that are to be checked requiring a gradient
    checked        the ones that do, and `checked_names` what forward calls them
    """

    def __init__(self, node: Function, inputs: Sequence[Any], options: dict[str, Any]):
        self.operation: Any = type(node)
        self.context: Any = options.get("context")
        self.options = {name: in_double(value) for name, value in options.items()}
        if "in_place" in options:
            self.options["in_place"] = False  # it would write over the point where it is looked at
        kind: Any = type(node) if self.context is None else type(self.context)
        self.names = input_names(kind, len(inputs))
        kind_of_parameter = inspect.Parameter.POSITIONAL_ONLY  # gradcheck takes the names of the inputs from here
        self.__signature__ = inspect.Signature([inspect.Parameter(name, kind_of_parameter) for name in self.names])
        if self.context is not None:  # an autograd.Function's forward is given what the user gave, Tensors and others
            given = options["values"]
            inputs = [Tensor(x) if isinstance(value, Tensor) else x for x, value in zip(inputs, given, strict=True)]
        self.inputs = tuple(_leaf(x, needed) for x, needed in zip(inputs, node.needs_input_grad, strict=True))
        self.positions = [i for i, needed in enumerate(node.needs_input_grad) if needed]
        if not self.positions:
            raise ValueError(
                explain("check", f"no input of {node.name()} requires a gradient: it was not recorded, or needs none")
            )
        self.checked = [self.inputs[i] for i in self.positions]
        self.checked_names = [self.names[i] for i in self.positions]
        self._results: tuple | None = None

    def __call__(self, *inputs: Any) -> Any:
        with unobserved():
            if self.context is None:
                return apply(self.operation, *inputs, **self.options)
            context = copy.copy(self.context)
            return apply(self.operation, *inputs, context=context, values=inputs)

    def gradients(self, number: int, place: tuple[int, ...]) -> list[Any]:
        """The gradient of one number of output `number`, for each checked input: what backward makes of a single 1."""
        if self._results is None:
            with enable_grad():
                self._results = _tuple(self(*self.inputs))
        y = self._results[number]
        if not y.requires_grad:  # indices, or marked as not differentiable
            return [numpy.zeros(x.shape) for x in self.checked]
        one = array_module(y.data).zeros_like(y.data)
        one[place] = 1
        with unobserved():
            found = autograd.grad(y, self.checked, Tensor(one), retain_graph=True, allow_unused=True)
        return [
            numpy.zeros(x.shape) if gradient is None else transfer(gradient.data, "cpu")
            for x, gradient in zip(self.checked, found, strict=True)
        ]

    def slopes(self, position: int, place: tuple[int, ...]) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
        """How each number of each output moves with one number of an input: the slopes to its left and to its right."""
        x = self.inputs[position]
        here, left, right = (self._with(x, position, place, step) for step in (0.0, -EPS, EPS))
        slopes = []
        for middle, below, above in zip(here, left, right, strict=True):
            if middle.dtype.kind == "f":
                slopes.append(((middle - below) / EPS, (above - middle) / EPS))
            else:
                slopes.append((numpy.zeros(middle.shape), numpy.zeros(middle.shape)))
        return slopes

    def _with(self, x: Tensor, position: int, place: tuple[int, ...], step: float) -> list[numpy.ndarray]:
        """The outputs with one number of an input moved."""
        moved = x.data.copy()
        moved[place] += step
        inputs = (*self.inputs[:position], Tensor(moved), *self.inputs[position + 1 :])
        with no_grad():
            return [transfer(y.data, "cpu") for y in _tuple(self(*inputs))]


@contextmanager
def unobserved() -> Iterator[None]:
    """Inside, no observer is told and NumPy does not warn: what runs is about the computation, and no part of it."""
    before = observers[:]
    observers.clear()
    try:
        with numpy.errstate(all="ignore"):
            yield
    finally:
        observers[:] = before


def _tuple(outputs: Any) -> tuple:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _leaf(x: Any, needed: bool) -> Any:
    """An input of its own: floats become float64, and a Tensor or array that needs a gradient a leaf."""
    if isinstance(x, Tensor):
        return Tensor(in_double(x.data), requires_grad=needed)
    return Tensor(in_double(x), requires_grad=True) if needed else in_double(x)


def in_double(value: Any) -> Any:
    """Arrays of floats in float64, in a copy, and float64 in place of another float dtype; all else as it is."""
    if isinstance(value, numpy.dtype):
        return float64 if value.kind == "f" else value
    if is_array(value) and value.dtype.kind == "f":
        return value.astype(float64)
    return value

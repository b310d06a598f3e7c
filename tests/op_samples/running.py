"""How a sample is run, on minidl or on PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import minidl
from tests.op_samples.sample import OpSample


def resolve(library: Any, path: str) -> Callable:
    """library.nn.functional.conv2d from the path "nn.functional.conv2d"."""
    found = library
    for name in path.split("."):
        found = getattr(found, name)
    return found


def convert(value: Any, leaf: Callable[[numpy.ndarray], Any]) -> Any:
    """`value` with every array in it (also inside lists and tuples) replaced by leaf(array)."""
    if isinstance(value, numpy.ndarray):
        return leaf(value)
    if type(value) in (list, tuple):
        return type(value)(convert(item, leaf) for item in value)
    return value


def flat(value: Any) -> list:
    """The parts of a result, or of an argument, that are neither a tuple nor a list."""
    return [part for item in value for part in flat(item)] if isinstance(value, (tuple, list)) else [value]


class Call:
    """A sample with tensors in place of arrays: `inputs` are those that want a gradient."""

    def __init__(self, sample: OpSample, dtype: str = "float64", library: Any = minidl, order: str = "C", device=None):
        self.sample = sample
        self.function = resolve(library, sample.call)
        self.inputs: list = []

        def cast(array: numpy.ndarray) -> Any:
            array = numpy.array(array, dtype=dtype if array.dtype.kind == "f" else None, order=order)
            made = library.from_numpy(array)
            return made if device is None else made.to(device)

        def differentiable(array: numpy.ndarray) -> Any:
            tensor = cast(array)
            if array.dtype.kind == "f":
                tensor.requires_grad_()
                self.inputs.append(tensor)
            return tensor

        if isinstance(sample.arrays, dict):
            self.args: tuple = ()
            self.named = {name: convert(value, differentiable) for name, value in sample.arrays.items()}
        else:
            self.args, self.named = convert(tuple(sample.arrays), differentiable), {}
        # Made anew for each call: batch norm writes into its running statistics.
        self.options = lambda: {name: convert(value, cast) for name, value in sample.options.items()}

    def __call__(self, *inputs: Any) -> Any:
        """The result, from the sample's own inputs or from others in their place (as gradcheck gives them)."""
        replaced = dict(zip(map(id, self.inputs), inputs, strict=True)) if inputs else {}

        def put(value: Any) -> Any:
            if type(value) in (list, tuple):
                return type(value)(put(item) for item in value)
            return replaced.get(id(value), value)

        if self.sample.seeded:
            minidl.manual_seed(0)
        return self.function(
            *put(self.args), **{name: put(value) for name, value in self.named.items()}, **self.options()
        )

    def differentiable_outputs(self) -> list:
        return [y for y in flat(self()) if y.requires_grad]


def gradients(call: Call, cotangents: list[numpy.ndarray]) -> list:
    """The gradient of each input for the given gradients of the outputs; None where there is none."""
    outputs = call.differentiable_outputs()
    total = sum((y * type_like(y, v)).sum() for y, v in zip(outputs, cotangents, strict=True))
    total.backward()
    return [x.grad for x in call.inputs]


def type_like(tensor: Any, array: numpy.ndarray) -> Any:
    """`array` as a tensor with the library, dtype and device of `tensor`."""
    from_numpy = minidl.from_numpy if isinstance(tensor, minidl.Tensor) else resolve_torch().from_numpy
    return from_numpy(array).to(tensor.device, tensor.dtype)


def resolve_torch() -> Any:
    import torch

    return torch

"""What a network does with images, written down: the operations in their order, and which value goes where.

The network runs twice, on a batch of N and on one of 2N other images. A size that differs between the runs is one of
the batch, and stays open in the ONNX file; a constant that differs depends on the images in a way that is no recorded
operation (an argmax, a Python `if`), so the file would be wrong, and this is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy

from minidl.backend import CPU, Generator, is_array, transfer
from minidl.errors import explain
from minidl.events import listening
from minidl.function import Function
from minidl.grad_mode import enable_grad
from minidl.nn import Module
from minidl.nn.eval_mode import eval_mode
from minidl.tensor import Tensor


class Open(NamedTuple):
    """A size that depends on that of the batch: what it was in the two runs."""

    first: int
    second: int


@dataclass(eq=False)
class Value:
    """A tensor of the run: the image, a result, or a constant, which has `data`. Sizes of `shape` may be Open."""

    name: str
    shape: tuple[Any, ...]
    dtype: numpy.dtype
    data: numpy.ndarray | None = None


@dataclass
class Step:
    """An operation that ran on at least one value which depends on the images. Inputs may also be numbers or None."""

    operation: type[Function]
    options: dict[str, Any]
    inputs: list[Any]
    outputs: list[Value]
    where: str  # the dotted name of the module in whose forward it stands


@dataclass
class Recording:
    """A run: the image, the steps, and the outputs of the network."""

    image: Value
    steps: list[Step] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)


def record(model: Module, images: Tensor) -> Recording:
    """Both runs, in eval mode, as one. ValueError where they differ in more than sizes of the batch."""
    other = Generator(0).numpy.standard_normal((2 * images.shape[0], *images.shape[1:])).astype(images.dtype)
    first = _run(model, images.detach().clone())
    second = _run(model, Tensor(transfer(other, images.device)))
    return _merged(type(model).__name__, first, second)


def _run(model: Module, images: Tensor) -> Recording:
    images.requires_grad_()  # so that whatever depends on it has a history, by which it is known
    names: dict[int, str] = {}
    for name, tensor in (*model.named_buffers(), *model.named_parameters()):
        names[id(tensor)] = name
    values: dict[Any, Value] = {}
    alive: list[Any] = [images]  # what `values` tells apart by its id
    recording = Recording(Value("input", images.shape, images.dtype))
    values[_identity(images)] = recording.image
    path: list[str] = [""]

    def value_of(tensor: Tensor) -> Value:
        known = values.get(_identity(tensor))
        if known is None:
            name = names.get(id(tensor), f"constant_{len(values)}")
            data = transfer(tensor.data, CPU)
            data = data if id(tensor) in names else data.copy()  # it may be changed in place later
            known = values[_identity(tensor)] = Value(name, tensor.shape, tensor.dtype, data)
            alive.append(tensor)
        return known

    def ran(node: Function, inputs: tuple, outputs: Any) -> None:
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        taken = [value_of(each) if isinstance(each, Tensor) else each for each in inputs]
        if all(each.data is not None for each in taken if isinstance(each, Value)):
            return  # its outputs are constants
        results = []
        for tensor in made:
            result = Value(f"{node.name()}_{len(values)}", tensor.shape, tensor.dtype)
            values[_identity(tensor)] = result
            alive.append(tensor)
            results.append(result)
        recording.steps.append(Step(type(node), dict(node.options), taken, results, path[-1]))

    # Untrained networks of many layers overflow; the values do not matter.
    quiet = numpy.errstate(all="ignore")
    with quiet, eval_mode(model), _paths(model, path), enable_grad(), listening(ran):
        outputs = model(images)
    results = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if not all(isinstance(each, Tensor) for each in results):
        raise ValueError(
            explain("export", "the model must return a Tensor, or a tuple or list of Tensors", {"returned": outputs})
        )
    recording.outputs = [value_of(each) for each in results]
    return recording


def _identity(tensor: Tensor) -> Any:
    """A tensor changed in place has a new history, so it counts as another one."""
    return id(tensor) if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


@contextmanager
def _paths(model: Module, path: list[str]) -> Iterator[None]:
    """Inside, `path` ends with the dotted name of the module that runs."""
    names = {module: name for name, module in model.named_modules()}

    def enter(module: Module, _: tuple) -> None:
        path.append(names[module])

    def leave(*_: Any) -> None:
        path.pop()

    handles = [module.register_forward_pre_hook(enter) for module in names]
    handles += [module.register_forward_hook(leave) for module in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# ----------------------------------------------------------------------------------------------- two runs made one


def _merged(where: str, first: Recording, second: Recording) -> Recording:
    kinds = [[step.operation for step in run.steps] for run in (first, second)]
    if kinds[0] != kinds[1] or len(first.outputs) != len(second.outputs):
        raise _depends(where, "the network takes another path for other images")
    _merge_value(where, first.image, second.image)
    for one, other in zip(first.steps, second.steps, strict=True):
        for mine, theirs in zip(one.inputs, other.inputs, strict=True):
            if isinstance(mine, Value) and isinstance(theirs, Value):
                _merge_value(where, mine, theirs)
            elif mine is not theirs and mine != theirs:
                raise _depends(where, f"a number in {one.operation.__name__} of {one.where or 'forward'} differs")
        one.options = _merge_options(where, one, one.options, other.options)
        for mine, theirs in zip(one.outputs, other.outputs, strict=True):
            _merge_value(where, mine, theirs)
    for mine, theirs in zip(first.outputs, second.outputs, strict=True):
        _merge_value(where, mine, theirs)
    return first


def _merge_value(where: str, one: Value, other: Value) -> None:
    if (one.data is None) != (other.data is None) or len(one.shape) != len(other.shape):
        raise _depends(where, f"{one.name} differs between two batches")
    if one.data is not None and other.data is not None:
        if one.data.shape != other.data.shape or not numpy.array_equal(one.data, other.data, equal_nan=True):
            raise _depends(where, f"{one.name} differs between two batches")
        return
    mine = [size.first if isinstance(size, Open) else size for size in one.shape]
    one.shape = tuple(a if a == b else Open(a, b) for a, b in zip(mine, other.shape, strict=True))


def _merge_options(where: str, step: Step, one: Any, other: Any) -> Any:
    """Ints that differ become Open."""
    if isinstance(one, dict):
        return {key: _merge_options(where, step, one[key], other[key]) for key in one}
    if isinstance(one, (tuple, list)) and len(one) == len(other):
        return tuple(_merge_options(where, step, a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, slice):
        parts = [_merge_options(where, step, getattr(one, n), getattr(other, n)) for n in ("start", "stop", "step")]
        return slice(*parts)
    if is_array(one):
        if not numpy.array_equal(transfer(one, CPU), transfer(other, CPU)):
            raise _depends(where, f"an index in {step.where or 'forward'} differs between two batches")
        return transfer(one, CPU)
    if one == other:
        return one
    if type(one) is int and type(other) is int:
        return Open(one, other)
    raise _depends(where, f"a setting of {step.operation.__name__} in {step.where or 'forward'} differs")


def _depends(where: str, what: str) -> ValueError:
    return ValueError(
        explain(
            "export",
            f"{where} does something with the images that is no recorded operation: {what}",
            help="ONNX has the operations only; write it as operations on tensors, without a Python if or argmax",
        )
    )

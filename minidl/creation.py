"""Tensors made from nothing or from other data: tensor, zeros, randn, arange and their kin, PyTorch's names.

Random ones are drawn on the host and then moved, so that one seed gives one result on every device.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy

from minidl.backend import Generator, copied, default_generator, float32, float64, get_default_dtype, int64, is_array
from minidl.checks import check_number_fits, shape_of
from minidl.errors import explain
from minidl.tensor import Tensor


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested lists, a NumPy or CuPy array.

    Python floats become the default dtype (float32), Python ints int64; an array keeps its dtype.
    """
    data = data.data if isinstance(data, Tensor) else data
    array = copied(data) if is_array(data) else _array_from(data, dtype)
    return Tensor(array).to(device, dtype).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of `data`, sharing its memory where dtype and device allow it; a Tensor as it is."""
    if not isinstance(data, Tensor):
        data = Tensor(data if is_array(data) else _array_from(data, dtype))
    return data.to(device, dtype)


def _array_from(data: Any, dtype: Any) -> numpy.ndarray:
    """An array from Python numbers in nested lists; without a dtype, floats in the default one and ints as int64."""
    try:
        array = numpy.array(data)
    except ValueError as error:
        raise ValueError(explain("tensor", f"the lists do not have one shape: {error}")) from None
    if dtype is not None and array.dtype.kind in "fiub":
        if numpy.dtype(dtype).kind != "f" and array.dtype.kind == "f" and not (array == numpy.trunc(array)).all():
            raise RuntimeError(explain("tensor", f"{data!r:.60} does not fit into {numpy.dtype(dtype)}"))
        return array.astype(dtype)
    return array.astype(get_default_dtype()) if array.dtype.kind == "f" else array


def from_numpy(array: numpy.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array. TypeError for anything else."""
    if not isinstance(array, numpy.ndarray):
        raise TypeError(explain("from_numpy", f"expected a NumPy array, got {type(array).__name__}"))
    return as_tensor(array)


def is_tensor(value: Any) -> bool:
    """True for a Tensor."""
    return isinstance(value, Tensor)


def _finish(array: numpy.ndarray, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    return Tensor(array).to(device, dtype).requires_grad_(requires_grad)


def _sizes(where: str, size: Any) -> tuple[int, ...]:
    shape = shape_of(where, size)
    if min(shape, default=0) < 0:
        raise RuntimeError(explain(where, f"Trying to create tensor with negative dimension {min(shape)}: {shape}"))
    return shape


def full(size: Any, fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Every element `fill_value`; the dtype is that of `tensor(fill_value)` unless it is given."""
    dtype = numpy.dtype(dtype) if dtype is not None else _array_from(fill_value, None).dtype
    check_number_fits("full", fill_value, dtype)
    return _finish(numpy.full(_sizes("full", (size,)), fill_value, dtype), None, device, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Every element 0."""
    return _finish(numpy.zeros(_sizes("zeros", size), dtype or get_default_dtype()), None, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Every element 1."""
    return _finish(numpy.ones(_sizes("ones", size), dtype or get_default_dtype()), None, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Elements not set to anything."""
    return _finish(numpy.empty(_sizes("empty", size), dtype or get_default_dtype()), None, device, requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape, dtype and device of `input`."""
    return zeros(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape, dtype and device of `input`."""
    return ones(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def full_like(input: Tensor, fill_value: float, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`fill_value` with the shape, dtype and device of `input`."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, device=device or input.device)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """start, start + step, ... below `end`; with one argument, 0, 1, ... below it. int64 for ints."""
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError(explain("arange", "step must be nonzero"))
    if (end - start) * step < 0:
        raise RuntimeError(explain("arange", f"upper bound and lower bound inconsistent with step sign {step}"))
    natural = get_default_dtype() if any(isinstance(v, float) for v in (start, end, step)) else int64
    return _finish(numpy.arange(start, end, step).astype(natural), dtype, device, False)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`steps` values from start to end, both included, evenly spaced."""
    return _finish(numpy.linspace(start, end, steps).astype(dtype or get_default_dtype()), None, device, False)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The n x m matrix with ones on the diagonal."""
    return _finish(numpy.eye(n, m, dtype=dtype or get_default_dtype()), None, device, False)


# ------------------------------------------------------------------------------------------------- random numbers


def _drawn_dtype(where: str, dtype: Any) -> numpy.dtype:
    dtype = numpy.dtype(dtype or get_default_dtype())
    if dtype not in (float32, float64):
        raise RuntimeError(explain(where, f"draws float32 or float64, not {dtype}"))
    return dtype


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draws from U[0, 1)."""
    array = (generator or default_generator).numpy.random(_sizes("rand", size), _drawn_dtype("rand", dtype))
    return _finish(numpy.asarray(array), None, device, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draws from N(0, 1)."""
    random = (generator or default_generator).numpy
    array = random.standard_normal(_sizes("randn", size), _drawn_dtype("randn", dtype))
    return _finish(numpy.asarray(array), None, device, requires_grad)


def rand_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Draws from U[0, 1) with the shape, dtype and device of `input`."""
    return rand(input.shape, generator=generator, dtype=input.dtype, device=input.device)


def randn_like(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Draws from N(0, 1) with the shape, dtype and device of `input`."""
    return randn(input.shape, generator=generator, dtype=input.dtype, device=input.device)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = int64,
    device: Any = None,
) -> Tensor:
    """Whole numbers from low (0 if not given) to high - 1: randint(high, size) or randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
    if not isinstance(size, (tuple, list)):
        raise TypeError(explain("randint", f"size must be a tuple of ints, got {size!r}", help="randint(10, (3,))"))
    if operator.index(low) >= operator.index(high):
        raise RuntimeError(explain("randint", f"random_ expects 'from' to be less than 'to', but got {low} >= {high}"))
    array = (generator or default_generator).numpy.integers(low, high, _sizes("randint", (size,)))
    return _finish(numpy.asarray(array), dtype, device, False)


def randperm(n: int, *, generator: Generator | None = None, device: Any = None) -> Tensor:
    """The numbers 0 .. n - 1 in random order."""
    return _finish((generator or default_generator).numpy.permutation(n), int64, device, False)

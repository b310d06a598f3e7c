"""Checks of arguments that several operations share; each returns the argument in one plain form, or raises."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from minidl.backend import DTYPES
from minidl.errors import explain


def normalize_dim(where: str, dim: Any, ndim: int) -> int:
    """A dimension in 0..ndim-1, from one that may count from the end. IndexError outside, TypeError if no int."""
    try:
        index = operator.index(dim)
    except TypeError:
        raise TypeError(explain(where, f"a dimension must be an int, got {dim!r}")) from None
    span = max(ndim, 1)  # a scalar takes dim 0 and -1, as in PyTorch
    if not -span <= index < span:
        raise IndexError(
            explain(
                where, f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got {index})"
            )
        )
    return index % span


def normalize_dims(where: str, dim: int | Iterable[int] | None, ndim: int) -> tuple[int, ...]:
    """A tuple of dimensions; every dimension for None or (). RuntimeError where one stands twice."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    given = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    dims = tuple(normalize_dim(where, one, ndim) for one in given)
    if len(set(dims)) != len(dims):
        raise RuntimeError(explain(where, f"a dimension appears multiple times in dim={given}"))
    return dims if ndim else ()


def shape_of(where: str, sizes: Sequence[Any]) -> tuple[int, ...]:
    """A shape from f(2, 3) or f((2, 3))."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    try:
        return tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(explain(where, f"sizes must be ints, got {tuple(sizes)!r}")) from None


def whole_number(where: str, name: str, value: Any, minimum: int = 1) -> int:
    """`value` as an int. TypeError for anything but an int, RuntimeError below `minimum`."""
    if not isinstance(value, (int, numpy.integer)) or isinstance(value, bool):
        raise TypeError(explain(where, f"{name} must be an int, got {value!r}"))
    if value < minimum:
        raise RuntimeError(explain(where, f"{name} must be at least {minimum}, got {value}"))
    return int(value)


def pair(where: str, name: str, value: Any, minimum: int = 1) -> tuple[int, int]:
    """(rows, columns) from an int or a pair of ints. TypeError for others; RuntimeError for three, or if too small."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(v, (int, numpy.integer)) and not isinstance(v, bool) for v in values):
        raise TypeError(explain(where, f"{name} must be an int or a pair of ints, got {value!r}"))
    if len(values) not in (1, 2):
        raise RuntimeError(explain(where, f"expected {name} to be a single int or a pair of ints, got {value!r}"))
    if min(values) < minimum:
        raise RuntimeError(explain(where, f"{name} must be at least {minimum}, got {value!r}"))
    return int(values[0]), int(values[-1])


def check_broadcast(where: str, **operands: Any) -> tuple[int, ...]:
    """The shape that the operands broadcast to. RuntimeError where they do not."""
    try:
        return numpy.broadcast_shapes(*(operand.shape for operand in operands.values()))
    except ValueError:
        raise RuntimeError(
            explain(
                where,
                "the shapes do not broadcast: counted from the last, two sizes must be equal or one of them 1",
                operands,
            )
        ) from None


def check_same(where: str, **operands: Any) -> None:
    """All operands (None is passed over) have one dtype and one device. RuntimeError otherwise."""
    present = {name: operand for name, operand in operands.items() if operand is not None}
    if len({operand.dtype for operand in present.values()}) > 1:
        raise RuntimeError(
            explain(
                where,
                "expected all tensors to have the same dtype",
                present,
                help="convert one explicitly: x.float() or x.double(); minidl never does it silently",
            )
        )
    check_same_device(where, **present)


def check_same_device(where: str, **operands: Any) -> None:
    """All operands (None is passed over) are on one device. RuntimeError otherwise."""
    present = {name: operand for name, operand in operands.items() if operand is not None}
    if len({operand.device for operand in present.values()}) > 1:
        raise RuntimeError(
            explain(
                where,
                "Expected all tensors to be on the same device",
                present,
                help='move them: x.to("cuda") or x.cpu(), model.to("cuda")',
            )
        )


def check_floating(where: str, **operands: Any) -> None:
    """All operands (None is passed over) are float32 or float64. RuntimeError otherwise."""
    for name, operand in operands.items():
        if operand is not None and operand.dtype.kind != "f":
            raise RuntimeError(
                explain(
                    where,
                    f"{name} must be floating point",
                    {name: operand},
                    help=f"convert it: {name}.float(); images in 0..255 usually want {name}.float() / 255",
                )
            )


def one_of(where: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """`value` if it is one of `choices`. ValueError otherwise."""
    if value not in choices:
        raise ValueError(explain(where, f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}"))
    return value


def check_dtype(where: str, dtype: numpy.dtype) -> None:
    """`dtype` is one that a tensor can have. TypeError otherwise."""
    if dtype not in DTYPES:
        names = ", ".join(str(known) for known in DTYPES)
        raise TypeError(
            explain(where, f"a tensor holds {names}, not {dtype}", help="convert the array: array.astype('float32')")
        )


def check_number_fits(where: str, value: Any, dtype: numpy.dtype) -> None:
    """A number written into ints loses no fraction. RuntimeError otherwise."""
    if dtype.kind != "f" and isinstance(value, (float, numpy.floating)) and not float(value).is_integer():
        raise RuntimeError(
            explain(where, f"{value} does not fit into {dtype}", help="convert the tensor first: x.float()")
        )


def fit_shape(where: str, tensor: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` for the elements of `tensor`, with -1 worked out. RuntimeError where it does not fit."""
    known = math.prod(size for size in shape if size != -1)
    unknown = shape.count(-1)
    count = math.prod(tensor.shape)
    fits = known == count if not unknown else known != 0 and count % known == 0
    if unknown > 1 or not fits or min(shape, default=0) < -1:
        raise RuntimeError(explain(where, f"shape {shape} is invalid for input of size {count}", {"input": tensor}))
    return tuple(count // known if size == -1 else size for size in shape)

"""Large arrays element by element: in pieces on all cores, into memory that is used again.

y = elementwise(numpy.maximum, x, 0)        is numpy.maximum(x, 0)
masked(gradient, x > 0)                     is gradient where x > 0, else 0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

from minidl import buffers
from minidl.backend import float32, float64, int32, int64
from minidl.parallel import parallel_map, slices

LARGE = 1 << 16  # elements: below, it is not worth a thread
PIECE = 1 << 16  # elements: a few float32 arrays of this size stay in a core's second-level cache


def elementwise(function: Callable, *operands: Any, out: Any = None) -> Any:
    """function(*operands, out=out), a ufunc of arrays and numbers."""
    first = operands[0]
    if type(first) is not ndarray or first.size < LARGE:
        return function(*operands) if out is None else function(*operands, out=out)
    arrays = [operand for operand in operands if isinstance(operand, ndarray)]
    dense = [_flat(array, first) for array in arrays]
    if any(flat is None or flat.dtype != first.dtype for flat in dense):
        return function(*operands) if out is None else function(*operands, out=out)
    result = buffers.empty_like(first) if out is None else out
    flat_operands = iter(dense)
    flat = [next(flat_operands) if isinstance(operand, ndarray) else operand for operand in operands]
    flat_result = _flat(result, first)

    def compute(piece: slice) -> None:
        function(*[part[piece] if isinstance(part, ndarray) else part for part in flat], out=flat_result[piece])

    parallel_map(compute, slices(first.size, PIECE))
    return result


def add(a: Any, b: Any) -> Any:
    """a + b, of arrays or numbers."""
    return elementwise(numpy.add, a, b) if type(a) is ndarray and a.size >= LARGE else a + b


def over_images(function: Callable[[slice], None], x: Any) -> None:
    """function(images) for slices that together are all images of x, on all threads; on a GPU once, for all of them."""
    if type(x) is not ndarray or x.size < LARGE or x.ndim < 2:
        function(slice(None))
    else:
        parallel_map(function, slices(len(x), 2 * PIECE * len(x) // x.size))


BITS = {float32: int32, float64: int64}  # integers of the same size


def masked(gradient: Any, mask: Any) -> Any:
    """`gradient` where `mask` (bools, or numbers that are not 0) holds, 0 elsewhere, also where gradient is infinite.

    The bits of each number, taken as an integer, times 1 or 0: infinity * 0 would be NaN, and `where` on random bools
    is ten times as slow.
    """
    dtype = gradient.dtype
    bits = BITS[dtype]
    if type(gradient) is not ndarray or gradient.size < LARGE or mask.shape != gradient.shape:
        return (gradient.view(bits) * mask.astype(bool).astype(bits)).view(dtype)
    result = buffers.empty_like(mask if mask.dtype == dtype else gradient)
    flat = [_flat(array, result) for array in (result, mask, gradient)]
    if any(array is None for array in flat):  # a gradient that is part of another array, say
        flat = [result, mask, gradient]
        pieces = slices(len(result), PIECE * len(result) // result.size)
    else:
        pieces = slices(result.size, PIECE)
    out, passing, given = flat[0].view(bits), flat[1], flat[2].view(bits)

    def compute(piece: slice) -> None:
        out[piece] = passing[piece].astype(bool)
        out[piece] *= given[piece]

    parallel_map(compute, pieces)
    return result


def _flat(array: Any, like: Any) -> Any:
    """The elements of `array` in the order in memory of `like`: a view, or None where they do not lie so."""
    if array.shape != like.shape:
        return None
    if array.flags.c_contiguous and like.flags.c_contiguous:
        return array.reshape(-1)
    in_order = array.transpose(buffers.order_of(like))
    return in_order.reshape(-1) if in_order.flags.c_contiguous else None

"""Large arrays element by element: in pieces on all cores, into memory that is used again.

    add(a, b), multiply(a, b)       a + b, a b
    positive_part(x)                max(x, 0)
    masked(gradient, mask)          gradient where mask holds, else 0
    over_images(function, x)        function(slice) for slices of images that together are all of x

Small arrays take the plain way. On a GPU a kernel does it (gpu/elementwise.py), where the arrays are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

from minidl import buffers, parallel
from minidl.algorithm import with_kernels
from minidl.backend import array_module, float32, float64, int32, int64, is_array, on_device_of
from minidl.gpu import elementwise as gpu
from minidl.parallel import parallel_map, slices

PIECE = 1 << 17  # elements: long enough that threads do not wait for each other, short enough for a core's caches

SMALL = 512  # elements: below, the number of NumPy's calls counts, and not what each of them does

BITS = {float32: int32, float64: int64}  # integers of the same size
# A zero that NumPy need not convert from Python (that takes longer than the maximum of a small array), and many.
ZEROS: dict[Any, Any] = {dtype: (numpy.zeros((), dtype), numpy.zeros(PIECE, dtype)) for dtype in (float32, float64)}


def sum_to_shape(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum `gradient` over the dimensions along which an array of `shape` was broadcast to its shape."""
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)  # dimensions that broadcasting put in front
    stretched = tuple(i + added for i, size in enumerate(shape) if size == 1 and gradient.shape[i + added] != 1)
    return gradient.sum(axis=tuple(range(added)) + stretched, keepdims=True).reshape(shape)


def is_large(array: Any) -> bool:
    """True for an array in the host's memory that is worth more than one thread."""
    return type(array) is ndarray and array.size >= parallel.LARGE


def add(a: Any, b: Any, out: Any = None) -> Any:
    """a + b, of arrays or numbers. `out`: the array of the result's shape and dtype to write it into."""
    if not (is_large(a) and type(b) is ndarray and a.shape == b.shape and a.dtype == b.dtype):
        if type(a) is ndarray or type(b) is ndarray:
            return a + b
        with on_device_of((a, b)):
            if _in_a_kernel(a, b) and (out is None or out.flags.c_contiguous):
                return gpu.binary("add", a, b, out)
            return a + b if out is None else array_module(out).add(a, b, out=out)
    result = buffers.empty_like(a) if out is None else out
    pieces, (y, a, b) = _matching_pieces(result, a, b)
    parallel_map(lambda piece: numpy.add(a[piece], b[piece], out=y[piece]), pieces, result.size)
    return result


def multiply(a: Any, b: Any) -> Any:
    """a b, of arrays or numbers, of which none is known to lie in the host's memory."""
    if type(a) is ndarray or type(b) is ndarray or not _in_a_kernel(a, b):
        return a * b
    return gpu.binary("multiply", a, b)


def _in_a_kernel(a: Any, b: Any) -> bool:
    return is_array(a) and with_kernels(a) and gpu.alike(a, b)


def positive_part(x: Any, out: Any = None) -> Any:
    """max(x, 0)"""
    zeros = ZEROS.get(x.dtype)
    if zeros is None or type(x) is not ndarray:
        if zeros is not None and with_kernels(x) and (out is None or x.flags.c_contiguous):
            return gpu.positive_part(x, out)
        return array_module(x).maximum(x, 0, out=out)
    if x.size < parallel.LARGE:
        return numpy.maximum(x, zeros[0]) if out is None else numpy.maximum(x, zeros[0], out=out)
    result = buffers.empty_like(x) if out is None else out
    pieces, (y, x) = _matching_pieces(result, x)
    if x.ndim > 1:
        parallel_map(lambda piece: numpy.maximum(x[piece], zeros[0], out=y[piece]), pieces, x.size)
    else:  # with an array of zeros NumPy is three times as fast as with one zero
        many = zeros[1]
        parallel_map(
            lambda piece: numpy.maximum(x[piece], many[: piece.stop - piece.start], out=y[piece]), pieces, x.size
        )
    return result


def masked(gradient: Any, mask: Any) -> Any:
    """`gradient` where `mask` (bools, or numbers that are not 0) holds, 0 elsewhere, also where gradient is infinite.

    The bits of each number, taken as an integer, times 1 or 0: infinity * 0 would be NaN, and `where` on random bools
    is ten times as slow.
    """
    dtype = gradient.dtype
    if gradient.size <= SMALL and type(gradient) is ndarray:
        return numpy.where(mask, gradient, ZEROS[dtype][0])
    if with_kernels(gradient) and mask.shape == gradient.shape:
        return gpu.masked(gradient, mask)
    bits = BITS[dtype]
    if gradient.size < parallel.LARGE or type(gradient) is not ndarray or mask.shape != gradient.shape:
        return (gradient.view(bits) * mask.astype(bool).astype(bits)).view(dtype)
    result = buffers.empty_like(gradient if mask.dtype == bool else mask)
    pieces, (y, mask, gradient) = _matching_pieces(result, mask, gradient)
    y, gradient = y.view(bits), gradient.view(bits)

    def compute(piece: slice) -> None:
        y[piece] = mask[piece].astype(bool)
        y[piece] *= gradient[piece]

    parallel_map(compute, pieces, result.size)
    return result


def over_images(function: Callable[[slice], None], x: Any) -> None:
    """function(images) for slices that together are all images of x, on all threads; on a GPU once, for all of them."""
    if not is_large(x):
        function(slice(None))
    else:
        parallel_map(function, slices(len(x), PIECE * len(x) // x.size), x.size)


def _matching_pieces(*arrays: Any) -> tuple[list[slice], list[Any]]:
    """Slices, and the arrays (of one shape) to slice: flat, if all lie in memory in one order and without gaps."""
    first = arrays[0]
    order = buffers.order_of(first)
    in_order = [array if order is None else array.transpose(order) for array in arrays]
    if all(array.flags.c_contiguous for array in in_order):
        return slices(first.size, PIECE), [array.reshape(-1) for array in in_order]
    return slices(len(first), PIECE * len(first) // first.size), list(arrays)

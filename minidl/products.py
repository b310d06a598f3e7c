"""Matrix products on all cores: a @ b, cut into as many pieces as there are threads.

NumPy's library (BLAS) has threads of its own. Here it gets one: after each product its others wait awake for the next
one, for milliseconds, in the way of the threads that minidl's other operations run on (parallel.py).
"""

from __future__ import annotations

from typing import Any

import numpy

from minidl import buffers
from minidl.backend import array_module
from minidl.parallel import one_blas_thread, parallel_map, slices

FEW = 64  # rows
# Multiplications and additions; below, BLAS takes one thread of itself: of matrices, and where one is a vector.
SMALL = 1 << 18
SMALL_WITH_VECTOR = 1 << 13
FEW_PRODUCTS = 4


def matmul(a: Any, b: Any) -> Any:
    """a @ b for arrays of any dimensions, on the host or a GPU."""
    if type(a) is not numpy.ndarray:
        return _on_gpu(a, b)
    has_vector = a.ndim == 1 or b.ndim == 1 or a.shape[-2] == 1 or b.shape[-1] == 1
    work = a.size * (1 if b.ndim == 1 else b.shape[-1])
    if work < (SMALL_WITH_VECTOR if has_vector else SMALL):
        return a @ b
    if a.ndim == 1 or b.ndim == 1 or a.dtype != b.dtype:
        with one_blas_thread():
            return a @ b
    stack = numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = buffers.empty((*stack, a.shape[-2], b.shape[-1]), a.dtype)
    if not stack and len(a) < FEW and b.T.flags.c_contiguous:  # a few images and all weights of a layer: BLAS likes
        transposed = numpy.empty(out.T.shape, out.dtype)  # these as rows
        _in_pieces(b.T, a.T, transposed)
        out[...] = transposed.T
    else:
        _in_pieces(a, b, out)
    return out


def _on_gpu(a: Any, b: Any) -> Any:
    """Few products in a stack one by one: cuBLAS takes a transposed matrix as it lies, CuPy's stacks are copied."""
    if not (a.ndim == b.ndim == 3 and len(a) == len(b) <= FEW_PRODUCTS):
        return a @ b
    if len(a) == 1:
        return (a[0] @ b[0])[None]
    out = array_module(a).empty((len(a), a.shape[1], b.shape[2]), a.dtype)
    for i in range(len(a)):
        array_module(a).matmul(a[i], b[i], out=out[i])
    return out


def _in_pieces(a: numpy.ndarray, b: numpy.ndarray, out: numpy.ndarray) -> None:
    *stack, rows, columns = out.shape
    work = out.size * a.shape[-1]
    if stack and stack[0] > 1 and a.ndim == b.ndim and len(a) == len(b):  # whole products: those of groups, or images
        parallel_map(lambda i: numpy.matmul(a[i], b[i], out=out[i]), slices(stack[0], stack[0]), work)
    elif rows >= columns:
        parallel_map(lambda i: numpy.matmul(a[..., i, :], b, out=out[..., i, :]), slices(rows, rows), work)
    else:
        parallel_map(lambda i: numpy.matmul(a, b[..., i], out=out[..., i]), slices(columns, columns), work)

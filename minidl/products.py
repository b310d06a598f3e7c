"""Matrix products on all cores: a @ b, cut into as many pieces as there are threads.

NumPy's library (BLAS) has threads of its own. They are left alone: after each product they wait awake for the next one,
for milliseconds, in the way of the threads that minidl's other operations run on (parallel.py).
"""

from __future__ import annotations

from typing import Any

import numpy

from minidl import buffers
from minidl.parallel import one_blas_thread, parallel_map, slices

FEW = 64  # rows
SMALL = 1 << 18  # multiplications and additions: BLAS takes one thread of itself


def matmul(a: Any, b: Any) -> Any:
    """a @ b for arrays of any dimensions, on the host or a GPU."""
    if type(a) is not numpy.ndarray or a.size * b.shape[-1] < SMALL:
        return a @ b
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype:
        with one_blas_thread():
            return a @ b
    out = buffers.empty((len(a), b.shape[1]), a.dtype)
    if len(a) < FEW and b.T.flags.c_contiguous:  # a few images and all weights of a layer: BLAS likes these as rows
        transposed = numpy.empty(out.T.shape, out.dtype)
        _in_pieces(b.T, a.T, transposed)
        out[...] = transposed.T
    else:
        _in_pieces(a, b, out)
    return out


def _in_pieces(a: numpy.ndarray, b: numpy.ndarray, out: numpy.ndarray) -> None:
    rows, columns = out.shape
    work = out.size * a.shape[1]
    if rows >= columns:
        parallel_map(lambda piece: numpy.matmul(a[piece], b, out=out[piece]), slices(rows, rows), work)
    else:
        parallel_map(lambda piece: numpy.matmul(a, b[:, piece], out=out[:, piece]), slices(columns, columns), work)

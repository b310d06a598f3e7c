"""Memory that is used again: `empty`, for what an operation returns, and `workspace`, for what it needs meanwhile.

Fresh memory costs as much as the arithmetic on it: the operating system clears it, page by page, when it is first
written to, and takes large pieces back as soon as they are freed. A training step asks for the same sizes every time.
So what large arrays lay in goes onto a shelf when the last array in it is gone, and `empty` looks there first.
`empty_cache` clears the shelf. NumPy's own arrays, the user's among them, have nothing to do with this.
"""

from __future__ import annotations

import math
import mmap
import threading
from collections import deque
from contextlib import suppress
from typing import Any

import numpy

LARGE = 1 << 18  # bytes: below, the C library keeps the memory itself
FIT = 1.5  # a piece may be this much larger than what is asked for
HOLD = 2  # times what was in use at the same time may be held in all


class Lease(numpy.ndarray):
    """The `base` of every array that `empty` made: when it dies, no array is left in its memory."""

    memory: mmap.mmap

    def __del__(self) -> None:
        _returned.append(self.memory)


_lock = threading.Lock()
_shelf: dict[int, list[mmap.mmap]] = {}  # memory that is free, by its size
_returned: deque[mmap.mmap] = deque()  # on its way to the shelf: Lease.__del__ may run anywhere, and takes no lock
_idle = 0  # bytes on the shelf
_lent = 0  # bytes in use
_most_lent = 0  # the largest that _lent has been since the last empty_cache


def empty(shape: tuple[int, ...], dtype: Any, order: tuple[int, ...] | None = None) -> numpy.ndarray:
    """An array with anything in it, like numpy.empty. `order`: its dimensions from the outermost in memory on."""
    dtype = numpy.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    strides = None
    if order is not None:
        steps, step = [0] * len(shape), dtype.itemsize
        for dimension in reversed(order):
            steps[dimension] = step
            step *= shape[dimension]
        strides = tuple(steps)
    if size < LARGE:
        return numpy.ndarray(shape, dtype, strides=strides)
    memory = _take(size)
    lease = Lease((size,), numpy.uint8, memory)  # what was asked for, as summaries count it: the piece may be larger
    lease.memory = memory
    return numpy.ndarray(shape, dtype, lease, 0, strides)


def empty_like(array: numpy.ndarray) -> numpy.ndarray:
    """`empty` in the shape, dtype and order in memory of `array`."""
    return empty(array.shape, array.dtype, order_of(array))


def order_of(array: numpy.ndarray) -> tuple[int, ...] | None:
    """The dimensions from the outermost in memory on; None for C order."""
    if array.flags.c_contiguous:
        return None
    return tuple(sorted(range(array.ndim), key=lambda i: (-abs(array.strides[i]), i)))


def owns_memory(array: Any) -> bool:
    """True for an array that is no view: it came from `empty`, or its memory is its own."""
    return array.base is None or type(array.base) is Lease


def empty_cache() -> None:
    """Give memory that is kept for the arrays to come back to the operating system."""
    global _idle, _most_lent
    with _lock:
        _collect()
        _shelf.clear()
        _idle, _most_lent = 0, _lent


def _take(size: int) -> mmap.mmap:
    """Memory of at least `size` bytes: the smallest on the shelf that fits, or new."""
    global _idle, _lent, _most_lent
    size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    with _lock:
        _collect()
        fitting = min((s for s in _shelf if size <= s <= size * FIT), default=None)
        if fitting is not None:
            memory = _shelf[fitting].pop()
            if not _shelf[fitting]:
                del _shelf[fitting]
            _idle -= fitting
        else:
            # Never hold much more than was once in use: make room of what does not fit.
            while _shelf and _idle + _lent + size > HOLD * max(_most_lent, _lent + size):
                largest = max(_shelf)
                _idle -= largest * len(_shelf.pop(largest))
            memory = _fresh(size)
        _lent += len(memory)
        _most_lent = max(_most_lent, _lent)
        return memory


def _fresh(size: int) -> mmap.mmap:
    """New memory from the operating system, in large pages where it has them."""
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _collect() -> None:
    """Put what was returned onto the shelf."""
    global _idle, _lent
    while _returned:
        memory = _returned.popleft()
        _shelf.setdefault(len(memory), []).append(memory)
        _idle += len(memory)
        _lent -= len(memory)


_here = threading.local()


def workspace(name: str, shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
    """An array with anything in it, in memory that this thread uses again for its next workspace of that name.

    So nothing of it may outlive the call that asked for it.
    """
    spaces = _here.__dict__
    dtype = numpy.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = spaces.get(name)
    if memory is None or memory.size < size:
        spaces[name] = memory = numpy.empty(size, numpy.uint8)
    return memory[:size].view(dtype).reshape(shape)

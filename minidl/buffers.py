"""Memory that is used again: `empty`, for what an operation returns, and `workspace`, for what it needs meanwhile.

Fresh memory costs as much as the arithmetic on it: the operating system clears it, page by page, when it is first
written to, and takes large pieces back as soon as they are freed. A training step asks for the same sizes every time.
So what large arrays lay in goes onto a shelf when the last array in it is gone, and `empty` looks there first.
`empty_cache` clears the shelf. NumPy's own arrays, the user's among them, have nothing to do with this.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy

WORTH_KEEPING = 1 << 18  # bytes: below, the C library keeps the memory itself
FIT = 1.5  # a piece may be this much larger than what is asked for
HOLD = 2  # times what was lately in use at the same time may be held in all
LATELY = 1 << 12  # requests: those of a few training steps


_returned: deque[mmap.mmap] = deque()  # on its way to the shelf: Lease.__del__ may run anywhere, and takes no lock


class Lease(numpy.ndarray):
    """The `base` of every array that `empty` made: when it dies, no array is left in its memory."""

    memory: mmap.mmap | None = None  # None for a view of a Lease, which NumPy makes a Lease too

    def __del__(self, give_back: Callable[[mmap.mmap], None] = _returned.append) -> None:
        if self.memory is not None:
            give_back(self.memory)


_lock = threading.Lock()
_shelf: dict[int, list[mmap.mmap]] = {}  # memory that is free, by its size
_idle = 0  # bytes on the shelf
_lent = 0  # bytes in use
_most_lent = [0, 0]  # the largest that _lent was: in the LATELY requests before, and since then
_requests = 0  # since then


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
    if size < WORTH_KEEPING:
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
    global _most_lent
    with _lock:
        _collect()
        _most_lent = [_lent, _lent]
        _clear_shelf()
        for spaces in list(_all_spaces):
            spaces.by_name.clear()


def _take(size: int) -> mmap.mmap:
    """Memory of at least `size` bytes: the smallest on the shelf that fits, or new. MemoryError if there is none."""
    global _idle, _lent, _most_lent, _requests
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
            _make_room(size)
            memory = _fresh(size)
        _lent += len(memory)
        _most_lent[1] = max(_most_lent[1], _lent)
        _requests += 1
        if _requests >= LATELY:  # what was needed once, long ago, is no reason to hold it
            _requests, _most_lent = 0, [_most_lent[1], _lent]
            _make_room(0)
        return memory


def _make_room(size: int) -> None:
    """Let go of what is idle until, with `size` bytes more, not much more is held than was lately in use."""
    global _idle
    while _shelf and _idle + _lent + size > HOLD * max(*_most_lent, _lent + size):
        largest = max(_shelf)
        _idle -= largest * len(_shelf.pop(largest))


def _clear_shelf() -> None:
    global _idle
    _shelf.clear()
    _idle = 0


def _fresh(size: int) -> mmap.mmap:
    """New memory from the operating system; if it has none, after all that lies on the shelf was given back."""
    try:
        return _map(size)
    except OSError:
        _clear_shelf()
    try:
        return _map(size)
    except OSError as error:
        raise MemoryError(f"unable to allocate {size / 2**20:,.0f} MiB for an array: {error}") from None


def _map(size: int) -> mmap.mmap:
    """New memory, in large pages where there are some."""
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


class _Spaces:
    """The workspaces of a thread."""

    def __init__(self) -> None:
        self.by_name: dict[str, numpy.ndarray] = {}


_here = threading.local()
_all_spaces: weakref.WeakSet[_Spaces] = weakref.WeakSet()


def _begin_child() -> None:
    """In a forked process: nobody is in the middle of anything here, whatever the other threads were doing."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)


def workspace(name: str, shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
    """An array with anything in it, in memory that this thread uses again for its next workspace of that name.

    So nothing of it may outlive the call that asked for it, and a name belongs to one function.
    """
    spaces = getattr(_here, "spaces", None)
    if spaces is None:
        spaces = _here.spaces = _Spaces()
        with _lock:
            _all_spaces.add(spaces)
    dtype = numpy.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = spaces.by_name.get(name)
    if memory is None or memory.size < size:
        spaces.by_name[name] = memory = numpy.empty(size, numpy.uint8)
    return memory[:size].view(dtype).reshape(shape)

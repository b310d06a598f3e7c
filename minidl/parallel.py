"""Work on every core: pieces of one operation, shared out to threads.

    parallel_map(lambda piece: numpy.matmul(x[piece], w, out=y[piece]), slices(len(x), 1000), numbers=x.size)

NumPy lets other threads run while it copies, adds and multiplies, so plain threads are enough. What keeps all cores
busy is one scheme for every operation: the matrix library (BLAS) on a single thread, and each of our workers on a few
images at a time, in buffers that stay in its cache (buffers.workspace). Outside of these calls nothing is changed: BLAS
has its threads back when parallel_map returns.
"""

from __future__ import annotations

import contextvars
import importlib
import operator
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from minidl.errors import explain

LARGE = 1 << 19  # numbers

Item = TypeVar("Item")
Result = TypeVar("Result")


def _first_number() -> int:
    """OMP_NUM_THREADS, which other libraries read too; else the cores that this process may use, not all there are."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = _first_number()
_pool: tuple[int, ThreadPoolExecutor] | None = None  # the number of its threads, and the pool
_here = threading.local()  # whether this thread is a worker already


def get_num_threads() -> int:
    """How many threads an operation is shared out to: at first $OMP_NUM_THREADS, or the cores of this process."""
    return _threads


def set_num_threads(number: int) -> None:
    """Share operations out to `number` threads; 1: none but the caller's.

    The results differ by rounding only: what is added up in pieces is added in another order. RuntimeError below 1,
    TypeError for what is no integer.
    """
    global _threads
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise TypeError(explain("set_num_threads", f"expects an int, but got {type(number).__name__}"))
    number = operator.index(number)
    if number < 1:
        raise RuntimeError(explain("set_num_threads", f"expects a positive integer, got {number}"))
    _threads = number
    _forget_pool()


def _forget_pool() -> None:
    global _pool
    _pool = None  # its threads end by themselves when the last work in it is done


def _workers() -> ThreadPoolExecutor:
    global _pool
    wanted, known = max(_threads - 1, 1), _pool  # read once: another thread may set them meanwhile
    if known is None or known[0] != wanted:
        _pool = known = wanted, ThreadPoolExecutor(wanted, "minidl", _begin_worker)
    return known[1]


def _begin_worker() -> None:
    """With OpenMP, BLAS has a number of threads for each thread that calls it; else there is one for all of them."""
    for library in _blas_libraries():
        if getattr(library, "threading_layer", None) == "openmp":
            library.set_num_threads(1)


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], numbers: int) -> list[Result]:
    """[function(item) for item in items], on all threads: each takes the next item as soon as it is free.

    `numbers`: how many all of it passes over. Below LARGE, one thread is done before a second one is awake.
    NumPy's matrix products inside run on one thread each. An exception of `function` is raised here, when every
    thread has stopped. Called inside a `function`, it goes on in that one thread.
    """
    if getattr(_here, "is_worker", False):
        return [function(item) for item in items]
    wanted = min(_threads, len(items)) if numbers >= LARGE else 1
    if wanted < 2:
        with one_blas_thread():
            return [function(item) for item in items]
    results: list[Any] = [None] * len(items)
    pending = deque(range(len(items)))

    def work() -> None:
        try:
            _here.is_worker = True
            while (number := _next_of(pending)) is not None:
                results[number] = function(items[number])
        except BaseException:
            pending.clear()  # nobody begins another item
            raise
        finally:
            _here.is_worker = False

    with one_blas_thread():
        others: list[Future] = []
        try:
            with suppress(RuntimeError):  # no thread can be started (any more): this one does it all
                for _ in range(wanted - 1):
                    # In a copy of this thread's context, where numpy.errstate keeps what the user set.
                    others.append(_workers().submit(contextvars.copy_context().run, work))
            work()
        finally:
            _wait_for(others, pending)  # they write into arrays that are in use
    for other in others:
        if not other.cancelled():
            other.result()
    return results


def _wait_for(others: list[Future], pending: deque[int]) -> None:
    """Wait for those that have begun, also where Ctrl-C comes in between; the others need not begin."""
    waiting = [other for other in others if not other.cancel()]
    try:
        wait(waiting)
    except BaseException:
        pending.clear()
        wait(waiting)
        raise


def slices(length: int, most: int) -> list[slice]:
    """range(length) in slices of equal size, give or take 1, the longest first: of at most `most`, or of 1.

    There is one for each thread at least, unless `length` is less.
    """
    count = max(-(-length // max(most, 1)), min(get_num_threads(), length), 1)
    ends = [-(-length * i // count) for i in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _next_of(pending: deque[int]) -> int | None:
    try:
        return pending.popleft()
    except IndexError:
        return None


# ----------------------------------------------------------------------------------------------------------- BLAS


@cache
def _blas_libraries() -> tuple[Any, ...]:
    """threadpoolctl's handles of the matrix libraries in this process (OpenBLAS, MKL, BLIS). Accelerate has none."""
    controller = importlib.import_module("threadpoolctl").ThreadpoolController()
    return tuple(controller.select(user_api="blas").lib_controllers)


_blas_lock = threading.Lock()
_blas_users = 0
_blas_before: list[tuple[Any, int]] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy's matrix products on one thread inside. When the last of those inside leaves, it is as it was before.

    Where the products are small, a second thread gains nothing, and waits burning the processor when another program
    wants it; and sums are rounded in one order, so that one seed gives one result whatever the number of cores.
    """
    global _blas_users, _blas_before
    with _blas_lock:
        if _blas_users == 0:
            _blas_before = [(library, library.get_num_threads()) for library in _blas_libraries()]
            for library, number in _blas_before:
                if number != 1:
                    library.set_num_threads(1)
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _restore_blas()


def _restore_blas() -> None:
    for library, number in _blas_before:
        if number != 1:
            library.set_num_threads(number)


def _begin_child() -> None:
    """In a forked process: no thread but this one lives on, whatever the others were in the middle of."""
    global _blas_lock, _blas_users
    _forget_pool()
    _blas_lock = threading.Lock()
    _here.is_worker = False
    if _blas_users:
        _blas_users = 0
        _restore_blas()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)

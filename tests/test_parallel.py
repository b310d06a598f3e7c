"""Threads: order, errors, BLAS as it was, warnings, forked processes. And memory that is used again."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pytest

import minidl
from minidl import buffers, memory, parallel

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run_program(text):
    """What a Python process of its own prints."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def three_threads(monkeypatch):
    before = parallel.get_num_threads()
    parallel.set_num_threads(3)
    monkeypatch.setattr(parallel, "LARGE", 1)
    yield
    parallel.set_num_threads(before)


def test_results_keep_their_order_and_every_thread_helps(three_threads):
    barrier = threading.Barrier(3, timeout=10)

    def square(number):
        if number < 3:
            barrier.wait()  # passes only when three threads are here at the same time
        return number**2, threading.get_ident()

    results = parallel.parallel_map(square, range(20), 100)
    assert [result for result, _ in results] == [number**2 for number in range(20)]
    assert len({thread for _, thread in results}) == 3


def test_too_little_to_share_stays_here(three_threads, monkeypatch):
    monkeypatch.setattr(parallel, "LARGE", 1000)
    threads = parallel.parallel_map(lambda _: threading.get_ident(), range(9), 999)
    assert set(threads) == {threading.get_ident()}


def test_nested_calls_run_in_their_thread(three_threads):
    def inner(_):
        return threading.get_ident()

    for outer, inners in parallel.parallel_map(
        lambda _: (threading.get_ident(), parallel.parallel_map(inner, range(4), 10)), range(6), 10
    ):
        assert set(inners) == {outer}


def test_an_error_stops_everything_and_comes_out(three_threads):
    done = []

    def work(number):
        if number == 4:
            raise KeyError("the fourth")
        time.sleep(0.001)
        done.append(number)

    with pytest.raises(KeyError, match="the fourth"):
        parallel.parallel_map(work, range(2000), 10)
    seen = len(done)
    assert seen < 1000
    time.sleep(0.01)
    assert len(done) == seen  # nobody is still at work
    assert parallel.parallel_map(abs, [-1, -2, -3], 10) == [1, 2, 3]


def blas_threads():
    return [library.get_num_threads() for library in parallel._blas_libraries()]


def test_blas_has_one_thread_inside_and_its_own_again_outside(three_threads):
    before = blas_threads()
    inside = parallel.parallel_map(lambda _: blas_threads(), range(4), 10)
    assert all(number == 1 for numbers in inside for number in numbers)
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        parallel.parallel_map(lambda number: 1 // number, range(3), 10)
    assert blas_threads() == before


def test_two_users_of_blas_at_once():
    before = blas_threads()
    first, second = parallel.one_blas_thread(), parallel.one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert all(number == 1 for number in blas_threads())
    second.__exit__(None, None, None)
    assert blas_threads() == before


def test_numpy_error_state_holds_in_every_thread(three_threads):
    big = numpy.full(1000, 1e38, "float32")
    with numpy.errstate(over="ignore"):  # a warning would be an error here
        parallel.parallel_map(lambda _: big * big, range(8), 10)


def test_set_num_threads_refuses():
    with pytest.raises(RuntimeError, match="expects a positive integer, got 0"):
        minidl.set_num_threads(0)
    for wrong in (1.5, True, "2"):
        with pytest.raises(TypeError, match="expects an int"):
            minidl.set_num_threads(wrong)
    assert minidl.get_num_threads() >= 1


@needs_fork
def test_a_forked_process_has_threads_of_its_own():
    program = """
import os
from minidl import parallel
parallel.set_num_threads(2)
parallel.LARGE = 1
assert parallel.parallel_map(abs, [-1, -2], 5) == [1, 2]
child = os.fork()
if child == 0:
    os._exit(0 if parallel.parallel_map(abs, [-3, -4], 5) == [3, 4] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_program(program) == "0"


@needs_fork
def test_a_forked_process_inherits_nobodys_locks():
    """Another thread was inside an operation at the time of the fork: its locks are never released in the child."""
    program = """
import os, signal
import minidl
from minidl import buffers, parallel
threads = [library.get_num_threads() for library in parallel._blas_libraries()]
parallel.one_blas_thread().__enter__()
parallel._blas_lock.acquire()
buffers._lock.acquire()
child = os.fork()
if child == 0:
    signal.alarm(20)
    same = threads == [library.get_num_threads() for library in parallel._blas_libraries()]
    a = minidl.ones(1000, 1000)
    os._exit(0 if same and (a + a).sum().item() == 2_000_000 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_program(program) == "0"


def test_work_goes_on_where_no_thread_can_be_started(three_threads, monkeypatch):
    def submit(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel.ThreadPoolExecutor, "submit", submit)
    assert parallel.parallel_map(abs, range(-9, 0), 9) == list(range(9, 0, -1))


def test_a_training_that_outlives_the_main_thread():
    program = """
import threading, time
from minidl import parallel
parallel.set_num_threads(2)
parallel.LARGE = 1
def train():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    time.sleep(0.1)
    print(parallel.parallel_map(abs, [-1, -2, -3], 5))
threading.Thread(target=train).start()
"""
    assert run_program(program) == "[1, 2, 3]"


def test_the_number_of_threads_may_change_during_work(monkeypatch):
    monkeypatch.setattr(parallel, "LARGE", 1)
    before, stop = parallel.get_num_threads(), threading.Event()

    def change():
        while not stop.is_set():
            for number in (1, 2, 3):
                parallel.set_num_threads(number)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            assert parallel.parallel_map(abs, range(-5, 0), 5) == [5, 4, 3, 2, 1]
    finally:
        stop.set()
        thread.join()
        parallel.set_num_threads(before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that interrupts")
def test_ctrl_c_waits_for_those_who_write(monkeypatch):
    """Once while this thread works, once while it waits for the other one."""
    monkeypatch.setattr(parallel, "LARGE", 1)
    before, main = parallel.get_num_threads(), threading.get_ident()
    parallel.set_num_threads(2)

    def interrupt(*_):
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        for mine in (0.6, 0.0):
            finished = []

            def work(_, mine=mine, finished=finished):
                time.sleep(mine if threading.get_ident() == main else 0.4)
                finished.append(threading.get_ident() != main)

            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                parallel.parallel_map(work, range(2), 5)
            assert True in finished and parallel._blas_users == 0
    finally:
        signal.signal(signal.SIGALRM, handler)
        parallel.set_num_threads(before)


def test_one_thread_means_one_also_for_blas(monkeypatch):
    """Every product of some size runs while BLAS is limited."""
    limited = []
    matmul = numpy.matmul

    def watch(*arguments, **options):
        limited.append(parallel._blas_users > 0)
        return matmul(*arguments, **options)

    monkeypatch.setattr(numpy, "matmul", watch)
    F = minidl.nn.functional
    images, weight = minidl.randn(4, 16, 24, 24), minidl.randn(16, 16, 3, 3)
    F.conv2d(images, weight)
    F.conv2d(images, minidl.randn(16, 8, 3, 3), groups=2)
    F.conv_transpose2d(images, weight)
    with minidl.use_algorithm("im2col"):
        F.conv2d(images, weight)
    minidl.matmul(minidl.randn(200, 200), minidl.randn(200, 200))
    minidl.matmul(minidl.randn(1, 2000), minidl.randn(2000, 130))
    assert len(limited) >= 6 and all(limited)


def test_the_first_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert parallel._first_number() == 3
    for nonsense in ("", "0", "many", "2,1"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert 1 <= parallel._first_number() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("threads", [1, 3, 7])
def test_slices(threads, monkeypatch):
    monkeypatch.setattr(parallel, "_threads", threads)
    for length, most in ((10, 3), (1, 5), (7, 100), (10, 100), (0, 4), (5, 0)):
        found = parallel.slices(length, most)
        lengths = [piece.stop - piece.start for piece in found]
        assert len(found) >= min(threads, length)
        assert lengths[0] == max(lengths) <= min(lengths) + 1
        assert [i for piece in found for i in range(length)[piece]] == list(range(length))
        assert all(piece.stop - piece.start <= max(most, 1) for piece in found)


# ------------------------------------------------------------------------------------------------------------ memory


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_the_last_view_is_gone():
    first = buffers.empty((512, 1024), "float32")
    place, view = address(first), first[3:]
    del first
    second = buffers.empty((512, 1024), "float32")
    assert address(second) != place  # the view still lies there
    del view, second
    third, fourth = (buffers.empty((512, 1024), "float32") for _ in range(2))
    assert place in {address(third), address(fourth)}


def test_an_array_counts_what_was_asked_for_not_the_piece_it_lies_in():
    """Summaries count memory by its owner: they must not depend on what ran before."""
    minidl.empty_cache()
    larger = buffers.empty((5 << 18,), "uint8")
    place = address(larger)
    del larger
    array = buffers.empty((1 << 18,), "float32")
    assert address(array) == place
    assert memory.owner(array).nbytes == array.nbytes


def test_order_in_memory():
    last = buffers.empty((4, 64, 40, 41), "float32", (0, 2, 3, 1))
    assert last.shape == (4, 64, 40, 41) and last.transpose(0, 2, 3, 1).flags.c_contiguous
    alike = buffers.empty_like(last)
    assert alike.strides == last.strides and buffers.owns_memory(alike)
    assert buffers.empty((3, 2), "int64", (1, 0)).T.flags.c_contiguous
    assert buffers.order_of(last) == (0, 2, 3, 1) and buffers.order_of(numpy.ones((2, 3))) is None


def test_small_and_large_arrays_are_arrays_like_any_other():
    for shape in ((2, 3), (600, 700)):
        array = buffers.empty(shape, "float64")
        array[...] = 1
        assert type(array) is numpy.ndarray and array.flags.writeable and array.sum() == array.size
        assert buffers.owns_memory(array) and not buffers.owns_memory(array[1:])
        assert memory.owner(array[1:][0]) is memory.owner(array)
    assert memory.owner(buffers.empty((600, 700), "float64")) is not memory.owner(buffers.empty((600, 700), "float64"))


def test_empty_cache_gives_memory_back():
    del_me = [buffers.empty((1 << 20,), "float32") for _ in range(3)]
    del del_me
    buffers.empty((1 << 20,), "float32")
    assert buffers._idle >= 2 << 22  # (the last one is on its way)
    minidl.empty_cache()
    assert buffers._idle == 0 and not buffers._shelf


def test_memory_that_is_held_is_used_before_an_error(monkeypatch):
    """As where the process may have no more: what lies idle is given back first, and then it is a MemoryError."""
    minidl.empty_cache()
    del_me = [buffers.empty((1 << 20,), "float32") for _ in range(3)]
    del del_me
    fresh, others = buffers._map, buffers._lent

    def limited(size):
        if buffers._idle + buffers._lent - others + size > 20 << 20:
            raise OSError(12, "Cannot allocate memory")
        return fresh(size)

    monkeypatch.setattr(buffers, "_map", limited)
    array = buffers.empty((18 << 20,), "uint8")
    with pytest.raises(MemoryError, match="unable to allocate 40 MiB"):
        buffers.empty((40 << 20,), "uint8")
    del array
    monkeypatch.undo()
    minidl.empty_cache()


def test_what_was_needed_once_is_not_held_for_ever(monkeypatch):
    monkeypatch.setattr(buffers, "LATELY", 10)
    minidl.empty_cache()
    start = buffers._lent
    buffers.empty((200 << 20,), "uint8")
    for _ in range(30):
        buffers.empty((1 << 20,), "uint8")
    assert buffers._idle + buffers._lent - start <= 10 << 20


def test_empty_cache_reaches_the_workspaces():
    buffers.workspace("test", (100,), "float32")
    spaces = buffers._here.spaces.by_name
    assert "test" in spaces
    minidl.empty_cache()
    assert not spaces


def test_a_view_of_the_base_is_harmless():
    array = buffers.empty((1 << 20,), "uint8")
    lent = buffers._lent
    view = array.base[:10]
    del view
    buffers.empty((1 << 20,), "uint8")
    assert buffers._lent >= lent  # `array` still has its memory


def test_no_more_is_held_than_twice_what_was_in_use():
    minidl.empty_cache()
    start = buffers._lent
    for size in range(1, 40):
        buffers.empty((size << 17,), "uint8" if size % 2 else "float32")
        assert buffers._idle + buffers._lent - start <= buffers.HOLD * max(*buffers._most_lent, size << 19)
    minidl.empty_cache()


def test_workspaces_belong_to_a_thread():
    here = buffers.workspace("test", (100,), "float32")
    assert address(buffers.workspace("test", (50, 2), "float32")) == address(here)
    other = []
    thread = threading.Thread(target=lambda: other.append(buffers.workspace("test", (100,), "float32")))
    thread.start()
    thread.join()
    assert address(other[0]) != address(here)


def test_a_change_in_recycled_memory_is_no_change_of_what_lay_there_before():
    """What was marked as changed is the array, not the memory that another array gets after it."""
    x = minidl.ones(300, 300, requires_grad=True)
    for _ in range(3):
        y = (x * 2).relu()
        y.add_(1)
        del y
    z = (x * 3).relu()
    z.sum().backward()
    assert (x.grad == 3).all()

"""Threads: order, errors, BLAS as it was, warnings, forked processes. And memory that is used again."""

import os
import subprocess
import sys
import threading
import time

import numpy
import pytest

import minidl
from minidl import buffers, memory, parallel


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
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
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "0", done.stderr


def test_slices():
    for length, most in ((10, 3), (1, 5), (7, 100), (0, 4), (5, 0)):
        found = parallel.slices(length, most)
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


def test_no_more_is_held_than_twice_what_was_in_use():
    minidl.empty_cache()
    start = buffers._lent
    for size in range(1, 40):
        buffers.empty((size << 17,), "uint8" if size % 2 else "float32")
        assert buffers._idle + buffers._lent - start <= buffers.HOLD * max(buffers._most_lent, size << 19)
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

"""The group that `mpiexec -n K` starts, through mpi4py.

Every message is a non-blocking one, and `wait` asks for it again and again: so Python hears of signals while it waits,
a rank that hangs is noticed, and MPI, which works only while it is called, moves all messages on with every question.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from minidl.backend import array_module, on_cpu, on_device_of, transfer
from minidl.distributed.errors import DistBackendError
from minidl.distributed.uncaught import end_job_at_uncaught
from minidl.errors import explain

# Between two questions: for so many seconds of waiting nothing but a word to the system, for messages that are there at
# once; then a short pause, in which another process has the core; and a longer one for who waits for something slow.
EAGER, BUSY = 0.005, 1.0
SHORT, LONG = 0.00005, 0.002

_let_others_run: Callable[[], None] = getattr(os, "sched_yield", partial(time.sleep, 0))


class MPIGroup:
    """All processes of an `mpiexec`. `timeout`: the seconds that a rank waits for the others.

    RuntimeError: mpi4py or the MPI library is missing.

    A Python exception that nobody catches ends the whole job, not this process alone: the others would wait for it.
    """

    backend = "mpi"

    def __init__(self, timeout: float):
        self.MPI = _mpi4py()
        self.timeout = timeout
        self.comm = self.MPI.COMM_WORLD.Dup()
        self.apart = self.MPI.COMM_WORLD.Dup()  # for messages whose order among the others is free
        self.notes = self.MPI.COMM_WORLD.Dup()  # who waits, for the message about a rank that does not come
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.messages = 0  # begun here: the same number on every rank that has come as far
        self._unread: list[tuple[numpy.ndarray, list[Any]]] = []
        self._ops = {"sum": self.MPI.SUM, "prod": self.MPI.PROD, "min": self.MPI.MIN, "max": self.MPI.MAX}
        self._forget = end_job_at_uncaught(self)

    def all_reduce(self, array: Any, op: str = "sum", *, apart: bool = False) -> MPIWork:
        host, finish = _on_host(array)
        comm = self.apart if apart else self.comm
        return self._begun("all_reduce", comm.Iallreduce(self.MPI.IN_PLACE, host, self._ops[op]), finish)

    def broadcast(self, array: Any, src: int) -> MPIWork:
        host, finish = _on_host(array)
        return self._begun("broadcast", self.comm.Ibcast(host, src), finish)

    def all_gather(self, out: Any, array: Any) -> MPIWork:
        mine, _ = _on_host(array)
        host, finish = _on_host(out)
        return self._begun("all_gather", self.comm.Iallgather(mine, host), finish, mine)

    def barrier(self) -> MPIWork:
        return self._begun("barrier", self.comm.Ibarrier(), lambda: None)

    def _begun(self, verb: str, request: Any, finish: Callable[[], None], *held: Any) -> MPIWork:
        self.messages += 1
        return MPIWork(self, verb, request, finish, held)

    def close(self) -> None:
        """Give MPI back what it lent. The processes leave MPI itself when they end."""
        self._forget()
        for comm in (self.comm, self.apart, self.notes):
            comm.Free()

    def abort(self, code: int = 1) -> None:
        """End every process of the job, whatever it is doing."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.MPI.COMM_WORLD.Abort(code)

    # ------------------------------------------------------------------------------------------ who does not come

    def tell_that_i_wait(self) -> None:
        """A note to every other rank, with how many messages were begun here."""
        note = numpy.array([self.messages])
        requests = [self.notes.Isend(note, other) for other in range(self.size) if other != self.rank]
        # Nobody may ever read it, so MPI may read the note for as long as the group is there.
        self._unread.append((note, requests))

    def missing(self) -> list[int]:
        """The ranks that have sent no note, or were not as far as this one when they did."""
        waiting = {self.rank: self.messages}
        note, status = numpy.zeros(1, numpy.int64), self.MPI.Status()
        while self.notes.Iprobe(self.MPI.ANY_SOURCE, status=status):
            self.notes.Recv(note, status.Get_source())
            waiting[status.Get_source()] = int(note[0])
        return [rank for rank in range(self.size) if waiting.get(rank, -1) < self.messages]


class MPIWork:
    """A message under way. See group.Work."""

    def __init__(self, group: MPIGroup, verb: str, request: Any, finish: Callable[[], None], held: tuple):
        self._group, self._verb, self._request, self._finish, self._held = group, verb, request, finish, held
        self._done = False

    def is_completed(self) -> bool:
        if not self._done and self._request.Test():
            self._finish()
            self._done = True
        return self._done

    def wait(self) -> None:
        began, told = time.monotonic(), False
        while not self.is_completed():
            waited = time.monotonic() - began
            if waited > self._group.timeout:
                raise DistBackendError(self._nobody_came(waited))
            if not told and waited > self._group.timeout / 2:
                self._group.tell_that_i_wait()
                told = True
            if waited < EAGER:
                _let_others_run()
            else:
                time.sleep(SHORT if waited < BUSY else LONG)

    def _nobody_came(self, waited: float) -> str:
        missing = self._group.missing()
        if missing:
            ranks = f"{'rank' if len(missing) == 1 else 'ranks'} {', '.join(map(str, missing))}"
            whom = f"{ranks} of {self._group.size} did not come"
        else:
            whom = "every rank came, and the message did not arrive"
        return explain(
            self._verb,
            f"rank {self._group.rank} waited {waited:.0f} seconds: {whom}",
            help="that process hangs, is far slower than the others, or has called other verbs than they have",
        )


def _mpi4py() -> Any:
    try:
        return importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py without an MPI library
        raise RuntimeError(
            explain(
                "init_process_group",
                f'the backend "mpi" needs mpi4py and an MPI library ({error})',
                help='install both, in your clone of minidl: pip install ".[mpi]"',
            )
        ) from None


def _on_host(array: Any) -> tuple[numpy.ndarray, Callable[[], None]]:
    """The array in one piece in the host's memory, and what brings a result back to where it lay."""
    if on_cpu(array) and array.flags.c_contiguous:
        return array, lambda: None
    host = numpy.asarray(transfer(array, "cpu"), order="C")

    def finish() -> None:
        with on_device_of((array,)):
            array[...] = host if on_cpu(array) else array_module(array).asarray(host)

    return host, finish

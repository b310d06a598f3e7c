"""The group of processes with one GPU each, through CuPy's interface to NVIDIA's NCCL.

A message runs on a stream of its own, behind what the GPU computes at that moment, so that computing goes on beside
it; `wait` asks on the host whether it is there, for only the host can notice that a rank does not come.

Rank 0 listens at an address that all know, and gives out the number by which NCCL's processes find each other:
CuPy does that, with a small server in a process of its own. All messages go through one channel, so all
ranks must send the same ones in the same order, also those that are `apart` with MPI.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from minidl.backend import device, device_of, gpu_and_nccl, on_cpu
from minidl.distributed.errors import DistBackendError
from minidl.distributed.uncaught import end_job_at_uncaught
from minidl.errors import explain

HOST, PORT = "127.0.0.1", 13333  # CuPy's
SPIN = 0.1  # seconds of asking without a pause
PAUSE = 0.0005  # seconds between two questions after that


class NCCLGroup:
    """One process for each GPU. `timeout`: the seconds that a rank waits for the others.

    local_rank      which GPU: the processes of a machine take one after the other. -1: as many as `rank` says

    RuntimeError: no CuPy, no CUDA device or no NCCL, or rank 0 cannot listen at that address. ValueError: nobody said
    how many processes there are and which this one is, or an address that is none. DistBackendError: a rank does not
    come in time.

    A Python exception that nobody catches ends the process at once, not when NCCL lets it go: then mpiexec, or what
    else has started the job, ends the others.
    """

    backend = "nccl"

    def __init__(self, timeout: float, init_method: str | None, world_size: int, rank: int, local_rank: int):
        self._xp, nccl = gpu_and_nccl()
        self.timeout = timeout
        self.size = _number(world_size, "world_size", ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))
        self.rank = _number(rank, "rank", ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"))
        if not 0 <= self.rank < self.size:
            rule = f"Invalid rank {self.rank}, rank should be in the interval [0, {self.size - 1}]"
            raise ValueError(explain("init_process_group", rule))
        host, port = _address(init_method)
        if self.rank == 0:
            _check_that_it_is_free(host, port)
        place = (self.rank if local_rank < 0 else local_rank) % self._xp.cuda.runtime.getDeviceCount()
        self.device = device("cuda", place)

        def connect() -> Any:
            with self._xp.cuda.Device(place):
                return nccl.init_process_group(self.size, self.rank, backend="nccl", host=host, port=port)

        self._xp.cuda.Device(place).use()
        self._comm = self._connected(connect, f"{host}:{port}")
        self._stream = self._xp.cuda.Stream(non_blocking=True)
        self._forget = end_job_at_uncaught(self)

    def all_reduce(self, array: Any, op: str = "sum", *, apart: bool = False) -> NCCLWork:
        return self._send("all_reduce", array, lambda data, stream: self._comm.all_reduce(data, data, op, stream))

    def broadcast(self, array: Any, src: int) -> NCCLWork:
        return self._send("broadcast", array, lambda data, stream: self._comm.broadcast(data, src, stream))

    def all_gather(self, out: Any, array: Any) -> NCCLWork:
        mine = self._on_device("all_gather", array)
        gather = lambda data, stream: self._comm.all_gather(mine, data, mine.size, stream)  # noqa: E731
        return self._send("all_gather", out, gather, mine)

    def barrier(self) -> NCCLWork:
        """An all_reduce: CuPy's own barrier needs its server, and can be passed once only."""
        return self.all_reduce(self._xp.zeros(1, numpy.float32))

    def close(self) -> None:
        """Leave NCCL, which happens when nobody holds its communicator any more."""
        self._forget()
        self._comm = None

    def abort(self, code: int = 1) -> None:
        """End this process at once. Python's own way out would wait for what the GPU waits for."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    # ------------------------------------------------------------------------------------------------- beginning

    def _connected(self, connect: Callable[[], Any], where: str) -> Any:
        """What `connect` returns, in a thread: nothing else ends its waiting for the others. The server is done then.

        DistBackendError: it fails, or takes too long.
        """
        answer: queue.SimpleQueue = queue.SimpleQueue()

        def run() -> None:
            try:
                answer.put((connect(), None))
            except Exception as error:
                answer.put((None, error))

        others = multiprocessing.active_children()
        with _processes_are_forked():
            threading.Thread(target=run, daemon=True).start()
            try:
                comm, error = answer.get(timeout=self.timeout)
            except queue.Empty:
                comm, error = None, f"waited {self.timeout:.0f} seconds for all of them"
        if comm is not None:
            comm.stop()
            return comm
        for server in multiprocessing.active_children():
            if server not in others:
                server.terminate()
        raise DistBackendError(
            explain(
                "init_process_group",
                f"rank {self.rank} of {self.size} did not find the others through NCCL, at {where}: {error}",
                help="did every process start, with the same address of rank 0? tcp://HOST:PORT, or $MASTER_ADDR",
            )
        )

    # -------------------------------------------------------------------------------------------------- messages

    def _on_device(self, verb: str, array: Any) -> Any:
        """The array in one piece on this rank's GPU: itself, or a copy. ValueError: it is on another GPU."""
        if not on_cpu(array) and device_of(array) != self.device:
            rule = f"the tensor is on {device_of(array)}, and rank {self.rank} speaks for {self.device}"
            raise ValueError(explain(verb, rule, help=f'model.to("{self.device}"), and the batches as well'))
        return self._xp.asarray(array, order="C")

    def _send(self, verb: str, array: Any, run: Callable[[Any, Any], None], *held: Any) -> NCCLWork:
        data = self._on_device(verb, array)
        ready, done = self._xp.cuda.Event(), self._xp.cuda.Event()
        ready.record()
        self._stream.wait_event(ready)  # what computes `array` comes first
        run(data, self._stream)
        done.record(self._stream)
        return NCCLWork(self, verb, array, data, done, held)


class NCCLWork:
    """A message under way. See group.Work."""

    def __init__(self, group: NCCLGroup, verb: str, array: Any, data: Any, event: Any, held: tuple):
        self._group, self._verb, self._array, self._data, self._event = group, verb, array, data, event
        self._held = held
        self._done = False

    def is_completed(self) -> bool:
        if not self._done and self._event.done:
            if on_cpu(self._array):
                self._array[...] = self._data.get()
            elif self._data is not self._array:
                self._array[...] = self._data
            self._done = True
        return self._done

    def wait(self) -> None:
        began = time.monotonic()
        while not self.is_completed():
            waited = time.monotonic() - began
            if waited > self._group.timeout:
                raise DistBackendError(self._nobody_came(waited))
            time.sleep(0 if waited < SPIN else PAUSE)

    def _nobody_came(self, waited: float) -> str:
        return explain(
            self._verb,
            f"rank {self._group.rank} of {self._group.size} waited {waited:.0f} seconds for the others",
            help="one of them hangs, has ended, is far slower, or has called other verbs; NCCL does not tell which",
        )


@contextmanager
def _processes_are_forked() -> Iterator[None]:
    """Inside, multiprocessing forks. CuPy's server has a lock, so Python 3.14's own way could not start it."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("fork", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


def _check_that_it_is_free(host: str, port: int) -> None:
    """RuntimeError: nothing can listen at this address. CuPy would wait for its server, and not say so."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((host, port))
    except OSError as error:
        rule = f"rank 0 cannot listen at {host}:{port}: {error.strerror or error}"
        help = "another port for all ranks: init_method='tcp://HOST:PORT', or $MASTER_PORT; HOST is that of rank 0"
        raise RuntimeError(explain("init_process_group", rule, help=help)) from None


def _number(given: int, name: str, variables: tuple[str, ...]) -> int:
    """`given`, or what the launcher has put into the first of these environment variables that is set."""
    if given >= 0:
        return given
    for variable in variables:
        if os.environ.get(variable, "").isdecimal():
            return int(os.environ[variable])
    help = f"init_process_group(..., {name}=N), or ${variables[0]}; `mpiexec` sets ${variables[1]}"
    raise ValueError(explain("init_process_group", f'the backend "nccl" needs {name}', help=help))


def _address(init_method: str | None) -> tuple[str, int]:
    """Where rank 0 listens: of tcp://HOST:PORT, else of $MASTER_ADDR and $MASTER_PORT, else on this machine."""
    if init_method in (None, "env://"):
        return os.environ.get("MASTER_ADDR", HOST), int(os.environ.get("MASTER_PORT", PORT))
    scheme, _, place = str(init_method).partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal():
        help = '"tcp://HOST:PORT", or "env://" for $MASTER_ADDR and $MASTER_PORT'
        raise ValueError(explain("init_process_group", f"cannot read init_method {init_method!r}", help=help))
    return host, int(port)

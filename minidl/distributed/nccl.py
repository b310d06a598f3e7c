"""The group of processes with one GPU each, through CuPy's interface to NVIDIA's NCCL.

A message runs on a stream of its own, behind what the GPU computes at that moment, so that computing goes on beside
it; `wait` lets the computing stream wait, not the host. Written after the documentation of cupyx.distributed (CuPy 14);
it was never run on several GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy

from minidl.backend import cupy_and_nccl, on_cpu
from minidl.errors import explain

HOST, PORT = "127.0.0.1", 13333  # cupyx.distributed's


class NCCLGroup:
    """One process for each GPU; those on one machine take one after the other.

    RuntimeError: no CuPy, no CUDA device or no NCCL. ValueError: nobody said how many processes there are and which
    this one is, or an address that is none.
    """

    backend = "nccl"

    def __init__(self, timeout: float, init_method: str | None, world_size: int, rank: int, local_rank: int):
        self._cupy, nccl = cupy_and_nccl()
        self.timeout = timeout  # NCCL has its own
        self.size = _number(world_size, "world_size", ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))
        self.rank = _number(rank, "rank", ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"))
        host, port = _address(init_method)
        self._cupy.cuda.Device(local_rank % self._cupy.cuda.runtime.getDeviceCount()).use()
        self._comm = nccl.init_process_group(self.size, self.rank, backend="nccl", host=host, port=port)
        self._stream = self._cupy.cuda.Stream(non_blocking=True)

    def all_reduce(self, array: Any, op: str = "sum", *, apart: bool = False) -> NCCLWork:
        return self._send(array, lambda data, stream: self._comm.all_reduce(data, data, op, stream))

    def broadcast(self, array: Any, src: int) -> NCCLWork:
        return self._send(array, lambda data, stream: self._comm.broadcast(data, src, stream))

    def all_gather(self, out: Any, array: Any) -> NCCLWork:
        mine = self._on_device(array)
        return self._send(out, lambda data, stream: self._comm.all_gather(mine, data, mine.size, stream), mine)

    def barrier(self) -> NCCLWork:
        """An all_reduce: cupyx's own barrier can be passed once only."""
        work = self.all_reduce(self._cupy.zeros(1, numpy.float32))
        work.wait()
        work.event.synchronize()
        return work

    def close(self) -> None:
        self._comm.stop()

    def _on_device(self, array: Any) -> Any:
        """The array in one piece on the GPU: itself, or a copy."""
        return self._cupy.ascontiguousarray(self._cupy.asarray(array))

    def _send(self, array: Any, run: Callable[[Any, Any], None], *held: Any) -> NCCLWork:
        data = self._on_device(array)
        ready, done = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        ready.record()
        self._stream.wait_event(ready)  # what computes `array` comes first
        run(data, self._stream)
        done.record(self._stream)
        return NCCLWork(self._cupy, array, data, done, held)


class NCCLWork:
    """A message under way. See group.Work."""

    def __init__(self, cupy: Any, array: Any, data: Any, event: Any, held: tuple):
        self._cupy, self._array, self._data, self.event, self._held = cupy, array, data, event, held

    def is_completed(self) -> bool:
        return self.event.done

    def wait(self) -> None:
        self._cupy.cuda.get_current_stream().wait_event(self.event)
        if on_cpu(self._array):
            self._array[...] = self._data.get()
        elif self._data is not self._array:
            self._array[...] = self._data


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

"""The verbs of a group of processes, on Tensors: all_reduce, broadcast, all_gather_into_tensor, barrier.

There is one group, that of all processes; `init_process_group` makes it, and `current_group` gives it to those who
work on arrays. Without one, a process is alone: rank 0 of 1.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import numpy

from minidl.backend import cuda_is_available
from minidl.distributed.mpi import MPIGroup
from minidl.distributed.nccl import NCCLGroup
from minidl.errors import explain
from minidl.tensor import Tensor, require_tensors

TIMEOUT = timedelta(minutes=30)  # PyTorch's


class ReduceOp:
    """How `all_reduce` joins the numbers of all ranks."""

    SUM = "sum"
    PRODUCT = "prod"
    MIN = "min"
    MAX = "max"


class Work(Protocol):
    """A message under way: what a verb with `async_op=True` returns. Its array must be left alone until `wait`."""

    def is_completed(self) -> bool:
        """Whether it has arrived. To ask moves it on."""

    def wait(self) -> None:
        """Return when the result is in the array. DistBackendError: a rank does not come."""


class Group(Protocol):
    """What carries the verbs, on arrays in place: MPIGroup, NCCLGroup."""

    backend: str
    rank: int
    size: int
    timeout: float  # seconds that a rank waits for the others

    def all_reduce(self, array: Any, op: str = ReduceOp.SUM, *, apart: bool = False) -> Work:
        """`apart`: on a channel of its own, so that its order among all other messages is free."""

    def broadcast(self, array: Any, src: int) -> Work: ...

    def all_gather(self, out: Any, array: Any) -> Work: ...

    def barrier(self) -> Work: ...

    def close(self) -> None: ...


_group: Group | None = None


def current_group() -> Group | None:
    """The group, for those who work on arrays; None where there is none."""
    return _group


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process has no group: what runs here, the others need not run."""
    global _group
    _group, before = None, _group
    try:
        yield
    finally:
        _group = before


def is_available() -> bool:
    """Whether a backend is installed here: mpi4py, or CuPy with a GPU."""
    return importlib.util.find_spec("mpi4py") is not None or cuda_is_available()


def init_process_group(
    backend: str = "mpi",
    init_method: str | None = None,
    timeout: timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
) -> None:
    """Join the group of all processes. Every process calls it once, before the other verbs.

    backend         "mpi": the processes that `mpiexec -n K` started, through mpi4py; arrays of a GPU go by the host.
                    "nccl": one GPU each, through CuPy. It has run on one GPU; there were never several.
    init_method     for "nccl": where rank 0 can be reached, "tcp://HOST:PORT"; else $MASTER_ADDR and $MASTER_PORT
    timeout         how long a rank waits for the others before it gives up: 30 minutes
    world_size, rank    for "nccl", else $WORLD_SIZE and $RANK (or mpiexec's own). MPI knows them

    ValueError: another backend, or numbers that contradict mpiexec's. RuntimeError: a second call, or a backend that is
    missing here.
    """
    global _group
    if _group is not None:
        raise RuntimeError(explain("init_process_group", "trying to initialize the default process group twice!"))
    seconds = (TIMEOUT if timeout is None else timeout).total_seconds()
    if backend == "mpi":
        group: Group = MPIGroup(seconds)
        for name, given, known in (("world_size", world_size, group.size), ("rank", rank, group.rank)):
            if given not in (-1, known):
                group.close()
                help = "leave it out: `mpiexec -n K` decides"
                raise ValueError(explain("init_process_group", f"{name} is {given}, and MPI says {known}", help=help))
    elif backend == "nccl":
        group = NCCLGroup(seconds, init_method, world_size, rank, get_node_local_rank(-1))
    else:
        raise ValueError(
            explain("init_process_group", f"unknown backend {backend!r}", help='"mpi", or "nccl" between GPUs')
        )
    _group = group


def destroy_process_group() -> None:
    """Leave the group. Every process calls it, after the last verb. RuntimeError without a group."""
    global _group
    group, _group = _joined("destroy_process_group"), None
    group.close()


def is_initialized() -> bool:
    """Whether this process has joined a group."""
    return _group is not None


def get_rank() -> int:
    """The number of this process; 0 where there is no group."""
    return 0 if _group is None else _group.rank


def get_world_size() -> int:
    """How many processes there are; 1 where there is no group."""
    return 1 if _group is None else _group.size


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number of this process among those on its machine, as mpiexec or torchrun tells it.

    RuntimeError where nobody does, and there is no `fallback_rank`.
    """
    for variable in ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"):
        if os.environ.get(variable, "").isdecimal():
            return int(os.environ[variable])
    if fallback_rank is None:
        raise RuntimeError(explain("get_node_local_rank", "neither $LOCAL_RANK nor mpiexec's variables are set"))
    return fallback_rank


def get_backend() -> str:
    """The name of what carries the messages. RuntimeError without a group."""
    return _joined("get_backend").backend


# --------------------------------------------------------------------------------------------------------- the verbs


def all_reduce(tensor: Tensor, op: str = ReduceOp.SUM, *, async_op: bool = False) -> Work | None:
    """Make `tensor`, in place, the sum (product, minimum, maximum) of the `tensor`s of all ranks, the same in each.

    async_op    return at once, with the Work to wait for

    RuntimeError: no group, or a tensor with a history; ValueError: another op. DistBackendError: a rank does not come.
    """
    if op not in (ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX):
        raise ValueError(explain("all_reduce", f"op is one of ReduceOp.SUM, PRODUCT, MIN and MAX, got {op!r}"))
    return _under_way(_joined("all_reduce").all_reduce(_plain("all_reduce", tensor), op), async_op)


def broadcast(tensor: Tensor, src: int = 0, *, async_op: bool = False) -> Work | None:
    """Make `tensor`, in place, that of rank `src`. Errors as in `all_reduce`; ValueError: no such rank."""
    group = _joined("broadcast")
    if not 0 <= src < group.size:
        raise ValueError(explain("broadcast", f"src is a rank from 0 to {group.size - 1}, got {src!r}"))
    return _under_way(group.broadcast(_plain("broadcast", tensor), src), async_op)


def all_gather_into_tensor(output_tensor: Tensor, input_tensor: Tensor, *, async_op: bool = False) -> Work | None:
    """Fill `output_tensor` (K n, ...) or (K, n, ...) with the `input_tensor`s (n, ...) of all ranks, in their order.

    Errors as in `all_reduce`; ValueError where the output has another dtype or not K times as many elements.
    """
    group = _joined("all_gather_into_tensor")
    out, array = _plain("all_gather_into_tensor", output_tensor), _plain("all_gather_into_tensor", input_tensor)
    if out.size != group.size * array.size or out.dtype != array.dtype:
        operands = {"output_tensor": output_tensor, "input_tensor": input_tensor}
        rule = (
            f"the output must have the input's dtype and {group.size} times as many elements, one input for each rank"
        )
        raise ValueError(explain("all_gather_into_tensor", rule, operands))
    return _under_way(group.all_gather(out, array), async_op)


def barrier(*, async_op: bool = False) -> Work | None:
    """Return when every rank has come here."""
    return _under_way(_joined("barrier").barrier(), async_op)


def gather_texts(text: str) -> list[str]:
    """The `text` of every rank, in their order, on every rank. For messages, not for data."""
    group = _joined("gather_texts")
    words = numpy.frombuffer(text.encode(), numpy.uint8)
    lengths = numpy.zeros(group.size, numpy.int64)
    group.all_gather(lengths, numpy.array([len(words)])).wait()
    padded = numpy.zeros(max(int(lengths.max()), 1), numpy.uint8)
    padded[: len(words)] = words
    rows = numpy.zeros((group.size, len(padded)), numpy.uint8)
    group.all_gather(rows, padded).wait()
    return [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]


def _joined(where: str) -> Group:
    if _group is None:
        raise RuntimeError(
            explain(
                where,
                "Default process group has not been initialized, please make sure to call init_process_group.",
                help='minidl.distributed.init_process_group("mpi"), in a program that `mpiexec -n K` started',
            )
        )
    return _group


def _plain(where: str, tensor: Tensor) -> Any:
    """The array of a tensor that may be written into."""
    require_tensors(where, tensor=tensor)
    if tensor.grad_fn is not None:
        raise RuntimeError(
            explain(
                where,
                "writes into its tensor, and this one is the result of recorded operations",
                {"tensor": tensor},
                help="all_reduce(x.detach()): the exchange itself is not differentiated",
            )
        )
    return tensor.data


def _under_way(work: Work, async_op: bool) -> Work | None:
    if async_op:
        return work
    work.wait()
    return None

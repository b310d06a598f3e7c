"""DistributedDataParallel: one model on many processes, each with its part of the batch.

    model = DistributedDataParallel(Net())         # in every process, after minidl.distributed.init_process_group
    loss_fn(model(inputs), labels).backward()      # each .grad is now the mean over all processes
    optimizer.step()                               # so every process takes the same step

Where every process has as many samples, and the loss is their mean, that is the gradient of the whole batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from minidl.backend import array_module, on_device_of
from minidl.distributed.group import Group, current_group
from minidl.errors import explain
from minidl.function import Function
from minidl.grad_mode import is_grad_enabled
from minidl.nn.gradient_buckets import buckets_of
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


class DistributedDataParallel(Module):
    """`module`, whose gradients are averaged over all processes while backward runs.

    broadcast_buffers       before each forward in training, the running statistics become those of rank 0
    bucket_cap_mb           gradients travel in messages of so many megabytes
    find_unused_parameters  parameters may lack a gradient, not the same ones on each rank: the graph is searched for
                            them after each forward
    device_ids              what PyTorch's users write; it must be the device that the module is on

    At first every process gets the parameters and buffers of rank 0. What the averages travel in is in
    gradient_buckets.py. Gradients are added up over several backwards inside `no_sync()`.

    RuntimeError: there is no process group, no parameter requires a gradient, or the ranks have other models; in
    forward, where a parameter got no gradient since the last one. ValueError: another device.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        *,
        bucket_cap_mb: float = 25.0,
        find_unused_parameters: bool = False,
    ):
        super().__init__()
        group = current_group()
        if group is None:
            raise RuntimeError(
                explain(
                    "DistributedDataParallel",
                    "there is no process group",
                    help='minidl.distributed.init_process_group("mpi") first, in a program that `mpiexec -n K` started',
                )
            )
        learnt = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not learnt:
            raise RuntimeError(
                explain(
                    "DistributedDataParallel",
                    "is not needed when a module doesn't have any parameters that require a gradient",
                )
            )
        _check_devices(device_ids, learnt[0])
        if dim:
            raise ValueError(explain("DistributedDataParallel", f"the batch is dimension 0, got dim={dim}"))
        self.module = module
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self._group = group
        _check_same_everywhere(group, module)
        _broadcast(group, [*module.parameters(), *module.buffers()])

        self._synchronizing = True
        self._buckets = buckets_of(learnt, bucket_cap_mb * (1 << 20))
        self._bucket_of = {id(parameter): bucket for bucket in self._buckets for parameter in bucket.parameters}
        self._sent = len(self._buckets)  # how many buckets have left; all of them: no backward is awaited
        self._handles = [parameter.register_post_accumulate_grad_hook(self._arrived) for parameter in learnt]

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if self.training and self.broadcast_buffers and self._synchronizing:
            self.sync_buffers()
        outputs = self.module(*inputs, **kwargs)
        if self.training and is_grad_enabled() and self._synchronizing:
            self._await_gradients(outputs)
        return outputs

    def sync_buffers(self) -> None:
        """Make the buffers, such as running statistics, those of rank 0."""
        _broadcast(self._group, list(self.module.buffers()))

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients stay where they are; the first backward after it averages all that was added up."""
        before, self._synchronizing = self._synchronizing, False
        try:
            yield
        finally:
            self._synchronizing = before

    # ------------------------------------------------------------------------------------------ while backward runs

    def _await_gradients(self, outputs: Any) -> None:
        late = [name for name, parameter in self.module.named_parameters() if self._is_late(parameter)]
        if late and self._sent < len(self._buckets) and len(late) < len(self._bucket_of):
            raise RuntimeError(_unfinished(late))
        for bucket in self._buckets:
            bucket.begin()
        self._sent = 0
        if self.find_unused_parameters:
            used = _nodes_behind(outputs)
            for bucket in self._buckets:
                for parameter in bucket.parameters:
                    if parameter.gradient_edge()[0] not in used:
                        bucket.take(parameter)  # on another rank it may be used
            self._send_full_ones()
            self._finish_if_last()

    def _is_late(self, parameter: Parameter) -> bool:
        bucket = self._bucket_of.get(id(parameter))
        return bucket is not None and id(parameter) in bucket.waiting

    def _arrived(self, parameter: Any) -> None:
        """Backward has added to the `.grad` of `parameter`: the last one that arrives waits for all messages."""
        if not self._synchronizing:
            return
        bucket = self._bucket_of[id(parameter)]
        if id(parameter) not in bucket.waiting:
            raise RuntimeError(
                explain(
                    "DistributedDataParallel",
                    "a gradient arrived twice since the last forward, and was averaged already",
                    {"parameter": parameter},
                    help="one backward for each forward; `with model.no_sync():` around all but the last adds them up",
                )
            )
        bucket.take(parameter)
        self._send_full_ones()
        self._finish_if_last()

    def _finish_if_last(self) -> None:
        if self._sent == len(self._buckets):
            for bucket in self._buckets:
                bucket.give_back(1 / self._group.size)

    def _send_full_ones(self) -> None:
        """Those that are full, in one order on every rank. The question whether one has arrived moves MPI on."""
        for bucket in self._buckets[: self._sent]:
            assert bucket.work is not None
            bucket.work.is_completed()
        while self._sent < len(self._buckets) and not self._buckets[self._sent].waiting:
            self._buckets[self._sent].send(self._group)
            self._sent += 1


def _nodes_behind(outputs: Any) -> set[Function]:
    """Every node of the graph that the Tensors in `outputs` were made by."""
    found: set[Function] = set()
    stack = [tensor.gradient_edge()[0] for tensor in _tensors_in(outputs)]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack.extend(edge[0] for edge in node.edges)
    return found


def _tensors_in(outputs: Any) -> Iterable[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, (tuple, list)):
        for each in outputs:
            yield from _tensors_in(each)
    elif isinstance(outputs, dict):
        yield from _tensors_in(list(outputs.values()))


def _broadcast(group: Group, tensors: list[Tensor]) -> None:
    """Make `tensors` those of rank 0: one message for each dtype and device."""
    for kind in dict.fromkeys((tensor.dtype, tensor.device) for tensor in tensors):
        arrays = [tensor.data for tensor in tensors if (tensor.dtype, tensor.device) == kind]
        with on_device_of(arrays):
            flat = array_module(arrays[0]).concatenate([array.reshape(-1) for array in arrays])
            group.broadcast(flat, 0).wait()
            if group.rank == 0:
                continue
            start = 0
            for array in arrays:
                array[...] = flat[start : start + array.size].reshape(array.shape)
                start += array.size


def _check_same_everywhere(group: Group, module: Module) -> None:
    """RuntimeError: the models of the ranks have other parameters."""
    words = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in module.state_dict().items()]
    checksums = numpy.zeros(group.size, numpy.int64)
    group.all_gather(checksums, numpy.array([zlib.crc32("\n".join(words).encode())])).wait()
    others = [rank for rank, checksum in enumerate(checksums.tolist()) if checksum != checksums[0]]
    if others:
        raise RuntimeError(
            explain(
                "DistributedDataParallel",
                f"the model of rank 0 has other parameters or shapes than that of rank {', '.join(map(str, others))}",
                help="every process builds the same network",
            )
        )


def _check_devices(device_ids: Any, parameter: Parameter) -> None:
    if device_ids is None:
        return
    ours = parameter.device
    if len(device_ids) != 1 or str(device_ids[0]) not in (str(ours), str(ours.index)):
        help = "move the model first: model.to(device); or leave device_ids out"
        rule = f"the module is on {ours}, and device_ids is {device_ids!r}"
        raise ValueError(explain("DistributedDataParallel", rule, help=help))


def _unfinished(late: list[str]) -> str:
    names = ", ".join(late[:5]) + (f", ... ({len(late)} of them)" if len(late) > 5 else "")
    return explain(
        "DistributedDataParallel",
        "Expected to have finished reduction in the prior iteration before starting a new one: since the last forward "
        f"no gradient has arrived at {names}",
        help="find_unused_parameters=True, if forward does not use all parameters each time",
    )

"""A training on many processes: each takes its part of every batch, and all of them take the same step.

With K processes and batches of n images, process k computes the loss of n_k of them. The gradient of the whole batch is
the mean over the processes of those of K n_k / n times their losses, and that mean is what DistributedDataParallel
leaves in `.grad`. So, up to rounding, the weights are those of a single process, whatever K is, unless something looks
at the batch or draws numbers: batch norm whose statistics are not synchronised (nn.SyncBatchNorm), and dropout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy

from minidl.backend import default_generator
from minidl.data import DataLoader, ShardedBatchSampler
from minidl.distributed.group import alone, current_group, gather_texts
from minidl.errors import explain
from minidl.nn import Module, SyncBatchNorm
from minidl.nn.parallel import DistributedDataParallel
from minidl.optim import Optimizer
from minidl.tensor import Tensor
from minidl.training.loop import Training
from minidl.training.metrics import Evaluation, Loss, evaluate
from minidl.training.nonfinite import NOT_FOUND


class ShardedTraining(Training):
    """A Training that all processes of a group run at once, with the same arguments but for their parts of the data.

    train_loader    a DataLoader with a ShardedBatchSampler, of the same seed on every rank
    test_loader     this rank's part of the test images; each rank has at least one

    Loss, accuracy and history are those of all ranks. `stop` on one of them stops all after the same step. What a
    process draws (dropout) depends on (seed, step, rank), so nothing of it has to be saved; with synchronised batch
    norm not on the rank, since then all must run the same layers. A checkpoint of rank 0 holds everything, and
    a Training or a ShardedTraining on any number of processes goes on from it.

    RuntimeError: no process group. TypeError: another train_loader.
    """

    test_may_break_off = False  # the others would wait for the part of this rank

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss_fn: Loss,
        train_loader: DataLoader,
        test_loader: Iterable,
        epochs: int,
        **options: Any,
    ):
        group = current_group()
        if group is None:
            raise RuntimeError(explain("ShardedTraining", "there is no process group"))
        sampler = getattr(train_loader, "batch_sampler", None)
        if not isinstance(sampler, ShardedBatchSampler):
            raise TypeError(explain("ShardedTraining", "train_loader is a DataLoader with a ShardedBatchSampler"))
        super().__init__(model, optimizer, loss_fn, train_loader, test_loader, epochs, **options)
        self.group = group
        self.same_numbers = any(isinstance(module, SyncBatchNorm) for module in model.modules())
        self._sizes = sampler.sizes()  # of the whole batches
        self._whole = 0  # images in the one under way, on all ranks

    @cached_property
    def replica(self) -> DistributedDataParallel:
        """The model that a step calls. Made at the first one, when every rank has come."""
        return DistributedDataParallel(self.model, find_unused_parameters=True)

    def batches(self) -> Iterator[Any]:
        for number, batch in enumerate(super().batches(), self.position.batch):
            self._whole = self._sizes[number]
            yield batch

    def train_step(self, inputs: Tensor, labels: Tensor) -> None:
        rank = 0 if self.same_numbers else self.group.rank
        default_generator.numpy = numpy.random.default_rng((self.train_loader.seed, self.position.step, rank))  # type: ignore[attr-defined]
        super().train_step(inputs, labels)

    def scores_of(self, inputs: Tensor) -> Any:
        return self.replica(inputs)

    def backward(self, loss: Tensor, count: int) -> None:
        (loss * (count * self.group.size / self._whole)).backward()

    def result_of(self, loss: Tensor, right: Tensor, count: int) -> tuple[float, Any, int]:
        total, right_of_all, images = self._added(loss.item() * count, right.item(), count)
        return total / images, int(right_of_all), int(images)

    def should_stop(self) -> bool:
        """Whether a rank wants to: every one of them asks, after each step."""
        wanted = self._added(float(self.stop))[0] > 0
        if wanted:  # never back to False: a signal may have come in the meantime
            self.stop = True
        return wanted

    def test(self) -> Evaluation:
        """Each rank tests its part, with the running statistics of rank 0."""
        self.replica.sync_buffers()
        mine = evaluate(self.model, self.test_loader, self.loss_fn)
        confusion = mine.confusion.astype(numpy.int64)
        images = int(confusion.sum())
        self.group.all_reduce(confusion).wait()
        loss, count = self._added((mine.loss or 0.0) * images, images)
        return Evaluation(float(confusion.trace() / confusion.sum()), confusion, loss / count)

    def _added(self, *numbers: float) -> list[float]:
        """Each number, summed over all ranks."""
        sums = numpy.array(numbers, numpy.float64)
        self.group.all_reduce(sums).wait()
        return sums.tolist()

    def where_it_began(self, inputs: Tensor, labels: Tensor) -> str:
        """Each rank looks into its own part of the batch, and the first that finds something says so on all of them."""
        with alone(), self.replica.no_sync():
            mine = super().where_it_began(inputs, labels)
        texts = gather_texts(mine)
        return next((f"on rank {rank}, {text}" for rank, text in enumerate(texts) if text != NOT_FOUND), NOT_FOUND)

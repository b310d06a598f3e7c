"""Samplers for many processes: which part of the data each of them sees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from minidl.data.sampler import BatchSampler, Sampler, order_of
from minidl.distributed.group import get_rank, get_world_size
from minidl.errors import explain


class DistributedSampler(Sampler):
    """The indices of this rank: every `num_replicas`-th of an order that all ranks share, a new one in each epoch.

    num_replicas, rank      how many ranks there are, and which this is: those of the process group
    shuffle                 a random order, which depends on `seed` and the epoch only; else 0, 1, 2, ...
    drop_last               leave out what cannot be shared out equally; else the first indices are given out again

    A DataLoader tells it the epoch; whoever iterates over it otherwise says `set_epoch(epoch)` before each one, which
    then counts. Each rank sees as many samples, so some may be seen twice: ShardedBatchSampler does not need that.

    ValueError: no such rank.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        self.dataset = dataset
        self.num_replicas, self.rank = _place("DistributedSampler", num_replicas, rank)
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self._set_epoch: int | None = None

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the one whose order comes next."""
        self._set_epoch = epoch

    def order(self, seed: int, epoch: int) -> list[int]:
        """The seed of the loader does not count: every rank must have the same."""
        epoch = epoch if self._set_epoch is None else self._set_epoch
        count = len(self.dataset)
        order = self._numbers(0, epoch).permutation(count).tolist() if self.shuffle else list(range(count))
        if count:
            order *= -(-self.total_size // count)
        return order[: self.total_size][self.rank :: self.num_replicas]

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(0, 0))

    @property
    def num_samples(self) -> int:
        """How many indices each rank gets."""
        count = len(self.dataset) / self.num_replicas
        return math.floor(count) if self.drop_last else math.ceil(count)

    @property
    def total_size(self) -> int:
        return self.num_samples * self.num_replicas

    def __len__(self) -> int:
        return self.num_samples


class ShardedBatchSampler(Sampler):
    """This rank's part of each batch of `batches`, a BatchSampler: every `num_replicas`-th index of it.

    The parts of all ranks together are the batches that a single process would see, whatever the number of ranks; they
    may differ in size by one. Every rank's loader must have the same seed.

    ValueError: no such rank, or a batch with fewer samples than there are ranks.
    """

    def __init__(self, batches: BatchSampler, num_replicas: int | None = None, rank: int | None = None):
        self.batches = batches
        self.num_replicas, self.rank = _place("ShardedBatchSampler", num_replicas, rank)
        smallest = min(self.sizes(), default=self.num_replicas)
        if smallest < self.num_replicas:
            raise ValueError(
                explain(
                    "ShardedBatchSampler",
                    f"a batch of {smallest} samples cannot be shared out to {self.num_replicas} ranks",
                    help="another batch size; the last batch of an epoch has what is left over",
                )
            )

    def sizes(self) -> list[int]:
        """The number of samples of each whole batch."""
        size, total = self.batches.batch_size, len(self.batches.sampler)
        return [min(size, total - number * size) for number in range(len(self.batches))]

    def order(self, seed: int, epoch: int) -> list[list]:
        return [batch[self.rank :: self.num_replicas] for batch in order_of(self.batches, seed, epoch)]

    def __len__(self) -> int:
        return len(self.batches)


def _place(where: str, num_replicas: int | None, rank: int | None) -> tuple[int, int]:
    replicas = get_world_size() if num_replicas is None else num_replicas
    rank = get_rank() if rank is None else rank
    if not 0 <= rank < replicas:
        raise ValueError(explain(where, f"Invalid rank {rank}, rank should be in the interval [0, {replicas - 1}]"))
    return replicas, rank

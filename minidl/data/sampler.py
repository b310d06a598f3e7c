"""Samplers: in which order a loader goes through its dataset.

The order of an epoch is a function of (seed, epoch): `sampler.order(seed, epoch)`. So a training that is resumed sees
what it would have seen, and `loader.seed` is all that has to be remembered. `for index in sampler` works as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy

from minidl.backend import Generator, default_generator
from minidl.errors import explain
from minidl.tensor import Tensor


class Sampler:
    """Base class of samplers: `__iter__` gives the indices of an epoch, `__len__` says how many.

    A sampler of one's own that defines `order(seed, epoch)` instead of `__iter__` takes part in resuming exactly. One
    with `set_epoch(epoch)` is told the epoch before each.
    """

    seed: int | None = None  # its own, where it was given a generator: then the loader's does not count
    epoch = 0

    def order(self, seed: int, epoch: int) -> list:
        raise NotImplementedError(f"{type(self).__name__} defines neither order nor __iter__")

    def __iter__(self) -> Iterator[Any]:
        order = self.order(_draw_seed(default_generator), self.epoch)
        self.epoch += 1
        return iter(order)

    def _numbers(self, seed: int, epoch: int) -> numpy.random.Generator:
        return numpy.random.default_rng((seed if self.seed is None else self.seed, epoch))


class SequentialSampler(Sampler):
    """0, 1, ... len(data_source) - 1."""

    def __init__(self, data_source: Any):
        self.data_source = data_source

    def order(self, seed: int = 0, epoch: int = 0) -> list[int]:
        return list(range(len(self.data_source)))

    def __iter__(self) -> Iterator[int]:
        return iter(self.order())  # draws nothing

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """The indices of `data_source` in random order; with `replacement`, each drawn from all of them.

    `num_samples` of them, by default as many as there are; without replacement, more than that begin a new round.
    ValueError: num_samples below 1, or nothing to draw from.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        if num_samples is not None:
            _check_count("RandomSampler", "num_samples", num_samples)
        if not len(data_source):
            raise ValueError(explain("RandomSampler", "cannot shuffle a dataset without samples"))
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.seed = None if generator is None else _draw_seed(generator)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self, seed: int, epoch: int) -> list[int]:
        numbers, total, count = self._numbers(seed, epoch), len(self.data_source), self.num_samples
        if self.replacement:
            return numbers.integers(total, size=count).tolist()
        rounds = [numbers.permutation(total) for _ in range(-(-count // total))]
        return numpy.concatenate(rounds)[:count].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """These indices, in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices = indices
        self.seed = None if generator is None else _draw_seed(generator)

    def order(self, seed: int, epoch: int) -> list[int]:
        return [self.indices[i] for i in self._numbers(seed, epoch).permutation(len(self.indices)).tolist()]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """`num_samples` indices; index i is drawn with a probability proportional to weights[i].

    For classes of unequal size: with weights 1 / (samples in its class), each class is drawn equally often.
    ValueError: negative weights or none above 0, or too few of those above 0 to draw without replacement.
    """

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        _check_count("WeightedRandomSampler", "num_samples", num_samples)
        self.weights = numpy.asarray(weights.numpy() if isinstance(weights, Tensor) else weights, numpy.float64)
        possible = int((self.weights > 0).sum())
        if self.weights.ndim != 1 or not possible or not (numpy.isfinite(self.weights) & (self.weights >= 0)).all():
            raise ValueError(
                explain(
                    "WeightedRandomSampler",
                    "weights must be a 1-d sequence of finite numbers >= 0, not all of them 0",
                    {"weights": self.weights},
                )
            )
        if not replacement and num_samples > possible:
            raise ValueError(
                explain(
                    "WeightedRandomSampler",
                    f"cannot draw {num_samples} samples without replacement: only {possible} have a weight above 0",
                )
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.seed = None if generator is None else _draw_seed(generator)

    def order(self, seed: int, epoch: int) -> list[int]:
        share = self.weights / self.weights.sum()
        return self._numbers(seed, epoch).choice(len(share), self.num_samples, self.replacement, share).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The indices of `sampler` in lists of `batch_size`; with `drop_last`, without a last one that is not full."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool):
        _check_count("BatchSampler", "batch_size", batch_size)
        self.sampler = sampler
        self.batch_size = int(batch_size)
        self.drop_last = drop_last

    def order(self, seed: int, epoch: int) -> list[list]:
        return self._lists(order_of(self.sampler, seed, epoch))

    def __iter__(self) -> Iterator[list]:
        return iter(self._lists(list(self.sampler)))

    def _lists(self, order: list) -> list[list]:
        lists = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        return lists[:-1] if self.drop_last and lists and len(lists[-1]) < self.batch_size else lists

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full + (rest > 0 and not self.drop_last)


def order_of(sampler: Any, seed: int, epoch: int) -> list:
    """What `sampler` gives in epoch number `epoch`: its order, or whatever it iterates over."""
    if isinstance(sampler, Sampler) and type(sampler).order is not Sampler.order:
        return sampler.order(seed, epoch)
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    return list(sampler)


def _check_count(where: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, numpy.integer)) or value < 1:
        raise ValueError(explain(where, f"{name} should be a positive integer value, but got {name}={value!r}"))


def _draw_seed(generator: Generator) -> int:
    return int(generator.numpy.integers(2**63))

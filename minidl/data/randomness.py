"""The random numbers of samples (where to crop, whether to flip): they derive from (seed, epoch, index), nothing else.

So neither the number of workers nor the order in which they finish, nor the batch that a sample lies in, changes what
it looks like. A generator per sample would cost 15 microseconds each; here a number is a hash of its position instead,
and a whole batch of them is drawn at once:

    key of a sample       mix(mix(mix(seed) + epoch g) + index g)
    its t-th number       mix(key + t g)                              t = 1, 2, ...

mix: the finaliser of SplitMix64, and g its increment. Integers are modulo 2^64.
Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, fig. 16 and 17.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from statistics import NormalDist
from typing import Any

import numpy

from minidl.backend import default_generator

INCREMENT = 0x9E3779B97F4A7C15  # 2^64 / the golden ratio, made odd
LIMIT = 2**64
NORMAL = NormalDist()


class Draws:
    """Random numbers for N samples at once: each call gives an array of N, one number for each sample.

    Sample n sees the same numbers whether it is drawn for alone or in a batch, as long as the calls are the same: a
    transform must never let what an image holds decide how often it calls.
    """

    def __init__(self, keys: numpy.ndarray | None, size: int | None = None):
        self._keys = keys  # (N,) uint64; None: from the default generator, once a number is wanted
        self._size = len(keys) if keys is not None else size or 0
        self._calls = 0

    def __len__(self) -> int:
        return self._size

    def bits(self) -> numpy.ndarray:
        """64 random bits: (N,) uint64."""
        if self._keys is None:
            self._keys = default_generator.numpy.integers(LIMIT, size=self._size, dtype=numpy.uint64)
        self._calls += 1
        return _mix(self._keys + numpy.uint64(self._calls * INCREMENT % LIMIT))

    def uniform(self, low: Any = 0.0, high: Any = 1.0) -> numpy.ndarray:
        """Numbers with low <= u < high: (N,) float64. `low` and `high` may be arrays (N,)."""
        return low + (high - low) * ((self.bits() >> numpy.uint64(11)) * 2.0**-53)

    def integers(self, low: Any, high: Any) -> numpy.ndarray:
        """Ints with low <= i < high: (N,) int64. `low` and `high` may be arrays (N,)."""
        return low + numpy.floor(self.uniform() * (high - low)).astype(numpy.int64)

    def normal(self, deviation: float = 1.0) -> numpy.ndarray:
        """Normally distributed numbers with mean 0: (N,) float64."""
        # u + 2^-54 is never 0. One by one: NumPy's logarithms may round differently in long arrays and short ones.
        return numpy.array([deviation * NORMAL.inv_cdf(u) for u in (self.uniform() + 2.0**-54).tolist()])

    def permutation(self, count: int) -> numpy.ndarray:
        """0 ... count - 1 in a random order: (N, count)."""
        return numpy.stack([self.bits() for _ in range(count)], axis=1).argsort(axis=1, kind="stable")

    def row(self, row: int) -> Draws:
        """The numbers of sample `row` alone, as if no other had been there and nothing drawn yet."""
        if self._keys is None:
            return Draws(None, 1)
        return Draws(self._keys[row : row + 1])

    def each(self) -> Iterator[Draws]:
        """New numbers for every sample alone, in their order. Counts as one call here."""
        keys = self.bits()
        return (Draws(keys[row : row + 1]) for row in range(len(self)))

    def spawn(self, count: int) -> Draws:
        """New numbers for `count` things that belong to the first sample. Counts as one call here."""
        return Draws(_mix(self.bits()[:1] + _times_increment(numpy.arange(count))))


def sample_keys(seed: int, epoch: int, indices: Sequence[Any] | numpy.ndarray) -> numpy.ndarray:
    """A key for each sample of an epoch, `indices` being those of the whole epoch in order: (len(indices),) uint64.

    A sample that occurs again in the epoch (drawn with replacement) gets another key than the first time. Indices that
    are no ints, as a dataset of one's own may have, count as 0, 1, 2, ...
    """
    numbers = numpy.asarray(indices)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        numbers = numpy.arange(len(indices))
    start = _mix(_mix(numpy.array([seed % LIMIT], numpy.uint64)) + _times_increment(numpy.array([epoch])))
    keys = _mix(start + _times_increment(numbers))
    again = _occurrences(numbers)
    repeated = again > 0
    keys[repeated] = _mix(keys[repeated] + _times_increment(again[repeated]))
    return keys


_current: ContextVar[Draws | None] = ContextVar("minidl_draws", default=None)


@contextmanager
def drawing_from(draws: Draws) -> Iterator[None]:
    """Inside, the transforms that are called on this thread draw from `draws`."""
    token = _current.set(draws)
    try:
        yield
    finally:
        _current.reset(token)


def current_draws(count: int = 1) -> Draws:
    """Where to draw from now, for `count` images: from what the loader provides, else from the default generator."""
    draws = _current.get()
    if draws is None:
        return Draws(None, count)
    return draws if len(draws) == count else draws.spawn(count)


def _occurrences(numbers: numpy.ndarray) -> numpy.ndarray:
    """How often each number occurred before: [5, 3, 5, 5] -> [0, 0, 1, 2]."""
    order = numpy.argsort(numbers, kind="stable")
    ranked = numbers[order]
    first = numpy.flatnonzero(numpy.r_[True, ranked[1:] != ranked[:-1]][: len(ranked)])  # where a new number begins
    run = numpy.arange(len(ranked)) - numpy.repeat(first, numpy.diff(numpy.r_[first, len(ranked)]))
    counts = numpy.empty(len(numbers), numpy.int64)
    counts[order] = run
    return counts


def _times_increment(numbers: numpy.ndarray) -> numpy.ndarray:
    return numbers.astype(numpy.uint64) * numpy.uint64(INCREMENT)


def _mix(z: numpy.ndarray) -> numpy.ndarray:
    """Every bit of the result depends on every bit of z; one to one. z: (N,) uint64."""
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))

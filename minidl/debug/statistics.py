"""What is known of an array at a glance: its range, mean and deviation, and how much of it is zero or not a number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy

from minidl.backend import CPU, array_module, float64, on_cpu, on_device_of, transfer
from minidl.parallel import parallel_map, slices

BINS = 32
SAMPLE = 1 << 11  # numbers that a histogram looks at
PIECE = 1 << 19  # numbers: they stay in the cores' common cache, and threads hardly wait for each other's Python


@dataclass(frozen=True)
class Statistics:
    """Of the finite numbers of an array: smallest, largest, mean and standard deviation (NaN where there are none).

    size        how many numbers there are
    zeros, nans, infs       how many of them are zero, not a number, infinite
    sample      the finite numbers, or of many of them evenly spread ones
    histogram   how many of the sample fall into each of BINS equal parts of min..max
    """

    size: int
    min: float
    max: float
    mean: float
    std: float
    zeros: int
    nans: int
    infs: int
    sample: Any = field(repr=False, compare=False)

    @cached_property
    def histogram(self) -> tuple[int, ...]:
        return _histogram(self.sample, self.min, self.max)

    @property
    def is_finite(self) -> bool:
        return not self.nans and not self.infs

    @property
    def zero_share(self) -> float:
        return self.zeros / self.size if self.size else 0.0

    @property
    def largest(self) -> float:
        """The largest absolute value; infinity and NaN count as such."""
        if self.nans:
            return math.nan
        if self.infs:
            return math.inf
        return max(abs(self.min), abs(self.max)) if self.size else 0.0


def statistics(array: Any) -> Statistics:
    """The Statistics of a NumPy or CuPy array of any dtype; bools count as 0 and 1."""
    with on_device_of((array,)), numpy.errstate(all="ignore"):
        flat = array.ravel(order="K")
        if flat.dtype.kind != "f":
            flat = flat.astype(float64)
        low, high, total, squares, zeros = _sums(flat)
        nans = infs = 0
        finite = flat
        if not (math.isfinite(low) and math.isfinite(high)):
            xp = array_module(flat)
            nans, infs = int(xp.isnan(flat).sum()), int(xp.isinf(flat).sum())
            finite = flat[xp.isfinite(flat)]
            low, high, total, squares, _ = _sums(finite)
        if not finite.size:
            return Statistics(flat.size, math.nan, math.nan, math.nan, math.nan, zeros, nans, infs, finite)
        mean = total / finite.size
        variance = squares / finite.size - mean * mean
        # The difference of two large numbers has no digits left, and float32 overflows: then once more, exactly.
        if not variance > 1e-3 * squares / finite.size:
            wide = finite.astype(float64)
            mean, variance = float(wide.mean()), float(wide.var())
        step = finite.size // SAMPLE | 1  # odd: an even one may meet the same column of each image
        sample = transfer(finite[::step].copy(), CPU)  # which keeps the array alive no longer
        return Statistics(flat.size, low, high, mean, math.sqrt(variance), zeros, nans, infs, sample)


def _sums(flat: Any) -> tuple[float, float, float, float, int]:
    """min, max, sum, sum of squares and number of zeros, in one pass through main memory."""
    if not flat.size:
        return math.nan, math.nan, 0.0, 0.0, 0
    if flat.size <= PIECE or not on_cpu(flat):
        return _of_piece(flat)
    parts = parallel_map(lambda piece: _of_piece(flat[piece]), slices(flat.size, PIECE), numbers=flat.size)
    lows, highs, totals, squares, zeros = zip(*parts, strict=True)
    return (
        float(numpy.min(lows)),  # not Python's min, which passes over NaN
        float(numpy.max(highs)),
        math.fsum(totals) if all(map(math.isfinite, totals)) else math.nan,
        math.fsum(squares) if all(map(math.isfinite, squares)) else math.nan,
        sum(zeros),
    )


def _of_piece(piece: Any) -> tuple[float, float, float, float, int]:
    xp = array_module(piece)
    zeros = int(xp.count_nonzero(piece == 0))
    ones = _ones(piece.dtype)[: piece.size] if on_cpu(piece) else xp.ones_like(piece)
    total = xp.dot(piece, ones)  # in half the time of sum()
    return float(piece.min()), float(piece.max()), float(total), float(xp.dot(piece, piece)), zeros


@cache
def _ones(dtype: Any) -> Any:
    return numpy.ones(PIECE, dtype)


def _histogram(sample: Any, low: float, high: float) -> tuple[int, ...]:
    if not sample.size:
        return (0,) * BINS
    wide = sample.astype(float64)
    if high > low and math.isfinite(high - low):
        numbers = ((wide - low) * (BINS / (high - low))).astype(int).clip(0, BINS - 1)
    else:
        numbers = (wide * 0).astype(int) + BINS // 2  # all alike: in the middle
    return tuple(int(count) for count in numpy.bincount(numbers, minlength=BINS))

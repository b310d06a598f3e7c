"""Does a claim show? A stated rule decides, on the differences within each seed; no sentence here knows the answer.

A claim is about a difference d that should be above a threshold (mostly 0), measured once for each of n seeds:

    mean d +- t s / sqrt(n)         s: standard deviation of the n differences
                                    t: 97.5 % point of Student's distribution with n - 1 degrees of freedom

Errors are counted in images. Two seeds may give the very same count, and an interval without width would then call it
certain: so s is at least `step`, what one image makes.

It shows where this whole 95 % interval lies above the threshold; its opposite shows where all of it lies below; else
the experiment cannot tell. Student, "The Probable Error of a Mean", Biometrika 6, 1908.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

CONFIDENCE = 0.95
SHOWS, OPPOSITE, OPEN = "shows", "the opposite shows", "does not show"

RULE = (
    "A claim shows where the whole 95\u00a0% interval of the mean difference lies on its side "
    "(Student's t, a difference for each seed, whose deviation counts as that of one image at least)."
)


@dataclass(frozen=True)
class Claim:
    """What the lecture says, and the numbers that decide it.

    text            the claim, in one sentence without full stop
    what            what is subtracted from what
    differences     one for each seed; above `threshold` they speak for the claim
    step            what one image more or less makes; 0 for what is not counted in images
    exact           counted, not measured: the same for every seed, and no matter of chance
    """

    text: str
    what: str
    differences: tuple[float, ...]
    unit: str = "points"
    step: float = 0.0
    threshold: float = 0.0
    exact: bool = False


@dataclass(frozen=True)
class Verdict:
    """A claim with its answer, and the 95 % interval of the mean difference."""

    claim: Claim
    answer: str
    mean: float
    low: float
    high: float

    @property
    def numbers(self) -> str:
        """test error, one net minus 7: +2.31 points; 95 % interval +1.9 to +2.7, 5 seeds"""
        claim, count = self.claim, len(self.claim.differences)
        value = f"{claim.what}: {_number(self.mean)} {claim.unit}".rstrip() if claim.what else ""
        if claim.exact:
            return value
        if count < 2:
            return f"{value}; one seed says nothing about chance"
        limit = f" (to be above {_number(claim.threshold)})" if claim.threshold else ""
        return f"{value}{limit}; 95\u00a0% interval {_number(self.low)} to {_number(self.high)}, {count} seeds"

    def __str__(self) -> str:
        """The answer in one line."""
        return f"{self.answer}: {self.claim.text}" + (f" ({self.numbers})" if self.numbers else "")

    def as_record(self) -> dict[str, Any]:
        """For JSON, where an interval of one seed, which has no end, is null."""
        ends = {
            name: value if math.isfinite(value) else None for name, value in (("low", self.low), ("high", self.high))
        }
        return asdict(self.claim) | {"answer": self.answer, "mean": self.mean, **ends, "words": str(self)}


def judge(claim: Claim) -> Verdict:
    """Decide by the rule. ValueError: a claim without differences."""
    values = claim.differences
    if not values:
        raise ValueError(f"the claim {claim.text!r} has no differences")
    mean = math.fsum(values) / len(values)
    half = 0.0 if claim.exact else half_width(values, claim.step)
    low, high = mean - half, mean + half
    answer = SHOWS if low > claim.threshold else OPPOSITE if high < claim.threshold else OPEN
    return Verdict(claim, answer, mean, low, high)


def half_width(values: Sequence[float], step: float = 0.0) -> float:
    """Half of the 95 % interval of the mean; infinite for one value."""
    if len(values) < 2:
        return math.inf
    error = max(standard_error(values), step / math.sqrt(len(values)))
    return student_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * error


def standard_error(values: Sequence[float]) -> float:
    """Of the mean: s / sqrt(n), s with n - 1; nan for one value."""
    count = len(values)
    if count < 2:
        return math.nan
    mean = math.fsum(values) / count
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)


def student_quantile(probability: float, freedom: int) -> float:
    """Where Student's distribution with `freedom` >= 1 degrees reaches `probability` >= 1/2: bisection."""
    low, high = 0.0, 1.0
    while _student(high, freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student(middle, freedom) < probability else (low, middle)
    return high


def _student(t: float, freedom: int) -> float:
    """The distribution function at t >= 0. Abramowitz & Stegun, 26.7.3 and 26.7.4: a finite sum of cosines."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 + odd, freedom, 2):  # freedom odd: cos + 2/3 cos^3 + ...; even: 1 + 1/2 cos^2 + ...
        total += term
        term *= k / (k + 1) * cosine**2
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + inside) / 2


def _number(value: float) -> str:
    """+3.2, -0.05, +0: with its sign, and three figures where it is small."""
    if abs(value) >= 99.95:
        return f"{value:+,.0f}"
    return f"{value:+.1f}" if abs(value) >= 9.95 else f"{value:+.2f}" if value else "0"

"""What one line of the list says about an operation, and the arrays that the lines are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

from minidl.function import Function


@dataclass(frozen=True)
class OpSample:
    """One way to call one operation.

    op          the Function that must appear in the graph of the result
    call        the public verb as a path below `minidl`, which is the same below `torch`: "nn.functional.conv2d"
    arrays      its inputs: a tuple (by position) or a dict (by name) of arrays; floats get a gradient. A list of
                arrays stays a list; None stays None
    options     its keywords; an array among them becomes a tensor without gradient
    naive       the same on NumPy arrays in plain loops: naive(*arrays, **options) -> array or tuple of arrays
    name        tells the samples of one op apart in a test's name
    seeded      the call draws random numbers: it is seeded with 0 each time
    no_torch    why this sample cannot be compared with PyTorch
    """

    op: type[Function]
    call: str
    arrays: tuple | dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    naive: Callable[..., Any] | None = None
    name: str = ""
    seeded: bool = False
    no_torch: str = ""

    def __str__(self) -> str:
        verb = self.call.rpartition(".")[2]
        return f"{self.op.__name__}-{verb}" + (f"-{self.name}" if self.name else "")


@dataclass(frozen=True)
class HandComputed:
    """An example small enough to be worked out by hand, which a naive loop must reproduce."""

    naive: Callable[..., Any]
    arrays: tuple
    options: dict[str, Any]
    expected: Any


def normal(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Draws from N(0, 1), in float64."""
    return rng.standard_normal(shape)


def positive(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Draws from [0.5, 2): for logarithms, roots and divisors."""
    return rng.uniform(0.5, 2.0, shape)


def distinct(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Values at least 0.1 apart from each other, and none within 0.05 of 0: for kinks, ties and maxima."""
    count = int(numpy.prod(shape))
    values = (numpy.arange(count) - count // 2) * 0.1 + 0.05
    return rng.permutation(values).reshape(shape)

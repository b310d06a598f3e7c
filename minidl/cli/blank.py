"""Networks to be counted and measured only: their random weights are not drawn, which would take most of the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from minidl.backend import default_generator


@contextmanager
def undrawn() -> Iterator[None]:
    """Inside, a draw is the middle of its distribution, so weights are 0. The stream of numbers stays where it is."""
    drawn = default_generator.numpy
    default_generator.numpy = _Middle(numpy.random.PCG64(0))
    try:
        yield
    finally:
        default_generator.numpy = drawn


class _Middle(numpy.random.Generator):
    """Gives one number as often as asked for, in memory for one."""

    def random(self, size: Any = None, dtype: Any = numpy.float64, out: Any = None) -> Any:
        return numpy.broadcast_to(numpy.asarray(0.5, dtype), size or ())

    def standard_normal(self, size: Any = None, dtype: Any = numpy.float64, out: Any = None) -> Any:
        return numpy.broadcast_to(numpy.asarray(0, dtype), size or ())

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return numpy.full(size or (), loc)

"""Dropout: naive loops, examples by hand, samples."""

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, normal

rng = numpy.random.default_rng(12)


def drop(x, p, mask_shape):
    """Zeros where the draw that belongs to an element is below p, from the stream that manual_seed(0) starts."""
    draws = numpy.random.default_rng(0).random(mask_shape, dtype=numpy.float32)
    y = numpy.zeros_like(x)
    for index in numpy.ndindex(x.shape):
        of_mask = tuple(i if size > 1 else 0 for i, size in zip(index, mask_shape, strict=True))
        if draws[of_mask] >= p:
            y[index] = x[index] / (1 - p)
    return y


def dropout(x, p=0.5):
    return drop(x, p, x.shape)


def dropout1d(x, p=0.5):
    return drop(x, p, x.shape[:-1] + (1,))


def dropout2d(x, p=0.5):
    return drop(x, p, x.shape[:2] + (1, 1))


# The stream starts 0.85, 0.64, 0.51, 0.27, 0.31, 0.04
HAND_COMPUTED = [
    HandComputed(dropout, (numpy.array([1.0, 2.0, 3.0, 4.0]),), {}, numpy.array([2.0, 4.0, 6.0, 0.0])),
    HandComputed(dropout, (numpy.array([1.0, 2.0, 3.0, 4.0]),), {"p": 0.75}, numpy.array([4.0, 0.0, 0.0, 0.0])),
    HandComputed(
        dropout1d, (numpy.array([[1.0, 2.0], [3.0, 4.0]]),), {"p": 0.75}, numpy.array([[4.0, 8.0], [0.0, 0.0]])
    ),
    HandComputed(
        dropout2d,
        (numpy.arange(8.0).reshape(1, 4, 1, 2),),
        {},
        2 * numpy.array([[[[0, 1]], [[2, 3]], [[4, 5]], [[0, 0]]]]),
    ),
]

SAMPLES = [
    OpSample(ops.Dropout, f"nn.functional.{naive.__name__}", (x,), options, naive, name, True, "random")
    for naive, x, options, name in (
        (dropout, normal(rng, 4, 5), {}, ""),
        (dropout, normal(rng, 2, 3, 2, 3), {"p": 0.2}, "images"),
        (dropout1d, normal(rng, 3, 4, 2), {"p": 0.6}, ""),
        (dropout1d, normal(rng, 4, 3), {}, "unbatched"),
        (dropout2d, normal(rng, 3, 4, 2, 3), {}, ""),
        (dropout2d, normal(rng, 2, 5, 3, 2), {"p": 0.3}, "seldom"),
    )
]

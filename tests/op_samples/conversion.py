"""Copies: naive loops, examples by hand, samples. Cast and Transfer are in tests/test_conversion.py."""

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, normal

rng = numpy.random.default_rng(12)


def clone(x):
    y = numpy.empty_like(x)
    for index in numpy.ndindex(x.shape):
        y[index] = x[index]
    return y


HAND_COMPUTED = [HandComputed(clone, (numpy.array([1.0, -2.0]),), {}, numpy.array([1.0, -2.0]))]

SAMPLES = [
    OpSample(ops.Clone, "clone", (normal(rng, 2, 3),), naive=clone),
    OpSample(ops.Clone, "Tensor.clone", (numpy.array(0.7),), naive=clone, name="scalar"),
]

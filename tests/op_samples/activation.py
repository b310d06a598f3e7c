"""Activations: naive loops, examples by hand, samples."""

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, distinct

rng = numpy.random.default_rng(3)


def elementwise(scalar):
    """A naive oracle from a function of one number."""

    def naive(x, **options):
        y = numpy.empty_like(x)
        for index in numpy.ndindex(x.shape):
            y[index] = scalar(float(x[index]), **options)
        return y

    return naive


relu = elementwise(lambda x: x if x > 0 else 0.0)

HAND_COMPUTED = [
    HandComputed(relu, (numpy.array([-2.0, 0.0, 3.0]),), {}, numpy.array([0.0, 0.0, 3.0])),
]

SAMPLES = [
    OpSample(ops.ReLU, "nn.functional.relu", (distinct(rng, 3, 4),), naive=relu),
    OpSample(ops.ReLU, "relu", (distinct(rng, 5),), naive=relu, name="vector"),
    OpSample(ops.ReLU, "Tensor.relu", (distinct(rng, 2, 3, 4),), naive=relu, name="method"),
]

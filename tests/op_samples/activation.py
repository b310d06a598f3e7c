"""Activations: naive loops, examples by hand, samples."""

import math

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, distinct, normal

rng = numpy.random.default_rng(3)


def elementwise(scalar):
    """A naive oracle from a function of one number."""

    def naive(x, **options):
        y = numpy.empty_like(x)
        for index in numpy.ndindex(x.shape):
            y[index] = scalar(float(x[index]), **options)
        return y

    return naive


def scalar_gelu(x, approximate="none"):
    if approximate == "tanh":
        return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + math.erf(x / math.sqrt(2)))


def scalar_elu(x, alpha=1.0):
    return x if x > 0 else alpha * (math.exp(x) - 1)


def scalar_softplus(x, beta=1.0, threshold=20.0):
    return x if beta * x > threshold else math.log(1 + math.exp(beta * x)) / beta


def along(vector_function):
    """A naive oracle from a function of a list of numbers, which is applied along `dim`."""

    def naive(x, dim):
        y = numpy.empty_like(x)
        rows = numpy.moveaxis(x, dim, -1)
        for index in numpy.ndindex(rows.shape[:-1]):
            numpy.moveaxis(y, dim, -1)[index] = vector_function([float(value) for value in rows[index]])
        return y

    return naive


def vector_softmax(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


relu = elementwise(lambda x: x if x > 0 else 0.0)
relu6 = elementwise(lambda x: min(max(x, 0.0), 6.0))
leaky_relu = elementwise(lambda x, negative_slope=0.01: x if x > 0 else negative_slope * x)
elu = elementwise(scalar_elu)
selu = elementwise(lambda x: 1.0507009873554805 * scalar_elu(x, 1.6732632423543772))
gelu = elementwise(scalar_gelu)
silu = elementwise(lambda x: x / (1 + math.exp(-x)))
softplus = elementwise(scalar_softplus)
sigmoid = elementwise(lambda x: 1 / (1 + math.exp(-x)))
tanh = elementwise(lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)))
hardtanh = elementwise(lambda x, min_val=-1.0, max_val=1.0: min(max(x, min_val), max_val))
hardsigmoid = elementwise(lambda x: 0.0 if x < -3 else 1.0 if x > 3 else x / 6 + 1 / 2)
hardswish = elementwise(lambda x: 0.0 if x < -3 else x if x > 3 else x * (x + 3) / 6)
softmax = along(vector_softmax)
log_softmax = along(lambda values: [math.log(p) for p in vector_softmax(values)])

ln2, ln3, ln5 = math.log(2), math.log(3), math.log(5)


def by_hand(naive, x, y, **options):
    return HandComputed(naive, (numpy.array(x),), options, numpy.array(y))


HAND_COMPUTED = [
    by_hand(relu, [-2.0, 0.0, 3.0], [0.0, 0.0, 3.0]),
    by_hand(relu6, [-2.0, 3.0, 7.0], [0.0, 3.0, 6.0]),
    by_hand(leaky_relu, [-2.0, 0.0, 3.0], [-0.5, 0.0, 3.0], negative_slope=0.25),
    by_hand(elu, [-ln2, 0.0, 3.0], [-1.0, 0.0, 3.0], alpha=2.0),
    by_hand(selu, [-ln2, 0.0, 2.0], [-0.8790496704236883, 0.0, 2.101401974710961]),
    by_hand(gelu, [-1.0, 0.0, 1.0], [-0.15865525393145707, 0.0, 0.8413447460685429]),  # 15.87 % lie below -1
    by_hand(gelu, [-100.0, 0.0, 100.0], [0.0, 0.0, 100.0], approximate="tanh"),
    by_hand(silu, [-ln3, 0.0, ln3], [-ln3 / 4, 0.0, ln3 * 3 / 4]),
    by_hand(softplus, [0.0, ln3 / 2, 30.0], [ln2 / 2, ln2, 30.0], beta=2.0),
    by_hand(softplus, [0.0, ln3], [ln2, ln3], threshold=1.0),
    by_hand(sigmoid, [-ln3, 0.0, ln3], [0.25, 0.5, 0.75]),
    by_hand(tanh, [0.0, ln2], [0.0, 0.6]),  # (2 - 1/2) / (2 + 1/2)
    by_hand(hardtanh, [-2.0, 0.5, 3.0], [-1.0, 0.5, 2.0], max_val=2.0),
    by_hand(hardsigmoid, [-4.0, 0.0, 1.5, 4.0], [0.0, 0.5, 0.75, 1.0]),
    by_hand(hardswish, [-4.0, 0.0, 1.5, 4.0], [0.0, 0.0, 1.125, 4.0]),
    by_hand(softmax, [[0.0], [ln2], [ln5]], [[1 / 8], [2 / 8], [5 / 8]], dim=0),
    by_hand(log_softmax, [[0.0, 0.0], [ln3, 0.0]], [[-ln2, -ln2], [ln3 - 2 * ln2, -2 * ln2]], dim=1),
]

F = "nn.functional."
wide = 10 * distinct(rng, 4, 5)  # -9.5 .. 9.5 in steps of 1: past the kinks at 6 and 3, and never on one

SAMPLES = [
    OpSample(ops.ReLU, "nn.functional.relu", (distinct(rng, 3, 4),), naive=relu),
    OpSample(ops.ReLU, "relu", (distinct(rng, 5),), naive=relu, name="vector"),
    OpSample(ops.ReLU, "Tensor.relu", (distinct(rng, 2, 3, 4),), naive=relu, name="method"),
    OpSample(ops.Hardtanh, F + "relu6", (wide,), naive=relu6),
    OpSample(ops.Hardtanh, F + "hardtanh", (3 * distinct(rng, 3, 6),), naive=hardtanh),
    OpSample(ops.Hardtanh, F + "hardtanh", (wide,), {"min_val": -4.0, "max_val": 2}, naive=hardtanh, name="bounds"),
    OpSample(ops.LeakyReLU, F + "leaky_relu", (distinct(rng, 3, 4),), naive=leaky_relu),
    OpSample(
        ops.LeakyReLU,
        F + "leaky_relu",
        (distinct(rng, 2, 3, 2),),
        {"negative_slope": -0.5},
        naive=leaky_relu,
        name="negative",
    ),
    OpSample(ops.ELU, F + "elu", (distinct(rng, 5, 4),), naive=elu),
    OpSample(ops.ELU, F + "elu", (2 * distinct(rng, 12),), {"alpha": 0.4}, naive=elu, name="alpha"),
    OpSample(ops.ELU, F + "elu", (distinct(rng, 12),), {"alpha": -2.0}, naive=elu, name="negative-alpha"),
    OpSample(ops.ELU, F + "selu", (2 * distinct(rng, 3, 5),), naive=selu),
    OpSample(ops.GELU, F + "gelu", (2 * normal(rng, 4, 6),), naive=gelu),
    OpSample(ops.GELU, F + "gelu", (2 * normal(rng, 4, 6),), {"approximate": "tanh"}, naive=gelu, name="tanh"),
    OpSample(ops.SiLU, F + "silu", (3 * normal(rng, 4, 5),), naive=silu),
    OpSample(ops.Softplus, F + "softplus", (3 * normal(rng, 4, 5),), naive=softplus),
    OpSample(
        ops.Softplus, F + "softplus", (distinct(rng, 20),), {"beta": 3, "threshold": 1.0}, naive=softplus, name="beta"
    ),
    OpSample(ops.Sigmoid, F + "sigmoid", (3 * normal(rng, 4, 5),), naive=sigmoid),
    OpSample(ops.Sigmoid, "sigmoid", (normal(rng, 2, 1, 3),), naive=sigmoid, name="verb"),
    OpSample(ops.Sigmoid, "Tensor.sigmoid", (normal(rng, 7),), naive=sigmoid, name="method"),
    OpSample(ops.Tanh, F + "tanh", (2 * normal(rng, 4, 5),), naive=tanh),
    OpSample(ops.Tanh, "tanh", (normal(rng, 2, 1, 3),), naive=tanh, name="verb"),
    OpSample(
        ops.Hardsigmoid, F + "hardsigmoid", (wide,), naive=hardsigmoid, no_torch="its gradient is float32's 1 / 6"
    ),
    OpSample(ops.Hardswish, F + "hardswish", (wide,), naive=hardswish),
    OpSample(ops.Softmax, F + "softmax", (2 * normal(rng, 3, 5),), {"dim": 1}, naive=softmax),
    OpSample(ops.Softmax, F + "softmax", (2 * normal(rng, 2, 3, 4),), {"dim": -2}, naive=softmax, name="middle"),
    OpSample(ops.Softmax, "softmax", (normal(rng, 4),), {"dim": 0}, naive=softmax, name="vector"),
    OpSample(ops.Softmax, "Tensor.softmax", (normal(rng, 3, 2),), {"dim": 0}, naive=softmax, name="method"),
    OpSample(ops.LogSoftmax, F + "log_softmax", (2 * normal(rng, 3, 5),), {"dim": 1}, naive=log_softmax),
    OpSample(
        ops.LogSoftmax, F + "log_softmax", (2 * normal(rng, 2, 3, 4),), {"dim": -2}, naive=log_softmax, name="middle"
    ),
    OpSample(ops.LogSoftmax, "log_softmax", (normal(rng, 4),), {"dim": 0}, naive=log_softmax, name="vector"),
]

"""Reductions: naive loops, examples by hand, samples."""

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, distinct, normal

rng = numpy.random.default_rng(11)


def reduction(scalar):
    """A naive oracle from a function of a list of numbers."""

    def naive(x, dim=None, keepdim=False, **options):
        dims = range(x.ndim) if dim in (None, ()) else [d % x.ndim for d in (dim if isinstance(dim, tuple) else (dim,))]
        lines = {}
        for index in numpy.ndindex(x.shape):  # every element goes to the line of its result
            place = tuple(0 if d in dims else i for d, i in enumerate(index))
            lines.setdefault(place, []).append(float(x[index]))
        y = numpy.zeros([1 if d in dims else size for d, size in enumerate(x.shape)])
        for place, values in lines.items():
            y[place] = scalar(values, **options)
        return y if keepdim else y.reshape([size for d, size in enumerate(x.shape) if d not in dims])

    return naive


def variance(values, correction=1, unbiased=None):
    correction = correction if unbiased is None else int(unbiased)
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - correction)


def product(values):
    y = 1.0
    for value in values:
        y *= value
    return y


total = reduction(sum)
mean = reduction(lambda values: sum(values) / len(values))
var = reduction(variance)
std = reduction(lambda values, **options: variance(values, **options) ** 0.5)
largest = reduction(max)
smallest = reduction(min)
prod = reduction(product)
where_largest = reduction(lambda values: values.index(max(values)))
where_smallest = reduction(lambda values: values.index(min(values)))


def max_along(x, dim, keepdim=False):
    return largest(x, dim, keepdim), where_largest(x, dim, keepdim).astype("int64")


def min_along(x, dim, keepdim=False):
    return smallest(x, dim, keepdim), where_smallest(x, dim, keepdim).astype("int64")


def cumsum(x, dim):
    y = numpy.zeros(x.shape)
    for index in numpy.ndindex(x.shape):
        for i in range(index[dim] + 1):
            before = list(index)
            before[dim] = i
            y[index] += x[tuple(before)]
    return y


MATRIX = numpy.array([[1.0, 5.0, 3.0], [4.0, 0.0, 2.0]])

HAND_COMPUTED = [
    HandComputed(total, (MATRIX,), {}, numpy.array(15.0)),
    HandComputed(total, (MATRIX,), {"dim": 0}, numpy.array([5.0, 5.0, 5.0])),
    HandComputed(mean, (MATRIX,), {"dim": -1, "keepdim": True}, numpy.array([[3.0], [2.0]])),
    # The deviations are -2, 2, 0 and 2, -2, 0: 8 / (3 - 1).
    HandComputed(var, (MATRIX,), {"dim": 1}, numpy.array([4.0, 4.0])),
    HandComputed(var, (MATRIX,), {"dim": 1, "correction": 0}, numpy.array([8 / 3, 8 / 3])),
    HandComputed(std, (MATRIX,), {"dim": 1}, numpy.array([2.0, 2.0])),
    HandComputed(largest, (MATRIX,), {"dim": 1}, numpy.array([5.0, 4.0])),
    HandComputed(smallest, (MATRIX,), {"dim": 1}, numpy.array([1.0, 0.0])),
    HandComputed(max_along, (MATRIX, 1), {}, (numpy.array([5.0, 4.0]), numpy.array([1, 0]))),
    HandComputed(min_along, (MATRIX, 1), {}, (numpy.array([1.0, 0.0]), numpy.array([0, 1]))),
    HandComputed(prod, (MATRIX,), {"dim": 1}, numpy.array([15.0, 0.0])),
    HandComputed(cumsum, (MATRIX, 1), {}, numpy.array([[1.0, 6.0, 9.0], [4.0, 4.0, 6.0]])),
]


def x(*shape):
    return (normal(rng, *shape),)


def kinked(*shape):
    return (distinct(rng, *shape),)


WITH_ZEROS = numpy.array([[0.0, 2.0, -3.0, 1.5], [0.0, 0.5, 0.0, 4.0], [1.0, -2.0, 3.0, 0.5]])

SAMPLES = [
    OpSample(ops.Sum, "sum", x(2, 3, 4), naive=total),
    OpSample(ops.Sum, "sum", x(2, 3, 4), {"dim": (0, -1)}, total, "dims"),
    OpSample(ops.Sum, "Tensor.sum", x(3, 4), {"dim": 0, "keepdim": True}, total, "keepdim"),
    OpSample(ops.Sum, "sum", x(), naive=total, name="scalar"),
    OpSample(ops.Mean, "mean", x(2, 3, 4), naive=mean),
    OpSample(ops.Mean, "mean", x(2, 3, 4), {"dim": (1, 2), "keepdim": True}, mean, "dims"),
    OpSample(ops.Mean, "Tensor.mean", x(3, 4), {"dim": -1}, mean, "method"),
    OpSample(ops.Var, "var", x(3, 4), naive=var),
    OpSample(ops.Var, "var", x(2, 3, 4), {"dim": (0, 2), "correction": 0, "keepdim": True}, var, "dims"),
    OpSample(ops.Var, "Tensor.var", x(3, 4), {"dim": 1, "unbiased": False}, var, "method"),
    OpSample(ops.Std, "std", x(3, 4), naive=std),
    OpSample(ops.Std, "std", x(2, 3, 4), {"dim": (0, 2), "correction": 2}, std, "dims"),
    OpSample(ops.Std, "Tensor.std", x(3, 4), {"dim": 0, "keepdim": True}, std, "method"),
    OpSample(ops.Max, "max", kinked(2, 3, 4), {"dim": 1}, max_along),
    OpSample(ops.Max, "Tensor.max", kinked(3, 4), {"dim": -1, "keepdim": True}, max_along, "keepdim"),
    OpSample(ops.Min, "min", kinked(2, 3, 4), {"dim": 0}, min_along),
    OpSample(ops.Min, "Tensor.min", kinked(3, 4), {"dim": -1, "keepdim": True}, min_along, "keepdim"),
    OpSample(ops.Amax, "amax", kinked(2, 3, 4), {"dim": (0, 2)}, largest),
    OpSample(ops.Amax, "amax", kinked(3, 4), {"dim": 1, "keepdim": True}, largest, "keepdim"),
    OpSample(ops.Amax, "max", kinked(3, 4), naive=largest),
    OpSample(ops.Amin, "amin", kinked(2, 3, 4), {"dim": (1, 2), "keepdim": True}, smallest),
    OpSample(ops.Amin, "Tensor.amin", kinked(3, 4), {"dim": 0}, smallest, "method"),
    OpSample(ops.Amin, "min", kinked(3, 4), naive=smallest),
    OpSample(ops.Prod, "prod", x(2, 3), naive=prod),
    OpSample(ops.Prod, "prod", x(2, 3, 4), {"dim": 1, "keepdim": True}, prod, "dim"),
    OpSample(ops.Prod, "prod", (WITH_ZEROS,), {"dim": 1}, prod, "zeros"),  # one, two and none in a row
    OpSample(ops.Prod, "Tensor.prod", (WITH_ZEROS[:1],), {}, prod, "one zero"),
    OpSample(ops.CumSum, "cumsum", x(2, 3, 4), {"dim": 1}, cumsum),
    OpSample(ops.CumSum, "Tensor.cumsum", x(3, 4), {"dim": -1}, cumsum, "method"),
]

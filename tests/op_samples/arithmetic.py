"""Arithmetic with broadcasting: naive loops, examples by hand, samples."""

import math

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, distinct, normal, positive

rng = numpy.random.default_rng(1)


def element(array, index):
    """The element of `array` that a broadcast result reads at `index`: dimensions of size 1 stay at 0."""
    array = numpy.asarray(array)
    own = index[len(index) - array.ndim :]
    return array[tuple(0 if size == 1 else i for i, size in zip(own, array.shape, strict=True))].item()


def elementwise(scalar):
    """A naive oracle from a function of one number for each operand."""

    def naive(*operands, **options):
        numbers = {name: value for name, value in options.items() if not isinstance(value, numpy.ndarray)}
        arrays = {name: value for name, value in options.items() if isinstance(value, numpy.ndarray)}
        shapes = [numpy.shape(operand) for operand in (*operands, *arrays.values())]
        y = numpy.empty(numpy.broadcast_shapes(*shapes))
        for index in numpy.ndindex(y.shape):
            named = {name: element(array, index) for name, array in arrays.items()}
            y[index] = scalar(*(element(operand, index) for operand in operands), **named, **numbers)
        return y

    return naive


def clamp_number(x, min=None, max=None):
    if min is not None and x < min:
        x = min
    if max is not None and x > max:
        x = max
    return x


add = elementwise(lambda input, other, alpha=1: input + alpha * other)
sub = elementwise(lambda input, other, alpha=1: input - alpha * other)
reversed_sub = elementwise(lambda input, other: other - input)
mul = elementwise(lambda input, other: input * other)
div = elementwise(lambda input, other: input / other)
reversed_div = elementwise(lambda input, other: other / input)
power = elementwise(lambda input, exponent: input**exponent)
reversed_power = elementwise(lambda input, other: other**input)
neg = elementwise(lambda x: -x)
exp = elementwise(math.exp)
log = elementwise(math.log)
sqrt = elementwise(math.sqrt)
absolute = elementwise(lambda x: x if x > 0 else -x)
maximum = elementwise(lambda input, other: input if input > other else other)
minimum = elementwise(lambda input, other: input if input < other else other)
clamp = elementwise(clamp_number)
where = elementwise(lambda condition, input, other: input if condition else other)

row = numpy.array([1.0, 2.0])
column = numpy.array([[1.0], [4.0]])

HAND_COMPUTED = [
    HandComputed(add, (row, column), {}, numpy.array([[2.0, 3.0], [5.0, 6.0]])),
    HandComputed(add, (row,), {"other": 3.0, "alpha": 2}, numpy.array([7.0, 8.0])),
    HandComputed(sub, (row, column), {}, numpy.array([[0.0, 1.0], [-3.0, -2.0]])),
    HandComputed(sub, (row, row), {"alpha": 3}, numpy.array([-2.0, -4.0])),
    HandComputed(reversed_sub, (row,), {"other": 3.0}, numpy.array([2.0, 1.0])),
    HandComputed(mul, (row, column), {}, numpy.array([[1.0, 2.0], [4.0, 8.0]])),
    HandComputed(div, (row, column), {}, numpy.array([[1.0, 2.0], [0.25, 0.5]])),
    HandComputed(reversed_div, (row,), {"other": 3.0}, numpy.array([3.0, 1.5])),
    HandComputed(power, (row, column), {}, numpy.array([[1.0, 2.0], [1.0, 16.0]])),
    HandComputed(power, (row,), {"exponent": -1}, numpy.array([1.0, 0.5])),
    HandComputed(power, (-row,), {"exponent": numpy.array([3.0, 2.0])}, numpy.array([-1.0, 4.0])),
    HandComputed(reversed_power, (row,), {"other": 3.0}, numpy.array([3.0, 9.0])),
    HandComputed(neg, (row,), {}, numpy.array([-1.0, -2.0])),
    HandComputed(exp, (numpy.array([0.0, math.log(2)]),), {}, numpy.array([1.0, 2.0])),
    HandComputed(log, (numpy.array([1.0, math.e]),), {}, numpy.array([0.0, 1.0])),
    HandComputed(sqrt, (numpy.array([4.0, 0.25]),), {}, numpy.array([2.0, 0.5])),
    HandComputed(absolute, (numpy.array([-2.0, 3.0]),), {}, numpy.array([2.0, 3.0])),
    HandComputed(maximum, (row, column), {}, numpy.array([[1.0, 2.0], [4.0, 4.0]])),
    HandComputed(minimum, (row, column), {}, numpy.array([[1.0, 1.0], [1.0, 2.0]])),
    HandComputed(clamp, (numpy.array([-2.0, 0.5, 3.0]),), {"min": -1, "max": 1}, numpy.array([-1.0, 0.5, 1.0])),
    HandComputed(clamp, (numpy.array([-2.0, 0.5, 3.0]),), {"max": 1}, numpy.array([-2.0, 0.5, 1.0])),
    HandComputed(where, (numpy.array([True, False]), row, column), {}, numpy.array([[1.0, 1.0], [1.0, 4.0]])),
    HandComputed(where, (numpy.array([True, False]), row), {"other": 9.0}, numpy.array([1.0, 9.0])),
]

# What two operands can look like; the result of each pair has a shape of its own.
SHAPES = {
    "same": ((2, 3), (2, 3)),
    "outer": ((3, 1), (1, 4)),
    "vector_left": ((4,), (3, 4)),
    "vector_right": ((2, 3, 4), (4,)),
    "middle": ((2, 1, 3), (4, 1)),
    "scalar_left": ((), (2, 3)),
    "scalar_right": ((3, 2), ()),
    "scalars": ((), ()),
    "single": ((1, 1), (3,)),
}


def pairs(op, call, naive, draw):
    """A sample for each pair of shapes. The shift keeps two `distinct` operands apart, whatever is broadcast."""
    return [
        OpSample(op, call, (draw(rng, *a), numpy.asarray(draw(rng, *b) + 0.03)), naive=naive, name=name)
        for name, (a, b) in SHAPES.items()
    ]


SAMPLES = [
    *pairs(ops.Add, "add", add, distinct),
    *pairs(ops.Sub, "sub", sub, distinct),
    *pairs(ops.Mul, "mul", mul, positive),
    *pairs(ops.Div, "div", div, positive),
    *pairs(ops.Pow, "pow", power, positive),
    *pairs(ops.Maximum, "maximum", maximum, distinct),
    *pairs(ops.Minimum, "minimum", minimum, distinct),
    OpSample(ops.Add, "add", (normal(rng, 3, 2), normal(rng, 2)), {"alpha": -2.5}, add, "alpha"),
    OpSample(ops.Add, "add", (normal(rng, 3),), {"other": 2.0}, add, "number"),
    OpSample(ops.Add, "Tensor.__add__", (normal(rng, 3), normal(rng, 2, 1)), naive=add),
    OpSample(ops.Add, "Tensor.__radd__", (normal(rng, 3),), {"other": 2}, add, "number"),
    OpSample(ops.Sub, "sub", (normal(rng, 2), normal(rng, 3, 1)), {"alpha": 3}, sub, "alpha"),
    OpSample(ops.Sub, "Tensor.__sub__", (normal(rng, 3), normal(rng, 2, 1)), naive=sub),
    OpSample(ops.Sub, "Tensor.__sub__", (normal(rng, 2, 3),), {"other": 2}, sub, "number"),
    OpSample(ops.Sub, "Tensor.__rsub__", (normal(rng, 2, 3),), {"other": 2.5}, reversed_sub, "number"),
    OpSample(ops.Mul, "Tensor.__mul__", (normal(rng, 3), normal(rng, 2, 1)), naive=mul),
    OpSample(ops.Mul, "mul", (normal(rng, 2, 3),), {"other": -3}, mul, "number"),
    OpSample(ops.Mul, "Tensor.__rmul__", (normal(rng, 2, 3),), {"other": 0.3}, mul, "number"),
    OpSample(ops.Div, "Tensor.__truediv__", (normal(rng, 3), positive(rng, 2, 1)), naive=div),
    OpSample(ops.Div, "div", (normal(rng, 2, 3), -positive(rng, 3)), naive=div, name="negative"),
    OpSample(ops.Div, "div", (normal(rng, 2, 3),), {"other": 3}, div, "number"),
    OpSample(ops.Div, "Tensor.__rtruediv__", (positive(rng, 2, 3),), {"other": 2}, reversed_div, "number"),
    *(
        OpSample(ops.Pow, "pow", (positive(rng, 2, 3),), {"exponent": exponent}, power, f"number_{exponent}")
        for exponent in (1, 2, 3, 2.0, 0.5, -1, -1.5)
    ),
    OpSample(ops.Pow, "pow", (-positive(rng, 2, 3),), {"exponent": 2}, power, "negative_base_squared"),
    OpSample(ops.Pow, "pow", (-positive(rng, 2, 3),), {"exponent": 3.0}, power, "negative_base_cubed"),
    OpSample(ops.Pow, "pow", (-positive(rng, 5),), {"exponent": -1}, power, "negative_base_inverse"),
    OpSample(
        ops.Pow,
        "pow",
        (-positive(rng, 2, 5),),
        {"exponent": numpy.array([2.0, 3.0, -1.0, 0.0, 1.0])},
        power,
        "negative_base_tensor",
    ),
    OpSample(ops.Pow, "pow", (positive(rng, 3, 1), numpy.array([2.0, 0.5, 0.0, -1.0])), naive=power, name="exponents"),
    OpSample(ops.Pow, "Tensor.__pow__", (positive(rng, 2, 3), normal(rng, 3)), naive=power),
    OpSample(ops.Pow, "Tensor.__rpow__", (normal(rng, 2, 3),), {"other": 2}, reversed_power, "number"),
    OpSample(ops.Neg, "neg", (normal(rng, 2, 3),), naive=neg),
    OpSample(ops.Neg, "Tensor.__neg__", (numpy.array(0.7),), naive=neg, name="scalar"),
    OpSample(ops.Exp, "exp", (normal(rng, 2, 3),), naive=exp),
    OpSample(ops.Exp, "Tensor.exp", (numpy.array(-0.7),), naive=exp, name="scalar"),
    OpSample(ops.Log, "log", (positive(rng, 2, 3),), naive=log),
    OpSample(ops.Log, "Tensor.log", (numpy.array(0.7),), naive=log, name="scalar"),
    OpSample(ops.Sqrt, "sqrt", (positive(rng, 2, 3),), naive=sqrt),
    OpSample(ops.Sqrt, "Tensor.sqrt", (numpy.array(0.7),), naive=sqrt, name="scalar"),
    OpSample(ops.Abs, "abs", (distinct(rng, 3, 4),), naive=absolute),
    OpSample(ops.Abs, "Tensor.__abs__", (numpy.array(-0.7),), naive=absolute, name="scalar"),
    OpSample(ops.Clamp, "clamp", (distinct(rng, 3, 4),), {"min": -0.2, "max": 0.3}, clamp, "both"),
    OpSample(ops.Clamp, "clamp", (distinct(rng, 3, 4),), {"min": 0}, clamp, "min"),
    OpSample(ops.Clamp, "clamp", (distinct(rng, 3, 4),), {"max": 0.1}, clamp, "max"),
    OpSample(ops.Clamp, "Tensor.clamp", (numpy.array(0.7),), {"min": -1, "max": 1}, clamp, "scalar"),
    OpSample(ops.Where, "where", (normal(rng, 2, 3) > 0, normal(rng, 2, 3), normal(rng, 2, 3)), naive=where),
    OpSample(
        ops.Where,
        "where",
        (numpy.array([[True], [False], [True]]), normal(rng, 4), normal(rng, 2, 1, 1)),
        naive=where,
        name="broadcast",
    ),
    OpSample(
        ops.Where,
        "where",
        (numpy.array([True, False, True]), normal(rng, 3), numpy.array(0.4)),
        naive=where,
        name="scalar",
    ),
    OpSample(
        ops.Where, "where", (numpy.array([False, True, True]), normal(rng, 2, 3)), {"other": 2.5}, where, "number"
    ),
    OpSample(
        ops.Where,
        "where",
        (numpy.array([False, True, True]), -1, normal(rng, 2, 3)),
        naive=where,
        name="number_first",
    ),
]

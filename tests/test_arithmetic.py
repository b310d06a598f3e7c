"""Arithmetic where a gradient check cannot look: ties, bounds, zeros, dtypes; and the verbs without a gradient."""

import math

import numpy
import pytest

import minidl
from minidl.functional import arithmetic as F

nan, inf = math.nan, math.inf


def leaf(*values):
    return minidl.tensor(values, dtype=minidl.float64, requires_grad=True)


def gradients(y, *inputs):
    y.sum().backward()
    return [x.grad.tolist() for x in inputs]


def test_powers_of_zero():
    x = leaf(0.0, 2.0)
    assert gradients(F.pow(x, 0), x) == [[0, 0]]
    x = leaf(0.0, 2.0)
    assert gradients(F.pow(x, 1), x) == [[1, 1]]
    x, exponent = leaf(0.0, 0.0, 0.0, 2.0), leaf(0.0, 1.0, 2.0, 0.0)
    y = F.pow(x, exponent)
    assert y.tolist() == [1, 0, 0, 1]
    assert gradients(y, x, exponent) == [[0, 1, 0, 0], [0, 0, 0, math.log(2)]]
    exponent = leaf(0.0, 1.0, 2.0)
    assert gradients(F.pow(0, exponent), exponent) == [[0, 0, 0]]


def test_equal_operands_share_the_gradient():
    for verb, expected in ((F.maximum, [[0.5, 0, 1], [0.5, 1, 0]]), (F.minimum, [[0.5, 1, 0], [0.5, 0, 1]])):
        a, b = leaf(1.0, 2.0, 3.0), leaf(1.0, 3.0, 2.0)
        assert gradients(verb(a, b), a, b) == expected


def test_gradient_passes_at_the_bounds_of_clamp():
    x = leaf(-2.0, -1.0, 0.0, 1.0, 2.0)
    assert gradients(F.clamp(x, -1, 1), x) == [[0, 1, 1, 1, 0]]
    x = leaf(-1.0, 0.0, 1.0)
    assert gradients(F.clamp(x, min=0), x) == [[0, 1, 1]]
    x = leaf(-1.0, 0.0, 1.0)
    assert gradients(F.clamp(x, max=0), x) == [[1, 1, 0]]


def test_where_keeps_an_infinite_gradient_from_what_was_not_taken():
    a, b, mask = leaf(1.0, 2.0), leaf(3.0, 4.0), minidl.tensor([True, False])
    F.where(mask, a, b).backward(minidl.tensor([inf, -inf], dtype=minidl.float64))
    assert (a.grad.tolist(), b.grad.tolist()) == ([inf, 0], [0, -inf])


def test_absolute_value_at_zero():
    x = leaf(-2.0, 0.0, 3.0)
    assert gradients(F.abs(x), x) == [[-1, 0, 1]]


def test_nan_goes_through_maximum_and_minimum():
    a, b = minidl.tensor([nan, 1.0]), minidl.tensor([1.0, nan])
    assert F.isnan(F.maximum(a, b)).all()
    assert F.isnan(F.minimum(a, b)).all()


def test_one_tensor_on_both_sides():
    x = leaf(3.0, -2.0)
    assert gradients(x * x + x / x - x, x) == [[5, -5]]


def test_dtypes():
    ints, floats = minidl.tensor([1, 2]), minidl.tensor([0.5, 2.0])
    mask = minidl.tensor([True, False])
    for y, dtype, values in (
        (F.add(ints, 1), "int64", [2, 3]),
        (F.add(ints, 1.5), "float32", [2.5, 3.5]),
        (F.add(ints, floats), "float32", [1.5, 4.0]),
        (F.mul(mask, ints), "int64", [1, 0]),
        (F.div(ints, 2), "float32", [0.5, 1.0]),
        (F.div(ints, ints), "float32", [1, 1]),
        (F.pow(ints, 2), "int64", [1, 4]),
        (F.pow(ints, 0.5), "float32", [1, numpy.float32(math.sqrt(2))]),
        (F.pow(2, floats), "float32", [numpy.float32(math.sqrt(2)), 4]),
        (F.sub(1, floats), "float32", [0.5, -1]),
        (F.maximum(ints, floats), "float32", [1, 2]),
        (F.clamp(ints, max=1), "int64", [1, 1]),
        (F.abs(-ints), "int64", [1, 2]),
        (F.where(mask, 1, 2), "int64", [1, 2]),
        (F.where(mask, 1.0, 2), "float32", [1, 2]),
        (F.where(mask, 1, 2.5), "float32", [1, 2.5]),
        (F.where(mask, ints, 2.5), "float32", [1, 2.5]),
        (F.where(mask, ints, floats), "float32", [1, 2]),
        (F.where(mask, floats, 1), "float32", [0.5, 1]),
    ):
        assert (str(y.dtype), y.tolist()) == (dtype, values)


def test_comparisons():
    a, b = minidl.tensor([1.0, 2.0, 3.0]), minidl.tensor([[2.0], [3.0]])
    assert F.eq(a, b).tolist() == [[False, True, False], [False, False, True]]
    assert F.ne(a, b).tolist() == [[True, False, True], [True, True, False]]
    assert F.lt(a, 2).tolist() == [True, False, False]
    assert F.le(a, 2).tolist() == [True, True, False]
    assert F.gt(a, 2.0).tolist() == [False, False, True]
    assert F.ge(a, 2.0).tolist() == [False, True, True]
    assert F.eq(a, minidl.tensor(2)).tolist() == [False, True, False]
    assert F.eq(leaf(1.0), 1).requires_grad is False


def test_special_values():
    x = minidl.tensor([nan, inf, -inf, 0.0])
    assert F.isnan(x).tolist() == [True, False, False, False]
    assert F.isinf(x).tolist() == [False, True, True, False]
    assert F.isfinite(x).tolist() == [False, False, False, True]
    assert F.isnan(minidl.tensor(nan)).item() is True
    assert F.isfinite(minidl.tensor([1, 2])).tolist() == [True, True]


def test_allclose():
    a = minidl.tensor([100.0, 0.0], dtype=minidl.float64)
    assert F.allclose(a, a + 1e-9)
    assert not F.allclose(a, a + 1e-3)
    b = minidl.tensor([101.0, 0.0], dtype=minidl.float64)
    assert F.allclose(a, b, rtol=0.00995)  # the tolerance is a part of the second: 1.00495 is more than 1,
    assert not F.allclose(b, a, rtol=0.00995)  # and 0.995 is less
    assert F.allclose(a, a + 0.5, atol=0.6)
    assert not F.allclose(a * nan, a * nan)
    assert F.allclose(a * nan, a * nan, equal_nan=True)
    assert F.allclose(minidl.ones(3), minidl.ones(1)) is True


def test_equal():
    a = minidl.tensor([1.0, 2.0])
    assert F.equal(a, a.clone()) is True
    assert F.equal(a, a + 1) is False
    assert F.equal(a, a.reshape(1, 2)) is False
    assert F.equal(a * nan, a * nan) is False


@pytest.mark.torch
@pytest.mark.parametrize("verb", ["isnan", "isinf", "isfinite", "neg", "abs", "clone"])
@pytest.mark.parametrize("values", [[1.5, -2.0, nan, inf, -inf, 0.0], [3, -4, 0], 2.5])
def test_unary_verbs_equal_torch(verb, values):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    ours, theirs = getattr(F, verb)(minidl.tensor(values)), getattr(torch, verb)(torch.tensor(values))
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    numpy.testing.assert_array_equal(ours.numpy(), theirs.numpy())

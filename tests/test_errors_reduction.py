"""Reductions at their edges: what is refused, and what comes of ties, zeros and nothing at all."""

import math

import numpy
import pytest

import minidl

X = minidl.zeros(2, 3)
VERBS = ["sum", "mean", "var", "std", "max", "min", "amax", "amin"] + [
    "prod",
    "cumsum",
    "argmax",
    "argmin",
    "all",
    "any",
]


@pytest.mark.parametrize("verb", VERBS)
def test_an_array_is_refused(verb):
    with pytest.raises(TypeError, match=rf"{verb}\(\): argument 'input' must be Tensor, not ndarray"):
        getattr(minidl, verb)(numpy.zeros(3), 0)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("dim", [2, -3])
def test_dim_out_of_range(verb, dim):
    with pytest.raises(IndexError, match=r"Dimension out of range .* \[-2, 1\]"):
        getattr(minidl, verb)(X, dim)


@pytest.mark.parametrize("verb", ["sum", "mean", "var", "std", "amax", "amin"])
def test_dim_twice(verb):
    with pytest.raises(RuntimeError, match="multiple times"):
        getattr(minidl, verb)(X, (0, -2))


@pytest.mark.parametrize("verb", ["mean", "var", "std"])
def test_ints_have_no_mean(verb):
    with pytest.raises(RuntimeError, match="must be floating point"):
        getattr(minidl, verb)(minidl.tensor([1, 2]))


@pytest.mark.parametrize("verb", ["max", "min", "amax", "amin"])
def test_no_extreme_of_nothing(verb):
    with pytest.raises(IndexError, match="without elements"):
        getattr(minidl, verb)(minidl.zeros(2, 0), 1)


@pytest.mark.parametrize("verb", ["argmax", "argmin"])
def test_no_index_of_nothing(verb):
    with pytest.raises(IndexError, match="no elements"):
        getattr(minidl, verb)(minidl.zeros(0))


def test_reductions_of_nothing():
    nothing = minidl.zeros(0, 3)
    assert nothing.sum().item() == 0
    assert nothing.prod().item() == 1
    assert math.isnan(nothing.mean().item())
    assert nothing.mean(1).shape == (0,)
    assert nothing.cumsum(0).shape == (0, 3)


def test_variance_of_too_few_is_nan():
    assert math.isnan(minidl.tensor([2.0]).var().item())
    assert math.isnan(minidl.tensor([2.0]).std().item())
    assert minidl.tensor([2.0]).var(correction=0).item() == 0


def gradient_of(reduce, values):
    x = minidl.tensor(values, requires_grad=True)
    reduce(x).sum().backward()
    return x.grad.tolist()


def test_std_at_zero_has_subgradient_zero():
    assert gradient_of(minidl.std, [2.0, 2.0, 2.0]) == [0, 0, 0]


def test_equal_extremes_share_the_gradient():
    assert gradient_of(minidl.amax, [3.0, 1.0, 3.0]) == [0.5, 0, 0.5]
    assert gradient_of(minidl.max, [3.0, 1.0, 3.0]) == [0.5, 0, 0.5]
    assert gradient_of(minidl.amin, [1.0, 1.0, 3.0]) == [0.5, 0.5, 0]


def test_the_first_of_equal_extremes_along_dim_takes_the_gradient():
    assert gradient_of(lambda x: minidl.max(x, 0)[0], [3.0, 1.0, 3.0]) == [1, 0, 0]
    assert minidl.tensor([3.0, 1.0, 3.0]).max(0).indices.item() == 0
    assert gradient_of(lambda x: minidl.min(x, 0)[0], [2.0, 1.0, 1.0]) == [0, 1, 0]


@pytest.mark.parametrize("verb", ["max", "min", "amax", "amin"])
def test_nan_is_every_extreme(verb):
    result = getattr(minidl, verb)(minidl.tensor([1.0, float("nan"), 3.0]), 0)
    values, indices = result if verb in ("max", "min") else (result, minidl.tensor(1))
    assert math.isnan(values.item())
    assert indices.item() == 1
    assert gradient_of(getattr(minidl, verb), [1.0, float("nan")]) == [0, 1]


def test_gradient_of_a_product_with_zeros():
    assert gradient_of(minidl.prod, [2.0, 0.0, 3.0]) == [0, 6, 0]
    assert gradient_of(minidl.prod, [0.0, 0.0, 3.0]) == [0, 0, 0]


def test_an_infinite_gradient_reaches_the_extreme_only():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    x.max(0).values.backward(minidl.tensor(float("inf")))
    assert x.grad.tolist() == [0, float("inf")]


def test_bools_are_counted():
    mask = minidl.tensor([True, True, False])
    assert mask.sum().item() == 2
    assert mask.sum().dtype == minidl.int64
    assert mask.cumsum(0).tolist() == [1, 2, 2]

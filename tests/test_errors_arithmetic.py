"""What the arithmetic verbs refuse, and in which words."""

import numpy
import pytest

import minidl
from minidl.functional import arithmetic

two, three = minidl.ones(2), minidl.ones(3)
double = minidl.ones(2, dtype=minidl.float64)
ints = minidl.ones(2, dtype=minidl.int64)
mask = minidl.tensor([True, False])

with_numbers = pytest.mark.parametrize("verb", ["add", "sub", "mul", "div", "pow"])
of_two_tensors = pytest.mark.parametrize("verb", ["maximum", "minimum", "allclose", "equal"])
comparisons = pytest.mark.parametrize("verb", ["eq", "ne", "lt", "le", "gt", "ge"])


@with_numbers
def test_operands(verb):
    call = getattr(arithmetic, verb)
    for other in ("a", [1.0], numpy.ones(2)):
        with pytest.raises(TypeError, match="must be Tensor, not"):
            call(two, other)
    with pytest.raises(TypeError, match="'input' must be Tensor, not str"):
        call("a", two)
    with pytest.raises(TypeError, match="'input' must be Tensor, not int"):
        call(2, 3)
    with pytest.raises(RuntimeError, match="shapes do not broadcast"):
        call(two, three)
    with pytest.raises(RuntimeError, match="same dtype"):
        call(two, double)


@of_two_tensors
def test_two_tensors(verb):
    call = getattr(arithmetic, verb)
    with pytest.raises(TypeError, match="'other' must be Tensor, not float"):
        call(two, 2.0)
    with pytest.raises(TypeError, match="'input' must be Tensor, not float"):
        call(2.0, two)
    if verb == "equal":  # a question that has an answer for any two tensors
        assert not call(two, three)
        assert call(two, double)
        return
    with pytest.raises(RuntimeError, match="shapes do not broadcast"):
        call(two, three)
    with pytest.raises(RuntimeError, match="same dtype"):
        call(two, double)


@comparisons
def test_comparisons(verb):
    call = getattr(arithmetic, verb)
    with pytest.raises(TypeError, match="'input' must be Tensor, not int"):
        call(1, two)
    with pytest.raises(TypeError, match="'other' must be Tensor, not str"):
        call(two, "a")
    with pytest.raises(RuntimeError, match="shapes do not broadcast"):
        call(two, three)


@pytest.mark.parametrize("verb", ["neg", "abs", "exp", "log", "sqrt", "clamp", "clone", "isnan", "isinf", "isfinite"])
def test_a_number_is_no_tensor(verb):
    with pytest.raises(TypeError, match="'input' must be Tensor, not float"):
        getattr(arithmetic, verb)(2.0)


@pytest.mark.parametrize("verb", ["exp", "log", "sqrt"])
def test_ints_are_not_made_floats_silently(verb):
    with pytest.raises(RuntimeError, match=r"input must be floating point.*\n.*\n.*input.float\(\)"):
        getattr(arithmetic, verb)(ints)


def test_clamp():
    with pytest.raises(RuntimeError, match="At least one of 'min' or 'max' must not be None"):
        arithmetic.clamp(two)
    with pytest.raises(TypeError, match="min must be a number"):
        arithmetic.clamp(two, "a")


def test_where():
    with pytest.raises(RuntimeError, match="boolean tensor, but got a tensor with dtype int64"):
        arithmetic.where(ints, two, two)
    with pytest.raises(RuntimeError, match="boolean tensor, but got a tensor with dtype float32"):
        arithmetic.where(two, two, two)
    with pytest.raises(TypeError, match="'condition' must be Tensor, not list"):
        arithmetic.where([True, False], two, two)
    with pytest.raises(TypeError, match="'other' must be Tensor, not str"):
        arithmetic.where(mask, two, "a")
    with pytest.raises(RuntimeError, match="shapes do not broadcast"):
        arithmetic.where(mask, three, three)
    with pytest.raises(RuntimeError, match="same dtype"):
        arithmetic.where(mask, two, double)


@pytest.mark.parametrize("sum_of", [lambda x, a: x + a, lambda x, a: a + x], ids=["right", "left"])
def test_an_array_of_numpy_says_why_its_dtype_does_not_fit(sum_of):
    x = minidl.ones(3)
    with pytest.raises(RuntimeError, match=r"same dtype(.|\n)*help: NumPy's arrays are float64.*a.astype"):
        sum_of(x, numpy.ones(3))
    assert sum_of(x, numpy.ones(3).astype(minidl.float32)).tolist() == [2, 2, 2]
    assert sum_of(x, numpy.ones(3, int)).dtype == minidl.float32

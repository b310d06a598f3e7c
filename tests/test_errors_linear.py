"""What linear, matmul, mm and bmm refuse, and in which words."""

import pytest

import minidl
from minidl.functional.linear import bmm, linear, matmul, mm

float64 = minidl.float64


def ones(*shape, dtype=minidl.float32):
    return minidl.ones(*shape, dtype=dtype)


@pytest.mark.parametrize(
    ("input", "weight", "bias", "words"),
    [
        ((64, 512), (10, 256), None, r"mat1 and mat2 shapes cannot be multiplied \(64x512 and 256x10\)"),
        ((2, 3, 4), (5, 3), None, r"\(6x4 and 3x5\)"),
        ((4,), (5, 3), None, r"\(1x4 and 3x5\)"),
        ((0, 4), (5, 3), None, r"\(0x4 and 3x5\)"),
        ((3, 4), (3,), None, r"\(3x4 and 3x1\)"),
        ((), (5, 4), None, "at least 1 dimension"),
        ((3, 4), (2, 5, 4), None, "got 2 and 3"),
        ((3, 4), (5, 4), (4,), r"bias must have the shape \(5,\)"),
        ((3, 4), (5, 4), (3, 5), r"bias must have the shape \(5,\)"),
        ((3, 4), (4,), (1,), "weight must be a matrix"),
    ],
)
def test_linear_shapes(input, weight, bias, words):
    with pytest.raises(RuntimeError, match=words):
        linear(ones(input), ones(weight), None if bias is None else ones(bias))


def test_linear_message_shows_both_operands_and_helps():
    with pytest.raises(RuntimeError) as error:
        linear(ones(64, 512), ones(10, 256), ones(10))
    text = str(error.value)
    assert "input:  float32 (64, 512) on cpu" in text
    assert "weight: float32 (10, 256) on cpu" in text
    assert "help: in_features of the layer must be 512" in text
    with pytest.raises(RuntimeError, match=r"help: flatten the input first: x.flatten\(1\)"):
        linear(ones(8, 16, 5, 5), ones(120, 400))
    with pytest.raises(RuntimeError, match=r"help: flatten the input first: x.flatten\(0\)"):
        linear(ones(28, 28), ones(10, 784))
    with pytest.raises(RuntimeError, match="help: in_features of the layer must be 5"):  # flattening would not do
        linear(ones(8, 16, 5, 5), ones(120, 300))


def test_linear_types():
    with pytest.raises(RuntimeError, match="same dtype"):
        linear(ones(3, 4), ones(5, 4, dtype=float64))
    with pytest.raises(RuntimeError, match="same dtype"):
        linear(ones(3, 4), ones(5, 4), ones(5, dtype=float64))
    with pytest.raises(TypeError, match="'input' must be Tensor, not list"):
        linear([1.0], ones(5, 4))
    with pytest.raises(TypeError, match="'weight' must be Tensor, not NoneType"):
        linear(ones(3, 4), None)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ((2, 3), (2, 3), r"\(2x3 and 2x3\)"),
        ((3,), (4,), r"\(1x3 and 4x1\)"),
        ((5, 2, 3), (4,), r"\(2x3 and 4x1\)"),
        ((3,), (), "at least 1 dimension"),
        ((2, 3, 3), (3, 3, 3), "batch dimensions do not broadcast"),
    ],
)
def test_matmul_shapes(a, b, words):
    with pytest.raises(RuntimeError, match=words):
        matmul(ones(a), ones(b))


def test_mm_and_bmm_take_their_number_of_dimensions_only():
    with pytest.raises(RuntimeError, match="2 dimensions"):
        mm(ones(2, 3, 4), ones(4, 5))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        mm(ones(3, 4), ones(3, 4))
    with pytest.raises(RuntimeError, match="3 dimensions"):
        bmm(ones(3, 4), ones(4, 5))
    with pytest.raises(RuntimeError, match="batch sizes differ"):
        bmm(ones(1, 3, 4), ones(2, 4, 5))


@pytest.mark.parametrize("product", [matmul, mm, bmm])
def test_products_of_other_types(product):
    with pytest.raises(TypeError, match="must be Tensor, not float"):
        product(ones(3, 4), 2.0)
    with pytest.raises(RuntimeError, match="same dtype"):
        product(
            ones(2, 3, 3) if product is bmm else ones(3, 3), ones(2, 3, 3, dtype=float64)[0 if product is mm else ...]
        )

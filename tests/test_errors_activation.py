"""Activations: wrong arguments, results in place, extreme inputs; and erf."""

import math

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl.ops.special import erf

ACTIVATIONS = [
    F.relu,
    F.relu6,
    F.leaky_relu,
    F.elu,
    F.selu,
    F.gelu,
    F.silu,
    F.softplus,
    F.sigmoid,
    F.tanh,
    F.hardtanh,
    F.hardsigmoid,
    F.hardswish,
]
IN_PLACE = [F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.silu, F.hardtanh, F.hardsigmoid, F.hardswish]
NORMALIZED = [F.softmax, F.log_softmax]

each = pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda f: f.__name__)
each_in_place = pytest.mark.parametrize("function", IN_PLACE, ids=lambda f: f.__name__)
each_normalized = pytest.mark.parametrize("function", NORMALIZED, ids=lambda f: f.__name__)


@each
def test_input_must_be_a_tensor(function):
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\): argument 'input' must be Tensor, not list"):
        function([1.0, 2.0])
    with pytest.raises(TypeError, match="argument 'input' must be Tensor, not NoneType"):
        function(None)


@each
def test_input_must_be_floating_point(function):
    x = minidl.tensor([-1, 2])
    if function is F.relu:  # as in PyTorch
        assert function(x).tolist() == [0, 2]
        return
    with pytest.raises(RuntimeError, match=rf"{function.__name__}\(\): input must be floating point"):
        function(x)


def test_gelu_knows_two_approximations():
    with pytest.raises(RuntimeError, match="approximate must be either 'none' or 'tanh', got 'erf'"):
        F.gelu(minidl.ones(2), approximate="erf")


def test_hardtanh_bounds():
    with pytest.raises(ValueError, match=r"min_val cannot be greater than max_val, got 2.0 and 1.0"):
        F.hardtanh(minidl.ones(2), 2.0, 1.0)


def test_softplus_of_beta_0():
    with pytest.raises(ValueError, match="beta must not be 0"):
        F.softplus(minidl.ones(2), beta=0)


@each_normalized
def test_softmax_wants_dim(function):
    with pytest.raises(TypeError, match=r"missing the argument dim(.|\n)*help: dim=1 are the classes"):
        function(minidl.ones(2, 3))
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"):
        function(minidl.ones(2, 3), dim=2)
    with pytest.raises(TypeError, match="a dimension must be an int"):
        function(minidl.ones(2, 3), dim=1.0)
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        function([1.0], dim=0)
    with pytest.raises(RuntimeError, match="input must be floating point"):
        function(minidl.tensor([1, 2]), dim=0)


@each_normalized
def test_softmax_in_another_dtype(function):
    x = minidl.tensor([1, 2])
    y = function(x, dim=0, dtype=minidl.float64)
    assert y.dtype == minidl.float64
    assert y.tolist() == function(x.double(), 0).tolist()


def test_softmax_of_a_number():
    assert F.softmax(minidl.tensor(3.0), dim=0).item() == 1
    assert F.log_softmax(minidl.tensor(3.0), dim=-1).item() == 0


@each_in_place
def test_in_place(function):
    start = minidl.tensor([-2.0, -0.5, 0.5, 7.0], requires_grad=True)
    x = start * 1
    y = function(x, inplace=True)
    assert y is x
    y.backward(minidl.tensor([1.0, 2.0, 3.0, 4.0]))

    apart = start.detach().clone().requires_grad_()
    result = function(apart)
    result.backward(minidl.tensor([1.0, 2.0, 3.0, 4.0]))
    assert x.tolist() == result.tolist()
    assert start.grad.tolist() == apart.grad.tolist()


@each_in_place
def test_in_place_on_a_leaf(function):
    with pytest.raises(RuntimeError, match=rf"{function.__name__}_\(\): a leaf Variable that requires grad"):
        function(minidl.ones(2, requires_grad=True), inplace=True)
    x = minidl.ones(2)
    assert function(x, inplace=True) is x


@each
def test_large_inputs(function):
    """No overflow (a warning is an error here), and the limits of the function and its slope."""
    x = minidl.tensor([-1e30, -1000.0, 0.0, 1000.0, 1e30], requires_grad=True)
    y = function(x)
    y.sum().backward()
    assert numpy.isfinite(y.detach().numpy()).all()
    assert numpy.isfinite(x.grad.numpy()).all()
    unbounded = function in (F.relu, F.leaky_relu, F.elu, F.gelu, F.silu, F.softplus, F.hardswish)
    if unbounded:
        assert y[3].item() == 1000
        assert x.grad[3].item() == 1
    elif function is not F.selu:
        assert y[3].item() in (1, 6)
        assert x.grad[3].item() == 0
    if function not in (F.leaky_relu, F.selu):
        assert y[1].item() in (0, -1)
        assert x.grad[1].item() == 0


@each_normalized
def test_softmax_of_large_inputs(function):
    x = minidl.tensor([[-1000.0, 1000.0], [1000.0, 1000.0], [-3e38, 0.0]], requires_grad=True)
    y = function(x, 1)
    y[:, 1].sum().backward()
    half = 0.5 if function is F.softmax else -math.log(2)
    assert y[:, 1].tolist() == pytest.approx(
        [1 if function is F.softmax else 0, half, 1 if function is F.softmax else 0]
    )
    assert x.grad.tolist()[1] == pytest.approx([-0.25, 0.25] if function is F.softmax else [-0.5, 0.5])


@each_normalized
def test_softmax_of_nothing(function):
    for dim in (0, 1):
        for shape in ((3, 0), (0, 3)):
            x = minidl.zeros(*shape, requires_grad=True)
            for y in (function(x, dim), getattr(x, function.__name__)(dim)):
                assert y.shape == shape
                y.sum().backward()
                assert x.grad.shape == shape


def test_softmax_with_a_class_shut_out():
    assert F.softmax(minidl.tensor([0.0, -math.inf, 0.0]), 0).tolist() == [0.5, 0, 0.5]


def test_sigmoid_keeps_small_values():
    x = minidl.tensor([-80.0], dtype=minidl.float32)
    assert F.sigmoid(x).item() == pytest.approx(math.exp(-80), rel=1e-6)


@pytest.mark.parametrize("dtype, limit", [("float64", 1e-15), ("float32", 4e-7)])
def test_erf(dtype, limit):
    x = numpy.concatenate(
        [
            numpy.linspace(-7, 7, 20001),
            10.0 ** numpy.linspace(-30, 30, 601),
            -(10.0 ** numpy.linspace(-30, 30, 601)),
            [0.46875, -0.46875, 4.0, -4.0, 6.0, -6.0, math.inf, -math.inf],
        ]
    ).astype(dtype)
    y = erf(x)
    assert y.dtype == x.dtype
    expected = numpy.array([math.erf(value) for value in x.tolist()])
    assert numpy.all(abs(y - expected) <= limit * abs(expected))
    assert numpy.isnan(erf(numpy.array([math.nan])))
    assert erf(numpy.zeros(1))[0] == 0

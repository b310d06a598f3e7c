"""Clipping of gradients: by hand, what is refused, and the same as PyTorch."""

import math

import numpy
import pytest

import minidl
from minidl import nn
from minidl.nn.utils import clip_grad_norm_, clip_grad_value_


def with_gradients(library, *gradients):
    """Parameters with these gradients; None for one that has none."""
    parameters = []
    for gradient in gradients:
        parameter = library.nn.Parameter(library.zeros(2, dtype=library.float64))
        if gradient is not None:
            parameter.grad = library.tensor(gradient, dtype=library.float64)
        parameters.append(parameter)
    return parameters


def gradients_of(parameters):
    return [None if parameter.grad is None else parameter.grad.tolist() for parameter in parameters]


def test_norm_by_hand():
    parameters = with_gradients(minidl, [3.0, 0.0], None, [0.0, 4.0])
    assert clip_grad_norm_(parameters, 10).item() == 5.0
    assert gradients_of(parameters) == [[3.0, 0.0], None, [0.0, 4.0]]
    assert clip_grad_norm_(iter(parameters), 1.0).item() == 5.0
    numpy.testing.assert_allclose(gradients_of(parameters)[2], [0.0, 0.8], rtol=1e-6)
    assert clip_grad_norm_([], 1.0).item() == 0.0


def test_value_by_hand():
    parameters = with_gradients(minidl, [3.0, -0.5], None, [-7.0, 1.0])
    clip_grad_value_(parameters, 1)
    assert gradients_of(parameters) == [[1.0, -0.5], None, [-1.0, 1.0]]
    clip_grad_value_(parameters[0], 0.25)
    assert parameters[0].grad.tolist() == [0.25, -0.25]


def test_float32_stays_and_does_not_overflow():
    parameter = nn.Parameter(minidl.zeros(2))
    parameter.grad = minidl.tensor([3e30, 4e30])
    norm = clip_grad_norm_(parameter, 1.0)
    assert (norm.dtype, parameter.grad.dtype) == (minidl.float32, minidl.float32)
    numpy.testing.assert_allclose(parameter.grad.tolist(), [0.6, 0.8], rtol=1e-6)


def test_refused():
    (parameter,) = with_gradients(minidl, [3.0, math.nan])
    with pytest.raises(
        RuntimeError, match=r"norm of order 2\.0 for gradients from `parameters` is nan: it is non-finite"
    ):
        clip_grad_norm_(parameter, 1.0, error_if_nonfinite=True)
    with pytest.raises(ValueError, match="max_norm must be a number, got 'a'"):
        clip_grad_norm_(parameter, "a")
    with pytest.raises(TypeError, match="clip_value must be a number, got None"):
        clip_grad_value_(parameter, None)
    for function in (clip_grad_norm_, clip_grad_value_):
        with pytest.raises(TypeError, match="must be Tensor, not int"):
            function([3], 1.0)


@pytest.mark.torch
@pytest.mark.parametrize("norm_type", [2, 1, 3.5, math.inf, "inf", 0, -2])
@pytest.mark.parametrize("max_norm", [0.5, 100, 0])
def test_norm_equals_torch(norm_type, max_norm):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    for gradients in ([[3.0, -4.0], None, [0.5, 2.0]], [[math.inf, 1.0]], [[math.nan, 1.0]]):
        ours, theirs = with_gradients(minidl, *gradients), with_gradients(torch, *gradients)
        norm = clip_grad_norm_(ours, max_norm, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
        numpy.testing.assert_allclose(norm.item(), expected.item(), rtol=1e-12)
        for a, b in zip(gradients_of(ours), gradients_of(theirs), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                numpy.testing.assert_allclose(a, b, rtol=1e-12)

"""What the pooling verbs refuse, in which class and words; and their rarer cases: NaN, infinity, large kernels."""

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from tests.op_samples.pooling import max_pool2d

nan, inf = float("nan"), float("inf")


def zeros(*shape):
    return minidl.zeros(shape)


IMAGE = zeros(2, 3, 5, 6)
BOTH = ("max_pool2d", "avg_pool2d")
ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d")

CASES = [
    ("kernel too large", BOTH, (IMAGE, 6), {}, RuntimeError, ["6 x 6", "5 x 6", "Output size is too small"]),
    ("dilated too large", ("max_pool2d",), (IMAGE, 3), {"dilation": 3}, RuntimeError, ["7 x 7 with dilation"]),
    ("padding", BOTH, (IMAGE, 3), {"padding": 2}, RuntimeError, ["at most half of kernel size"]),
    ("padding in one direction", BOTH, (IMAGE, (4, 2)), {"padding": 2}, RuntimeError, ["at most half of kernel size"]),
    ("negative padding", BOTH, (IMAGE, 3), {"padding": -1}, (RuntimeError, ValueError), ["padding"]),
    ("kernel 0", BOTH, (IMAGE, 0), {}, (RuntimeError, ValueError), ["kernel_size"]),
    ("stride 0", BOTH, (IMAGE, 2), {"stride": 0}, (RuntimeError, ValueError), ["stride"]),
    ("dilation 0", ("max_pool2d",), (IMAGE, 2), {"dilation": 0}, (RuntimeError, ValueError), ["dilation"]),
    ("divisor 0", ("avg_pool2d",), (IMAGE, 2), {"divisor_override": 0}, RuntimeError, ["divisor must be not zero"]),
    ("divisor no int", ("avg_pool2d",), (IMAGE, 2), {"divisor_override": 2.5}, TypeError, ["divisor_override"]),
    ("matrix", BOTH + ADAPTIVE, (zeros(5, 6), 2), {}, RuntimeError, ["3D (unbatched) or 4D (batched)"]),
    ("no channels", BOTH, (zeros(2, 0, 5, 6), 2), {}, RuntimeError, ["at least one channel, row and column"]),
    ("no rows", BOTH + ADAPTIVE, (zeros(2, 3, 0, 6), 1), {}, RuntimeError, ["at least one channel, row and column"]),
    ("integers", BOTH + ADAPTIVE, (IMAGE.long(), 1), {}, RuntimeError, ["input must be floating point"]),
    ("array", BOTH + ADAPTIVE, (IMAGE.numpy(), 1), {}, TypeError, ["'input' must be Tensor"]),
    ("negative size", ADAPTIVE, (IMAGE, -1), {}, (RuntimeError, ValueError), ["output_size"]),
    ("three sizes", ADAPTIVE, (IMAGE, (1, 2, 3)), {}, (RuntimeError, TypeError), ["output_size"]),
    ("None alone", ADAPTIVE, (IMAGE, None), {}, TypeError, ["output_size"]),
    ("half a pixel", ADAPTIVE, (IMAGE, (2.5, 1)), {}, TypeError, ["output_size"]),
]


@pytest.mark.parametrize(
    ("verb", "args", "options", "error", "words"),
    [pytest.param(verb, *case, id=f"{verb}: {name}") for name, verbs, *case in CASES for verb in verbs],
)
def test_refused(verb, args, options, error, words):
    with pytest.raises(error) as caught:
        getattr(F, verb)(*args, **options)
    message = str(caught.value)
    assert message.startswith(f"{verb}(): ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("stride", [None, (), []])
def test_stride_is_the_kernel_by_default(stride):
    assert F.max_pool2d(IMAGE, 2, stride).shape == (2, 3, 2, 3)


def test_an_empty_batch_is_accepted():
    x = zeros(0, 3, 5, 6)
    assert F.max_pool2d(x, 2).shape == F.avg_pool2d(x, 2).shape == (0, 3, 2, 3)
    assert F.adaptive_avg_pool2d(x, 2).shape == F.adaptive_max_pool2d(x, 2).shape == (0, 3, 2, 2)


@pytest.mark.parametrize("verb", ["max_pool2d", "adaptive_max_pool2d"])
def test_nan_is_the_maximum(verb):
    x = minidl.tensor([[[1.0, nan, 5.0, 4.0]]], requires_grad=True)
    y, indices = getattr(F, verb)(x, (1, 2), return_indices=True)
    assert numpy.isnan(y.tolist()[0][0][0])
    assert y.tolist()[0][0][1] == 5
    assert indices.tolist() == [[[1, 2]]]
    y.backward(minidl.tensor([[[2.0, 3.0]]]))
    assert x.grad.tolist() == [[[0, 2, 3, 0]]]


def test_padding_is_never_the_maximum():
    x = minidl.full((1, 3, 3), -inf, requires_grad=True)
    y, indices = F.max_pool2d(x, 2, padding=1, return_indices=True)
    assert y.tolist() == [[[-inf, -inf], [-inf, -inf]]]
    assert indices.tolist() == [[[0, 1], [3, 4]]]
    y.backward(minidl.ones((1, 2, 2)))
    assert x.grad.tolist() == [[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]


def test_of_equal_values_the_first_gets_the_gradient():
    x = minidl.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]], requires_grad=True)
    F.max_pool2d(x, 2, stride=1).backward(minidl.tensor([[[2.0, 3.0]]]))
    assert x.grad.tolist() == [[[2, 3, 0], [0, 0, 0]]]


def test_overlapping_windows_add_up():
    x = minidl.tensor([[[0.0, 5.0, 1.0]]], requires_grad=True)
    F.max_pool2d(x, (1, 2), stride=1).backward(minidl.tensor([[[2.0, 3.0]]]))
    assert x.grad.tolist() == [[[0, 5, 0]]]


def test_a_kernel_with_more_taps_than_a_byte_counts():
    x = numpy.random.default_rng(0).standard_normal((1, 18, 19))
    leaf = minidl.tensor(x, requires_grad=True)
    y, indices = F.max_pool2d(leaf, (16, 17), stride=1, return_indices=True)
    values, places = max_pool2d(x, (16, 17), stride=1, return_indices=True)
    assert y.tolist() == values.tolist()
    assert indices.tolist() == places.tolist()
    y.sum().backward()
    assert leaf.grad.numpy().ravel().tolist() == numpy.bincount(places.ravel(), minlength=18 * 19).tolist()


def test_one_byte_is_saved_for_each_maximum():
    y = F.max_pool2d(minidl.zeros((2, 3, 4, 4), requires_grad=True), 2)
    (winner,) = y.grad_fn.saved_tensors
    assert winner.nbytes == y.numel()


def test_the_output_may_be_changed_in_place():
    x = minidl.tensor([[[1.0, -1.0], [-3.0, -2.0]]], requires_grad=True)
    F.relu(F.max_pool2d(x, 2), inplace=True).sum().backward()
    assert x.grad.tolist() == [[[1, 0], [0, 0]]]

"""Resizing at its edges: what is refused, and exact copies."""

import numpy
import pytest

import minidl
import minidl.nn.functional as F

X = minidl.zeros(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("input", "options", "error", "words"),
    [
        (numpy.zeros((1, 1, 2, 2)), {"size": 3}, TypeError, "must be Tensor, not ndarray"),
        (X, {}, ValueError, "either size or scale_factor should be defined"),
        (X, {"size": 3, "scale_factor": 2}, ValueError, "only one of size and scale_factor"),
        (X, {"size": (3, 3, 3)}, ValueError, r"same number of spatial dimensions.*\(4, 5\) and size=\(3, 3, 3\)"),
        (X, {"scale_factor": (2.0,)}, ValueError, "same number of spatial dimensions"),
        (X, {"size": (0, 3)}, RuntimeError, r"greater than 0, but got \(4, 5\) and \(0, 3\)"),
        (X, {"size": -1}, RuntimeError, "greater than 0"),
        (X, {"scale_factor": 0.1}, RuntimeError, "greater than 0"),
        (minidl.zeros(2, 3, 0, 5), {"size": 3}, RuntimeError, "greater than 0"),
        (X, {"size": 2.5}, TypeError, "size must be a number or a tuple of numbers, got 2.5"),
        (X, {"scale_factor": "a"}, TypeError, "scale_factor must be"),
        (X, {"size": 3, "mode": "cubic"}, NotImplementedError, "cubic"),
        (X, {"size": 3, "mode": "linear"}, NotImplementedError, "Got 4D input, but linear mode needs 3D input"),
        (X[0], {"size": 3, "mode": "bilinear"}, NotImplementedError, "Got 3D input, but bilinear mode needs 4D"),
        (minidl.zeros(3, 4), {"size": 3}, NotImplementedError, "Only 3D, 4D and 5D"),
        (X, {"size": 3, "align_corners": False}, ValueError, "align_corners can only be set"),
        (X.long(), {"size": 3, "mode": "bilinear"}, RuntimeError, "floating point"),
    ],
)
def test_interpolate(input, options, error, words):
    with pytest.raises(error, match=words):
        F.interpolate(input, **options)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_the_same_size_is_an_exact_copy(mode):
    x = minidl.randn(1, 2, 3, 4)
    for options in ({"size": (3, 4)}, {"scale_factor": 1.2}):
        assert F.interpolate(x, **options, mode=mode).tolist() == x.tolist()


def test_a_batch_of_nothing():
    assert F.interpolate(X[:0], size=(3, 7)).shape == (0, 3, 3, 7)
    assert F.interpolate(X[:0], size=(3, 7), mode="bilinear").shape == (0, 3, 3, 7)


def test_nearest_keeps_infinities_apart():
    x = minidl.tensor([[[1.0, float("inf")]]])
    assert F.interpolate(x, scale_factor=2).tolist() == [[[1.0, 1.0, float("inf"), float("inf")]]]


@pytest.mark.parametrize(
    ("input", "factor", "error", "words"),
    [
        (numpy.zeros((4, 2, 2)), 2, TypeError, "must be Tensor, not ndarray"),
        (X, 2, RuntimeError, "divisible by the square of upscale_factor, but 3 is not divisible by 4"),
        (X, 0, RuntimeError, "positive upscale_factor, but got 0"),
        (X, 1.0, TypeError, "'upscale_factor' must be int, not float"),
        (minidl.zeros(4, 4), 2, RuntimeError, "at least 3 dimensions, but got 2"),
    ],
)
def test_pixel_shuffle(input, factor, error, words):
    with pytest.raises(error, match=words):
        F.pixel_shuffle(input, factor)


@pytest.mark.parametrize(
    ("input", "factor", "error", "words"),
    [
        (X, 2, RuntimeError, "width to be divisible by downscale_factor, but 5 is not divisible by 2"),
        (X, 3, RuntimeError, "height to be divisible by downscale_factor, but 4 is not divisible by 3"),
        (X, 0, RuntimeError, "positive downscale_factor, but got 0"),
        (minidl.zeros(4), 2, RuntimeError, "at least 3 dimensions, but got 1"),
    ],
)
def test_pixel_unshuffle(input, factor, error, words):
    with pytest.raises(error, match=words):
        F.pixel_unshuffle(input, factor)


def test_unshuffle_is_the_reverse_of_shuffle():
    x = minidl.randn(2, 12, 3, 5)
    assert F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).tolist() == x.tolist()

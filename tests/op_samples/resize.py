"""Resizing: naive loops, examples by hand, samples."""

import math

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, normal

rng = numpy.random.default_rng(13)


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=False):
    """Each pixel of y is the sum of all pixels of x, each weighted along every dimension by its distance."""
    spatial = x.shape[2:]
    factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor,) * len(spatial)
    sizes = size if isinstance(size, tuple) else (size,) * len(spatial)
    if scale_factor is not None:
        sizes = [math.floor(n * factor) for n, factor in zip(spatial, factors, strict=True)]
    y = numpy.zeros(x.shape[:2] + tuple(sizes))
    for index in numpy.ndindex(y.shape):
        for source in numpy.ndindex(spatial):
            weight = 1.0
            for i, j, n, out, factor in zip(index[2:], source, spatial, sizes, factors, strict=True):
                step = 1 / factor if factor else n / out
                if mode == "nearest":
                    weight *= 1.0 if math.floor(i * step + 1e-9) == j else 0.0
                else:
                    p = (i + 0.5) * step - 0.5
                    if align_corners:
                        p = i * (n - 1) / max(out - 1, 1)
                    p = min(max(p, 0.0), n - 1.0)
                    weight *= max(0.0, 1.0 - abs(p - j))
            y[index] += weight * x[index[:2] + source]
    return y


def pixel_shuffle(x, upscale_factor):
    r = upscale_factor
    *batch, channels, height, width = x.shape
    y = numpy.zeros((*batch, channels // r**2, height * r, width * r))
    for index in numpy.ndindex(y.shape):
        *n, c, h, w = index
        y[index] = x[(*n, c * r**2 + (h % r) * r + w % r, h // r, w // r)]
    return y


def pixel_unshuffle(x, downscale_factor):
    r = downscale_factor
    *batch, channels, height, width = x.shape
    y = numpy.zeros((*batch, channels * r**2, height // r, width // r))
    for index in numpy.ndindex(y.shape):
        *n, c, h, w = index
        y[index] = x[(*n, c // r**2, h * r + c % r**2 // r, w * r + c % r)]
    return y


LINE = numpy.array([[[1.0, 3.0]]])
IMAGE = numpy.array([[[[1.0, 3.0], [5.0, 7.0]]]])
CHANNELS = numpy.array([[[1.0]], [[2.0]], [[3.0]], [[4.0]]])

HAND_COMPUTED = [
    HandComputed(interpolate, (LINE, 3), {}, numpy.array([[[1.0, 1.0, 3.0]]])),
    HandComputed(interpolate, (LINE, 4), {"mode": "linear"}, numpy.array([[[1.0, 1.5, 2.5, 3.0]]])),
    HandComputed(
        interpolate,
        (IMAGE, 3),
        {"mode": "bilinear", "align_corners": True},
        numpy.array([[[[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [5.0, 6.0, 7.0]]]]),
    ),
    HandComputed(pixel_shuffle, (CHANNELS, 2), {}, numpy.array([[[1.0, 2.0], [3.0, 4.0]]])),
    HandComputed(pixel_unshuffle, (numpy.array([[[1.0, 2.0], [3.0, 4.0]]]), 2), {}, CHANNELS),
]

INTERPOLATE = "nn.functional.interpolate"


def nearest(name, shape, **options):
    return OpSample(ops.InterpolateNearest, INTERPOLATE, (normal(rng, *shape),), options, interpolate, name)


def linear(name, shape, mode="bilinear", **options):
    return OpSample(
        ops.InterpolateLinear, INTERPOLATE, (normal(rng, *shape),), {**options, "mode": mode}, interpolate, name
    )


SAMPLES = [
    nearest("twice", (2, 3, 2, 3), scale_factor=2),
    nearest("larger", (1, 2, 3, 4), size=(5, 7)),
    nearest("smaller", (1, 2, 5, 7), size=(2, 3)),
    nearest("factors", (1, 2, 3, 4), scale_factor=(2.5, 1.7)),
    nearest("signal", (2, 2, 5), size=8),
    nearest("volume", (1, 1, 2, 3, 2), scale_factor=2),
    linear("twice", (2, 3, 2, 3), scale_factor=2),
    linear("larger", (1, 2, 3, 4), size=(5, 7)),
    linear("smaller", (1, 2, 5, 7), size=(2, 3)),
    linear("factors", (1, 2, 3, 4), scale_factor=(2.5, 1.7)),
    linear("corners", (1, 2, 3, 4), size=(5, 7), align_corners=True),
    linear("corners to one row", (1, 2, 3, 4), size=(1, 3), align_corners=True),
    linear("signal", (2, 2, 5), mode="linear", size=8),
    linear("volume", (1, 1, 2, 3, 2), mode="trilinear", size=(3, 2, 3)),
    OpSample(ops.Reshape, "nn.functional.pixel_shuffle", (normal(rng, 2, 8, 2, 3), 2), naive=pixel_shuffle),
    OpSample(ops.Reshape, "nn.functional.pixel_unshuffle", (normal(rng, 2, 2, 4, 6), 2), naive=pixel_unshuffle),
]

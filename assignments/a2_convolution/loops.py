"""Task 2.1: a convolution in plain loops. Slow, and right by inspection: what all that follows is compared with."""

from __future__ import annotations

from typing import Any

import numpy


def conv_loops(x: Any, weight: Any, bias: Any, stride: int = 1, padding: int = 0) -> Any:
    """y[n, f, oh, ow] = bias[f] + the sum over c, kh, kw of weight[f, c, kh, kw] padded[n, c, h, w]

        h = oh * stride + kh            w = ow * stride + kw

    x: (N, C, H, W), weight: (F, C, KH, KW), bias: (F,), y: (N, F, OH, OW); padded: x with `padding` zeros on each of
    the four sides of every image, (N, C, H + 2 padding, W + 2 padding): numpy.pad makes it.

        OH = floor((H + 2 padding - KH) / stride) + 1,  OW with W and KW

    The kernel is not flipped. One value of y at a time: four loops, and the sum over c, kh, kw as a product of arrays.
    """
    N, _, H, W = x.shape
    F, _, KH, KW = weight.shape
    OH, OW = (H + 2 * padding - KH) // stride + 1, (W + 2 * padding - KW) // stride + 1
    padded = numpy.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = numpy.empty((N, F, OH, OW), x.dtype)
    for n, f, oh, ow in numpy.ndindex(y.shape):
        window = padded[n, :, oh * stride : oh * stride + KH, ow * stride : ow * stride + KW]
        y[n, f, oh, ow] = (window * weight[f]).sum() + bias[f]
    return y

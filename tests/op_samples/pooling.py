"""Pooling: naive loops, examples by hand, samples."""

import math

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, distinct, normal

rng = numpy.random.default_rng(5)


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def window_starts(size, span, stride, padding, ceil_mode):
    """The first pixel of each window, one direction; negative in the padding."""
    starts = list(range(-padding, size + padding - span + 1, stride))
    following = starts[-1] + stride if starts else -padding
    some_left_over = not starts or starts[-1] + span < size + padding
    if ceil_mode and some_left_over and following < size:
        starts.append(following)
    return starts


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    (KH, KW), dilation, padding = both(kernel_size), both(dilation), both(padding)
    stride = both(kernel_size if stride is None else stride)
    *front, H, W = x.shape
    row_starts = window_starts(H, dilation[0] * (KH - 1) + 1, stride[0], padding[0], ceil_mode)
    column_starts = window_starts(W, dilation[1] * (KW - 1) + 1, stride[1], padding[1], ceil_mode)
    y = numpy.zeros((*front, len(row_starts), len(column_starts)))
    places = numpy.zeros(y.shape, dtype=int)
    for *image, oh, ow in numpy.ndindex(y.shape):
        best = None
        for kh, kw in numpy.ndindex(KH, KW):
            h, w = row_starts[oh] + kh * dilation[0], column_starts[ow] + kw * dilation[1]
            if 0 <= h < H and 0 <= w < W and (best is None or x[(*image, h, w)] > best):
                best = x[(*image, h, w)]
                places[(*image, oh, ow)] = h * W + w
        y[(*image, oh, ow)] = best
    return (y, places) if return_indices else y


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    (KH, KW), padding = both(kernel_size), both(padding)
    stride = both(kernel_size if stride is None else stride)
    *front, H, W = x.shape
    row_starts = window_starts(H, KH, stride[0], padding[0], ceil_mode)
    column_starts = window_starts(W, KW, stride[1], padding[1], ceil_mode)
    y = numpy.zeros((*front, len(row_starts), len(column_starts)))
    for *image, oh, ow in numpy.ndindex(y.shape):
        total, inside, with_padding = 0.0, 0, 0
        for kh, kw in numpy.ndindex(KH, KW):
            h, w = row_starts[oh] + kh, column_starts[ow] + kw
            if 0 <= h < H and 0 <= w < W:
                total += x[(*image, h, w)]
                inside += 1
            if -padding[0] <= h < H + padding[0] and -padding[1] <= w < W + padding[1]:
                with_padding += 1
        y[(*image, oh, ow)] = total / (divisor_override or (with_padding if count_include_pad else inside))
    return y


def adaptive_window(x, output_size, oh, ow):
    """(h, w) of each pixel in a window of adaptive pooling."""
    H, W = x.shape[-2:]
    rows = range(math.floor(oh * H / output_size[0]), math.ceil((oh + 1) * H / output_size[0]))
    columns = range(math.floor(ow * W / output_size[1]), math.ceil((ow + 1) * W / output_size[1]))
    return [(h, w) for h in rows for w in columns]


def adaptive_size(x, output_size):
    OH, OW = both(output_size)
    return (x.shape[-2] if OH is None else OH, x.shape[-1] if OW is None else OW)


def adaptive_avg_pool2d(x, output_size):
    output_size = adaptive_size(x, output_size)
    y = numpy.zeros((*x.shape[:-2], *output_size))
    for *image, oh, ow in numpy.ndindex(y.shape):
        values = [x[(*image, h, w)] for h, w in adaptive_window(x, output_size, oh, ow)]
        y[(*image, oh, ow)] = sum(values) / len(values)
    return y


def adaptive_max_pool2d(x, output_size, return_indices=False):
    output_size = adaptive_size(x, output_size)
    y = numpy.zeros((*x.shape[:-2], *output_size))
    places = numpy.zeros(y.shape, dtype=int)
    for *image, oh, ow in numpy.ndindex(y.shape):
        best = None
        for h, w in adaptive_window(x, output_size, oh, ow):
            if best is None or x[(*image, h, w)] > best:
                best = x[(*image, h, w)]
                places[(*image, oh, ow)] = h * x.shape[-1] + w
        y[(*image, oh, ow)] = best
    return (y, places) if return_indices else y


COUNTING = numpy.arange(1.0, 10.0).reshape(1, 3, 3)  # 1 2 3 / 4 5 6 / 7 8 9

HAND_COMPUTED = [
    HandComputed(max_pool2d, (COUNTING, 2), {}, numpy.array([[[5.0]]])),
    HandComputed(max_pool2d, (COUNTING, 2), {"ceil_mode": True}, numpy.array([[[5.0, 6.0], [8.0, 9.0]]])),
    # rows 0 and 2 of the image, since dilation leaves out row 1
    HandComputed(
        max_pool2d,
        (-COUNTING, (2, 1)),
        {"stride": 1, "dilation": (2, 1), "return_indices": True},
        (numpy.array([[[-1.0, -2.0, -3.0]]]), numpy.array([[[0, 1, 2]]])),
    ),
    # -infinity around the image; of two equal values the first
    HandComputed(
        max_pool2d,
        (numpy.array([[[-3.0, -3.0, -4.0]]]), (1, 2)),
        {"stride": (1, 1), "padding": (0, 1), "return_indices": True},
        (numpy.array([[[-3.0, -3.0, -3.0, -4.0]]]), numpy.array([[[0, 0, 1, 2]]])),
    ),
    HandComputed(avg_pool2d, (COUNTING, 2), {"stride": 1}, numpy.array([[[3.0, 4.0], [6.0, 7.0]]])),
    # windows 1, 2 3, 4 7, 5 6 8 9, with and without the zeros around
    HandComputed(avg_pool2d, (COUNTING, 2), {"padding": 1}, numpy.array([[[1 / 4, 5 / 4], [11 / 4, 28 / 4]]])),
    HandComputed(
        avg_pool2d,
        (COUNTING, 2),
        {"padding": 1, "count_include_pad": False},
        numpy.array([[[1.0, 5 / 2], [11 / 2, 28 / 4]]]),
    ),
    # ceil_mode: what lies beyond the padding does not count
    HandComputed(
        avg_pool2d,
        (numpy.array([[[1.0, 2.0, 4.0]]]), (1, 2)),
        {"ceil_mode": True},
        numpy.array([[[1.5, 4.0]]]),
    ),
    HandComputed(avg_pool2d, (COUNTING, 3), {"divisor_override": 5}, numpy.array([[[9.0]]])),
    # 5 columns in 3 windows: columns 0 1, 1 2 3, 3 4
    HandComputed(
        adaptive_avg_pool2d,
        (numpy.array([[[1.0, 2.0, 3.0, 4.0, 6.0]]]), (1, 3)),
        {},
        numpy.array([[[1.5, 3.0, 5.0]]]),
    ),
    HandComputed(adaptive_avg_pool2d, (COUNTING, (None, 1)), {}, numpy.array([[[2.0], [5.0], [8.0]]])),
    HandComputed(
        adaptive_max_pool2d,
        (numpy.array([[[1.0, 2.0, 5.0, 4.0, 4.0]]]), (1, 3)),
        {"return_indices": True},
        (numpy.array([[[2.0, 5.0, 4.0]]]), numpy.array([[[1, 2, 3]]])),
    ),
]


def sample(op, naive, name, array, **options):
    return OpSample(op, f"nn.functional.{naive.__name__}", (array,), options, naive, name)


SAMPLES = [
    sample(ops.MaxPool2d, max_pool2d, "defaults", distinct(rng, 2, 3, 4, 6), kernel_size=2),
    sample(ops.MaxPool2d, max_pool2d, "does not tile", distinct(rng, 2, 2, 5, 7), kernel_size=(2, 3)),
    sample(ops.MaxPool2d, max_pool2d, "overlapping", distinct(rng, 1, 2, 6, 5), kernel_size=3, stride=2, padding=1),
    sample(
        ops.MaxPool2d,
        max_pool2d,
        "every option",
        distinct(rng, 2, 1, 6, 7),
        kernel_size=(2, 3),
        stride=(3, 2),
        padding=(1, 1),
        dilation=(3, 2),
        ceil_mode=True,
        return_indices=True,
    ),
    sample(ops.MaxPool2d, max_pool2d, "ceil mode", distinct(rng, 1, 2, 6, 5), kernel_size=3, stride=2, ceil_mode=True),
    sample(
        ops.MaxPool2d,
        max_pool2d,
        "ceil mode, last window dropped",
        distinct(rng, 1, 2, 3, 5),
        kernel_size=2,
        stride=(2, 4),
        padding=1,
        ceil_mode=True,
    ),
    sample(
        ops.MaxPool2d, max_pool2d, "indices", distinct(rng, 2, 3, 4, 5), kernel_size=3, stride=1, return_indices=True
    ),
    sample(ops.MaxPool2d, max_pool2d, "one pixel wide", distinct(rng, 2, 3, 8, 1), kernel_size=3, stride=2, padding=1),
    sample(ops.MaxPool2d, max_pool2d, "one pixel high", distinct(rng, 2, 3, 1, 8), kernel_size=3, stride=2, padding=1),
    sample(ops.MaxPool2d, max_pool2d, "steps wider than the image", distinct(rng, 2, 3, 4, 2), kernel_size=2, stride=5),
    sample(ops.MaxPool2d, max_pool2d, "unbatched", distinct(rng, 2, 4, 5), kernel_size=2, return_indices=True),
    sample(ops.AvgPool2d, avg_pool2d, "defaults", normal(rng, 2, 3, 4, 6), kernel_size=2),
    sample(ops.AvgPool2d, avg_pool2d, "one pixel wide", normal(rng, 2, 3, 8, 1), kernel_size=3, stride=2, padding=1),
    sample(ops.AvgPool2d, avg_pool2d, "does not tile", normal(rng, 2, 2, 5, 7), kernel_size=(2, 3)),
    sample(ops.AvgPool2d, avg_pool2d, "padding", normal(rng, 2, 2, 5, 4), kernel_size=3, stride=2, padding=1),
    sample(
        ops.AvgPool2d,
        avg_pool2d,
        "padding not counted",
        normal(rng, 2, 2, 5, 4),
        kernel_size=(3, 2),
        stride=(2, 1),
        padding=1,
        count_include_pad=False,
    ),
    sample(
        ops.AvgPool2d,
        avg_pool2d,
        "ceil mode",
        normal(rng, 2, 2, 6, 5),
        kernel_size=(3, 2),
        stride=(2, 3),
        padding=(1, 0),
        ceil_mode=True,
    ),
    sample(
        ops.AvgPool2d,
        avg_pool2d,
        "ceil mode, padding not counted",
        normal(rng, 1, 2, 6, 5),
        kernel_size=3,
        stride=2,
        padding=1,
        ceil_mode=True,
        count_include_pad=False,
    ),
    sample(ops.AvgPool2d, avg_pool2d, "divisor", normal(rng, 1, 2, 4, 5), kernel_size=2, stride=1, divisor_override=3),
    sample(ops.AvgPool2d, avg_pool2d, "unbatched", normal(rng, 2, 4, 5), kernel_size=2),
    sample(ops.AdaptiveAvgPool2d, adaptive_avg_pool2d, "global", normal(rng, 2, 3, 4, 5), output_size=1),
    sample(ops.AdaptiveAvgPool2d, adaptive_avg_pool2d, "does not divide", normal(rng, 2, 2, 5, 7), output_size=(2, 3)),
    sample(ops.AdaptiveAvgPool2d, adaptive_avg_pool2d, "larger", normal(rng, 1, 2, 3, 2), output_size=(4, 5)),
    sample(ops.AdaptiveAvgPool2d, adaptive_avg_pool2d, "None", normal(rng, 1, 2, 3, 5), output_size=(None, 2)),
    sample(ops.AdaptiveAvgPool2d, adaptive_avg_pool2d, "unbatched", normal(rng, 2, 5, 4), output_size=3),
    sample(ops.AdaptiveMaxPool2d, adaptive_max_pool2d, "global", distinct(rng, 2, 3, 4, 5), output_size=1),
    sample(
        ops.AdaptiveMaxPool2d,
        adaptive_max_pool2d,
        "does not divide",
        distinct(rng, 2, 2, 5, 7),
        output_size=(2, 3),
        return_indices=True,
    ),
    sample(ops.AdaptiveMaxPool2d, adaptive_max_pool2d, "larger", distinct(rng, 1, 2, 3, 2), output_size=(4, 5)),
    sample(ops.AdaptiveMaxPool2d, adaptive_max_pool2d, "None", distinct(rng, 1, 2, 3, 5), output_size=(2, None)),
    sample(
        ops.AdaptiveMaxPool2d,
        adaptive_max_pool2d,
        "unbatched",
        distinct(rng, 2, 5, 4),
        output_size=3,
        return_indices=True,
    ),
]

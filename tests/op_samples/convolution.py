"""Convolution, its transpose, unfold and fold: naive loops, examples by hand, samples."""

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, normal

rng = numpy.random.default_rng(4)


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def pad_with_zeros(x, top, bottom, left, right):
    N, C, H, W = x.shape
    padded = numpy.zeros((N, C, top + H + bottom, left + W + right))
    for n, c, h, w in numpy.ndindex(x.shape):
        padded[n, c, top + h, left + w] = x[n, c, h, w]
    return padded


def window_starts(padded_size, kernel_size, stride, dilation):
    """The first pixel of each window, one direction."""
    return range(0, padded_size - dilation * (kernel_size - 1), stride)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if x.ndim == 3:
        return conv2d(x[None], weight, bias, stride, padding, dilation, groups)[0]
    stride, dilation = both(stride), both(dilation)
    F, group_size, KH, KW = weight.shape
    if padding == "same":
        rows, columns = dilation[0] * (KH - 1), dilation[1] * (KW - 1)
        x = pad_with_zeros(x, rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    elif padding != "valid":
        rows, columns = both(padding)
        x = pad_with_zeros(x, rows, rows, columns, columns)
    N, _, H, W = x.shape
    row_starts = window_starts(H, KH, stride[0], dilation[0])
    column_starts = window_starts(W, KW, stride[1], dilation[1])
    y = numpy.zeros((N, F, len(row_starts), len(column_starts)))
    for n, f, oh, ow in numpy.ndindex(y.shape):
        group = f // (F // groups)
        total = 0.0 if bias is None else bias[f]
        for c, kh, kw in numpy.ndindex(group_size, KH, KW):
            h = row_starts[oh] + kh * dilation[0]
            w = column_starts[ow] + kw * dilation[1]
            total += weight[f, c, kh, kw] * x[n, group * group_size + c, h, w]
        y[n, f, oh, ow] = total
    return y


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    if x.ndim == 3:
        return conv_transpose2d(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    stride, padding, extra, dilation = both(stride), both(padding), both(output_padding), both(dilation)
    N, C, H, W = x.shape
    _, group_size, KH, KW = weight.shape
    rows = (H - 1) * stride[0] + dilation[0] * (KH - 1) + 1 + extra[0]
    columns = (W - 1) * stride[1] + dilation[1] * (KW - 1) + 1 + extra[1]
    y = numpy.zeros((N, groups * group_size, rows, columns))
    for n, c, h, w in numpy.ndindex(x.shape):
        group = c // (C // groups)
        for f, kh, kw in numpy.ndindex(group_size, KH, KW):
            row, column = h * stride[0] + kh * dilation[0], w * stride[1] + kw * dilation[1]
            y[n, group * group_size + f, row, column] += x[n, c, h, w] * weight[c, f, kh, kw]
    y = y[:, :, padding[0] : rows - padding[0], padding[1] : columns - padding[1]]
    if bias is not None:
        for f in range(groups * group_size):
            y[:, f] += bias[f]
    return y


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    if x.ndim == 3:
        return unfold(x[None], kernel_size, dilation, padding, stride)[0]
    (KH, KW), dilation, padding, stride = both(kernel_size), both(dilation), both(padding), both(stride)
    x = pad_with_zeros(x, padding[0], padding[0], padding[1], padding[1])
    C, H, W = x.shape[1:]
    blocks = []
    for h in window_starts(H, KH, stride[0], dilation[0]):
        for w in window_starts(W, KW, stride[1], dilation[1]):
            block = []
            for c, kh, kw in numpy.ndindex(C, KH, KW):
                block.append(x[:, c, h + kh * dilation[0], w + kw * dilation[1]])
            blocks.append(numpy.array(block).T)  # (N, C * KH * KW)
    return numpy.stack(blocks, axis=-1)


def fold(blocks, output_size, kernel_size, dilation=1, padding=0, stride=1):
    if blocks.ndim == 2:
        return fold(blocks[None], output_size, kernel_size, dilation, padding, stride)[0]
    (H, W), (KH, KW), dilation = both(output_size), both(kernel_size), both(dilation)
    padding, stride = both(padding), both(stride)
    N, C = blocks.shape[0], blocks.shape[1] // (KH * KW)
    y = numpy.zeros((N, C, H + 2 * padding[0], W + 2 * padding[1]))
    window = 0
    for h in window_starts(y.shape[2], KH, stride[0], dilation[0]):
        for w in window_starts(y.shape[3], KW, stride[1], dilation[1]):
            for row, (c, kh, kw) in enumerate(numpy.ndindex(C, KH, KW)):
                y[:, c, h + kh * dilation[0], w + kw * dilation[1]] += blocks[:, row, window]
            window += 1
    return y[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W]


COUNTING = numpy.arange(1.0, 10.0).reshape(1, 1, 3, 3)  # 1 2 3 / 4 5 6 / 7 8 9
KERNEL = numpy.array([[[[1.0, 2.0], [3.0, 4.0]]]])

HAND_COMPUTED = [
    # 1*1 + 2*2 + 4*3 + 5*4 = 37, and the bias; each step to the right or down adds 10 or 30
    HandComputed(conv2d, (COUNTING, KERNEL, numpy.array([0.5])), {}, numpy.array([[[[37.5, 47.5], [67.5, 77.5]]]])),
    # the windows 0 0 / 0 1, 0 0 / 2 3, 0 4 / 0 7, 5 6 / 8 9
    HandComputed(conv2d, (COUNTING, KERNEL), {"stride": 2, "padding": 1}, numpy.array([[[[4.0, 18.0], [36.0, 77.0]]]])),
    # zeros below and at the right: 3*1 + 6*3 = 21, 6*1 + 9*3 = 33, 7*1 + 8*2 = 23, 8*1 + 9*2 = 26, 9*1
    HandComputed(
        conv2d,
        (COUNTING, KERNEL),
        {"padding": "same"},
        numpy.array([[[[37.0, 47.0, 21.0], [67.0, 77.0, 33.0], [23.0, 26.0, 9.0]]]]),
    ),
    # the corners 1, 3, 7, 9
    HandComputed(conv2d, (COUNTING, KERNEL), {"dilation": 2}, numpy.array([[[[1.0 + 6.0 + 21.0 + 36.0]]]])),
    HandComputed(
        conv2d,
        (numpy.array([[[5.0]], [[7.0]]]), numpy.array([2.0, 3.0]).reshape(2, 1, 1, 1)),
        {"groups": 2},
        numpy.array([[[10.0]], [[21.0]]]),
    ),
    # 1 times the kernel, and 2 times the kernel one column further right
    HandComputed(
        conv_transpose2d,
        (numpy.array([[[[1.0, 2.0]]]]), KERNEL, numpy.array([0.5])),
        {},
        numpy.array([[[[1.5, 4.5, 4.5], [3.5, 10.5, 8.5]]]]),
    ),
    HandComputed(
        conv_transpose2d,
        (numpy.array([[[[1.0, 2.0]]]]), KERNEL),
        {"stride": 2, "output_padding": 1},
        numpy.array([[[[1.0, 2.0, 2.0, 4.0, 0.0], [3.0, 4.0, 6.0, 8.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]]]),
    ),
    HandComputed(
        conv_transpose2d,
        (numpy.array([[[[1.0, 2.0]]]]), KERNEL),
        {"stride": 2, "padding": (0, 1), "dilation": (2, 1)},
        numpy.array([[[[2.0, 2.0], [0.0, 0.0], [4.0, 6.0]]]]),
    ),
    HandComputed(
        unfold,
        (COUNTING, 2),
        {},
        numpy.array([[[1.0, 2.0, 4.0, 5.0], [2.0, 3.0, 5.0, 6.0], [4.0, 5.0, 7.0, 8.0], [5.0, 6.0, 8.0, 9.0]]]),
    ),
    HandComputed(
        unfold,
        (COUNTING, (1, 2)),
        {"stride": 2, "padding": (0, 1)},
        numpy.array([[[0.0, 2.0, 0.0, 8.0], [1.0, 3.0, 7.0, 9.0]]]),
    ),
    # 1 2 / 3 4 at the left, 10 20 / 30 40 at the right; they share the middle column
    HandComputed(
        fold,
        (numpy.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]), (2, 3), 2),
        {},
        numpy.array([[[1.0, 12.0, 20.0], [3.0, 34.0, 40.0]]]),
    ),
]


def sample(op, naive, name, *arrays, no_torch="", **options):
    return OpSample(op, f"nn.functional.{naive.__name__}", arrays, options, naive, name, no_torch=no_torch)


def draw(*shape):
    return normal(rng, *shape)


SAMPLES = [
    sample(ops.Conv2d, conv2d, "defaults", draw(2, 3, 4, 5), draw(2, 3, 2, 3)),
    sample(ops.Conv2d, conv2d, "bias", draw(2, 2, 4, 5), draw(3, 2, 3, 2), draw(3)),
    sample(ops.Conv2d, conv2d, "stride and padding", draw(2, 2, 5, 6), draw(3, 2, 3, 2), draw(3), stride=2, padding=1),
    sample(
        ops.Conv2d,
        conv2d,
        "every option a pair",
        draw(1, 4, 6, 5),
        draw(6, 2, 2, 3),
        draw(6),
        stride=(3, 2),
        padding=(2, 1),
        dilation=(2, 1),
        groups=2,
    ),
    sample(ops.Conv2d, conv2d, "same", draw(1, 2, 3, 4), draw(2, 2, 2, 3), padding="same", dilation=(2, 1)),
    sample(
        ops.Conv2d,
        conv2d,
        "same, even kernel",
        draw(1, 2, 3, 4),
        draw(2, 2, 2, 4),
        padding="same",
        no_torch="PyTorch warns of a copy that it makes for this, and warnings are errors here",
    ),
    sample(ops.Conv2d, conv2d, "valid", draw(1, 1, 4, 3), draw(2, 1, 3, 2), padding="valid", stride=(1, 2)),
    sample(ops.Conv2d, conv2d, "1x1", draw(2, 3, 2, 3), draw(4, 3, 1, 1), draw(4)),
    sample(ops.Conv2d, conv2d, "1x1 in groups", draw(2, 4, 2, 3), draw(2, 2, 1, 1), groups=2),
    sample(ops.Conv2d, conv2d, "1x1 with stride", draw(2, 2, 3, 4), draw(3, 2, 1, 1), stride=2),
    sample(ops.Conv2d, conv2d, "depthwise", draw(2, 3, 4, 3), draw(6, 1, 3, 2), draw(6), padding=1, groups=3),
    sample(ops.Conv2d, conv2d, "kernel as large as the image", draw(2, 2, 3, 4), draw(3, 2, 3, 4), draw(3)),
    sample(ops.Conv2d, conv2d, "more padding than image", draw(1, 1, 1, 2), draw(2, 1, 2, 3), padding=(3, 4), stride=2),
    sample(ops.Conv2d, conv2d, "unbatched", draw(2, 4, 3), draw(3, 2, 2, 2), draw(3), padding=1),
    sample(ops.ConvTranspose2d, conv_transpose2d, "defaults", draw(2, 3, 2, 3), draw(3, 2, 2, 3)),
    sample(ops.ConvTranspose2d, conv_transpose2d, "bias", draw(2, 2, 3, 2), draw(2, 3, 2, 3), draw(3), stride=2),
    sample(
        ops.ConvTranspose2d,
        conv_transpose2d,
        "every option a pair",
        draw(1, 4, 3, 2),
        draw(4, 3, 2, 3),
        draw(6),
        stride=(3, 2),
        padding=(1, 2),
        output_padding=(2, 1),
        groups=2,
        dilation=(1, 2),
    ),
    sample(
        ops.ConvTranspose2d,
        conv_transpose2d,
        "output padding by dilation",
        draw(2, 1, 2, 3),
        draw(1, 2, 2, 2),
        output_padding=1,
        dilation=2,
    ),
    sample(ops.ConvTranspose2d, conv_transpose2d, "depthwise", draw(2, 3, 2, 3), draw(3, 1, 2, 2), groups=3, stride=2),
    sample(ops.ConvTranspose2d, conv_transpose2d, "1x1", draw(2, 3, 2, 3), draw(3, 4, 1, 1), draw(4)),
    sample(ops.ConvTranspose2d, conv_transpose2d, "unbatched", draw(2, 3, 2), draw(2, 3, 2, 3), draw(3), padding=1),
    sample(ops.Unfold, unfold, "defaults", draw(2, 3, 3, 4), kernel_size=2),
    sample(
        ops.Unfold,
        unfold,
        "every option a pair",
        draw(2, 2, 5, 4),
        kernel_size=(2, 3),
        dilation=(2, 1),
        padding=(1, 2),
        stride=(2, 3),
    ),
    sample(ops.Unfold, unfold, "1x1", draw(2, 3, 2, 3), kernel_size=1),
    sample(ops.Unfold, unfold, "unbatched", draw(2, 3, 4), kernel_size=(3, 2)),
    sample(ops.Fold, fold, "defaults", draw(2, 12, 6), output_size=(3, 4), kernel_size=2),
    sample(
        ops.Fold,
        fold,
        "every option a pair",
        draw(2, 12, 6),
        output_size=(5, 4),
        kernel_size=(2, 3),
        dilation=(2, 1),
        padding=(1, 2),
        stride=(2, 3),
    ),
    sample(ops.Fold, fold, "1x1", draw(2, 3, 6), output_size=(2, 3), kernel_size=1),
    sample(ops.Fold, fold, "unbatched", draw(12, 4), output_size=3, kernel_size=2),
]

"""Convolution as it runs on a CPU: columns and one product, as in convolution.py, for a few rows of pixels at a time.

The result is that of im2col and one matrix product. Three things make it fast:

    channels last    Images lie in memory as (N, H, W, C), below arrays of shape (N, C, H, W). A row of a window is then
                     one piece of KW * C numbers, which is copied at once, and the columns times the weights are the
                     output as it lies: nothing is ever transposed.
    blocks           The columns of all images would be KH * KW times as large as the images. Here they are made for
                     a block of output rows, in a buffer that stays in the cache, and are used up at once.
    threads          Each thread takes the next block (minidl/parallel.py).

`correlate` is the only convolution: the gradient of the input is one too, of grad_output with the filters turned
around. With stride s it is s * s of them: pixels of x whose rows and columns leave the same remainders (divided by s)
meet the same part of the kernel.

Names as in im2col.py; an `h` at the end of a name says that the array is (N, H, W, C).
"""

from __future__ import annotations

from itertools import pairwise

from minidl.algorithm import in_blocks
from minidl.backend import array_module, empty
from minidl.buffers import workspace
from minidl.ops.channels_last import CHANNELS_LAST, channels_last, rows_of, sum_of_rows
from minidl.ops.im2col import output_size
from minidl.parallel import get_num_threads, parallel_map

BLOCK_BYTES = 1 << 21  # of columns: what a core's caches hold beside the weights
MOST_BYTES = 1 << 25
SMALL_BLOCK_BYTES = 1 << 19  # where each product is short work: the nearest cache
FEWER = 2  # times fewer output channels than input channels, but at least ENOUGH: then the product comes first
ENOUGH = 16
SHORT_RUN = 16  # numbers: copied one by one, these take less time than to begin with them


def serves(x, weight, stride, dilation):
    """True where the functions here can take the place of the plain formulae."""
    return in_blocks(x, weight) and x.size > 0 and (stride == (1, 1) or dilation == (1, 1))


def convolve(x, weight, bias, stride, padding, dilation):
    """The output of Conv2d, (N, F, OH, OW) with channels last in memory."""
    N, F = x.shape[0], weight.shape[0]
    OH, OW = output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = empty(x, (N, F, OH, OW), CHANNELS_LAST)
    (top, _), (left, _) = padding
    correlate(channels_last(x), weight.transpose(2, 3, 1, 0), channels_last(y), (-top, -left), stride, dilation, bias)
    return y


def input_gradient(grad_output, weight, stride, padding, dilation, image_size):
    """grad_x of Conv2d: pixel h of x met row oh of grad_output through row kh of the kernel, where

        h = stride * oh + dilation * kh - top           hence, with stride 1,  oh = h + top - dilation * kh

    With a stride (and dilation 1), all h = stride * i + a meet the kh = stride * j + r, r = (a + top) mod stride,
    through oh = i + (a + top) // stride - j. The minus of kh and j is the kernel turned around.
    """
    xp = array_module(grad_output)
    dyh = channels_last(grad_output)
    filters = weight.transpose(2, 3, 0, 1)  # (KH, KW, F, C)
    grad_x = empty(grad_output, (len(dyh), filters.shape[3], *image_size), CHANNELS_LAST)
    grad_xh = channels_last(grad_x)
    (top, _), (left, _) = padding
    for a in range(stride[0]):
        for b in range(stride[1]):
            part = filters[(a + top) % stride[0] :: stride[0], (b + left) % stride[1] :: stride[1]][::-1, ::-1]
            pixels = grad_xh[:, a :: stride[0], b :: stride[1]]
            if part.size and pixels.size:
                corner = (
                    (a + top) // stride[0] - dilation[0] * (part.shape[0] - 1),
                    (b + left) // stride[1] - dilation[1] * (part.shape[1] - 1),
                )
                correlate(dyh, xp.ascontiguousarray(part), pixels, corner, (1, 1), dilation)
            else:  # these pixels lie between the windows
                pixels[...] = 0
    return grad_x


def correlate(xh, filters, yh, corner, stride, dilation, bias=None):
    """yh[n, oh, ow] = bias + sum over kh, kw of xh[n, h, w] filters[kh, kw]; xh counts as 0 outside.

    with h = oh * stride[0] + kh * dilation[0] + corner[0], and w alike. xh: (N, H, W, C), filters: (KH, KW, C, F),
    yh: (N, OH, OW, F), which is written into.
    """
    KH, KW, C, F = filters.shape
    OW = yh.shape[2]
    from_products = stride == (1, 1) and C >= FEWER * F >= FEWER * ENOUGH and 1 < KH * KW <= 9
    if from_products:
        filters = array_module(xh).ascontiguousarray(filters)
        row_bytes = OW * (C + 2 * F) * xh.itemsize
    else:
        filters = filters.reshape(KH * KW * C, F)
        row_bytes = OW * KH * KW * C * xh.itemsize
    # Added to whole rows of pixels: NumPy takes its time to begin with each run of F numbers.
    bias_row = None if bias is None else array_module(xh).tile(bias, OW)

    def compute(block):
        out = yh[block]
        in_place = out.flags.c_contiguous
        y = out if in_place else workspace("correlate.output", out.shape, xh.dtype)
        if from_products:
            add_products(xh, block, filters, y, corner, dilation)
        else:
            columns = columns_of(xh, block, OW, (KH, KW), corner, stride, dilation)
            array_module(xh).matmul(columns, filters, out=y.reshape(len(columns), F))
        if bias is not None:
            y.reshape(-1, OW * F)[...] += bias_row
        if not in_place:
            out[...] = y

    parallel_map(compute, blocks(yh.shape[:2], row_bytes, BLOCK_BYTES), yh.size // F * KH * KW * C)


def add_products(xh, block, filters, y, corner, dilation):
    """The same sum for stride 1 with the product first: y = the sum over kh, kw of (x filters[kh, kw]) moved there.

    No columns: where an output has fewer channels than the input, its products are less to move than the windows are.
    """
    images, rows = block
    KH, KW, C, F = filters.shape
    count, OW = y.shape[1:3]
    height, width = count + (KH - 1) * dilation[0], OW + (KW - 1) * dilation[1]
    pixels = _rectangle(xh[images], rows.start + corner[0], corner[1], height, width, channels_last=True)
    if not pixels.flags.c_contiguous:
        copied = workspace("add_products.pixels", pixels.shape, xh.dtype)
        copied[...] = pixels
        pixels = copied
    product = workspace("add_products.product", (len(pixels), height, width, F), xh.dtype)
    for kh in range(KH):
        for kw in range(KW):
            array_module(xh).matmul(pixels.reshape(-1, C), filters[kh, kw], out=product.reshape(-1, F))
            h, w = kh * dilation[0], kw * dilation[1]
            moved = product[:, h : h + count, w : w + OW]
            if kh == kw == 0:
                y[...] = moved
            else:
                y += moved


def weight_gradient(x, grad_output, stride, padding, dilation, kernel_size):
    """grad_weight of Conv2d, (F, C, KH, KW) with channels last in memory: grad_output^T columns, summed over blocks."""
    xp = array_module(x)
    xh, dyh = channels_last(x), channels_last(grad_output)
    KH, KW = kernel_size
    N, OH, OW, F = dyh.shape
    K = KH * KW * xh.shape[3]
    (top, _), (left, _) = padding

    def add_up(some_blocks):
        grad_weight = empty(x, (F, xh.shape[3], KH, KW), CHANNELS_LAST)
        total = channels_last(grad_weight).reshape(F, K)
        first = True
        for images, rows in some_blocks:
            columns = columns_of(xh, (images, rows), OW, kernel_size, (-top, -left), stride, dilation)
            dy = dyh[images, rows].reshape(len(columns), F)
            if few:  # and columns.T lies in one piece: this way round BLAS takes half the time
                product = xp.matmul(columns.T, dy).T
                total[...] = product if first else total + product
                first = False
            elif first:
                xp.matmul(dy.T, columns, out=total)
                first = False
            else:
                total += xp.matmul(dy.T, columns, out=workspace("weight_gradient.product", (F, K), xh.dtype))
        return grad_weight

    # A product of few rows is soon done, and then added to all of the gradient: the larger that is, the more rows.
    few = _in_short_runs(xh.shape[3], KW, OW, stride)
    size = SMALL_BLOCK_BYTES if few else min(max(BLOCK_BYTES, 2 * F * K * xh.itemsize), MOST_BYTES)
    all_blocks = blocks((N, OH), OW * K * xh.itemsize, size)
    # Each thread adds up its own share, always the same one: the same seed gives the same result.
    shares = min(get_num_threads(), len(all_blocks))
    ends = [len(all_blocks) * share // shares for share in range(shares + 1)]
    first, *others = parallel_map(add_up, [all_blocks[i:j] for i, j in pairwise(ends)], dyh.size // F * K)
    for other in others:
        first += other
    return first


def bias_gradient(grad_output):
    """grad_bias of Conv2d: the sum over images and pixels."""
    return sum_of_rows(rows_of(grad_output))


def columns_of(xh, block, OW, kernel_size, corner, stride, dilation):
    """The windows of a block of output rows, a row for each: (n * rows * OW, KH * KW * C), until the next call.

    In memory a window's numbers stand together, and KW * C of them are copied at once; where these are few (a first
    layer), it is the other way round: OW windows' numbers for one tap and channel stand together.
    """
    images, rows = block
    KH, KW = kernel_size
    C = xh.shape[3]
    count = rows.stop - rows.start
    by_tap = _in_short_runs(C, KW, OW, stride)
    h, w = rows.start * stride[0] + corner[0], corner[1]
    height = (count - 1) * stride[0] + (KH - 1) * dilation[0] + 1
    width = (OW - 1) * stride[1] + (KW - 1) * dilation[1] + 1
    pixels = _rectangle(xh[images], h, w, height, width, channels_last=not by_tap)
    sn, sh, sw, sc = pixels.strides
    windows = array_module(xh).lib.stride_tricks.as_strided(
        pixels,
        (len(pixels), count, OW, KH, KW, C),
        (sn, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1], sc),
    )
    M, K = len(pixels) * count * OW, KH * KW * C
    if kernel_size == (1, 1) and windows.flags.c_contiguous:
        return windows.reshape(M, K)
    if by_tap:
        taps = windows.transpose(3, 4, 5, 0, 1, 2)
        columns = workspace("columns_of", taps.shape, xh.dtype)
        columns[...] = taps
        return columns.reshape(K, M).T
    columns = workspace("columns_of", windows.shape, xh.dtype)
    columns[...] = windows
    return columns.reshape(M, K)


def _in_short_runs(C, KW, OW, stride):
    """True where few numbers of a window stand together in memory, and many of neighbouring windows."""
    return stride[1] == 1 and KW * C <= SHORT_RUN < OW


def _rectangle(xh, h, w, height, width, channels_last):
    """xh[:, h : h + height, w : w + width], with zeros where it reaches over the edge.

    With channels_last, the channels of a pixel stand together in memory; otherwise, the pixels of a row and channel.
    """
    N, H, W, C = xh.shape
    unit = xh.strides[3] if channels_last else xh.strides[2]
    if h >= 0 and w >= 0 and h + height <= H and w + width <= W and (C == 1 or unit == xh.itemsize):
        return xh[:, h : h + height, w : w + width]
    if channels_last:
        padded = workspace("_rectangle", (N, height, width, C), xh.dtype)
    else:
        padded = workspace("_rectangle", (N, C, height, width), xh.dtype).transpose(0, 2, 3, 1)
    rows = slice(min(max(0, -h), height), max(min(height, H - h), 0))
    columns = slice(min(max(0, -w), width), max(min(width, W - w), 0))
    padded[:, : rows.start] = 0
    padded[:, rows.stop :] = 0
    padded[:, rows, : columns.start] = 0
    padded[:, rows, columns.stop :] = 0
    padded[:, rows, columns] = xh[:, h + rows.start : h + rows.stop, w + columns.start : w + columns.stop]
    return padded


def blocks(counts, bytes_of_row, size):
    """Pairs of slices (images, rows) that together are all of counts = (N, OH): several images, or some rows of one."""
    N, OH = counts
    rows = max(1, size // bytes_of_row)
    if rows < OH:
        rows = -(-OH // -(-OH // rows))  # as many blocks, but of equal size
        return [(slice(n, n + 1), slice(h, min(h + rows, OH))) for n in range(N) for h in range(0, OH, rows)]
    images = min(rows // OH, max(1, -(-N // get_num_threads())))
    return [(slice(n, min(n + images, N)), slice(0, OH)) for n in range(0, N, images)]

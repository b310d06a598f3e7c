"""Batch normalization as it runs on a CPU: the formulae of normalization.py, a block of pixels at a time, on all cores.

x, dy and the results are (N, C, ...) and have their channels last in memory, so that a batch is a matrix `rows` (m, C)
with a row for each pixel (see channels_last.py). Each step reads it once, in blocks that stay in the cache through all
of the arithmetic on them. What belongs to the channels is repeated for every row of a block first: NumPy computes with
two arrays of one shape twice as fast as where it has to broadcast.
"""

from __future__ import annotations

from minidl.backend import array_module
from minidl.buffers import workspace
from minidl.ops.channels_last import images_like, row_blocks, rows_of, sum_of_block
from minidl.parallel import parallel_map

SAMPLE = 1 << 10  # rows


def statistics(x, weight, eps):
    """The mean and the (biased) variance of each channel, and their scales. In one pass:

        d = x - s,  mean = s + mean(d),  variance = mean(d^2) - mean(d)^2

    No digits are lost, since s is near the mean already: it is that of a sample.
    """
    xp, rows = array_module(x), rows_of(x)
    m, C = rows.shape
    near = rows[:: -(-m // SAMPLE)].mean(axis=0)
    blocks = row_blocks(rows)
    repeated = _repeat(near, blocks)

    def of_block(block):
        x = rows[block].reshape(-1)
        d = xp.subtract(x, repeated[: x.size], out=workspace("statistics", x.shape, x.dtype))
        total = sum_of_block(d.reshape(-1, C))
        d *= d
        return total, sum_of_block(d.reshape(-1, C))

    total, squares = _added(parallel_map(of_block, blocks, rows.size))
    total /= m
    variance = xp.maximum(squares / m - total * total, 0)
    return near + total, variance, scales_of(variance, weight, eps)


def scales_of(variance, weight, eps):
    """The scales (2, C): r = 1 / sqrt(variance + eps) and r weight."""
    xp = array_module(variance)
    scales = xp.empty((2, len(variance)), variance.dtype)
    scales[0] = 1 / xp.sqrt(variance + eps)
    scales[1] = scales[0] if weight is None else scales[0] * weight
    return scales


def normalize(x, mean, scales, bias):
    """y = (x - mean) scale + bias"""
    xp, rows, result = array_module(x), rows_of(x), images_like(x)
    y = rows_of(result)
    blocks = row_blocks(rows)
    mean, scale = _repeat(mean, blocks), _repeat(scales[1], blocks)
    bias = None if bias is None else _repeat(bias, blocks)

    def of_block(block):
        x, part = rows[block].reshape(-1), y[block].reshape(-1)
        xp.subtract(x, mean[: x.size], out=part)  # first: x scale + (bias - mean scale) loses digits of a large mean
        part *= scale[: x.size]
        if bias is not None:
            part += bias[: x.size]

    parallel_map(of_block, blocks, rows.size)
    return result


def gradient_sums(grad_output, x, mean, scales):
    """db = sum(dy), dw = sum(dy (x - mean)) r, and the slopes db / m and dw r / m that input_gradient takes."""
    xp, dy, rows = array_module(x), rows_of(grad_output), rows_of(x)
    m, C = dy.shape
    blocks = row_blocks(dy)
    mean = _repeat(mean, blocks)

    def of_block(block):
        x, g = rows[block].reshape(-1), dy[block].reshape(-1)
        product = xp.subtract(x, mean[: x.size], out=workspace("gradient_sums", x.shape, x.dtype))
        product *= g
        return sum_of_block(g.reshape(-1, C)), sum_of_block(product.reshape(-1, C))

    grad_bias, dots = _added(parallel_map(of_block, blocks, dy.size))
    grad_weight = dots * scales[0]
    return grad_bias, grad_weight, (grad_bias / m, grad_weight * scales[0] / m)


def input_gradient(grad_output, x, mean, slopes, scales):
    """dx = scale (dy - db / m - (x - mean) slope), slope = dw r / m

    as dy scale - x slope scale + (mean slope - db / m) scale.
    """
    mean_g, slope = slopes
    scale = scales[1]
    xp, dy, rows, result = array_module(x), rows_of(grad_output), rows_of(x), images_like(x)
    grad_x = rows_of(result)
    blocks = row_blocks(dy)
    of_x, shift, scale = (_repeat(v, blocks) for v in (-slope * scale, (mean * slope - mean_g) * scale, scale))

    def of_block(block):
        x, g, part = rows[block].reshape(-1), dy[block].reshape(-1), grad_x[block].reshape(-1)
        xp.multiply(x, of_x[: x.size], out=part)
        part += shift[: x.size]
        part += xp.multiply(g, scale[: x.size], out=workspace("input_gradient", x.shape, x.dtype))

    parallel_map(of_block, blocks, dy.size)
    return result


def _repeat(vector, blocks):
    """The numbers of the channels, once for each row of a block."""
    return array_module(vector).tile(vector, blocks[0].stop)


def _added(of_blocks):
    """Sums of sums: a list with a tuple for each block, added up position by position."""
    return tuple(sum(others, first) for first, *others in zip(*of_blocks, strict=True))

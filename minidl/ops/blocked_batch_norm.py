"""Batch normalization as it runs on a CPU: the formulae of normalization.py, a block of pixels at a time, on all cores.

Here the batch is a matrix `rows` (m, C), a row for each pixel of each image: with channels last in memory that is how
it lies (see blocked_convolution.py). Each step reads it once, in blocks that stay in the cache through all of the
arithmetic on them. What belongs to the channels is repeated for every row of a block first: NumPy computes with two
arrays of one shape twice as fast as where it has to broadcast.
"""

from __future__ import annotations

import math

from minidl.algorithm import in_blocks
from minidl.backend import array_module, empty
from minidl.buffers import workspace
from minidl.parallel import parallel_map, slices

BLOCK = 1 << 17  # numbers: long enough that threads do not wait for each other, short enough for a core's caches
SAMPLE = 1 << 10  # rows
RUN = 1 << 10  # numbers that are worth a beginning


def serves(x):
    """True where the functions here can take the place of the plain formulae."""
    return in_blocks(x) and x.size > 0


def rows_of(x):
    """(N, C, ...) as (m, C), a row for each pixel; without a copy where the channels are last in memory."""
    pixels = x.transpose(0, *range(2, x.ndim), 1)
    return array_module(x).ascontiguousarray(pixels).reshape(-1, x.shape[1])


def images_like(x):
    """An array like x with anything in it, channels last in memory: a place for results."""
    return empty(x, x.shape, (0, *range(2, x.ndim), 1))


def statistics(rows):
    """The mean and the (biased) variance of each channel, in one pass:

        d = x - s,  mean = s + mean(d),  variance = mean(d^2) - mean(d)^2

    No digits are lost, since s is near the mean already: it is that of a sample.
    """
    xp = array_module(rows)
    m, C = rows.shape
    near = rows[:: -(-m // SAMPLE)].mean(axis=0)
    blocks = _blocks(rows)
    repeated = _repeat(near, blocks)

    def of_block(block):
        x = rows[block].reshape(-1)
        d = xp.subtract(x, repeated[: x.size], out=workspace("centred", x.shape, x.dtype))
        total = _sum_of_rows(d.reshape(-1, C))
        d *= d
        return total, _sum_of_rows(d.reshape(-1, C))

    total, squares = _added(parallel_map(of_block, blocks, rows.size))
    total /= m
    return near + total, xp.maximum(squares / m - total * total, 0)


def sum_of_rows(rows):
    """The sum of each channel over all pixels."""
    (total,) = _added(parallel_map(lambda block: (_sum_of_rows(rows[block]),), _blocks(rows), rows.size))
    return total


def normalize(rows, mean, scale, bias, out):
    """y = (x - mean) scale + bias, as x scale + (bias - mean scale), into the rows of `out`"""
    xp = array_module(rows)
    y = rows_of(out)
    blocks = _blocks(rows)
    shift = _repeat(-mean * scale if bias is None else bias - mean * scale, blocks)
    scale = _repeat(scale, blocks)

    def of_block(block):
        x, part = rows[block].reshape(-1), y[block].reshape(-1)
        xp.multiply(x, scale[: x.size], out=part)
        part += shift[: x.size]

    parallel_map(of_block, blocks, rows.size)
    return out


def gradient_sums(dy, rows, mean):
    """sum(dy) and sum(dy (x - mean)) of each channel."""
    xp = array_module(dy)
    C = dy.shape[1]
    blocks = _blocks(dy)
    mean = _repeat(mean, blocks)

    def of_block(block):
        x, g = rows[block].reshape(-1), dy[block].reshape(-1)
        product = xp.subtract(x, mean[: x.size], out=workspace("centred", x.shape, x.dtype))
        product *= g
        return _sum_of_rows(g.reshape(-1, C)), _sum_of_rows(product.reshape(-1, C))

    return _added(parallel_map(of_block, blocks, dy.size))


def input_gradient(dy, rows, mean, mean_g, slope, scale, out):
    """dx = scale (g - mean_g - (x - mean) slope), with g = dy since w stands in scale, into the rows of `out`

    as dy scale - x slope scale + (mean slope - mean_g) scale.
    """
    xp = array_module(dy)
    grad_x = rows_of(out)
    blocks = _blocks(dy)
    of_x, shift, scale = (_repeat(v, blocks) for v in (-slope * scale, (mean * slope - mean_g) * scale, scale))

    def of_block(block):
        x, g, part = rows[block].reshape(-1), dy[block].reshape(-1), grad_x[block].reshape(-1)
        xp.multiply(x, of_x[: x.size], out=part)
        part += shift[: x.size]
        part += xp.multiply(g, scale[: x.size], out=workspace("centred", x.shape, x.dtype))

    parallel_map(of_block, blocks, dy.size)
    return out


def _blocks(rows):
    """Slices that together are all rows."""
    return slices(len(rows), BLOCK // rows.shape[1])


def _repeat(vector, blocks):
    """The numbers of the channels, once for each row of a block."""
    return array_module(vector).tile(vector, blocks[0].stop)


def _sum_of_rows(block):
    """The sum over the rows, as a product with ones; several short rows are taken as one."""
    xp = array_module(block)
    m, C = block.shape
    k = math.gcd(m, 1 << max(0, (RUN // C).bit_length() - 1))
    folded = block.reshape(m // k, k * C)
    return (xp.ones(len(folded), folded.dtype) @ folded).reshape(k, C).sum(axis=0)


def _added(of_blocks):
    """Sums of sums: a list with a tuple for each block, added up position by position."""
    return tuple(sum(others, first) for first, *others in zip(*of_blocks, strict=True))

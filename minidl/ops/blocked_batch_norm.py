"""Batch normalization as it runs on a CPU: the formulae of normalization.py, a block of pixels at a time, on all cores.

Here the batch is a matrix `rows` (m, C), a row for each pixel of each image: with channels last in memory that is how
it lies (see blocked_convolution.py). Each step reads it once, in blocks that stay in the cache through all of the
arithmetic on them. NumPy takes its time to begin with each run of numbers, so k rows are taken as one of k * C numbers,
and what belongs to the channels is repeated k times; the sum of the rows is a product with ones.
"""

from __future__ import annotations

import math

from minidl.algorithm import in_blocks
from minidl.backend import array_module, empty
from minidl.buffers import workspace
from minidl.parallel import parallel_map, slices

BLOCK = 1 << 16  # numbers: two blocks stay in a core's second-level cache
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
    """The mean and the (biased) variance of each channel.

    Each block has a mean and a sum of squares around it. Two sets of sizes n, m with means a, b together have

        mean = a + (b - a) m / (n + m),  squares = squares_a + squares_b + (b - a)^2 n m / (n + m)

    Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm", COMPSTAT 1982: one pass, and no digits lost.
    """
    folded, k = _fold(rows)

    def of_block(block):
        x = folded[block]
        mean = _sum_of_rows(x, k) / (len(x) * k)
        centred = array_module(x).subtract(x, _repeat(mean, k), out=workspace("centred", x.shape, x.dtype))
        centred *= centred
        return len(x) * k, mean, _sum_of_rows(centred, k)

    (count, mean, squares), *others = parallel_map(of_block, _blocks(folded))
    for n, mean_of_block, squares_of_block in others:
        difference = mean_of_block - mean
        mean += difference * (n / (count + n))
        squares += squares_of_block + difference * difference * (count * n / (count + n))
        count += n
    return mean, squares / count


def sum_of_rows(rows):
    """The sum of each channel over all pixels."""
    folded, k = _fold(rows)
    first, *others = parallel_map(lambda block: _sum_of_rows(folded[block], k), _blocks(folded))
    return sum(others, first)


def normalize(rows, mean, scale, bias, out):
    """y = (x - mean) scale + bias, into the rows of `out`"""
    folded, k = _fold(rows)
    y, _ = _fold(rows_of(out))
    mean, scale = _repeat(mean, k), _repeat(scale, k)
    bias = None if bias is None else _repeat(bias, k)

    def of_block(block):
        part = array_module(rows).subtract(folded[block], mean, out=y[block])
        part *= scale
        if bias is not None:
            part += bias

    parallel_map(of_block, _blocks(folded))
    return out


def gradient_sums(dy, rows, mean):
    """sum(dy) and sum(dy (x - mean)) of each channel."""
    dy, k = _fold(dy)
    folded, _ = _fold(rows)
    mean = _repeat(mean, k)

    def of_block(block):
        product = array_module(dy).subtract(folded[block], mean, out=workspace("centred", dy[block].shape, dy.dtype))
        product *= dy[block]
        return _sum_of_rows(dy[block], k), _sum_of_rows(product, k)

    sums, dots = zip(*parallel_map(of_block, _blocks(dy)), strict=True)
    return sum(sums[1:], sums[0]), sum(dots[1:], dots[0])


def input_gradient(dy, rows, mean, mean_g, slope, scale, out):
    """dx = scale (g - mean_g - (x - mean) slope), with g = dy since w stands in scale, into the rows of `out`."""
    dy, k = _fold(dy)
    folded, _ = _fold(rows)
    grad_x, _ = _fold(rows_of(out))
    mean, mean_g, slope, scale = (_repeat(vector, k) for vector in (mean, mean_g, -slope, scale))

    def of_block(block):
        part = array_module(dy).subtract(folded[block], mean, out=grad_x[block])
        part *= slope
        part += dy[block]
        part -= mean_g
        part *= scale

    parallel_map(of_block, _blocks(dy))
    return out


def _fold(rows):
    """`rows` with k of them as one, and k: as many as make a run of RUN numbers, and divide their number."""
    m, C = rows.shape
    k = math.gcd(m, 1 << max(0, (RUN // C).bit_length() - 1))
    return rows.reshape(m // k, k * C), k


def _repeat(vector, k):
    return array_module(vector).tile(vector, k)


def _sum_of_rows(folded, k):
    """The sum over the rows as they were before _fold."""
    xp = array_module(folded)
    return (xp.ones(len(folded), folded.dtype) @ folded).reshape(k, -1).sum(axis=0)


def _blocks(folded):
    """Slices that together are all rows."""
    return slices(len(folded), BLOCK // folded.shape[1])

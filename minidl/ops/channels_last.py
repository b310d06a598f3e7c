"""Images with their channels last in memory, (N, H, W, C), below arrays of shape (N, C, H, W).

The numbers of a pixel then stand together, and a batch is a matrix `rows` (m, C) with a row for each pixel of each
image: what blocked_convolution.py needs for its products, and batch normalization for its sums.
"""

from __future__ import annotations

import math

from minidl import elementwise
from minidl.backend import array_module, empty
from minidl.elementwise import over_images
from minidl.parallel import parallel_map, slices

CHANNELS_LAST = (0, 2, 3, 1)  # the dimensions of (N, C, H, W) from the outermost in memory on
RUN = 1 << 10  # numbers that are worth a beginning


def channels_last(x):
    """(N, C, H, W) as (N, H, W, C): a view."""
    return x.transpose(CHANNELS_LAST)


def laid_out(x):
    """x with its channels last in memory, and no gaps: x itself if it is, else a copy."""
    return x if channels_last(x).flags.c_contiguous else _copied(x)


def rows_of(x):
    """(N, C, ...) as (m, C), a row for each pixel; without a copy where the channels are last in memory."""
    order = (0, *range(2, x.ndim), 1)
    if not x.transpose(order).flags.c_contiguous:
        x = _copied(x)
    return x.transpose(order).reshape(-1, x.shape[1])


def _copied(x):
    """x with its channels last in memory."""
    result = images_like(x)

    def copy(images):
        result[images] = x[images]

    over_images(copy, x)
    return result


def images_like(x):
    """An array like x with anything in it, channels last in memory: a place for results."""
    return empty(x, x.shape, (0, *range(2, x.ndim), 1))


def row_blocks(rows):
    """Slices that together are all rows: long enough for threads, short enough for a core's caches."""
    return slices(len(rows), elementwise.PIECE // rows.shape[1])


def sum_of_rows(rows):
    """The sum of each channel over all pixels."""
    first, *others = parallel_map(lambda block: sum_of_block(rows[block]), row_blocks(rows), rows.size)
    return sum(others, first)


def sum_of_block(block):
    """The sum over the rows, as a product with ones; several short rows are taken as one."""
    xp = array_module(block)
    m, C = block.shape
    k = math.gcd(m, 1 << max(0, (RUN // C).bit_length() - 1))
    folded = block.reshape(m // k, k * C)
    return (xp.ones(len(folded), folded.dtype) @ folded).reshape(k, C).sum(axis=0)

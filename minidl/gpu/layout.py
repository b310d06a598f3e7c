"""How arrays lie in a GPU's memory: the kernels go through it from the first number to the last.

Most kernels take any order of the dimensions, as long as there are no gaps between the numbers: a convolution's result
has its channels first, (C, N, H, W), below an array of shape (N, C, H, W).
"""

from __future__ import annotations

from typing import Any

from minidl.backend import array_module, empty_like, memory_order


def without_gaps(x: Any) -> Any:
    """x itself if its numbers fill one piece of memory, in any order of the dimensions; else a copy in C order.

    None stays None.
    """
    if x is None:
        return None
    order = memory_order(x)
    if order is None or x.transpose(order).flags.c_contiguous:
        return x
    return array_module(x).ascontiguousarray(x)


def arranged_like(x: Any, model: Any) -> Any:
    """x itself if it lies in memory as `model`, an array of its shape without gaps, does; else a copy that does."""
    order = memory_order(model)
    if (x if order is None else x.transpose(order)).flags.c_contiguous:
        return x
    copy = empty_like(model, dtype=x.dtype)
    copy[...] = x
    return copy


def in_planes(x: Any) -> Any:
    """(..., H, W) as it is, if each plane (H, W) lies row by row and the next one behind it; else a copy in C order."""
    order = memory_order(x)
    if order is None or (order[-2:] == (x.ndim - 2, x.ndim - 1) and x.transpose(order).flags.c_contiguous):
        return x
    return array_module(x).ascontiguousarray(x)


def channel_step(x: Any) -> int:
    """From one channel to the next, in numbers: x is (N, C, ...) without gaps."""
    return x.strides[1] // x.itemsize if x.shape[1] > 1 else x.size


def span(x: Any) -> int:
    """How far the first and the last number of x lie apart in memory, in numbers."""
    return sum((size - 1) * abs(stride) for size, stride in zip(x.shape, x.strides, strict=True)) // x.itemsize

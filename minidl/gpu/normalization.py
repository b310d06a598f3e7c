"""Batch and local response normalization on a GPU: the formulae of minidl/ops/normalization.py, one launch a step.

x: (N, C, ...); y and dx lie in memory as x does.
"""

from __future__ import annotations

from typing import Any

from minidl.backend import array_module, empty_like
from minidl.gpu.launch import per_block, per_element
from minidl.gpu.layout import arranged_like, channel_step, without_gaps

BLOCKS = 1024  # of threads: several for each of a GPU's 100 or so processors
CHUNK = 2048  # numbers that are worth a block


def statistics(x: Any) -> tuple[Any, Any]:
    """The mean and the (biased) variance of each channel."""
    x = without_gaps(x)
    xp, C, m, step = array_module(x), x.shape[1], x.size // x.shape[1], channel_step(x)
    parts, chunk = _parts(m, C)
    means, squares = xp.empty((2, parts, C), x.dtype)
    mean, variance = xp.empty((2, C), x.dtype)
    per_block("normalization.part_statistics", (C, parts), x, means, squares, m, chunk, C, step)
    per_element("normalization.statistics", C, means, squares, mean, variance, m, chunk, C, parts)
    return mean, variance


def scales(variance: Any, weight: Any, eps: float) -> tuple[Any, Any]:
    """r = 1 / sqrt(variance + eps) and r weight."""
    C = len(variance)
    r, scale = array_module(variance).empty((2, C), variance.dtype)
    per_element("normalization.scales", C, variance, weight, r, scale, C, eps)
    return r, scale


def normalize(x: Any, mean: Any, scale: Any, bias: Any) -> Any:
    """y = (x - mean) scale + bias"""
    x = without_gaps(x)
    y = empty_like(x)
    per_element("normalization.normalize", x.size, x, mean, scale, bias, y, x.size, x.shape[1], channel_step(x))
    return y


def gradient_sums(grad_output: Any, x: Any, mean: Any, r: Any) -> tuple[Any, Any, Any, Any]:
    """db = sum(dy), dw = sum(dy (x - mean)) r, and the mean_g and slope that input_gradient takes."""
    x = without_gaps(x)
    grad_output = arranged_like(grad_output, x)
    xp, C, m, step = array_module(x), x.shape[1], x.size // x.shape[1], channel_step(x)
    parts, chunk = _parts(m, C)
    sums, dots = xp.empty((2, parts, C), x.dtype)
    results = [xp.empty(C, x.dtype) for _ in range(4)]  # each with memory of its own: two of them become gradients
    per_block("normalization.part_sums", (C, parts), grad_output, x, mean, sums, dots, m, chunk, C, step)
    per_element("normalization.gradient_sums", C, sums, dots, r, *results, m, C, parts)
    return tuple(results)  # type: ignore[return-value]


def input_gradient(grad_output: Any, x: Any, mean: Any, mean_g: Any, slope: Any, scale: Any) -> Any:
    """dx = scale (dy - mean_g - (x - mean) slope)"""
    x = without_gaps(x)
    grad_output, grad_x = arranged_like(grad_output, x), empty_like(x)
    arrays = (grad_output, x, mean, mean_g, slope, scale, grad_x)
    per_element("normalization.input_gradient", x.size, *arrays, x.size, x.shape[1], channel_step(x))
    return grad_x


def channel_sums(x: Any) -> Any:
    """The sum of each channel."""
    x = without_gaps(x)
    xp, C, m, step = array_module(x), x.shape[1], x.size // x.shape[1], channel_step(x)
    if not m:
        return xp.zeros(C, x.dtype)
    parts, chunk = _parts(m, C)
    sums = xp.empty((parts, C), x.dtype)
    per_block("normalization.part_totals", (C, parts), x, sums, m, chunk, C, step)
    return sums[0] if parts == 1 else sums.sum(axis=0)


def response_norm(x: Any, before: int, after: int, factor: float, beta: float, k: float) -> tuple[Any, Any, Any]:
    """y, d and d^-beta of local response normalization, for x without gaps; factor is alpha / size."""
    y, d, shrink = empty_like(x), empty_like(x), empty_like(x)
    settings = (x.size, x.shape[1], channel_step(x), before, after, factor, beta, k)
    per_element("normalization.response_norm", x.size, x, y, d, shrink, *settings)
    return y, d, shrink


def response_norm_gradient(
    grad_output: Any, x: Any, d: Any, shrink: Any, before: int, after: int, factor: float
) -> Any:
    """dx of response_norm; factor is -2 alpha beta / size."""
    grad_output, grad_x = arranged_like(grad_output, x), empty_like(x)
    settings = (x.size, x.shape[1], channel_step(x), before, after, factor)
    per_element("normalization.response_norm_gradient", x.size, grad_output, x, d, shrink, grad_x, *settings)
    return grad_x


def _parts(m: int, C: int) -> tuple[int, int]:
    """Into how many parts the m elements of each of C channels are cut, and how long one is."""
    parts = max(1, min(BLOCKS // C, m // CHUNK))
    chunk = -(-m // parts)
    return -(-m // chunk), chunk

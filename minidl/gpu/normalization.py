"""Batch and local response normalization on a GPU: the formulae of minidl/ops/normalization.py, one launch a step.

x: (N, C, ...); y and dx lie in memory as x does.
"""

from __future__ import annotations

from typing import Any

from minidl.backend import array_module, empty_like
from minidl.gpu.launch import per_block, per_element, workspace
from minidl.gpu.layout import arranged_like, channel_step, without_gaps

BLOCKS = 1024  # of threads: several for each of a GPU's 100 or so processors
CHUNK = 2048  # numbers that are worth a block


def statistics(x: Any, weight: Any, eps: float) -> tuple[Any, Any, Any]:
    """The mean and the (biased) variance of each channel, and their scales."""
    x, weight = without_gaps(x), without_gaps(weight)
    xp, C, m = array_module(x), x.shape[1], x.size // x.shape[1]
    count, chunk = _parts(m, C)
    parts = workspace(x, 2 * count * C, x.dtype)
    mean, variance, scales = xp.empty(C, x.dtype), xp.empty(C, x.dtype), xp.empty((2, C), x.dtype)
    per_block("normalization.part_statistics", (C, count), (x, parts), m, chunk, C, channel_step(x))
    arrays = (parts, weight, mean, variance, scales)
    per_element("normalization.statistics", C, arrays, m, chunk, C, count, eps)
    return mean, variance, scales


def scales_of(variance: Any, weight: Any, eps: float) -> Any:
    """The scales (2, C): r = 1 / sqrt(variance + eps) and r weight."""
    C = len(variance)
    variance, weight = without_gaps(variance), without_gaps(weight)
    scales = array_module(variance).empty((2, C), variance.dtype)
    per_element("normalization.scales_of", C, (variance, weight, scales), C, eps)
    return scales


def normalize(x: Any, mean: Any, scales: Any, bias: Any) -> Any:
    """y = (x - mean) scale + bias"""
    x, bias = without_gaps(x), without_gaps(bias)
    y = empty_like(x)
    per_element("normalization.normalize", x.size, (x, mean, scales, bias, y), x.size, x.shape[1], channel_step(x))
    return y


def move_running(running: tuple[Any, Any], mean: Any, variance: Any, momentum: float, correction: float) -> None:
    """running = (1 - momentum) running + momentum statistic, in place: the mean, and the variance times correction.

    Both running ones lie without gaps.
    """
    C = len(mean)
    per_element("normalization.move_running", C, (*running, mean, variance), C, momentum, correction)


def gradient_sums(grad_output: Any, x: Any, mean: Any, scales: Any) -> tuple[Any, Any, Any]:
    """db = sum(dy), dw = sum(dy (x - mean)) r, and the slopes (2, C) that input_gradient takes."""
    x = without_gaps(x)
    grad_output = arranged_like(grad_output, x)
    xp, C, m = array_module(x), x.shape[1], x.size // x.shape[1]
    count, chunk = _parts(m, C)
    parts = workspace(x, 2 * count * C, x.dtype)
    grad_bias, grad_weight, slopes = xp.empty(C, x.dtype), xp.empty(C, x.dtype), xp.empty((2, C), x.dtype)
    per_block("normalization.part_sums", (C, count), (grad_output, x, mean, parts), m, chunk, C, channel_step(x))
    per_element("normalization.gradient_sums", C, (parts, scales, grad_bias, grad_weight, slopes), m, C, count)
    return grad_bias, grad_weight, slopes


def input_gradient(grad_output: Any, x: Any, mean: Any, slopes: Any, scales: Any) -> Any:
    """dx = scale (dy - db / m - (x - mean) dw r / m)"""
    x = without_gaps(x)
    grad_output, grad_x = arranged_like(grad_output, x), empty_like(x)
    arrays = (grad_output, x, mean, slopes, scales, grad_x)
    per_element("normalization.input_gradient", x.size, arrays, x.size, x.shape[1], channel_step(x))
    return grad_x


def channel_sums(x: Any) -> Any:
    """The sum of each channel."""
    x = without_gaps(x)
    xp, C, m = array_module(x), x.shape[1], x.size // x.shape[1]
    if not m:
        return xp.zeros(C, x.dtype)
    count, chunk = _parts(m, C)
    parts = xp.empty((count, C), x.dtype)
    per_block("normalization.part_totals", (C, count), (x, parts), m, chunk, C, channel_step(x))
    return parts.sum(axis=0)


def response_norm(x: Any, before: int, after: int, factor: float, beta: float, k: float) -> tuple[Any, Any, Any]:
    """y, d and d^-beta of local response normalization, for x without gaps; factor is alpha / size."""
    y, d, shrink = empty_like(x), empty_like(x), empty_like(x)
    settings = (x.size, x.shape[1], channel_step(x), before, after, factor, beta, k)
    per_element("normalization.response_norm", x.size, (x, y, d, shrink), *settings)
    return y, d, shrink


def response_norm_gradient(
    grad_output: Any, x: Any, d: Any, shrink: Any, before: int, after: int, factor: float
) -> Any:
    """dx of response_norm; factor is -2 alpha beta / size."""
    grad_output, grad_x = arranged_like(grad_output, x), empty_like(x)
    settings = (x.size, x.shape[1], channel_step(x), before, after, factor)
    arrays = (grad_output, x, d, shrink, grad_x)
    per_element("normalization.response_norm_gradient", x.size, arrays, *settings)
    return grad_x


def _parts(m: int, C: int) -> tuple[int, int]:
    """Into how many parts the m elements of each of C channels are cut, and how long one is."""
    parts = max(1, min(BLOCKS // C, m // CHUNK))
    chunk = -(-m // parts)
    return -(-m // chunk), chunk

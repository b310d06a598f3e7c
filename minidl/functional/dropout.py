"""Dropout: what F.dropout and its kin check, and the random mask that ops.Dropout applies."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.algorithm import with_kernels
from minidl.backend import default_generator, device_of, float32, on_device_of, transfer
from minidl.checks import check_floating
from minidl.errors import explain
from minidl.gpu import random as gpu
from minidl.tensor import Number, Tensor, apply, require_tensors


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements set to 0 with probability p, the others divided by 1 - p; `input` itself unless training.

    TypeError where p is no number, ValueError where it is outside 0..1; RuntimeError where input is not floating
    point. See ops.Dropout.
    """
    require_tensors("dropout", input=input)
    return _dropout("dropout", input, input.shape, p, training, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Channels of (N, C, L) or (C, L) set to 0 as a whole. RuntimeError for other shapes, else as dropout."""
    require_tensors("dropout1d", input=input)
    if input.ndim not in (2, 3):
        raise RuntimeError(explain("dropout1d", "Expected 2D or 3D input: (N, C, L) or (C, L)", {"input": input}))
    return _dropout("dropout1d", input, input.shape[:-1] + (1,), p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Channels of (N, C, H, W) set to 0 as a whole. RuntimeError for other shapes, else as dropout.

    Tompson et al., CVPR 2015, sec. 3.2 ("SpatialDropout").
    """
    require_tensors("dropout2d", input=input)
    if input.ndim != 4:
        raise RuntimeError(
            explain(
                "dropout2d",
                "Expected 4D input: (N, C, H, W)",
                {"input": input},
                help="for (C, H, W) give x.unsqueeze(0), for (N, C, L) use dropout1d",
            )
        )
    return _dropout("dropout2d", input, input.shape[:2] + (1, 1), p, training, inplace)


def _dropout(where: str, input: Tensor, mask_shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    if not isinstance(p, Number):
        raise TypeError(explain(where, f"p must be a number between 0 and 1, got {p!r}"))
    if not 0 <= p <= 1:
        raise ValueError(explain(where, f"dropout probability has to be between 0 and 1, but got {p}"))
    check_floating(where, input=input)
    if not training or p == 0:
        return input
    # Always in float32, and the host's numbers: one seed gives one mask in every dtype and on every device.
    with on_device_of((input.data,)):
        mask = _random(mask_shape, input.data) >= p
    scale = 1 / (1 - float(p)) if p < 1 else 0.0

    def compute(x: Tensor) -> Tensor:
        return apply(ops.Dropout, x, mask=mask, scale=scale)

    return input._in_place(where + "_", compute) if inplace else compute(input)


def _random(shape: tuple[int, ...], like: Any) -> Any:
    """Numbers from 0 to 1 of the default generator, float32, on the device of `like`."""
    if with_kernels(like):
        return gpu.uniform(default_generator, shape, like)
    return transfer(default_generator.numpy.random(shape, float32), device_of(like))

"""Resizing of images, and the exchange of channels for pixels."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from minidl import ops
from minidl.checks import check_floating
from minidl.errors import explain
from minidl.tensor import Tensor, apply, require_tensors

LINEAR_MODES = {"linear": 3, "bilinear": 4, "trilinear": 5}  # the dimensions that their inputs have


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """(N, C, H, W) in another `size`, or larger by `scale_factor`. See ops.InterpolateNearest, ops.InterpolateLinear.

    mode: "nearest" (3 to 5 dimensions), "linear" (3), "bilinear" (4), "trilinear" (5). ValueError unless exactly one of
    size and scale_factor is given, for another number of them than H and W, and for align_corners with "nearest".
    NotImplementedError where mode and input do not go together. RuntimeError where a size is not positive.
    """
    require_tensors("interpolate", input=input)
    if mode not in ("nearest", *LINEAR_MODES) or not 3 <= input.ndim <= 5:
        raise NotImplementedError(
            explain(
                "interpolate",
                "Only 3D, 4D and 5D input Tensors supported, with mode nearest, linear, bilinear or trilinear",
                {"input": input, "mode": mode},
                help="a single image needs a batch dimension: x.unsqueeze(0)",
            )
        )
    if LINEAR_MODES.get(mode, input.ndim) != input.ndim:
        raise NotImplementedError(
            explain(
                "interpolate",
                f"Got {input.ndim}D input, but {mode} mode needs {LINEAR_MODES[mode]}D input",
                {"input": input},
            )
        )
    if mode == "nearest" and align_corners is not None:
        raise ValueError(
            explain("interpolate", "align_corners can only be set with the linear modes, not with 'nearest'")
        )
    if (size is None) == (scale_factor is None):
        which = "either size or scale_factor" if size is None else "only one of size and scale_factor"
        raise ValueError(explain("interpolate", f"{which} should be defined"))
    factors = None
    if scale_factor is not None:
        factors = _for_each_dimension(input, "scale_factor", scale_factor, float)
        sizes = tuple(int(n * factor) for n, factor in zip(input.shape[2:], factors, strict=True))
    else:
        sizes = _for_each_dimension(input, "size", size, operator.index)
    if min(*input.shape[1:], *sizes) < 1:
        raise RuntimeError(
            explain(
                "interpolate",
                f"Input and output sizes should be greater than 0, but got {input.shape[2:]} and {sizes}",
                {"input": input},
            )
        )
    if mode == "nearest":
        return apply(ops.InterpolateNearest, input, size=sizes, scale_factor=factors)
    check_floating("interpolate", input=input)
    return apply(ops.InterpolateLinear, input, size=sizes, scale_factor=factors, align_corners=bool(align_corners))


def _for_each_dimension(input: Tensor, name: str, value: Any, number: Any) -> tuple:
    """One number for each dimension behind N and C, from one or from as many."""
    count = input.ndim - 2
    values = value if isinstance(value, (tuple, list)) else (value,) * count
    if len(values) != count:
        raise ValueError(
            explain(
                "interpolate",
                f"Input and {name} must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {input.shape[2:]} and {name}={tuple(values)}",
                {"input": input},
            )
        )
    try:
        return tuple(map(number, values))
    except (TypeError, ValueError):
        raise TypeError(
            explain("interpolate", f"{name} must be a number or a tuple of numbers, got {value!r}")
        ) from None


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r^2, H, W) as (..., C, H r, W r): r^2 channels become the pixels of a square. Shi et al., CVPR 2016.

    RuntimeError for less than 3 dimensions, a factor below 1, and channels that r^2 does not divide.
    """
    r = _factor("pixel_shuffle", "upscale_factor", input, upscale_factor)
    *batch, channels, height, width = input.shape
    if channels % r**2:
        raise RuntimeError(
            explain(
                "pixel_shuffle",
                "expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
                f"{channels} is not divisible by {r**2}",
                {"input": input},
            )
        )
    n = len(batch)
    y = input.reshape(*batch, channels // r**2, r, r, height, width)
    y = y.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)  # (..., C, H, r, W, r)
    return y.reshape(*batch, channels // r**2, height * r, width * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) as (..., C r^2, H, W): the reverse of pixel_shuffle.

    RuntimeError for less than 3 dimensions, a factor below 1, and sizes that it does not divide.
    """
    r = _factor("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    *batch, channels, height, width = input.shape
    for name, size in (("height", height), ("width", width)):
        if size % r:
            raise RuntimeError(
                explain(
                    "pixel_unshuffle",
                    f"expects {name} to be divisible by downscale_factor, but {size} is not divisible by {r}",
                    {"input": input},
                )
            )
    n = len(batch)
    y = input.reshape(*batch, channels, height // r, r, width // r, r)
    y = y.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)  # (..., C, r, r, H, W)
    return y.reshape(*batch, channels * r**2, height // r, width // r)


def _factor(where: str, name: str, input: Tensor, factor: int) -> int:
    require_tensors(where, input=input)
    if not isinstance(factor, int):
        raise TypeError(explain(where, f"argument '{name}' must be int, not {type(factor).__name__}"))
    if input.ndim < 3:
        raise RuntimeError(
            explain(where, f"expects input to have at least 3 dimensions, but got {input.ndim}", {"input": input})
        )
    if factor < 1:
        raise RuntimeError(explain(where, f"expects a positive {name}, but got {factor}"))
    return factor

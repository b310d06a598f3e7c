"""Max and average pooling on a GPU: what minidl/ops/pooling.py says, in one launch each way.

x: (..., H, W); `geometry` is what the operations keep: kernel_size, (OH, OW), stride, padding, dilation.
"""

from __future__ import annotations

from typing import Any

from minidl.backend import empty_like
from minidl.gpu.launch import c_name, per_element
from minidl.gpu.layout import arranged_like, in_planes
from minidl.gpu.windows import constants


def max_pool(x: Any, geometry: Any, dtype: str) -> tuple[Any, Any]:
    """The maximum of each window, and `winner`, of this dtype: its tap, counted from the kernel's last."""
    x = in_planes(x)
    y = empty_like(x, x.shape[:-2] + geometry[1])
    winner = empty_like(y, dtype=dtype)
    _run("max_pool", y, (x, y, winner), x.shape, geometry, Winner=c_name(winner.dtype))
    return y, winner


def max_unpool(grad_output: Any, winner: Any, x_shape: tuple[int, ...], geometry: Any) -> Any:
    """dx of max_pool."""
    grad_output = arranged_like(grad_output, winner)
    grad_x = empty_like(winner, x_shape, grad_output.dtype)
    arrays = (grad_output, winner, grad_x)
    _run("max_unpool", grad_x, arrays, x_shape, geometry, Winner=c_name(winner.dtype))
    return grad_x


def avg_pool(x: Any, pixels: Any, geometry: Any) -> Any:
    """The sum over each window, divided by `pixels` (OH, OW)."""
    x = in_planes(x)
    y = empty_like(x, x.shape[:-2] + geometry[1])
    _run("avg_pool", y, (x, y, pixels), x.shape, geometry)
    return y


def avg_unpool(grad_output: Any, pixels: Any, x_shape: tuple[int, ...], geometry: Any) -> Any:
    """dx of avg_pool."""
    grad_output = in_planes(grad_output)
    grad_x = empty_like(grad_output, x_shape)
    _run("avg_unpool", grad_x, (grad_output, pixels, grad_x), x_shape, geometry)
    return grad_x


def _run(name: str, result: Any, arrays: tuple, x_shape: tuple[int, ...], geometry: Any, **types: str) -> None:
    kernel_size, output_size, stride, ((top, _), (left, _)), dilation = geometry
    per_element(
        "pooling." + name,
        result.size,
        arrays,
        *(result.size, *x_shape[-2:], *output_size, top, left),
        **constants(kernel_size, stride, dilation),
        **(types or {"Winner": "int"}),  # the file is compiled as a whole
    )

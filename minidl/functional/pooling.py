"""Pooling: what F.max_pool2d and its kin check before the operation of the same name runs."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.checks import check_floating, pair
from minidl.errors import explain
from minidl.functional.convolution import Pair, check_images, check_windows_fit
from minidl.tensor import Tensor, apply, require_tensors


def max_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of ([N,] C, H, W); stride None: side by side. See ops.MaxPool2d.

    With return_indices a pair: the maxima, and their places h * W + w.
    RuntimeError: the kernel is larger than the padded image; padding is more than half the kernel.
    """
    where = "max_pool2d"
    options = _window_options(where, input, kernel_size, stride, padding, ceil_mode)
    options["dilation"] = pair(where, "dilation", dilation)
    check_windows_fit(where, input, **options)
    return apply(ops.MaxPool2d, input, return_indices=bool(return_indices), **options)


def avg_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of ([N,] C, H, W); stride None: side by side. See ops.AvgPool2d.

    RuntimeError: the kernel is larger than the padded image; padding is more than half the kernel; the divisor is 0.
    """
    where = "avg_pool2d"
    options = _window_options(where, input, kernel_size, stride, padding, ceil_mode)
    check_windows_fit(where, input, dilation=(1, 1), **options)
    if divisor_override is not None:
        if not isinstance(divisor_override, int):
            raise TypeError(explain(where, f"divisor_override must be an int, got {divisor_override!r}"))
        if divisor_override == 0:
            raise RuntimeError(explain(where, "divisor must be not zero"))
    return apply(
        ops.AvgPool2d, input, count_include_pad=bool(count_include_pad), divisor_override=divisor_override, **options
    )


def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """Means over ([N,] C, H, W) so that `output_size` windows cover it; None keeps a size. See ops.AdaptiveAvgPool2d.

    RuntimeError: an empty image. ValueError: a negative size.
    """
    size = _adaptive_size("adaptive_avg_pool2d", input, output_size)
    return apply(ops.AdaptiveAvgPool2d, input, output_size=size)


def adaptive_max_pool2d(
    input: Tensor, output_size: int | tuple[int | None, int | None], return_indices: bool = False
) -> Any:
    """Maxima over ([N,] C, H, W) so that `output_size` windows cover it; None keeps a size. See ops.AdaptiveMaxPool2d.

    With return_indices a pair: the maxima, and their places h * W + w.
    RuntimeError: an empty image. ValueError: a negative size.
    """
    size = _adaptive_size("adaptive_max_pool2d", input, output_size)
    return apply(ops.AdaptiveMaxPool2d, input, output_size=size, return_indices=bool(return_indices))


def _window_options(
    where: str, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any
) -> dict[str, Any]:
    """The options that max_pool2d and avg_pool2d share, checked, as their operations take them."""
    _check_images(where, input)
    kernel_size = pair(where, "kernel_size", kernel_size)
    stride = kernel_size if stride is None or stride == () or stride == [] else pair(where, "stride", stride)
    padding = pair(where, "padding", padding, minimum=0)
    if any(2 * padding[i] > kernel_size[i] for i in range(2)):
        raise RuntimeError(
            explain(
                where,
                f"pad should be at most half of kernel size, got padding={padding} and kernel_size={kernel_size}",
                help="with more, there would be windows that see nothing but padding",
            )
        )
    sides = ((padding[0], padding[0]), (padding[1], padding[1]))
    return {"kernel_size": kernel_size, "stride": stride, "padding": sides, "ceil_mode": bool(ceil_mode)}


def _check_images(where: str, input: Any) -> None:
    require_tensors(where, input=input)
    check_floating(where, input=input)
    check_images(where, input)
    if 0 in input.shape[-3:]:
        raise RuntimeError(explain(where, "Expected input with at least one channel, row and column", {"input": input}))


def _adaptive_size(where: str, input: Any, output_size: Any) -> Pair:
    """(OH, OW) from an int, or from a pair in which None stands for the size of the input."""
    _check_images(where, input)
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        output_size = tuple(input.shape[-2 + i] if output_size[i] is None else output_size[i] for i in range(2))
    return pair(where, "output_size", output_size, minimum=0)

"""Convolutions: what F.conv2d and its kin check before the operation of the same name runs."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.checks import check_floating, check_same, pair
from minidl.errors import explain
from minidl.function import Function
from minidl.ops import im2col
from minidl.tensor import Tensor, apply, optional_tensors, require_tensors

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]  # ((top, bottom), (left, right))


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of images (N, C, H, W) or (C, H, W) with filters (F, C / groups, KH, KW). See ops.Conv2d.

    padding: an int, a pair (rows, columns), "valid" for none, or "same" for as much as keeps the size of the image
    (stride 1 only; where it is odd, there is one more below or at the right).

    RuntimeError: channels, groups or bias do not fit the weight; the kernel is larger than the padded image; dtypes
    or devices differ; "same" with a stride, or another word.
    """
    where = "conv2d"
    _check_operands(where, input, weight, bias, groups, channels_of_weight=1)
    kernel_size = weight.shape[2], weight.shape[3]
    stride, dilation = pair(where, "stride", stride), pair(where, "dilation", dilation)
    sides = padding_sides(where, padding, kernel_size, stride, dilation)
    check_windows_fit(where, input, kernel_size, stride, sides, dilation)
    options = {"stride": stride, "padding": sides, "dilation": dilation, "groups": groups}
    return _apply_to_batch(ops.Conv2d, 4, input, weight, bias, **options)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Tensor:
    """The adjoint of conv2d: images (N, C, H, W) or (C, H, W), weight (C, F / groups, KH, KW). See ops.ConvTranspose2d.

    output_padding makes the output larger, below and at the right: a strided convolution gives several sizes of
    image the same size of output, and this says which of them is meant.

    RuntimeError: channels, groups or bias do not fit the weight; nothing is left of the output; output_padding is
    neither smaller than stride nor than dilation; dtypes or devices differ.
    """
    where = "conv_transpose2d"
    _check_operands(where, input, weight, bias, groups, channels_of_weight=0)
    kernel_size = weight.shape[2], weight.shape[3]
    stride, dilation = pair(where, "stride", stride), pair(where, "dilation", dilation)
    padding = pair(where, "padding", padding, minimum=0)
    extra = pair(where, "output_padding", output_padding, minimum=0)
    if any(extra[i] >= max(stride[i], dilation[i]) for i in range(2)):
        raise RuntimeError(
            explain(
                where,
                "output padding must be smaller than either stride or dilation, "
                f"got output_padding={extra}, stride={stride}, dilation={dilation}",
            )
        )
    # A larger output is one of which less is cut off.
    sides = tuple((padding[i], padding[i] - extra[i]) for i in range(2))
    size = im2col.input_size(input.shape[-2:], kernel_size, stride, sides, dilation)
    if min(size) < 1 or min(input.shape[-2:]) < 1:
        raise RuntimeError(
            explain(
                where,
                f"calculated output size (H, W) = {size}: output size is too small",
                {"input": input, "weight": weight, "padding": padding},
                help="padding takes rows and columns away from the output of a transposed convolution",
            )
        )
    options = {"stride": stride, "padding": sides, "dilation": dilation, "groups": groups}
    return _apply_to_batch(ops.ConvTranspose2d, 4, input, weight, bias, **options)


def unfold(
    input: Tensor,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Tensor:
    """The windows of images (N, C, H, W) or (C, H, W) as columns: (N, C * KH * KW, OH * OW). See ops.Unfold.

    RuntimeError: not images; the kernel is larger than the padded image.
    """
    where = "unfold"
    require_tensors(where, input=input)
    check_floating(where, input=input)
    check_images(where, input)
    options = _window_options(where, kernel_size, dilation, padding, stride)
    check_windows_fit(where, input, **options)
    return _apply_to_batch(ops.Unfold, 4, input, **options)


def fold(
    input: Tensor,
    output_size: int | Pair,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Tensor:
    """The adjoint of unfold: columns (N, C * KH * KW, OH * OW) to images of `output_size`, added up. See ops.Fold.

    RuntimeError: the rows of input are no multiple of KH * KW, or its columns are not as many as there are windows.
    """
    where = "fold"
    require_tensors(where, input=input)
    check_floating(where, input=input)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            explain(
                where, "Expected 2D (unbatched) or 3D (batched) input: ([N,] C * KH * KW, windows)", {"input": input}
            )
        )
    image_size = pair(where, "output_size", output_size)
    options = _window_options(where, kernel_size, dilation, padding, stride)
    KH, KW = options["kernel_size"]
    rows, columns = input.shape[-2:]
    if rows % (KH * KW) or not rows:
        raise RuntimeError(
            explain(
                where,
                f"the rows of input must be a multiple of KH * KW = {KH * KW}, one for each pixel of a window and "
                f"channel, but there are {rows}",
                {"input": input, "kernel_size": (KH, KW)},
            )
        )
    OH, OW = im2col.output_size(image_size, **options)
    if OH < 1 or OW < 1 or columns != OH * OW:
        raise RuntimeError(
            explain(
                where,
                f"an image of output_size={image_size} has {OH} x {OW} windows, but input has {columns} columns",
                {"input": input, **options},
                help="output_size, kernel_size, dilation, padding and stride must be those of unfold",
            )
        )
    return _apply_to_batch(ops.Fold, 3, input, image_size=image_size, **options)


def check_images(where: str, input: Tensor) -> None:
    """`input` is (N, C, H, W) or (C, H, W). RuntimeError otherwise."""
    if input.ndim not in (3, 4):
        raise RuntimeError(
            explain(
                where,
                f"Expected 3D (unbatched) or 4D (batched) input, ([N,] C, H, W), got {input.ndim}D",
                {"input": input},
                help="grey images need a channel dimension: x.unsqueeze(1) makes (N, 1, H, W) of (N, H, W)",
            )
        )


def check_windows_fit(
    where: str,
    input: Tensor,
    kernel_size: Pair,
    stride: Pair,
    padding: Sides,
    dilation: Pair,
    ceil_mode: bool = False,
) -> None:
    """The padded image has room for at least one window. RuntimeError otherwise."""
    size = im2col.output_size(input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    if min(size) < 1 or min(input.shape[-2:]) < 1:
        padded = tuple(input.shape[-2 + i] + sum(padding[i]) for i in range(2))
        span = tuple(dilation[i] * (kernel_size[i] - 1) + 1 for i in range(2))
        dilated = f", {span[0]} x {span[1]} with dilation {dilation}" if span != kernel_size else ""
        raise RuntimeError(
            explain(
                where,
                f"Kernel size can't be greater than actual input size: the kernel is {kernel_size[0]} x "
                f"{kernel_size[1]}{dilated}, the padded input {padded[0]} x {padded[1]}. Output size is too small",
                {"input": input},
                help="the image is too small for this many layers with stride: use larger images, or more padding",
            )
        )


def _channels_help(input: Tensor, expected: int) -> str:
    """For images that are laid out in another way; "" where they are not."""
    if input.ndim == 4 and input.shape[-1] == expected:
        return "images are (N, C, H, W) here, and these have their channels last: x.permute(0, 3, 1, 2)"
    if input.ndim == 3 and input.shape[-1] == expected:
        return "an image is (C, H, W) here, and this one has its channels last: x.permute(2, 0, 1)"
    if input.ndim == 3 and expected == 1:
        return "images are (N, C, H, W) here, and these have no dimension of channels: x.unsqueeze(1)"
    return ""


def _check_operands(where: str, input: Any, weight: Any, bias: Any, groups: Any, channels_of_weight: int) -> None:
    """Everything fits: dimension `channels_of_weight` of the weight belongs to the channels of input, the other of
    the first two to those of the output. The second is counted within a group."""
    require_tensors(where, input=input, weight=weight)
    optional_tensors(where, bias=bias)
    operands = {"input": input, "weight": weight, "bias": bias, "groups": groups}
    check_same(where, input=input, weight=weight, bias=bias)
    check_floating(where, input=input, weight=weight)
    check_images(where, input)
    layout = "(F, C / groups, KH, KW)" if channels_of_weight == 1 else "(C, F / groups, KH, KW)"
    if weight.ndim != 4 or weight.shape[0] < 1 or min(weight.shape[2:]) < 1:
        raise RuntimeError(explain(where, f"weight must be {layout}, got {weight.shape}", operands))
    if not isinstance(groups, int):
        raise TypeError(explain(where, f"groups must be an int, got {groups!r}"))
    if groups < 1:
        raise RuntimeError(explain(where, f"non-positive groups is not supported, got {groups}"))
    if weight.shape[0] % groups:
        raise RuntimeError(
            explain(
                where,
                f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0",
                operands,
                help="in_channels and out_channels must both be multiples of groups",
            )
        )
    channels = [weight.shape[0], weight.shape[1] * groups]
    expected, filters = channels[channels_of_weight], channels[1 - channels_of_weight]
    found = input.shape[-3]
    if found != expected:
        raise RuntimeError(
            explain(
                where,
                f"Given groups={groups}, weight of size {weight.shape}, expected input to have {expected} channels, "
                f"but got {found} channels instead",
                operands,
                help=_channels_help(input, expected)
                or f"weight is {layout}; the layer needs in_channels={found}, or its input {expected} channels",
            )
        )
    if bias is not None and bias.shape != (filters,):
        raise RuntimeError(
            explain(
                where,
                f"Given weight of size {weight.shape}, expected bias to be 1-dimensional with {filters} elements, "
                f"but got bias of size {bias.shape} instead",
                operands,
            )
        )


def padding_sides(where: str, padding: Any, kernel_size: Pair, stride: Pair, dilation: Pair) -> Sides:
    """((top, bottom), (left, right)) from every form of conv2d's padding."""
    if padding == "same":
        if stride != (1, 1):
            raise RuntimeError(explain(where, "padding='same' is not supported for strided convolutions"))
        total = [dilation[i] * (kernel_size[i] - 1) for i in range(2)]
        return ((total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2))
    if isinstance(padding, str) and padding != "valid":
        raise RuntimeError(explain(where, f"Invalid padding string: {padding!r}", help="'same', 'valid', or numbers"))
    rows, columns = (0, 0) if padding == "valid" else pair(where, "padding", padding, minimum=0)
    return ((rows, rows), (columns, columns))


def _window_options(where: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Any]:
    """The options of unfold and fold as their operations take them."""
    rows, columns = pair(where, "padding", padding, minimum=0)
    return {
        "kernel_size": pair(where, "kernel_size", kernel_size),
        "stride": pair(where, "stride", stride),
        "padding": ((rows, rows), (columns, columns)),
        "dilation": pair(where, "dilation", dilation),
    }


def _apply_to_batch(operation: type[Function], ndim: int, input: Tensor, *inputs: Any, **options: Any) -> Tensor:
    """apply, on an input that may lack the dimension N: a batch of one is made, and taken apart again."""
    if input.ndim == ndim:
        return apply(operation, input, *inputs, **options)
    return apply(operation, input.unsqueeze(0), *inputs, **options).squeeze(0)

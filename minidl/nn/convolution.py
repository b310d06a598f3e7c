"""Convolution layers, and the windows that convolution is made of."""

from __future__ import annotations

from typing import Any

from minidl.checks import one_of, pair, whole_number
from minidl.errors import explain
from minidl.functional.convolution import padding_sides
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import empty_parameter
from minidl.tensor import Tensor

Pair = int | tuple[int, int]


class _Convolution(Module):
    """What both directions share: the settings, the checks, the parameters."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair,
        padding: Pair | str,
        output_padding: Pair,
        dilation: Pair,
        groups: int,
        bias: bool,
        padding_mode: str,
        transposed: bool,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        where = type(self).__name__
        if whole_number(where, "groups", groups, minimum=0) == 0:
            raise ValueError(explain(where, f"groups must be a positive integer, got {groups}"))
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if whole_number(where, name, channels) % groups:
                raise ValueError(explain(where, f"{name} must be divisible by groups, got {channels} and {groups}"))
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair(where, "kernel_size", kernel_size)
        self.stride = pair(where, "stride", stride)
        self.padding: Any = padding if isinstance(padding, str) else pair(where, "padding", padding, minimum=0)
        self.dilation = pair(where, "dilation", dilation)
        self.transposed = transposed
        self.output_padding = pair(where, "output_padding", output_padding, minimum=0)
        self.groups = groups
        self.padding_mode = padding_mode
        if transposed:
            weight_shape = (in_channels, out_channels // groups, *self.kernel_size)
        else:
            weight_shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = empty_parameter(weight_shape, device, dtype)
        self.bias = empty_parameter((out_channels,), device, dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights again."""
        init.default_(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.output_padding != (0, 0):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class Conv2d(_Convolution):
    """Each of out_channels filters, slid over the input: (N, C, H, W) -> (N, F, OH, OW). See F.conv2d.

    weight          (out_channels, in_channels / groups, KH, KW); initial weights: init.default_
    padding         a number of rows and columns, "valid" for none or "same" for as many as keep the size (stride 1)
    padding_mode    what the padding holds: "zeros", "reflect", "replicate" or "circular"
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        one_of("Conv2d", "padding_mode", padding_mode, ("zeros", "reflect", "replicate", "circular"))
        if isinstance(padding, str):
            one_of("Conv2d", "padding", padding, ("valid", "same"))
            if padding == "same" and pair("Conv2d", "stride", stride) != (1, 1):
                raise ValueError(explain("Conv2d", "padding='same' is not supported for strided convolutions"))
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            False,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            rows, columns = padding_sides("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
            input = F.pad(input, columns + rows, mode=self.padding_mode)
            padding = (0, 0)
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class ConvTranspose2d(_Convolution):
    """The gradient of Conv2d with respect to its input, as a layer: (N, C, H, W) -> (N, F, OH, OW).

    weight          (in_channels, out_channels / groups, KH, KW); initial weights: init.default_
    output_padding  rows and columns more at the bottom and right: Conv2d's input sizes that give one output size

    See F.conv_transpose2d.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        if padding_mode != "zeros":
            raise ValueError('Only "zeros" padding mode is supported for ConvTranspose2d')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            True,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: list[int] | tuple[int, ...] | None = None) -> Tensor:
        output_padding = self.output_padding if output_size is None else self._padding_for(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation
        )

    def _padding_for(self, input: Tensor, output_size: list[int] | tuple[int, ...]) -> Any:
        """The output_padding that gives `output_size`. ValueError where none does."""
        smallest = tuple(
            (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
            for size, stride, padding, dilation, kernel in zip(
                input.shape[-2:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        )
        added = tuple(wanted - least for wanted, least in zip(output_size[-2:], smallest, strict=True))
        if any(not 0 <= more < stride for more, stride in zip(added, self.stride, strict=True)):
            largest = tuple(least + stride - 1 for least, stride in zip(smallest, self.stride, strict=True))
            raise ValueError(
                f"requested an output size of {tuple(output_size)}, but valid sizes range from {smallest} to {largest} "
                f"(for an input of {input.shape[-2:]})"
            )
        return added


class Unfold(Module):
    """The windows of a convolution as columns: (N, C, H, W) -> (N, C KH KW, OH OW). See F.unfold."""

    def __init__(self, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Columns back into an image, where windows overlap their sum: (N, C KH KW, OH OW) -> (N, C, H, W). See F.fold."""

    def __init__(self, output_size: Pair, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1):
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )

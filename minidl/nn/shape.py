"""Layers that change the shape: flattening, and a border around the image."""

from __future__ import annotations

from collections.abc import Sequence

from minidl.errors import explain
from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.tensor import Tensor


class Flatten(Module):
    """The dimensions from start_dim to end_dim as one: (N, C, H, W) -> (N, C H W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The dimension `dim` as several, of sizes `unflattened_size`; one of them may be -1."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        before, after = input.shape[: self.dim], input.shape[self.dim :][1:]
        return input.reshape(before + self.unflattened_size + after)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Pad2d(Module):
    mode = "constant"
    value: float | None = None  # of the border, where the mode is "constant"

    def __init__(self, padding: int | Sequence[int]):
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)  # left, right, top, bottom
        if len(self.padding) != 4:
            raise ValueError(
                explain(type(self).__name__, f"padding is an int or (left, right, top, bottom), got {padding!r}")
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """A border of zeros, (left, right, top, bottom) wide. See F.pad."""

    value = 0.0


class ConstantPad2d(_Pad2d):
    """A border of one value, (left, right, top, bottom) wide. See F.pad."""

    def __init__(self, padding: int | Sequence[int], value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ReflectionPad2d(_Pad2d):
    """A border that mirrors the image, its edge not repeated. See F.pad."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """A border that repeats the edge of the image. See F.pad."""

    mode = "replicate"

"""Layers that resize an image, or exchange channels for pixels."""

from __future__ import annotations

from typing import Any

from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.tensor import Tensor


class Upsample(Module):
    """The image in another size: `size`, or the old one times `scale_factor`. See F.interpolate."""

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ):
        super().__init__()
        self.size = size
        self.scale_factor = _as_float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class PixelShuffle(Module):
    """(N, C r^2, H, W) -> (N, C, H r, W r): r^2 channels become the pixels of one. See F.pixel_shuffle."""

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(N, C, H r, W r) -> (N, C r^2, H, W): the reverse of PixelShuffle. See F.pixel_unshuffle."""

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


def _as_float(scale_factor: Any) -> Any:
    """2 as 2.0, as PyTorch shows it."""
    if scale_factor is None:
        return None
    return tuple(map(float, scale_factor)) if isinstance(scale_factor, tuple) else float(scale_factor)

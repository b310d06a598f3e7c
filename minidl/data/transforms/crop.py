"""Transforms that cut out, pad and mirror. None of them changes the value of a pixel.

x: (N, C, H, W), or with more dimensions between N and C after TenCrop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from minidl.data.randomness import Draws
from minidl.data.transforms.base import Transform, check_probability, pair
from minidl.errors import explain

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class Pad(Transform):
    """A border around the image: `padding` is one int, (left and right, top and bottom), or (left, top, right, bottom).

    `fill` is its value, one number or one for each channel; with padding_mode "edge", "reflect" or "symmetric" the
    image goes on there instead.
    """

    def __init__(self, padding: int | Sequence[int], fill: float | Sequence[float] = 0, padding_mode: str = "constant"):
        self.padding = _borders("Pad", padding)
        self.fill = fill
        self.padding_mode = _known_mode("Pad", padding_mode)

    def apply(self, images: numpy.ndarray, draws: Draws | None = None) -> numpy.ndarray:
        return _padded(images, self.padding, self.fill, self.padding_mode)


class CenterCrop(Transform):
    """The middle of the image, `size` (height, width) or a square; an image that is smaller is padded with 0."""

    def __init__(self, size: int | Sequence[int]):
        self.size = pair("CenterCrop", "size", size)

    def apply(self, images: numpy.ndarray, draws: Draws | None = None) -> numpy.ndarray:
        height, width = self.size
        missing_rows, missing_columns = max(height - images.shape[-2], 0), max(width - images.shape[-1], 0)
        left, top = missing_columns // 2, missing_rows // 2  # what is odd goes right and below, as in torchvision
        images = _padded(images, (left, top, missing_columns - left, missing_rows - top), 0, "constant")
        y, x = round((images.shape[-2] - height) / 2), round((images.shape[-1] - width) / 2)
        return images[..., y : y + height, x : x + width]


class RandomCrop(Transform):
    """A piece of `size` (height, width), anywhere in the image, after `padding` has been added as by `Pad`.

    RandomCrop(32, padding=4) is what ResNet's authors trained with on CIFAR (He et al., CVPR 2016, sec. 4.2).
    With `pad_if_needed` an image that is too small is padded further. ValueError: an image that is too small.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
    ):
        self.size = pair("RandomCrop", "size", size)
        self.padding = None if padding is None else _borders("RandomCrop", padding)
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = _known_mode("RandomCrop", padding_mode)

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        if self.padding is not None:
            images = _padded(images, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        if self.pad_if_needed:
            rows, columns = max(height - images.shape[-2], 0), max(width - images.shape[-1], 0)
            images = _padded(images, (columns, rows, columns, rows), self.fill, self.padding_mode)
        spare_rows, spare_columns = images.shape[-2] - height, images.shape[-1] - width
        if spare_rows < 0 or spare_columns < 0:
            raise ValueError(
                explain(
                    "RandomCrop",
                    f"required crop size {self.size} is larger than the image {images.shape[-2:]}",
                    help="give it padding, or pad_if_needed=True",
                )
            )
        tops, lefts = draws.integers(0, spare_rows + 1), draws.integers(0, spare_columns + 1)
        pieces = numpy.empty((*images.shape[:-2], height, width), images.dtype)
        for piece, image, y, x in zip(pieces, images, tops.tolist(), lefts.tolist(), strict=True):
            piece[...] = image[..., y : y + height, x : x + width]
        return pieces


class TenCrop(Transform):
    """The four corners and the middle, and the same of the mirrored image: (C, H, W) -> (10, C, height, width).

    Testing on all ten and averaging the answers is AlexNet's protocol (Krizhevsky et al., NIPS 2012, sec. 4.1). Order:
    top left, top right, bottom left, bottom right, middle. torchvision returns a tuple of ten, this a Tensor.
    With `vertical_flip` the second five are upside down instead of mirrored. ValueError: an image that is too small.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False):
        self.size = pair("TenCrop", "size", size)
        self.vertical_flip = vertical_flip

    def apply(self, images: numpy.ndarray, draws: Draws | None = None) -> numpy.ndarray:
        height, width = self.size
        if images.shape[-2] < height or images.shape[-1] < width:
            raise ValueError(explain("TenCrop", f"requested size {self.size} is larger than the image", {"x": images}))
        flipped = images[..., ::-1, :] if self.vertical_flip else images[..., ::-1]
        crops = []
        for whole in (images, flipped):
            bottom, right = whole.shape[-2] - height, whole.shape[-1] - width
            corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
            crops += [whole[..., y : y + height, x : x + width] for y, x in corners]
        return numpy.stack(crops, axis=1)  # (N, 10, C, height, width)


class RandomHorizontalFlip(Transform):
    """Mirrored, left for right, with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = check_probability("RandomHorizontalFlip", p)

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        flipped = draws.uniform() < self.p
        images = images.copy()
        images[flipped] = images[flipped][..., ::-1]
        return images


class RandomVerticalFlip(Transform):
    """Upside down with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = check_probability("RandomVerticalFlip", p)

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        flipped = draws.uniform() < self.p
        images = images.copy()
        images[flipped] = images[flipped][..., ::-1, :]
        return images


def _padded(images: numpy.ndarray, borders: tuple[int, int, int, int], fill: Any, mode: str) -> numpy.ndarray:
    """(..., C, H, W) -> (..., C, top + H + bottom, left + W + right)"""
    left, top, right, bottom = borders
    if not any(borders):
        return images
    if mode != "constant":
        before = [(0, 0)] * (images.ndim - 2)
        return numpy.pad(images, [*before, (top, bottom), (left, right)], mode=mode)  # type: ignore[call-overload]
    height, width = images.shape[-2:]
    padded = numpy.empty((*images.shape[:-2], top + height + bottom, left + width + right), images.dtype)
    padded[...] = numpy.reshape(fill, (-1, 1, 1))
    padded[..., top : top + height, left : left + width] = images
    return padded


def _borders(where: str, padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom)"""
    sides = (padding,) if isinstance(padding, (int, numpy.integer)) else tuple(padding)
    if len(sides) not in (1, 2, 4) or not all(isinstance(side, (int, numpy.integer)) and side >= 0 for side in sides):
        raise ValueError(
            explain(
                where,
                f"padding must be one int >= 0, two (left and right, top and bottom) or four (left, top, right, "
                f"bottom), got {padding!r}",
            )
        )
    left, top, right, bottom = (sides * 4)[:4]  # with two, right is as left and bottom as top
    return left, top, right, bottom


def _known_mode(where: str, mode: str) -> str:
    if mode not in PADDING_MODES:
        raise ValueError(explain(where, f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {mode!r}"))
    return mode

"""Transforms that change the size. Pillow computes: it filters before it samples, so that nothing flickers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
from PIL import Image

from minidl.data.randomness import Draws
from minidl.data.transforms.base import Transform, channels_first, pair
from minidl.errors import explain

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Resize(Transform):
    """The image in another size: (height, width), or one int for the shorter side, which keeps the proportions.

    `interpolation`: "nearest", "bilinear", "bicubic" or "lanczos". `max_size` limits the longer side, where `size` is
    one int.
    """

    def __init__(self, size: int | Sequence[int], interpolation: str = "bilinear", max_size: int | None = None):
        sides = pair("Resize", "size", size)
        self.size = sides[0] if isinstance(size, int) or len(size) == 1 else sides
        self.interpolation = _known_filter("Resize", interpolation)
        if max_size is not None and (not isinstance(self.size, int) or max_size <= self.size):
            raise ValueError(explain("Resize", "max_size goes with a size of one int below it", {"max_size": max_size}))
        self.max_size = max_size

    def apply(self, images: numpy.ndarray, draws: Draws | None = None) -> numpy.ndarray:
        size = self.size if isinstance(self.size, tuple) else self._in_proportion(*images.shape[-2:])
        if size == images.shape[-2:]:
            return images
        return numpy.stack([resample(image, size, self.interpolation) for image in images])

    def _in_proportion(self, height: int, width: int) -> tuple[int, int]:
        short, long = self.size, int(self.size * max(height, width) / min(height, width))  # type: ignore[operator]
        if self.max_size is not None and long > self.max_size:
            short, long = max(1, int(self.max_size * short / long)), self.max_size  # type: ignore[operator]
        return (short, long) if height <= width else (long, short)  # type: ignore[return-value]


class RandomResizedCrop(Transform):
    """A piece of random area and proportions, resized to `size`: how networks are trained on ImageNet.

    Its area is a share of the image drawn from `scale`, its width to its height from `ratio` (uniformly in the
    logarithm). Where ten draws do not fit into the image, the largest piece in the middle with allowed proportions.
    Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, sec. 6.
    """

    ATTEMPTS = 10

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
    ):
        self.size = pair("RandomResizedCrop", "size", size)
        self.scale = check_range("RandomResizedCrop", "scale", scale)
        self.ratio = check_range("RandomResizedCrop", "ratio", ratio)
        self.interpolation = _known_filter("RandomResizedCrop", interpolation)

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        attempts = [(draws.uniform(), draws.uniform()) for _ in range(self.ATTEMPTS)]
        place = draws.uniform(), draws.uniform()
        pieces = []
        for n, image in enumerate(images):
            shapes = [(float(area[n]), float(ratio[n])) for area, ratio in attempts]
            rows, columns = image.shape[-2:]
            y, x, height, width = self._box(rows, columns, shapes, float(place[0][n]), float(place[1][n]))
            piece = image[:, y : y + height, x : x + width]  # cut first, so that nothing outside of it shows through
            pieces.append(resample(piece, self.size, self.interpolation))
        return numpy.stack(pieces)

    def _box(self, height: int, width: int, shapes: list, down: float, right: float) -> tuple[int, int, int, int]:
        """(top, left, height, width) from random numbers 0..1: pairs for area and proportions, and a place."""
        low, high = (math.log(ratio) for ratio in self.ratio)
        for u, v in shapes:
            area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * u)
            ratio = math.exp(low + (high - low) * v)
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        h, w = max(1, min(height, round(width / ratio))), max(1, min(width, round(height * ratio)))
        return (height - h) // 2, (width - w) // 2, h, w


def resample(image: numpy.ndarray, size: tuple[int, int], interpolation: str) -> numpy.ndarray:
    """image (C, H, W), uint8 or float32 -> (C, *size)"""
    height, width = size
    if image.dtype == numpy.uint8 and len(image) == 3:
        whole = Image.fromarray(numpy.ascontiguousarray(image.transpose(1, 2, 0)))
        return channels_first(numpy.asarray(whole.resize((width, height), FILTERS[interpolation])))
    dtype = image.dtype
    planes = image if dtype == numpy.uint8 else image.astype(numpy.float32)
    resized_planes = []
    for plane in planes:
        resized = Image.fromarray(numpy.ascontiguousarray(plane)).resize((width, height), FILTERS[interpolation])
        resized_planes.append(numpy.asarray(resized))
    return numpy.stack(resized_planes).astype(dtype)


def check_range(where: str, name: str, values: Sequence[float]) -> tuple[float, float]:
    """Two numbers above 0, the smaller one first."""
    if len(values) != 2 or not 0 < values[0] <= values[1]:
        raise ValueError(explain(where, f"{name} must be two numbers above 0, the smaller one first, got {values!r}"))
    return float(values[0]), float(values[1])


def _known_filter(where: str, name: str) -> str:
    if name not in FILTERS:
        raise ValueError(explain(where, f"interpolation must be one of {', '.join(FILTERS)}, got {name!r}"))
    return name

"""Transforms that hide a part of the image, so that no part of it alone decides. x: (N, C, H, W)"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from minidl.data.randomness import Draws
from minidl.data.transforms.base import Transform, check_probability
from minidl.data.transforms.resize import check_range
from minidl.errors import explain


class Cutout(Transform):
    """A square of `length` pixels set to 0; its centre lies anywhere, so that it may stick out of the image.

    It comes after Normalize, where 0 is the mean. The paper takes 16 for CIFAR-10 and 8 for CIFAR-100.
    DeVries & Taylor, arXiv 1708.04552, sec. 3. ValueError: a length below 1.
    """

    def __init__(self, length: int):
        if not isinstance(length, (int, numpy.integer)) or length < 1:
            raise ValueError(explain("Cutout", f"length must be an int of at least 1, got {length!r}"))
        self.length = length

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        height, width = images.shape[-2:]
        top = draws.integers(0, height) - self.length // 2
        left = draws.integers(0, width) - self.length // 2
        return _erased(images, top, left, numpy.full_like(top, self.length), numpy.full_like(left, self.length), 0)


class RandomErasing(Transform):
    """With probability `p`, a rectangle inside the image set to `value`: one number, or one for each channel.

    Its area is a share of the image drawn from `scale`, its height to its width from `ratio` (uniformly in the
    logarithm). Where ten draws do not fit into the image, it stays whole.
    Zhong et al., arXiv 1708.04896, algorithm 1. ValueError: settings out of range.
    """

    ATTEMPTS = 10

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] = 0,
    ):
        self.p = check_probability("RandomErasing", p)
        self.scale = check_range("RandomErasing", "scale", scale)
        self.ratio = check_range("RandomErasing", "ratio", ratio)
        if isinstance(value, str):
            raise ValueError(explain("RandomErasing", f"value must be a number or one for each channel, got {value!r}"))
        self.value = value

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        chosen = draws.uniform() < self.p
        attempts = [(draws.uniform().tolist(), draws.uniform().tolist()) for _ in range(self.ATTEMPTS)]
        place = draws.uniform(), draws.uniform()
        height, width = images.shape[-2:]
        sides = [
            self._sides(height, width, [(area[n], ratio[n]) for area, ratio in attempts]) if chosen[n] else (0, 0)
            for n in range(len(images))
        ]
        heights, widths = numpy.array(sides).reshape(-1, 2).T
        top, left = (place[0] * (height - heights + 1)).astype(int), (place[1] * (width - widths + 1)).astype(int)
        return _erased(images, top, left, heights, widths, self.value)

    def _sides(self, height: int, width: int, numbers: list[tuple[float, float]]) -> tuple[int, int]:
        """Height and width of the rectangle from pairs of random numbers 0..1; (0, 0) if none fits."""
        low, high = (math.log(ratio) for ratio in self.ratio)
        for u, v in numbers:
            area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * u)
            ratio = math.exp(low + (high - low) * v)
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < h < height and 0 < w < width:
                return h, w
        return 0, 0


def _erased(
    images: numpy.ndarray,
    top: numpy.ndarray,
    left: numpy.ndarray,
    heights: numpy.ndarray,
    widths: numpy.ndarray,
    value: float | Sequence[float],
) -> numpy.ndarray:
    """A copy of images (N, C, H, W) with one rectangle in each set to `value`. top, left, heights, widths: (N,)"""
    images = images.copy()
    fill = numpy.reshape(value, (-1, 1, 1))
    ends = zip(images, top.tolist(), left.tolist(), (top + heights).tolist(), (left + widths).tolist(), strict=True)
    for image, y, x, bottom, right in ends:
        image[:, max(y, 0) : max(bottom, 0), max(x, 0) : max(right, 0)] = fill
    return images

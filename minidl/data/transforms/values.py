"""Transforms of the values of pixels: to floats, and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from minidl.backend import float32
from minidl.data.randomness import Draws
from minidl.data.transforms.base import Transform, channels_first, check_float
from minidl.errors import explain


class ToTensor(Transform):
    """uint8 with values 0..255 -> float32 with values 0..1. Floats stay as they are.

    Takes a Tensor (C, H, W), a Pillow image, or a NumPy array (H, W, C) or (H, W).
    """

    def apply(self, images: numpy.ndarray, draws: Draws | None = None) -> numpy.ndarray:
        if images.dtype.kind == "f":
            return images
        floats = images.astype(float32)
        if images.dtype == numpy.uint8:
            floats /= 255
        return floats

    def _array(self, image: Any) -> numpy.ndarray:
        if not isinstance(image, numpy.ndarray):
            return super()._array(image)
        if image.ndim not in (2, 3):
            raise ValueError(explain("ToTensor", "an array must be (H, W, C) or (H, W)", {"image": image}))
        return channels_first(image)


class Normalize(Transform):
    """y[c] = (x[c] - mean[c]) / std[c] for every channel c.

    x: floats (..., C, H, W). With the mean and the deviation of the training images, y has mean 0 and deviation 1.
    ValueError: a deviation of 0, or another number of channels; TypeError: images of ints.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]):
        self.mean = tuple(numpy.ravel(mean).tolist())
        self.std = tuple(numpy.ravel(std).tolist())
        if len(self.mean) != len(self.std) or not all(deviation > 0 for deviation in self.std):
            raise ValueError(
                explain("Normalize", "one mean and one std above 0 for each channel", {"mean": mean, "std": std})
            )

    def apply(self, images: numpy.ndarray, draws: Draws | None = None) -> numpy.ndarray:
        check_float("Normalize", images)
        channels = images.shape[-3]
        if len(self.mean) not in (1, channels):
            raise ValueError(
                explain(
                    "Normalize",
                    f"mean and std are those of {len(self.mean)} channels, the images have {channels}",
                    {"images": images, "mean": self.mean},
                )
            )
        mean, std = (numpy.array(values, images.dtype)[:, None, None] for values in (self.mean, self.std))
        y = images - mean  # (..., C, H, W)
        y /= std
        return y

"""Transforms of colours: x (N, 3, H, W), or (N, 1, H, W), for which saturation and hue change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy

from minidl.data.randomness import Draws
from minidl.data.transforms.base import Transform, check_float
from minidl.errors import explain

LUMA = (0.2989, 0.587, 0.114)  # how bright red, green and blue look: ITU-R BT.601


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed at random, in a random order.

        brightness    y = f x
        contrast      y = f x + (1 - f) m       m: the mean of the image in gray
        saturation    y = f x + (1 - f) g       g: the image in gray
        hue           turned by f, a share of the colour circle

    f is drawn from [max(0, 1 - v), 1 + v] for a setting v, for hue from [-v, v], or from a pair of numbers [low, high].
    Values are cut off at 0 and 1 (255) after every step; uint8 is rounded once, at the end.
    Howard, arXiv 1312.5402, sec. 2; the formulae are torchvision's. ValueError: a setting out of range.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ):
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)
        self.saturation = _factors("saturation", saturation)
        self.hue = _factors("hue", hue, centre=0.0, least=-0.5, most=0.5)

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        steps: list[tuple[Callable, tuple[float, float], float]] = [
            (_brightness, self.brightness, 1.0),
            (_contrast, self.contrast, 1.0),
            (_saturation, self.saturation, 1.0),
            (_hue, self.hue, 0.0),
        ]
        order = draws.permutation(len(steps))  # (N, 4)
        factors = [draws.uniform(*limits).astype(numpy.float32) for _, limits, _ in steps]
        colours = images.astype(numpy.float32)  # a copy
        if images.dtype == numpy.uint8:
            colours /= 255
        for place in range(len(steps)):
            for step, (function, limits, neutral) in enumerate(steps):
                rows = numpy.flatnonzero(order[:, place] == step)  # the images whose turn for this step is now
                if len(rows) and limits != (neutral, neutral):
                    changed = function(colours[rows], factors[step][rows, None, None, None])
                    colours[rows] = numpy.clip(changed, 0, 1)
        return numpy.rint(colours * 255).astype(numpy.uint8) if images.dtype == numpy.uint8 else colours


class Lighting(Transform):
    """AlexNet's noise in colour: every pixel gets the same  sum_i  p_i a_i l_i,  a_i normal with deviation `alphastd`.

    p_i, l_i: the principal components of ImageNet's pixels (columns of `eigvec`) and how far they go (`eigval`), for
    values 0..1; the first is brightness, the others are the colours of daylight. The numbers are those of
    fb.resnet.torch. It comes after ToTensor and before Normalize.
    Krizhevsky, Sutskever & Hinton, NIPS 2012, sec. 4.1.
    ValueError: images without three channels; TypeError: images of ints.
    """

    EIGVAL = (0.2175, 0.0188, 0.0045)
    EIGVEC = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))

    def __init__(
        self,
        alphastd: float = 0.1,
        eigval: Sequence[float] = EIGVAL,
        eigvec: Sequence[Sequence[float]] = EIGVEC,
    ):
        self.alphastd = alphastd
        self.eigval = eigval
        self.eigvec = eigvec

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        check_float("Lighting", images)
        if images.shape[-3] != 3:
            raise ValueError(explain("Lighting", "takes images with three channels", {"images": images}))
        lengths = [draws.normal(self.alphastd) * value for value in self.eigval]  # 3 times (N,)
        shift = numpy.stack([sum(p * length for p, length in zip(row, lengths, strict=True)) for row in self.eigvec], 1)
        return images + shift.astype(images.dtype)[:, :, None, None]


def gray(images: numpy.ndarray) -> numpy.ndarray:
    """(N, C, H, W) -> (N, 1, H, W)"""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, c : c + 1] * numpy.float32(LUMA[c]) for c in range(3))
    return red + green + blue


def _brightness(x: numpy.ndarray, f: numpy.ndarray) -> numpy.ndarray:
    return f * x


def _contrast(x: numpy.ndarray, f: numpy.ndarray) -> numpy.ndarray:
    return f * x + (1 - f) * gray(x).mean(axis=(1, 2, 3), keepdims=True)


def _saturation(x: numpy.ndarray, f: numpy.ndarray) -> numpy.ndarray:
    return f * x + (1 - f) * gray(x)


def _hue(x: numpy.ndarray, f: numpy.ndarray) -> numpy.ndarray:
    """Turned in the hexagon of hue, saturation and value; x (N, 3, H, W), f (N, 1, 1, 1).

    With v = max(r, g, b) and c = v - min(r, g, b), a channel is v - c clip(min(k, 4 - k), 0, 1), where
    k = (n + 6 h) mod 6 and n = 5, 3, 1 for red, green, blue. Smith, SIGGRAPH 1978.
    """
    if x.shape[1] == 1:
        return x
    red, green, blue = x[:, 0], x[:, 1], x[:, 2]  # (N, H, W)
    value = x.max(axis=1)
    chroma = value - x.min(axis=1)
    safe = numpy.where(chroma > 0, chroma, 1)
    sixths = numpy.where(
        value == red,
        (green - blue) / safe,
        numpy.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixths += 6 * f[:, 0]
    channels = []
    for n in (5, 3, 1):
        k = (n + sixths) % 6
        channels.append(value - chroma * numpy.clip(numpy.minimum(k, 4 - k), 0, 1))
    return numpy.stack(channels, axis=1)


def _factors(
    name: str, value: float | Sequence[float], centre: float = 1.0, least: float = 0.0, most: float = numpy.inf
) -> tuple[float, float]:
    """From which numbers a factor is drawn."""
    if isinstance(value, (int, float)):
        low, high = (max(centre - value, least) if centre else -value), centre + value
    else:
        low, high = value
    if not least <= low <= high <= most or not high < numpy.inf:
        raise ValueError(
            explain(
                "ColorJitter",
                f"{name} must be a number between 0 and {'0.5' if centre == 0 else 'infinity'}, or a pair [low, high] "
                f"of factors, got {value!r}",
            )
        )
    return float(low), float(high)

"""What all transforms share: a batch of images goes in as one array, and comes out as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from PIL import Image

from minidl.data.randomness import Draws, current_draws, drawing_from
from minidl.errors import explain
from minidl.tensor import Tensor


class Transform:
    """Base class. A subclass defines `apply(images, draws)`, for N images of one size at once.

        crop = RandomCrop(32, padding=4)
        crop(image)                     # Tensor (C, H, W), uint8 with values 0..255 or float with values 0..1
        crop(images)                    # Tensor (N, C, H, W): every image is cropped in a place of its own

    An image on its own is a batch of one. So the same code runs for both, and an image comes out the same, bit for bit,
    whether it was alone or in a batch: `apply` computes element by element, and sums over one image at a time.

    A Pillow image is taken too, and becomes a Tensor. The given images are never changed.
    TypeError, ValueError: something that is no image.
    """

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        """images (N, C, H, W) -> (N, ...). All random numbers come from `draws`, a column for each image."""
        raise NotImplementedError(f"{type(self).__name__}.apply is not defined")

    def __call__(self, image: Any) -> Tensor:
        array = self._array(image)
        images = array[None] if array.ndim == 3 else array
        result = self.apply(images, current_draws(len(images)))
        return Tensor(result[0] if array.ndim == 3 else result)

    def _array(self, image: Any) -> numpy.ndarray:
        """(C, H, W) or (N, C, H, W)"""
        where = type(self).__name__
        if isinstance(image, Image.Image):
            return from_pillow(image)
        if not isinstance(image, Tensor):
            raise TypeError(
                explain(
                    where,
                    "takes a Tensor (C, H, W) or (N, C, H, W), or a Pillow image",
                    {"image": image},
                    help="ToTensor() turns an array (H, W, C) into a Tensor" if hasattr(image, "shape") else None,
                )
            )
        if image.ndim not in (3, 4):
            raise ValueError(explain(where, "an image is (C, H, W), a batch of them (N, C, H, W)", {"image": image}))
        return image.cpu().numpy()

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({settings})"


class Compose(Transform):
    """One transform after the other. A function among them is called as by `Lambda`."""

    def __init__(self, transforms: list[Callable]):
        for transform in transforms:
            if not callable(transform):
                raise TypeError(explain("Compose", "every transform must be callable", {"transform": transform}))
        self.transforms = transforms

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        for transform in self.transforms:
            step = transform if isinstance(transform, Transform) else Lambda(transform)
            images = step.apply(images, draws)
        return images

    def _array(self, image: Any) -> numpy.ndarray:
        first = self.transforms[0] if self.transforms else None
        return first._array(image) if isinstance(first, Transform) else super()._array(image)

    def __repr__(self) -> str:
        return "\n".join(["Compose(", *(f"    {transform}" for transform in self.transforms), ")"])


class Lambda(Transform):
    """A function of your own, which is given one image, a Tensor (C, H, W), and returns one.

    TypeError: it returned something else. ValueError: the images of a batch came back in different shapes.
    """

    def __init__(self, lambd: Callable):
        if not callable(lambd):
            raise TypeError(explain("Lambda", "takes a function", {"lambd": lambd}))
        self.lambd = lambd

    def apply(self, images: numpy.ndarray, draws: Draws) -> numpy.ndarray:
        results = []
        for image, own in zip(images, draws.each(), strict=True):
            with drawing_from(own):  # transforms that the function calls
                result = self.lambd(Tensor(image))
            if not isinstance(result, (Tensor, numpy.ndarray)):
                raise TypeError(explain("Lambda", "the function must return a Tensor", {"returned": result}))
            results.append(result.cpu().numpy() if isinstance(result, Tensor) else result)
        if len({result.shape for result in results}) > 1:
            shapes = sorted({result.shape for result in results})
            raise ValueError(explain("Lambda", f"the images of a batch came back in different shapes: {shapes}"))
        return numpy.stack(results)


def from_pillow(image: Image.Image) -> numpy.ndarray:
    """Pillow's image as (C, H, W), uint8: with one channel for a gray image, else with three.

    Of 16 bits the upper eight are taken: Pillow itself would make 255 of all that is larger. ValueError: floats.
    """
    if image.mode == "F":
        raise ValueError(explain("from_pillow", "the pixels are floats, and what is white is not known"))
    if image.mode.startswith("I"):
        image = Image.fromarray((numpy.asarray(image) >> 8).clip(0, 255).astype(numpy.uint8))
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    return channels_first(numpy.asarray(image))


def channels_first(image: numpy.ndarray) -> numpy.ndarray:
    """(H, W) or (H, W, C) -> (C, H, W)"""
    return image[None] if image.ndim == 2 else numpy.ascontiguousarray(image.transpose(2, 0, 1))


def pair(where: str, name: str, value: Any) -> tuple[int, int]:
    """A size as (height, width): one int stands for both. ValueError otherwise."""
    values = (value, value) if isinstance(value, (int, numpy.integer)) else tuple(value)
    if len(values) == 1:
        values *= 2
    if len(values) != 2 or not all(isinstance(side, (int, numpy.integer)) and side > 0 for side in values):
        raise ValueError(explain(where, f"{name} must be a positive int or two of them, got {value!r}"))
    return int(values[0]), int(values[1])


def check_probability(where: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(explain(where, f"p must lie between 0 and 1, got {p!r}"))
    return p


def check_float(where: str, images: numpy.ndarray) -> None:
    """TypeError for images of ints."""
    if images.dtype.kind != "f":
        raise TypeError(explain(where, "takes images of floats", {"images": images}, help="put ToTensor() before it"))

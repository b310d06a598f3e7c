"""Datasets of images that lie in memory as one array."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from minidl.backend import float32, int64, uint8
from minidl.data.collate import default_collate
from minidl.data.dataset import Dataset
from minidl.data.randomness import current_draws, drawing_from
from minidl.data.transforms.base import Transform
from minidl.data.transforms.values import ToTensor
from minidl.errors import explain
from minidl.tensor import Tensor


class ImageDataset(Dataset):
    """Base class of datasets whose samples are (image, label).

    The transform is given a uint8 Tensor (C, H, W); without one, an image is that as float32 with values 0..1.
    `transform` may be set; `with_transform` gives a second view of the same images, say without augmentation.
    """

    transform: Callable | None = None
    target_transform: Callable | None = None
    classes: Sequence[str] = ()

    def with_transform(self, transform: Callable | None) -> Any:
        """The same images, which are not copied, through another transform."""
        other = copy.copy(self)
        other.transform = transform
        return other

    def _sample(self, image: numpy.ndarray, label: int) -> tuple[Any, Any]:
        transform = ToTensor() if self.transform is None else self.transform
        return transform(Tensor(image)), label if self.target_transform is None else self.target_transform(label)


class ArrayDataset(ImageDataset):
    """Images in one array (N, C, H, W), uint8 or float32 with values 0..1, and their labels, ints (N,).

        ArrayDataset(images, labels, transform=Compose([RandomCrop(32, padding=4), ToTensor()]))

    `data` and `targets` are the two arrays. A transform of `minidl.data.transforms` gets a batch at once; a function of
    your own, one image after the other. TypeError, ValueError: other arrays.
    """

    def __init__(
        self,
        data: numpy.ndarray,
        targets: numpy.ndarray | Sequence[int],
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        classes: Sequence[str] = (),
    ):
        data, targets = numpy.asarray(data), numpy.asarray(targets)
        if data.dtype not in (uint8, float32):
            raise TypeError(explain("ArrayDataset", "images are uint8, or float32 with values 0..1", {"data": data}))
        if data.ndim != 4 or targets.shape != data.shape[:1]:
            raise ValueError(
                explain("ArrayDataset", "images are (N, C, H, W) and labels (N,)", {"data": data, "targets": targets})
            )
        if len(targets) and targets.dtype.kind not in "iu":
            raise TypeError(explain("ArrayDataset", "labels are ints", {"targets": targets}))
        self.data = data
        self.targets = targets.astype(int64)
        self.transform = transform
        self.target_transform = target_transform
        self.classes = tuple(classes)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._sample(self.data[index].copy(), int(self.targets[index]))

    def batch(self, indices: Sequence[int]) -> list:
        """The samples at `indices`: images and labels, collated."""
        rows = numpy.asarray(indices, dtype=int64)
        transform = ToTensor() if self.transform is None else self.transform
        labels = self.targets[rows]
        return [
            _transformed(transform, self.data[rows]),
            Tensor(labels)
            if self.target_transform is None
            else default_collate([self.target_transform(label) for label in labels.tolist()]),
        ]

    def __repr__(self) -> str:
        shape = "x".join(str(size) for size in self.data.shape[1:])
        return f"{type(self).__name__}({len(self):,} images, {shape}, {len(self.classes)} classes)"


def _transformed(transform: Callable, images: numpy.ndarray) -> Any:
    """A batch of images through `transform`: at once where it can, else one by one, with each one's own numbers."""
    draws = current_draws(len(images))
    if isinstance(transform, Transform):
        return Tensor(transform.apply(images, draws))
    results = []
    for row, image in enumerate(images):
        with drawing_from(draws.row(row)):
            results.append(transform(Tensor(image)))
    return default_collate(results)

"""The images of an experiment: for each seed another choice of them to train on, the same one for all that it compares.

So the differences between two networks of one seed are theirs alone, and the differences between seeds show how much
chance there is in all of it: in the images, in the first weights, and in the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy

from minidl.backend import float32, uint8
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.options import Settings
from minidl.data import ArrayDataset, named
from minidl.data.digits import Digits, digit_images
from minidl.data.transforms import Compose, Normalize, Resize, ToTensor

SMALLEST = 8  # pixels: less is nothing to see


@dataclass(frozen=True)
class Images:
    """What to train on and what to test on: images (N, C, size, size) as float32 with values 0..1.

    mean, std   of the training images, for each channel
    """

    train: ArrayDataset
    test: ArrayDataset
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, size, size)"""
        channels, height, width = self.train.data.shape[1:]
        return channels, height, width

    def normalized(self, images: ArrayDataset, augment: Sequence[Callable] = ()) -> ArrayDataset:
        """These images as a network gets them, after what `augment` does to each of them in each epoch."""
        return images.with_transform(Compose([*augment, ToTensor(), Normalize(self.mean, self.std)]))

    def of_classes(self, first: int, last: int) -> Images:
        """Those of the classes first ... last - 1 only, whose labels become 0, 1, ..."""

        def part(images: ArrayDataset) -> ArrayDataset:
            chosen = (images.targets >= first) & (images.targets < last)
            return ArrayDataset(images.data[chosen], images.targets[chosen] - first)

        return Images(part(self.train), part(self.test), self.classes[first:last], self.mean, self.std)


def draw_images(settings: Settings, seed: int) -> Images:
    """`settings.images` to train on, drawn with this seed from the training images of `settings.data`.

    For testing, `settings.test_images` of the test images; where those are too few, also of the training images that
    were not drawn. CommandError: data that is not there, more images than there are.
    """
    if settings.size < SMALLEST:
        raise CommandError(f"--size must be at least {SMALLEST}, got {settings.size}")
    source = _source(settings.data, settings.size, settings.partial)
    if settings.images > len(source.train_labels):
        raise CommandError(
            f"--images {settings.images:,} is too many: {settings.data} has {len(source.train_labels):,} to train on"
        )
    left_over = len(source.train_labels) - settings.images
    if settings.test_images > len(source.test_labels) + left_over:
        raise CommandError(
            f"--test-images {settings.test_images:,} is too many: {settings.data} has {len(source.test_labels):,} to "
            f"test on, and {left_over:,} more that are not trained on"
        )
    numbers = numpy.random.default_rng(seed)
    order = numbers.permutation(len(source.train_labels))
    drawn, left = order[: settings.images], order[settings.images :]
    tested = numbers.permutation(len(source.test_labels))[: settings.test_images]
    left = left[: settings.test_images - len(tested)]

    train = _scaled(source.train[drawn], settings.size)
    test = numpy.concatenate([_scaled(source.test[tested], settings.size), _scaled(source.train[left], settings.size)])
    labels = numpy.concatenate([source.test_labels[tested], source.train_labels[left]])
    return Images(
        ArrayDataset(train, source.train_labels[drawn]),
        ArrayDataset(test, labels),
        source.classes,
        tuple(train.mean(axis=(0, 2, 3), dtype=float).tolist()),
        tuple(train.std(axis=(0, 2, 3), dtype=float).tolist()),
    )


@dataclass(frozen=True)
class _Source:
    """All images of a data set."""

    train: numpy.ndarray
    train_labels: numpy.ndarray
    test: numpy.ndarray
    test_labels: numpy.ndarray
    classes: tuple[str, ...]


@lru_cache(maxsize=2)
def _source(data: str, size: int, partial: bool) -> _Source:
    """CommandError: data that is not there."""
    try:
        if data == "digits" and not partial:  # 8x8 pixels, scaled up only once
            images, labels, training, testing = digit_images(size)
            images = images.astype(float32)
            return _Source(images[training], labels[training], images[testing], labels[testing], Digits.classes)
        splits = named(data, partial=partial)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise CommandError(str(error)) from None
    train, test = splits.train, splits.test
    if not isinstance(train, ArrayDataset) or not isinstance(test, ArrayDataset):
        raise CommandError(
            f"an experiment draws its images from digits, mnist, fashion-mnist, cifar10, not from {data}"
        )
    return _Source(train.data, train.targets, test.data, test.targets, tuple(splits.classes))


def _scaled(images: numpy.ndarray, size: int) -> numpy.ndarray:
    """(N, C, H, W) -> (N, C, size, size), float32 with values 0..1."""
    if len(images) and images.shape[-2:] != (size, size):
        images = Resize((size, size)).apply(images)
    elif not len(images):
        images = images.reshape(0, images.shape[1], 0, 0)
        return numpy.zeros((0, images.shape[1], size, size), float32)
    return images.astype(float32) / 255 if images.dtype == uint8 else images

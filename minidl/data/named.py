"""Data sets by name, as the command line asks for them: named("cifar10").train"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minidl.backend import float32
from minidl.data.cifar import CIFAR10, CIFAR100
from minidl.data.digits import Digits, digit_images
from minidl.data.folder import ImageFolder, ImageNet
from minidl.data.images import ArrayDataset, ImageDataset
from minidl.data.mnist import MNIST, FashionMNIST
from minidl.errors import explain

FOLDER = "imagefolder:"
ON_DISK: dict[str, type[MNIST] | type[CIFAR10]] = {
    "mnist": MNIST,
    "fashion-mnist": FashionMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}
NAMES = ("digits", *ON_DISK, f"{FOLDER}PATH")


@dataclass(frozen=True)
class Splits:
    """What there is to train and to test on. Nothing is augmented yet, nor normalised.

    A sample is (image (C, H, W) with values 0..1, label). `train.with_transform(...)` gives the same images with
    augmentation; mean and std, those of the training images for each channel, are what Normalize takes.
    """

    train: ImageDataset
    test: ImageDataset
    classes: Sequence[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]


def named(name: str, root: str | Path | None = None, download: bool = True, partial: bool = False) -> Splits:
    """The data set called `name`: one of digits, mnist, fashion-mnist, cifar10, cifar100, imagefolder:PATH.

    `root`, `download` and (for CIFAR) `partial` as for the classes. Images of a folder come in all sizes, so they need
    a transform that brings them to one: `image_shape` is (3, 224, 224) then, mean and std are ImageNet's. PATH has the
    folders train, and val or test.

    ValueError: an unknown name, or `partial` for a set that has no parts; else the errors of the data set.
    """
    if partial and name not in ("cifar10", "cifar100"):
        raise ValueError(explain("named", f"only cifar10 and cifar100 can be used in part, not {name}"))
    if name == "digits":
        return _digits()
    if name.startswith(FOLDER):
        return _folder(name.removeprefix(FOLDER))
    if name not in ON_DISK:
        raise ValueError(explain("named", f"there is no data set {name!r}", help=f"there are {', '.join(NAMES)}"))
    kind = ON_DISK[name]
    options = {"partial": True} if partial else {}
    train = kind(root, train=True, download=download, **options)  # type: ignore[arg-type]
    test = kind(root, train=False, download=download, **options)  # type: ignore[arg-type]
    _, *shape = train.data.shape
    return Splits(train, test, kind.classes, kind.mean, kind.std, tuple(shape))  # type: ignore[arg-type]


def _digits() -> Splits:
    images, labels, training, testing = digit_images(32)
    images = images.astype(float32)
    classes = Digits.classes
    train, test = (ArrayDataset(images[part], labels[part], classes=classes) for part in (training, testing))
    mean, std = float(train.data.mean()), float(train.data.std())
    return Splits(train, test, classes, (mean,), (std,), (1, 32, 32))


def _folder(path: str) -> Splits:
    root = Path(path).expanduser()
    testing = next((root / part for part in ("val", "test") if (root / part).is_dir()), root / "val")
    train, test = ImageFolder(root / "train"), ImageFolder(testing)
    if train.classes != test.classes:
        different = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(
            explain("named", f"{root / 'train'} and {testing} differ in classes", {"only in one of them": different})
        )
    return Splits(train, test, train.classes, ImageNet.mean, ImageNet.std, (3, 224, 224))

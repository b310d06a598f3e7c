"""Data sets by name, as the command line asks for them: named("cifar10").train

described(name)     classes, mean, deviation, shape of an image: what a network must know that was trained on it
split(name, train)  the images to train on, or those to test on
named(name)         all of it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from minidl.backend import float32
from minidl.data.cifar import CIFAR10, CIFAR100
from minidl.data.digits import Digits, digit_images
from minidl.data.folder import ImageFolder, ImageNet, class_folders
from minidl.data.images import ArrayDataset, ImageDataset
from minidl.data.mnist import MNIST, FashionMNIST
from minidl.errors import explain

FOLDER, IMAGENET = "imagefolder:", "imagenet:"
ON_DISK: dict[str, type[MNIST] | type[CIFAR10]] = {
    "mnist": MNIST,
    "fashion-mnist": FashionMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}
IN_PARTS = ("cifar10", "cifar100")
NAMES = ("digits", *ON_DISK, f"{FOLDER}PATH", f"{IMAGENET}PATH")
PHOTOGRAPH = (3, 224, 224)


@dataclass(frozen=True)
class Description:
    """What is known of a data set. mean and std are those of the training images for each channel, with values 0..1.

    Where images come in all sizes, `image_shape` is what networks are mostly given of them.
    """

    classes: Sequence[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]


@dataclass(frozen=True)
class Splits(Description):
    """What there is to train and to test on. Nothing is augmented yet, nor normalised.

    A sample is (image (C, H, W) with values 0..1, label). `train.with_transform(...)` gives the same images with
    augmentation; mean and std are what Normalize takes.
    """

    train: ImageDataset
    test: ImageDataset


def named(name: str, root: str | Path | None = None, download: bool = True, partial: bool = False) -> Splits:
    """The data set called `name`: one of digits, mnist, fashion-mnist, cifar10, cifar100, or

        imagefolder:PATH    a folder for each class in PATH/train and in PATH/val (or PATH/test)
        imagenet:PATH       ImageNet's own folders, see `ImageNet`

    `root`, `download` and (for CIFAR) `partial` as for the classes. Photographs come in all sizes, so they need a
    transform that brings them to one: `image_shape` is (3, 224, 224) then, mean and std are ImageNet's.

    ValueError: an unknown name, or `partial` for a set that has no parts; else the errors of the data set.
    """
    train, test = (split(name, training, root, download, partial) for training in (True, False))
    about = described(name)
    return Splits(about.classes, about.mean, about.std, about.image_shape, train, test)


def split(
    name: str, train: bool, root: str | Path | None = None, download: bool = True, partial: bool = False
) -> ImageDataset:
    """The images to train on or to test on alone; the others need not be there. Options and errors: as `named`."""
    kind, path = _kind(name)
    if partial and kind not in IN_PARTS:
        raise ValueError(explain("named", f"only {' and '.join(IN_PARTS)} can be used in part, not {name}"))
    if kind == "digits":
        images, labels, *parts = digit_images(32)
        rows = parts[0 if train else 1]
        return ArrayDataset(images[rows].astype(float32), labels[rows], classes=Digits.classes)
    if kind == FOLDER:
        return ImageFolder(path / "train" if train else _testing_folder(path))
    if kind == IMAGENET:
        return ImageNet(path, "train" if train else "val")
    options = {"partial": True} if partial else {}
    return ON_DISK[kind](root, train=train, download=download, **options)  # type: ignore[arg-type]


def described(name: str) -> Description:
    """What is known of the data set called `name`. Its images need not be there, but of folders one of the two.

    ValueError: an unknown name, or the folders train and val have different classes. FileNotFoundError: no folder.
    """
    kind, path = _kind(name)
    if kind == "digits":
        images = split(name, train=True).data  # type: ignore[attr-defined]
        return Description(Digits.classes, (float(images.mean()),), (float(images.std()),), (1, 32, 32))
    if kind == FOLDER:
        return Description(_folder_classes(path), ImageNet.mean, ImageNet.std, PHOTOGRAPH)
    if kind == IMAGENET:
        classes = ImageNet(path, "val").classes
        return Description(classes, ImageNet.mean, ImageNet.std, PHOTOGRAPH)
    about = ON_DISK[kind]
    return Description(about.classes, about.mean, about.std, (3, 32, 32) if len(about.mean) == 3 else (1, 28, 28))


def _kind(name: str) -> tuple[str, Path]:
    """A key of ON_DISK, "digits", FOLDER or IMAGENET; and of the last two the path. ValueError: an unknown name."""
    for kind in (FOLDER, IMAGENET):
        if name.startswith(kind):
            return kind, Path(name.removeprefix(kind)).expanduser()
    if name != "digits" and name not in ON_DISK:
        near = get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(explain("named", f"there is no data set {name!r}", help=f"{hint}there are {', '.join(NAMES)}"))
    return name, Path()


def _testing_folder(path: Path) -> Path:
    return next((path / part for part in ("val", "test") if (path / part).is_dir()), path / "val")


def _folder_classes(path: Path) -> tuple[str, ...]:
    """The classes of both folders, or of the one that is there."""
    folders = [folder for folder in (path / "train", _testing_folder(path)) if folder.is_dir()]
    if not folders:
        raise FileNotFoundError(explain("named", f"there is neither {path / 'train'} nor {path / 'val'}"))
    classes = [tuple(class_folders(folder)) for folder in folders]
    if classes[0] != classes[-1]:
        different = sorted(set(classes[0]) ^ set(classes[-1]))
        raise ValueError(
            explain("named", f"{folders[0]} and {folders[-1]} differ in classes", {"only in one of them": different})
        )
    return classes[0]

"""Images as files in folders, one folder for each class; ImageNet is the largest of these."""

from __future__ import annotations

import csv
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageOps

from minidl.data.files import DataError
from minidl.data.images import ImageDataset
from minidl.data.transforms.base import from_pillow
from minidl.errors import explain

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
PILLOW_RAISES = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class ImageFolder(ImageDataset):
    """root/CLASS/any/where/below/IMAGE.png: the folders in alphabetical order are the classes 0, 1, 2, ...

    Each image is read when it is asked for, as RGB, and given to the transform as a uint8 Tensor (3, H, W).
    `samples` is the list of (path, label), `class_to_idx` the number of each class, `classes` their names.

    FileNotFoundError: no such folder, no folder in it, or a class without images. DataError: an image is damaged.
    """

    def __init__(self, root: str | Path, transform: Callable | None = None, target_transform: Callable | None = None):
        self.root = Path(root).expanduser()
        self.transform = transform
        self.target_transform = target_transform
        classes = class_folders(self.root)
        self.samples = list_images(self.root, classes)
        self._name(classes)

    def _name(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.class_to_idx = {name: number for number, name in enumerate(classes)}
        self.targets = [label for _, label in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, label = self.samples[index]
        return self._sample(read_image(path), label)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} images, {len(self.classes)} classes, {self.root})"


class ImageNet(ImageFolder):
    """ImageNet's 1000 classes: `split` is "train" (1,281,167 images) or "val" (50,000).

        root/train/n01440764/*.JPEG         root/val/n01440764/*.JPEG       as torchvision has it, and
        root/val/*.JPEG                     with root/LOC_val_solution.csv  as Kaggle gives it out

    The two folders may lie in root/ILSVRC/Data/CLS-LOC as well. `wnids` are the names of the folders, `classes` the
    words for them in root/LOC_synset_mapping.txt, else those of `imagenet_words`, else the wnids again. It is not
    downloaded: register at image-net.org.

    Deng et al., CVPR 2009; Russakovsky et al., IJCV 2015.
    ValueError: another split; FileNotFoundError, DataError: as ImageFolder, or labels are missing.
    """

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Callable | None = None,
        target_transform: Callable | None = None,
    ):
        if split not in ("train", "val"):
            raise ValueError(explain("ImageNet", f'split must be "train" or "val", got {split!r}'))
        top = Path(root).expanduser()
        kaggle = top / "ILSVRC" / "Data" / "CLS-LOC"
        base = top if (top / split).is_dir() or not (kaggle / split).is_dir() else kaggle
        self.root = base / split
        self.split = split
        self.transform = transform
        self.target_transform = target_transform
        flat = self.root.is_dir() and not _subfolders(self.root)
        answers = _answers(top / "LOC_val_solution.csv") if flat else {}
        # The classes are those of the training images: so both splits count alike even if one lacks a class.
        train = base / "train"
        self.wnids = tuple(
            _subfolders(train) if train.is_dir() else sorted(set(answers.values())) or class_folders(self.root)
        )
        if flat:
            self.samples = self._answered(answers)
        else:
            strangers = sorted(set(class_folders(self.root)) - set(self.wnids))
            if strangers:
                raise DataError(explain("ImageNet", f"{self.root} has classes that train has not", {"more": strangers}))
            self.samples = list_images(self.root, self.wnids, allow_empty=split == "val")
        words = _words(top / "LOC_synset_mapping.txt") or imagenet_words()
        self._name([words.get(wnid, wnid) for wnid in self.wnids])

    def _answered(self, answers: dict[str, str]) -> list[tuple[Path, int]]:
        """The images of a folder without classes, whose labels are in a list."""
        numbers = {wnid: number for number, wnid in enumerate(self.wnids)}
        samples = []
        for path in sorted(path for path in self.root.iterdir() if path.suffix.lower() in EXTENSIONS):
            wnid = answers.get(path.stem)
            if wnid not in numbers:
                raise DataError(explain("ImageNet", f"no label for {path}", {"found": wnid}))
            samples.append((path, numbers[wnid]))
        if not samples:
            raise FileNotFoundError(explain("ImageNet", f"no images in {self.root}"))
        return samples


def imagenet_words() -> dict[str, str]:
    """wnid -> words of WordNet, of the 1000 classes in their order: n01440764 -> tench, Tinca tinca"""
    return _words(Path(__file__).with_name("imagenet_classes.txt"))


def class_folders(root: Path) -> list[str]:
    """The names of the classes in `root`, sorted. FileNotFoundError: there are none."""
    if not root.is_dir():
        raise FileNotFoundError(explain("ImageFolder", f"there is no folder {root}"))
    classes = _subfolders(root)
    if not classes:
        raise FileNotFoundError(
            explain("ImageFolder", f"Couldn't find any class folder in {root}", help="a folder for each class in it")
        )
    return classes


def list_images(root: Path, classes: Sequence[str], allow_empty: bool = False) -> list[tuple[Path, int]]:
    """(path, label) of every image below root/CLASS, in alphabetical order. FileNotFoundError: a class has none."""
    samples: list[tuple[Path, int]] = []
    empty = []
    for label, name in enumerate(classes):
        found = []
        for folder, _, files in os.walk(root / name, followlinks=True):
            found += [Path(folder, file) for file in files if file.lower().endswith(EXTENSIONS)]
        samples += [(path, label) for path in sorted(found)]
        empty += [] if found else [name]
    if not samples or (empty and not allow_empty):
        raise FileNotFoundError(
            explain(
                "ImageFolder",
                f"Found no valid file for the classes {', '.join(empty[:10])}{', ...' if len(empty) > 10 else ''}",
                help=f"supported extensions are {', '.join(EXTENSIONS)}",
            )
        )
    return samples


def read_image(path: Path) -> numpy.ndarray:
    """The image as RGB, turned upright where a camera wrote how it was held: uint8 (3, H, W).

    DataError: it is missing, damaged or no image.
    """
    try:
        with Image.open(path) as image:
            pixels = from_pillow(ImageOps.exif_transpose(image))
    except PILLOW_RAISES as error:
        raise DataError(explain("read_image", f"{path} cannot be read: {error}")) from error
    return pixels if len(pixels) == 3 else numpy.repeat(pixels, 3, axis=0)


def _subfolders(root: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))


def _answers(path: Path) -> dict[str, str]:
    """Kaggle's list of labels: image -> class. A line is  ILSVRC2012_val_00000001,n01751748 111 108 230 183 ..."""
    if not path.is_file():
        raise FileNotFoundError(
            explain("ImageNet", f"the images of val lie in no class folders, and there is no {path}")
        )
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2 and row[1].split()}


def _words(path: Path) -> dict[str, str]:
    """wnid -> what the class is called. A line is  n01440764 tench, Tinca tinca"""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {wnid: words for wnid, _, words in (line.partition(" ") for line in lines) if words}

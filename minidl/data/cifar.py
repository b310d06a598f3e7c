"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour images of 32x32, from the official binary archives.

A file is records without any header: the label (for CIFAR-100 that of the superclass and then the class), 1024 bytes of
red, row by row, 1024 of green, 1024 of blue. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy

from minidl.backend import int64, uint8
from minidl.data.archive import extract
from minidl.data.download import download as download_file
from minidl.data.download import md5
from minidl.data.files import DataError, RemoteFile, damaged, data_folder, find, missing
from minidl.data.images import ArrayDataset
from minidl.errors import explain

PIXELS = 3 * 32 * 32

NAMES_100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
    shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


def _archive(name: str, size: int, checksum: str) -> RemoteFile:
    places = "https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz"
    return RemoteFile(name, size, checksum, tuple(f"{place}/{name}" for place in places))


class CIFAR10(ArrayDataset):
    """Photographs (3, 32, 32) in ten classes: 50,000 to train on (`train=True`), 10,000 to test on.

    `root` is the folder of all data sets (minidl/data/files.py says which it is where it is None). The files lie in it
    or in `cifar-10-batches-bin`; or the archive cifar-10-binary.tar.gz does, and is unpacked. With `download`, the
    archive comes from the network.

    partial=True: make do with the files data_batch*.bin and test_batch*.bin that are there, and with the complete
    records in them; what was found is said on the standard error.

    DataError: files are missing, of a wrong size, or hold impossible labels.
    """

    classes: tuple[str, ...] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the training images, with values 0..1
    folder = "cifar-10-batches-bin"
    archive = _archive("cifar-10-binary.tar.gz", 170052171, "c32a1d4ab5d03f1284b67883e8d87530")
    train_files: tuple[str, ...] = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    test_files: tuple[str, ...] = ("test_batch.bin",)
    train_pattern, test_pattern = "data_batch*.bin", "test_batch*.bin"
    records = 10_000  # in a file
    label_bytes = 1

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = True,
        *,
        partial: bool = False,
    ):
        self.root = data_folder(root)
        self.train = train
        self.partial = partial
        paths = self._partial_paths() if partial else self._paths(download)
        if not paths:
            pattern = self.train_pattern if train else self.test_pattern
            raise missing(type(self).__name__, f"no file {pattern} is there", [self.archive], self.root)
        data, targets = self._read(paths)
        if partial:
            files = self.train_files if train else self.test_files
            print(
                f"{type(self).__name__}: partial set: {len(data):,} of {self.records * len(files):,} "
                f"{'training' if train else 'test'} images, in {', '.join(path.name for path in paths)} "
                f"of {paths[0].parent}",
                file=sys.stderr,
            )
        super().__init__(data, targets, transform, target_transform, self.classes)

    # ------------------------------------------------------------------------------------------------ which files

    @property
    def _places(self) -> list[Path]:
        return [self.root / self.folder, self.root]

    def _paths(self, download: bool) -> list[Path]:
        """The files of the split, all of them, after downloading and unpacking the archive if need be."""
        name, wanted = type(self).__name__, self.train_files if self.train else self.test_files
        absent = self._absent(wanted)
        if absent:
            archive = find([self.archive.name], self._places)
            part = self._partial_paths()
            there = ", ".join(path.name for path in part)
            also = f"or use what is there, {there}: partial=True (--partial)" if part else None
            if archive is None and not download:
                what = f"not there: {', '.join(absent)}, nor {self.archive.name}"
                options = "or let download=True fetch it" + (f", {also}" if also else "")
                raise missing(name, what, [self.archive], self.root, options)
            self._unpack(archive, f"not there: {', '.join(absent)}; and ", also)
            absent = self._absent(wanted)
            if absent:
                raise DataError(explain(name, f"{self.archive.name} did not hold {', '.join(absent)}"))
        return [find([file], self._places) for file in wanted]  # type: ignore[misc]

    def _absent(self, wanted: tuple[str, ...]) -> list[str]:
        return [file for file in wanted if find([file], self._places) is None]

    def _unpack(self, archive: Path | None, why: str, also: str | None) -> None:
        """Unpack the archive into the root; one that had to be downloaded for that is removed then."""
        fetched = archive is None
        if archive is None:
            archive = download_file(self.archive, self.root, type(self).__name__, why, also)
        elif md5(archive) != self.archive.md5:
            raise damaged(archive, f"is damaged: its MD5 is not {self.archive.md5}")
        try:
            extract(archive, self.root)
        except OSError as error:
            raise DataError(
                explain(
                    type(self).__name__,
                    f"{archive} cannot be unpacked into {self.root}: {error.strerror or error}",
                    help="unpack it yourself, or give a folder that can be written to",
                )
            ) from error
        if fetched:
            archive.unlink()

    def _partial_paths(self) -> list[Path]:
        """What there is of the split's files, under whatever name that begins like theirs."""
        pattern = self.train_pattern if self.train else self.test_pattern
        for place in self._places:
            paths = sorted(path for path in place.glob(pattern) if path.is_file())
            if paths:
                return paths
        return []

    # ------------------------------------------------------------------------------------------- what is in them

    def _read(self, paths: list[Path]) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Images (N, 3, 32, 32) and labels (N,)"""
        record = self.label_bytes + PIXELS
        for path in paths:
            size = path.stat().st_size
            if not self.partial and size != self.records * record:
                raise damaged(path, f"has {size:,} bytes instead of {self.records * record:,}")
        counts = [path.stat().st_size // record for path in paths]
        data = numpy.empty((sum(counts), 3, 32, 32), uint8)
        targets = numpy.empty(sum(counts), int64)
        start = 0
        for path, count in zip(paths, counts, strict=True):
            with path.open("rb") as stream:
                rows = numpy.frombuffer(stream.read(count * record), uint8).reshape(count, record)
            data[start : start + count] = rows[:, self.label_bytes :].reshape(count, 3, 32, 32)
            labels = rows[:, self.label_bytes - 1]
            if count and labels.max() >= len(self.classes):
                at = int(numpy.argmax(labels))
                raise damaged(path, f"is damaged: record {at} has the label {labels[at]}, of {len(self.classes)}")
            targets[start : start + count] = labels
            start += count
        return data, targets


class CIFAR100(CIFAR10):
    """Photographs (3, 32, 32) in a hundred classes: 50,000 to train on, 10,000 to test on. Otherwise as CIFAR10.

    The files train.bin and test.bin lie in `root` or in `cifar-100-binary`. The labels are those of the classes, not of
    the twenty superclasses.
    """

    classes = tuple(NAMES_100.split())
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    folder = "cifar-100-binary"
    archive = _archive("cifar-100-binary.tar.gz", 168513733, "03b5dce01913d631647c71ecec9e9cb8")
    train_files, test_files = ("train.bin",), ("test.bin",)
    train_pattern, test_pattern = "train*.bin", "test*.bin"
    label_bytes = 2

    @property
    def records(self) -> int:  # type: ignore[override]
        return 50_000 if self.train else 10_000

"""MNIST and Fashion-MNIST: 60,000 + 10,000 gray images of 28x28 in ten classes, as IDX files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy

from minidl.backend import uint8
from minidl.data.download import download as download_file
from minidl.data.files import DataError, RemoteFile, damaged, data_folder, find, missing
from minidl.data.idx import read_idx
from minidl.data.images import ArrayDataset
from minidl.errors import explain


def _file(name: str, size: int, checksum: str, *places: str) -> RemoteFile:
    return RemoteFile(f"{name}.gz", size, checksum, tuple(f"{place}/{name}.gz" for place in places))


class MNIST(ArrayDataset):
    """Handwritten digits (1, 28, 28): 60,000 to train on (`train=True`), 10,000 to test on.

    `root` is the folder of all data sets (minidl/data/files.py says which it is where it is None): the files,
    compressed or not, lie in it, in `mnist` or in `MNIST/raw`. With `download`, missing ones come from the network.

    LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998, sec. III-A.
    DataError: files are missing or damaged.
    """

    classes = tuple("0123456789")
    mean, std = (0.1307,), (0.3081,)  # of the training images, with values 0..1
    folders = ("mnist", "MNIST/raw", "MNIST", ".")  # the first is where downloads go
    label_md5 = (
        "e86ee40d66677c011a9abda399ec8c4d",
        "073c3904dfbd3e141ff8aa01cfde6b15",
    )  # of the labels to train on and to test on, unpacked

    _places = (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    )
    files = {  # noqa: RUF012  # by (train, what)
        (True, "images"): _file("train-images-idx3-ubyte", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873", *_places),
        (True, "labels"): _file("train-labels-idx1-ubyte", 28881, "d53e105ee54ea40749a09fcbcd1e9432", *_places),
        (False, "images"): _file("t10k-images-idx3-ubyte", 1648877, "9fb629c4189551a2d022fa330f9573f3", *_places),
        (False, "labels"): _file("t10k-labels-idx1-ubyte", 4542, "ec29112dd5afa0611ce80d1b7f02629c", *_places),
    }

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = True,
    ):
        self.root = data_folder(root)
        self.train = train
        paths = self._paths(download)
        images, labels = read_idx(paths["images"]), read_idx(paths["labels"])
        if images.ndim != 3 or images.dtype != uint8:
            raise damaged(paths["images"], f"holds no gray images: {images.dtype} {images.shape}")
        if labels.ndim != 1 or labels.dtype != uint8 or len(labels) != len(images):
            raise damaged(paths["labels"], f"is not {len(images):,} labels: {labels.dtype} {labels.shape}")
        if len(labels) and labels.max() >= len(self.classes):
            at = int(numpy.argmax(labels))
            raise damaged(paths["labels"], f"has the label {labels[at]} for image {at}; there are 0 to 9")
        _check_owner(type(self).__name__, paths["labels"], labels)
        super().__init__(images[:, None], labels, transform, target_transform, self.classes)

    def _paths(self, download: bool) -> dict[str, Path]:
        """Where the images and the labels lie, after downloading them if need be."""
        name, places = type(self).__name__, [self.root / folder for folder in self.folders]
        wanted = {what: self.files[self.train, what] for what in ("images", "labels")}
        found = {what: find((file.name, file.name.removesuffix(".gz")), places) for what, file in wanted.items()}
        absent = [wanted[what] for what, path in found.items() if path is None]
        if absent and not download:
            listed = " and ".join(file.name for file in absent)
            raise missing(name, f"not there: {listed}", absent, places[0], "or let download=True fetch it")
        return {
            what: path if path is not None else download_file(wanted[what], places[0], name, wanted=absent)
            for what, path in found.items()
        }


class FashionMNIST(MNIST):
    """Articles of clothing (1, 28, 28), in the form of MNIST and harder: 60,000 to train on, 10,000 to test on.

    The files lie in `root`, in `fashion-mnist` or in `FashionMNIST/raw`. Xiao, Rasul & Vollgraf, arXiv 1708.07747.
    DataError: files are missing or damaged, or are those of MNIST, which have the same names.
    """

    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    mean, std = (0.2860,), (0.3530,)
    folders = ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", ".")
    label_md5 = ("3236f6424fc25388b2834cb19942cf7e", "8dea97a4e78c1bd1b5a6e8efbb870b6e")

    _places = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    )
    files = {  # noqa: RUF012
        (True, "images"): _file("train-images-idx3-ubyte", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", *_places),
        (True, "labels"): _file("train-labels-idx1-ubyte", 29515, "25c81989df183df01b3e8a0aad5dffbe", *_places),
        (False, "images"): _file("t10k-images-idx3-ubyte", 4422102, "bef4ecab320f06d8554ea6380940ec79", *_places),
        (False, "labels"): _file("t10k-labels-idx1-ubyte", 5148, "bb300cfdad3c16e7a12a480ee83cd310", *_places),
    }


def _check_owner(name: str, path: Path, labels: numpy.ndarray) -> None:
    """The two data sets name their files alike: DataError where the labels are known to be those of the other."""
    checksum = hashlib.md5(labels.tobytes(), usedforsecurity=False).hexdigest()
    for owner in (MNIST, FashionMNIST):
        if owner.__name__ != name and checksum in owner.label_md5:
            raise DataError(
                explain(
                    name,
                    f"{path} belongs to {owner.__name__}",
                    help=f"each data set in a folder of its own: {MNIST.folders[0]}, {FashionMNIST.folders[0]}",
                )
            )

"""Small files in the formats of the data sets, made here, so that the tests need no download."""

import gzip
import struct

import numpy
from PIL import Image


def idx(array, code=0x08):
    """An array as the bytes of an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder, count=12, prefix="train", compress=True, seed=0):
    """Files as MNIST's, with `count` images; returns images and labels."""
    numbers = numpy.random.default_rng(seed)
    images = numbers.integers(256, size=(count, 28, 28), dtype=numpy.uint8)
    labels = numbers.integers(10, size=count, dtype=numpy.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        content = idx(array)
        path = folder / f"{prefix}-{name}{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(content) if compress else content)
    return images, labels


def write_images(root, classes=("cat", "dog"), count=3, size=(10, 12)):
    numbers = numpy.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = numbers.integers(256, size=(*size, 3), dtype=numpy.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")

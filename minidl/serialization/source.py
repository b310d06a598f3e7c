"""The file that is read: no more is read from it, and no more memory asked for, than it holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy

from minidl.backend import float32, float64, int64
from minidl.checks import check_dtype
from minidl.errors import explain
from minidl.tensor import Tensor


class LoadError(RuntimeError):
    """A file that `load` cannot read, or refuses to: damaged, of another kind, or hostile."""


class Source:
    """An open file of known size."""

    def __init__(self, path: Path, stream: BinaryIO):
        self.path = path
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size

    def begin(self, count: int) -> bytes:
        """The first bytes, at most `count`; the position stays at the start."""
        self.stream.seek(0)
        head = self.stream.read(count)
        self.stream.seek(0)
        return head

    @property
    def left(self) -> int:
        """The bytes from here to the end."""
        return self.size - self.stream.tell()

    def read(self, count: int, what: str) -> bytes:
        """The next `count` bytes. LoadError where the file ends before: then no memory is asked for."""
        if not 0 <= count <= self.left:
            raise self.error(
                f"{what} should have {count:,} bytes, but {self.left:,} are left in the file", help=self.AGAIN
            )
        return self.stream.read(count)

    def error(self, rule: str, help: str | None = None) -> LoadError:
        """The error for this file, to be raised."""
        return LoadError(explain("load", f"{self.path}: {rule}", help=help))

    AGAIN = "it looks damaged or cut off; download or copy it again, and compare its size"


def as_tensor(
    source: Source, name: str, array: numpy.ndarray, shape: Sequence[int], columns_first: bool = False
) -> Tensor:
    """A Tensor of this shape, of the numbers that were read. float16 becomes float32, which holds each of its values.

    LoadError for an element type that tensors do not have, and for a shape that no array has.
    """
    if array.dtype == numpy.float16:
        array = array.astype(float32)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    try:
        check_dtype("load", array.dtype)
    except TypeError:
        raise source.error(
            f"{name!r} holds {array.dtype}, which a tensor cannot hold",
            help=f"convert it where the file was made: to {float32}, {float64} or {int64}",
        ) from None
    try:
        return Tensor(array.reshape(shape, order="F" if columns_first else "C"))
    except (ValueError, OverflowError) as error:
        raise source.error(f"{name!r} has an impossible shape: {error}", help=source.AGAIN) from None

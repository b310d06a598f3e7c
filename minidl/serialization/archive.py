"""Zip archives, as PyTorch and NumPy write them. Nothing is unpacked to a disk, so no name in them can do harm."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from minidl.serialization.source import Source

ENCRYPTED = 1  # the bit of a member's flags

# A file that unpacks to more than this, and to more than 100 times its size, is a bomb. (Zeros shrink 1000 times.)
HARMLESS, MOST_GROWTH = 1 << 26, 100


@contextmanager
def opened(source: Source) -> Iterator[zipfile.ZipFile]:
    """The archive. LoadError where it is damaged, also where that shows while it is read."""
    try:
        with zipfile.ZipFile(source.stream) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, UnicodeDecodeError) as error:
        raise source.error(f"the zip is damaged: {error}", help=source.AGAIN) from None


def check_member(source: Source, info: zipfile.ZipInfo, compressed: bool) -> None:
    """LoadError where a member is encrypted, compressed (unless it may be), or not as large as it says."""
    if info.flag_bits & ENCRYPTED:
        raise source.error(f"its member {info.filename} is encrypted", help="unpack it, and pack it without a password")
    if info.compress_type == zipfile.ZIP_STORED:
        if info.file_size != info.compress_size or info.file_size > source.size:
            raise source.error(f"the size of its member {info.filename} is wrong", help=source.AGAIN)
    elif not compressed:
        raise source.error(f"its member {info.filename} is compressed; PyTorch never does that", help=source.AGAIN)
    elif info.compress_type != zipfile.ZIP_DEFLATED:
        raise source.error(
            f"its member {info.filename} is compressed in a way that NumPy never does", help=source.AGAIN
        )


def check_growth(source: Source, archive: zipfile.ZipFile) -> None:
    """LoadError where the members together are larger than the file, or would grow beyond all measure."""
    members = archive.infolist()
    if sum(info.compress_size for info in members) > source.size:
        raise source.error("its members together are larger than the file", help=source.AGAIN)
    unpacked = sum(info.file_size for info in members)
    if unpacked > max(HARMLESS, MOST_GROWTH * source.size):
        raise source.error(
            f"it would grow from {source.size:,} to {unpacked:,} bytes",
            help="if you trust it, save it without compression: numpy.savez(path, **numpy.load(path))",
        )

"""Files of the course kit: read where nothing is trusted, written the same on every system."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def read_plain(path: Path, most: int) -> bytes:
    """What is in a plain file of at most `most` bytes. OSError, with its `strerror` in words, for anything else.

    A link in the last part of the path, a pipe, a device and a folder are not opened, or read, let alone waited for.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # each system has some of them
        flags |= getattr(os, name, 0)
    if path.is_symlink():
        raise OSError(None, "it is a link to another place")
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is no plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(descriptor)  # of a folder, too, which fdopen refuses and leaves open
    if len(data) > most:
        raise OSError(None, f"it has {max(status.st_size, len(data)):,} bytes; at most {most:,} are read")
    return data


def write_text(path: Path, text: str) -> None:
    """Write a text file, with its folders, in UTF-8 and with the line ends that it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def file_hash(path: Path) -> str:
    """The sha256 of a file; line ends, which git and editors may change, do not count."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()

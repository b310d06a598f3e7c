"""Where data sets lie on the disk, and what an error says that a file is not there.

The folder is the `root` that a data set is given (`--data-dir` on the command line), else the environment variable
MINIDL_DATA, else a folder of the user's for things that can be downloaded again:

    Linux      $XDG_CACHE_HOME/minidl or ~/.cache/minidl
    macOS      ~/Library/Caches/minidl
    Windows    %LOCALAPPDATA%\\minidl
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minidl.errors import explain


class DataError(RuntimeError):
    """A file of a data set is missing, cannot be downloaded, or is damaged. The text says which, and what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded: from any of the addresses, it has this size in bytes and this MD5."""

    name: str
    size: int
    md5: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.size:,} bytes, MD5 {self.md5}) from {' or '.join(self.addresses)}"


def data_folder(root: str | Path | None = None) -> Path:
    """The folder of the data sets, whether it is there yet or not."""
    given = root if root is not None else os.environ.get("MINIDL_DATA")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "minidl"


def find(names: Iterable[str], folders: Iterable[Path]) -> Path | None:
    """The first file with one of these names in the first of these folders that has any."""
    names = list(names)
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def missing(where: str, what: str, files: Sequence[RemoteFile], folder: Path, also: str | None = None) -> DataError:
    """The error that says `what` is not there, and which files to put into which folder."""
    lines = [f"put into {folder.absolute()}", *(f"    {file}" for file in files)]
    return DataError(explain(where, what, help="\n".join([*lines, *([f"  {also}"] if also else [])])))


def damaged(path: Path, what: str) -> DataError:
    """The error for a file that does not hold what it should."""
    return DataError(explain("read", f"{path} {what}", help="delete it, and have it downloaded or put there again"))

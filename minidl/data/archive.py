"""Unpacking a downloaded archive, without trusting what it says about itself."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from minidl.data.files import DataError, damaged
from minidl.errors import explain


def extract(archive: Path, folder: Path, most: int = 1 << 30) -> list[Path]:
    """Unpack the tar file `archive` (compressed or not) into `folder`; returns the paths of its files.

    Only ordinary files and folders with names that stay inside: no links, no devices, no `..`, no absolute path; and no
    more than `most` bytes. All or nothing: the files appear once the whole archive has been read. DataError otherwise.
    """
    paths = []
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as name:
        workshop = Path(name)
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    inside = _checked(archive, member)
                    if member.isdir():
                        continue
                    most -= member.size
                    if most < 0:
                        raise _unsafe(archive, member, "would fill more room than such an archive needs")
                    paths.append(inside)
                    (workshop / inside).parent.mkdir(parents=True, exist_ok=True)
                    source = tar.extractfile(member)
                    with source, (workshop / inside).open("wb") as target:  # type: ignore[union-attr]
                        shutil.copyfileobj(source, target)  # type: ignore[arg-type]
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise damaged(archive, f"is damaged: {error}") from error
        for inside in paths:
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            os.replace(workshop / inside, folder / inside)
    return [folder / inside for inside in paths]


def _checked(archive: Path, member: tarfile.TarInfo) -> PurePosixPath:
    """The member's path below the folder. DataError for anything but a file or a folder that lies in it."""
    if not (member.isreg() or member.isdir()):
        raise _unsafe(archive, member, "is a link or a device")
    path = PurePosixPath(member.name)
    # A backslash or a colon would be a separator or a drive on Windows.
    if path.is_absolute() or ".." in path.parts or any(sign in member.name for sign in "\\:\0"):
        raise _unsafe(archive, member, "would lie outside of the folder")
    return path


def _unsafe(archive: Path, member: tarfile.TarInfo, what: str) -> DataError:
    return DataError(
        explain("extract", f"{archive} is not to be trusted: {member.name!r} {what}", help="nothing was unpacked")
    )

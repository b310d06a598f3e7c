"""One training for each folder: two of them would write over each other's checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside, this process alone trains in `folder`. BlockingIOError: another one does already.

    The system lets go of the lock when the process ends, however it ends, so a kill leaves nothing to clean up. The
    file stays, and says nothing. Where the file system knows no locks (some network drives), nothing is locked.
    """
    with open(folder / LOCK, "ab") as file:
        if _taken(file):
            raise BlockingIOError(f"another training is writing into {folder}")
        yield


def _taken(file: IO[bytes]) -> bool:
    if sys.platform == "win32":
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return True
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # the file system has no locks
        return False
    return False

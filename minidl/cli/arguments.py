"""What the commands share: their kind of error, and the kinds of values that their options take."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class CommandError(Exception):
    """The command cannot go on, and the user can do something about it: shown as one line."""


def positive_int(text: str) -> int:
    """An int of at least 1."""
    value = _number(int, text, "an int")
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def not_negative_int(text: str) -> int:
    """An int of at least 0."""
    value = _number(int, text, "an int")
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return value


seed = not_negative_int  # what `--seed` takes


def positive_float(text: str) -> float:
    """A finite number above 0."""
    value = _number(float, text, "a number")
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _number(kind: type, text: str, what: str):
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}") from None


def writable_folder(path: Path) -> Path:
    """The folder `path`, made if it is missing. CommandError where nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise CommandError(f"cannot write into the folder {path}: {error.strerror}") from None


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Inside, a `writable_folder`; afterwards, if it was made for that and is empty, it is gone again."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]  # the deepest first
    try:
        yield writable_folder(path)
    finally:
        with suppress(OSError):  # the first that is not empty
            for folder in made:
                folder.rmdir()

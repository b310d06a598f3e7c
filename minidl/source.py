"""Where in the user's code something was called: the lines on the stack that are not minidl's."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

MINIDL = str(Path(__file__).resolve().parent)
ARCHITECTURES = str(Path(__file__).resolve().parents[1] / "architectures")
TRAINING_STEP = str(Path(MINIDL) / "cli" / "training_step.py")  # what `minidl debug` shows: as a user would write it
STANDARD_LIBRARY = sysconfig.get_path("stdlib")
SCRIPTS = str(Path(sysconfig.get_path("scripts")).resolve())  # the command `minidl` itself, pytest and their like
DEEPEST = 64  # frames of a stack that are kept


class Source(NamedTuple):
    """A line of a file, in a function."""

    file: str
    line: int
    function: str

    @property
    def text(self) -> str:
        """What stands there; "" where the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def name(self) -> str:
        """The file's own name and the line: train.py:42."""
        return f"{Path(self.file).name}:{self.line}"

    @property
    def is_architecture(self) -> bool:
        """True in a file of architectures/."""
        return _kind(self.file) == "architecture"


@cache
def _kind(file: str) -> str:
    """Whose file it is: "minidl", "python", "architecture" or "user"."""
    if file.startswith("<frozen"):
        return "python"
    path = str(Path(file).resolve()) if not file.startswith("<") else file
    if path == TRAINING_STEP:
        return "architecture"
    folders = {MINIDL: "minidl", ARCHITECTURES: "architecture", STANDARD_LIBRARY: "python", SCRIPTS: "python"}
    for folder, kind in folders.items():
        if path.startswith((folder + "/", folder + "\\")):
            return "user" if "site-packages" in path and kind == "python" else kind
    return "user"


def is_users(file: str) -> bool:
    """True for a file that is neither minidl's nor Python's; those of architectures/ are as a user would write them."""
    return _kind(file) in ("user", "architecture")


def is_installed(file: str) -> bool:
    """True for a file of a package that pip has put where it puts them: the user's own or another's."""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def user_frames(frame: FrameType | None, until: CodeType | None = None) -> list[FrameType]:
    """The frames of the user's code, the innermost first, up to a call of `until`."""
    frames: list[FrameType] = []
    while frame is not None and frame.f_code is not until and len(frames) < DEEPEST:
        if is_users(frame.f_code.co_filename):
            frames.append(frame)
        frame = frame.f_back
    return frames


def user_stack(until: CodeType | None = None) -> tuple[Source, ...]:
    """The user's lines on the stack of the caller, the innermost first, up to a call of `until`."""
    return tuple(
        Source(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        for frame in user_frames(sys._getframe(1), until)
    )


def users_line(stack: tuple[Source, ...]) -> Source | None:
    """The nearest line that is not in architectures/, or else the nearest; None where there is none."""
    return next((source for source in stack if not source.is_architecture), stack[0] if stack else None)

"""A released tree, where a student works: its checks, with what is expected of them, and what is wrong with the tree.

tree = open_tree(Path.cwd())        the tree that this folder is in
result = tree.run(check)            of one check of it, in this process
tree.told(result)                   the lines that the student reads
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy

import minidl
from minidl.course.assignment import Assignment, load_assignment, marker
from minidl.course.calling import call_checked, load_arrays
from minidl.course.checks import FAILED, Check, Result
from minidl.course.files import read_plain
from minidl.course.release import EXPECTED, FORMAT, MANIFEST

LARGEST_MANIFEST = 4_000_000  # bytes


class TreeError(ValueError):
    """This folder is not in a released tree, or the tree is not as it was released."""


@dataclass(frozen=True)
class Tree:
    """A released tree: its folder and what release.json says of it."""

    root: Path
    manifest: Mapping[str, Any]

    @cached_property
    def assignment(self) -> Assignment:
        return load_assignment(self.root / self.manifest["folder"])

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that a student has."""
        return self.assignment.visible_checks

    def marker(self, check: Check) -> str:
        """The name of the pytest marker of the check's task."""
        return marker(check.task)

    @cached_property
    def _stored(self) -> dict[str, numpy.ndarray]:
        path = self.assignment.folder / EXPECTED
        try:
            return load_arrays(path)
        except (OSError, ValueError) as error:
            raise TreeError(f"{path} cannot be read ({error}): copy it from the release once more") from None

    def _arrays(self, check: Check, kind: str) -> dict[str, numpy.ndarray]:
        start = f"{check.name}/{kind}/"
        return {name.removeprefix(start): array for name, array in self._stored.items() if name.startswith(start)}

    def run(self, check: Check) -> Result:
        """The check on the code of this tree, in this process, beside what was stored when the tree was released."""
        inputs = self._arrays(check, "in")
        expected = self._arrays(check, "out") if check.compares else None
        return check.judge(call_checked(check.call, inputs, check.repeat), inputs, expected)

    def told(self, result: Result) -> str:
        """What a student reads of a check that failed."""
        return told(result, self.assignment)

    def foreign(self) -> str | None:
        """None if the minidl that is imported here is this tree's; else what to do about it."""
        imported = Path(minidl.__file__).resolve().parents[1]
        if imported == self.root:
            return None
        return (
            f"the minidl that is imported here is the one in {imported}, and not your tree's, {self.root}\n"
            f"  help: run  python -m minidl course test  in {self.root}, or once  pip install -e .  there"
        )


def told(result: Result, assignment: Assignment) -> str:
    """The lines on one check that did not pass: the task, the check, what was seen, and a hint."""
    task = assignment.task(result.check.task)
    lines = [f"Task {task.id}, {task.title}: {result.check.sentence}"]
    lines += [f"  {line}" for line in result.message.splitlines()]
    if result.status == FAILED and "\n" not in result.message and result.message.startswith("not written yet"):
        return f"{lines[0]}\n{lines[1]}"
    return "\n".join(lines)


def open_tree(start: Path | str) -> Tree:
    """The released tree that `start`, a file or folder, lies in. TreeError where it lies in none."""
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        path = folder / MANIFEST
        if path.is_file():
            try:
                manifest = json.loads(read_plain(path, LARGEST_MANIFEST))
            except (OSError, ValueError, RecursionError):
                raise TreeError(f"{path} cannot be read: copy it from the release once more") from None
            if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
                raise TreeError(f"{path} is not of a release that this minidl knows ({FORMAT!r})")
            return Tree(folder, manifest)
    raise TreeError(f"{start} is not in a released tree (one with a {MANIFEST}): go into the folder of your assignment")

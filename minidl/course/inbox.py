"""What staff have from their students: which of the files and folders are submissions, of what, and whose.

    paths, passed_over = submissions([Path("handed_in")])
    assignment_of(paths)        "a2"
    distinct_names(paths)       a name for each, for its files and its row

Made for what Gradescope and Moodle export, and for what is in a mailbox: a file for each student, or a folder for each
with a file or a whole tree in it, perhaps one folder deeper.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from minidl.course.assignment import all_assignments
from minidl.course.files import read_plain
from minidl.course.release import MANIFEST
from minidl.course.submission import LARGEST, unwrapped, visible

NO_STUDENTS = re.compile(r"readme\b.*|submission_metadata\.yml|.*\.csv", re.IGNORECASE)  # beside the submissions
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


class InboxError(ValueError):
    """No submissions are there; the message is for staff."""


def submissions(given: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The submissions: files and folders as they are given; of a folder that holds many, each one in it.

    Second, the files that are nobody's and are passed over: a README, a table of the system that exported the folder.
    Whatever else is there counts as somebody's, who learns from the feedback what is wrong with it.
    """
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise InboxError(f"{path} does not exist")
        if len(given) == 1 and path.is_file() and path.suffix in ARCHIVES:
            raise InboxError(f"{path} is an archive: unpack it, and grade the folder that comes out")
        found += _in(path)
    kept = [path for path in found if path.is_dir() or not NO_STUDENTS.fullmatch(path.name)]
    if not kept:
        raise InboxError("there is no submission there")
    return kept, [path for path in found if path not in kept]


def _in(path: Path) -> list[Path]:
    """The submissions in what is given: `path` itself, if it is one."""
    inside = visible(path) if path.is_dir() else []
    folders = [entry for entry in inside if entry.is_dir()]
    alone = not path.is_dir() or (path / MANIFEST).exists()
    if alone or (not folders and len([entry for entry in inside if entry.suffix == ".json"]) == 1):
        return [path]
    if len(inside) == 1 and len(deeper := _in(inside[0])) > 1:
        return deeper
    return inside


def distinct_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for each submission that can be that of a file, and that no other has.

    Where files have the same name, or the one that `collect` gives to everybody's, that of their folder comes before
    it, and only then a number after it.
    """
    everybodys = {assignment.name for assignment in all_assignments()}
    stems = {path: _stem(path.name) for path in paths}
    often = Counter(stem.lower() for stem in stems.values())
    names: dict[Path, str] = {}
    used: set[str] = set()
    for path, stem in stems.items():
        if (often[stem.lower()] > 1 or stem in everybodys) and (folder := path.parent.name.strip(".")):
            stem = f"{_stem(folder)}_{stem}"
        name, number = stem, 2
        while name.lower() in used:  # some file systems take A for a
            name, number = f"{stem}-{number}", number + 1
        used.add(name.lower())
        names[path] = name
    return names


def _stem(name: str) -> str:
    """What of a name can be in that of a file. Some systems write an umlaut as two characters, the second a mark."""
    stem = unicodedata.normalize("NFC", name).removesuffix(".json").removesuffix("_submission")
    return re.sub(r"[^\w.@+-]+", "_", stem)[:100].strip(".") or "submission"


def assignment_of(paths: Sequence[Path]) -> str | None:
    """The assignment that most of the submissions say they are of. None where two are named as often, or none is."""
    known = {assignment.name for assignment in all_assignments()}
    named: Counter[str] = Counter()
    for path in paths:
        for file in sorted(unwrapped(path).glob("*.json")) if path.is_dir() else [path]:
            with contextlib.suppress(OSError):
                text = read_plain(file, LARGEST)[:2000].decode("utf-8", "replace")
                if (found := re.search(r'"assignment":\s*"(\w+)"', text)) is not None and found[1] in known:
                    named[found[1]] += 1
                    break
    first, second = [*named.most_common(2), ("", 0), ("", 0)][:2]
    return first[0] if first[1] > second[1] else None

"""The zip that Gradescope takes as an autograder: the library with the answers, the assignment, and two scripts.

/autograder/source/         what this zip unpacks to: setup.sh, run_autograder, minidl/, architectures/, assignments/
/autograder/submission/     what a student uploaded
/autograder/results/        where run_autograder leaves results.json
"""

from __future__ import annotations

import shlex
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from minidl.course.assignment import Assignment
from minidl.course.release import SKIPPED, TEMPLATES, earlier, later

EXECUTABLE = 0o755
READABLE = 0o644


def bundle(assignment: Assignment, path: Path) -> int:
    """Write the zip; returns how many files it has. The same content always gives the same bytes."""
    files = dict(_files(assignment))
    words = {"@NAME@": f"assignments/{assignment.folder.name}", "@PACKAGES@": _packages(assignment)}
    for script in ("setup.sh", "run_autograder"):
        text = (TEMPLATES / script).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        files[script] = text.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = EXECUTABLE if name in ("setup.sh", "run_autograder") else READABLE
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, data)
    return len(files)


def _files(assignment: Assignment) -> Iterator[tuple[str, bytes]]:
    yield "pyproject.toml", (assignment.root / "pyproject.toml").read_bytes()
    folders = [(name, assignment.root / name) for name in ("minidl", "architectures")]
    folders += [(one.path, one.folder) for one in (assignment, *later(assignment), *earlier(assignment))]
    for start, folder in folders:
        for source in sorted(folder.rglob("*")):
            inside = source.relative_to(folder).as_posix()
            if source.is_file() and not SKIPPED & set(inside.split("/")) and source.suffix != ".pyc":
                yield f"{start}/{inside}", source.read_bytes()


def _packages(assignment: Assignment) -> str:
    """What pip must install, as words of a shell: what the library needs, and what gives it its digits."""
    project = tomllib.loads((assignment.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return " ".join(map(shlex.quote, [*project["dependencies"], *project["optional-dependencies"]["digits"]]))

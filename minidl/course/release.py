"""A release: the tree that a student gets. The library with blanks, the assignment without what is for staff alone.

    release(find_assignment("a2"), Path("a2"))      the whole tree, with release.json, which says what it was made of
    write_code(find_assignment("a2"), folder)       only its code: what a submission is graded in

The blanks of the assignments that build on this one are cut as well, so that no release holds the answers of the next.
"""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl.course import blanks
from minidl.course.assignment import Assignment, AssignmentError, Blank, Task, all_assignments
from minidl.course.calling import save_arrays
from minidl.course.checks import PASSED
from minidl.course.files import file_hash, write_text
from minidl.course.notebook import to_notebook

FORMAT = "minidl course release 1"
MANIFEST = "release.json"
EXPECTED = "expected.npz"
ANSWERS = "answers.md"  # to the written questions
FOR_STAFF = {"hidden_checks.py", "mutants.toml", "staff.md"}
SKIPPED = {"__pycache__", ".DS_Store", ".ipynb_checkpoints", EXPECTED, ANSWERS}
LEFT_BEHIND = (".pyc", ".orig", ".rej", ".bak", ".swp", "~")  # by Python, patch and editors
HOLLOWED = "left out of this release: it shows an answer"
EARLIER = """**The last assignment.** In this tree it is solved. `minidl course carry @BEFORE@_submission.json` puts
what you wrote there in place of that solution, if you prefer to build on your own work.

"""
TEMPLATES = Path(__file__).parent / "templates"
CODE = {
    "Makefile": "Makefile",
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md",
    ".gitignore": "gitignore",
}


def release(assignment: Assignment, folder: Path) -> dict[str, Any]:
    """Write the release into `folder`, which must be empty or new. Returns its manifest.

    AssignmentError where a blank is not found, or the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AssignmentError(f"{folder} is not empty: a release wants a folder of its own")
    manifest = write_tree(assignment, folder)
    (folder / assignment.path / EXPECTED).write_bytes(expected_file(assignment))
    return manifest


def write_tree(assignment: Assignment, folder: Path) -> dict[str, Any]:
    """The release, but for what its checks expect. Returns its manifest."""
    write_code(assignment, folder)
    own = folder / assignment.path
    if (own / "notebook.py").exists():
        write_text(own / "notebook.ipynb", to_notebook((own / "notebook.py").read_text(encoding="utf-8")))
    if assignment.written:
        write_text(own / ANSWERS, _answers(assignment))
    for name, template in {**CODE, f"tests/test_{assignment.name}.py": "test_assignment.py"}.items():
        write_text(folder / name, _filled(template, assignment))
    manifest = _manifest(assignment, folder)
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


def write_code(assignment: Assignment, folder: Path, cut: Iterable[Blank] | None = None) -> None:
    """Write the library and the assignment's own released files into `folder`, with blanks (those of `cut`, or all).

    AssignmentError where a blank is not found.
    """
    cuts = _cuts(assignment)
    if cut is not None:
        wanted = set(cut)
        cuts = {
            file: [one for one in some if one.symbol and Blank(file, one.symbol) in wanted]
            for file, some in cuts.items()
        }
    missing = {file: some[0] for file, some in cuts.items() if some}
    for path, source in _files(assignment):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not cuts.get(path):
            target.write_bytes(source.read_bytes())
            continue
        missing.pop(path)
        text = source.read_text(encoding="utf-8")
        try:
            for one in cuts[path]:
                text = one.done(text)
        except blanks.BlankError as error:
            raise AssignmentError(f"{assignment.name}: {path}: {error}") from None
        write_text(target, text)
    if missing:
        file, one = next(iter(missing.items()))
        raise AssignmentError(f"{assignment.name}: {file}:{one.symbol or ''}: that file is not in the release")


def later(assignment: Assignment) -> Iterator[Assignment]:
    """The assignments that build on this one, directly or not."""
    everything = all_assignments(assignment.root)
    names = {assignment.name}
    while more := [one for one in everything if one.builds_on in names and one.name not in names]:
        yield from more
        names |= {one.name for one in more}


def earlier(assignment: Assignment) -> Iterator[Assignment]:
    """The assignments that this one builds on, the nearest first."""
    by_name = {one.name: one for one in all_assignments(assignment.root)}
    while (found := by_name.get(assignment.builds_on or "")) is not None:
        assignment = found
        yield assignment


def expected_file(assignment: Assignment) -> bytes:
    """What the visible checks expect, as the bytes of an .npz: their inputs as well, so that no generator matters."""
    arrays: dict[str, Any] = {}
    for check in assignment.visible_checks:
        inputs = check.inputs()
        arrays |= {f"{check.name}/in/{name}": array for name, array in inputs.items()}
        expected, result = check.solution(inputs)
        if result.status != PASSED:
            raise AssignmentError(f"the solution itself fails {check.name}:\n{result.message}")
        arrays |= {f"{check.name}/out/{name}": array for name, array in (expected or {}).items()}
    file = io.BytesIO()
    save_arrays(file, arrays)
    return file.getvalue()


# ----------------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True)
class _Cut:
    """What is done to one function of a file, or with `hollow` to all of them, or those of a class."""

    symbol: str | None
    message: str
    hollow: bool = False
    planted: str | None = None  # a faulty body

    def done(self, text: str) -> str:
        if self.hollow:
            return blanks.hollow(text, self.symbol, self.message)
        assert self.symbol is not None
        if self.planted is not None:
            return blanks.put(text, self.symbol, self.planted)
        return blanks.cut(text, {self.symbol: self.message})


def _cuts(assignment: Assignment) -> dict[str, list[_Cut]]:
    """What is done to each file of a release."""
    found: dict[str, list[_Cut]] = {}
    owned = set(assignment.blanks)
    for one in later(assignment):
        for blank, task in one.blanks.items():
            if blank not in owned and not blank.file.startswith(f"{one.path}/"):
                message = f"Task {task.id}: {blank.symbol} comes in {one.name}"
                found.setdefault(blank.file, []).append(_Cut(blank.symbol, message))
    for entry in dict.fromkeys(entry for one in (assignment, *later(assignment)) for entry in one.hollow):
        file, _, symbol = entry.partition(":")
        found.setdefault(file, []).append(_Cut(symbol or None, HOLLOWED, hollow=True))
    for blank, task in assignment.blanks.items():  # last, so that their messages stand
        message = f"Task {task.id}: {blank.symbol}, see {assignment.path}/README.md"
        planted = None
        if task.planted is not None:
            faulty = (assignment.folder / task.planted).read_text(encoding="utf-8")
            planted = blanks.body(faulty, blank.symbol)
        found.setdefault(blank.file, []).append(_Cut(blank.symbol, message, planted=planted))
    return found


def _files(assignment: Assignment) -> Iterator[tuple[str, Path]]:
    """Every file of a release that is code or text of ours: its path in the tree, and where it stands here."""
    removed = {path for one in (assignment, *later(assignment)) for path in one.remove}
    removed |= {f"{assignment.path}/{task.planted}" for task in assignment.tasks if task.planted is not None}
    folders = [(name, assignment.root / name) for name in assignment.include]
    for start, folder in [*folders, (assignment.path, assignment.folder)]:
        for source in sorted(folder.rglob("*")):
            path = f"{start}/{source.relative_to(folder).as_posix()}"
            parts = path.split("/")
            if not source.is_file() or SKIPPED & set(parts) or source.name.endswith(LEFT_BEHIND):
                continue
            if folder == assignment.folder and parts[2] in FOR_STAFF:
                continue
            if not any(path == gone or path.startswith(f"{gone}/") for gone in removed):
                yield path, source


def _manifest(assignment: Assignment, folder: Path) -> dict[str, Any]:
    files = {
        path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    carried = [(blank, task) for one in earlier(assignment) for blank, task in one.blanks.items()]
    carried = [(blank, task) for blank, task in carried if blank.file in files]
    symbols: dict[str, list[str]] = {}
    for blank in [*assignment.blanks, *(blank for blank, _ in carried)]:
        symbols.setdefault(blank.file, []).append(blank.symbol)
    outlines = {
        file: blanks.outline((folder / file).read_text(encoding="utf-8"), names) for file, names in symbols.items()
    }
    manifest = {
        "format": FORMAT,
        "assignment": assignment.name,
        "title": assignment.title,
        "folder": assignment.path,
        "blanks": [_entry(folder, blank, task) for blank, task in assignment.blanks.items()],
        "carried": [_entry(folder, blank, task) for blank, task in carried],
        "outlines": outlines,
        "files": files,
    }
    own = {name: digest for name, digest in files.items() if name.startswith(f"{assignment.path}/")}
    sealed = {**manifest, "files": own}  # a change elsewhere in the library makes no other release
    seal = hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
    return {"seal": seal, **manifest}


def _entry(folder: Path, blank: Blank, task: Task) -> dict[str, str]:
    """A function of which a release keeps account, with a hash of its body, "" where that is blank."""
    text = blanks.body((folder / blank.file).read_text(encoding="utf-8"), blank.symbol)
    released = "" if text is None else blanks.short_hash(text)
    return {"task": task.id, "file": blank.file, "symbol": blank.symbol, "released": released}


def _filled(template: str, assignment: Assignment) -> str:
    """A template with its @WORDS@ filled in."""
    project = tomllib.loads((assignment.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    rows = []
    for task in assignment.tasks:
        names = ", ".join(f"`{blank.symbol}` in `{blank.file}`" for blank in task.blanks)
        rows.append(f"| {task.id} | {task.title} | {task.points} | {names} |")
    for question in assignment.written:
        rows.append(f"| {question.id} | {question.title} | {question.points} | in words |")
    markers = [f'    "{task.marker}: {task.title}",'.replace("\\", "") for task in assignment.tasks]
    words = {
        "NAME": assignment.name,
        "TITLE": f"{assignment.name}: {assignment.title}",
        "FOLDER": assignment.path,
        "FIRST": assignment.tasks[0].id,
        "VERSION": project["version"],
        "DEPENDENCIES": json.dumps(project["dependencies"]),
        "DIGITS": json.dumps(extras["digits"]),
        "TEST": json.dumps(extras["test"]),
        "MARKERS": "\n".join(markers),
        "TASKS": "\n".join(rows),
        "WRITTEN": f" and the answers that you write into `{assignment.path}/{ANSWERS}`" if assignment.written else "",
        "EARLIER": EARLIER.replace("@BEFORE@", assignment.builds_on) if assignment.builds_on else "",
    }
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _answers(assignment: Assignment) -> str:
    lines = [
        f"# {assignment.name}: answers to the written questions",
        "",
        "The questions are in README.md beside this file.",
    ]
    for question in assignment.written:
        lines += ["", f"## {question.id} {question.title} ({question.points} points)", "", "(your answer)"]
    return "\n".join(lines) + "\n"

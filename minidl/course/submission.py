"""What a student hands in: the bodies of the blanks, in one JSON file; and how they come into a tree.

    submission, notes = collect(tree)           from a released tree; the notes say what is not handed in
    submission = read_submission(path)          SubmissionError, in words for the student, where it is none
    done, failed = carry(submission, tree)      the same bodies in another tree: the work of a1 in that of a2

    {"format": "minidl course submission 1", "assignment": "a2", "release": "(its seal)",
     "blanks": [{"task": "2.3", "file": "minidl/ops/convolution.py", "symbol": "Conv2d.backward",
                 "source": "        x, weight = ...", "sha256": "..."}],
     "written": "(answers.md)"}

Only such bodies are ever graded: tests, settings and other files of a student's tree never reach the grader.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidl.course import blanks
from minidl.course.release import ANSWERS, file_hash, write_text
from minidl.course.student import Tree, TreeError, open_tree

FORMAT = "minidl course submission 1"
LARGEST = 4_000_000  # bytes
IGNORED = {"expected.npz"}


class SubmissionError(ValueError):
    """A submission cannot be read; the message is for the student."""


@dataclass(frozen=True)
class Answer:
    """One body that a student wrote."""

    task: str
    file: str
    symbol: str
    source: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Submission:
    """What one student handed in. Its `name` is that of the file, or of its folder."""

    name: str
    assignment: str
    release: str
    answers: tuple[Answer, ...]
    written: str = ""
    problems: tuple[str, ...] = field(default=())  # bodies that could not be taken from a tree

    def as_json(self) -> str:
        entries = [vars(answer) | {"sha256": answer.sha256} for answer in self.answers]
        table: dict[str, Any] = {"format": FORMAT, "assignment": self.assignment, "release": self.release}
        return json.dumps({**table, "blanks": entries, "written": self.written}, indent=1) + "\n"


def collect(tree: Tree) -> tuple[Submission, list[str]]:
    """The bodies of the blanks of `tree`, and notes: what was changed beside them and is not handed in.

    A file that Python cannot read gives a problem of the submission, and the blanks of the other files are collected.
    """
    answers, problems, notes = [], [], []
    for blank in tree.manifest["blanks"]:
        path = tree.root / blank["file"]
        try:
            source = read_source(path, blank["file"])
            text = blanks.body(source, blank["symbol"], blank["file"])
        except blanks.BlankError as error:
            problem = f"task {blank['task']}, {blank['symbol']}: {error}"
            if problem not in problems:
                problems.append(problem)
            continue
        if text is not None and blanks.short_hash(text) != blank["released"]:
            answers.append(Answer(blank["task"], blank["file"], blank["symbol"], text))
    notes += changed_elsewhere(tree)
    path = tree.assignment.folder / ANSWERS
    written = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    name = tree.manifest["assignment"]
    return Submission(tree.root.name, name, tree.manifest["seal"], tuple(answers), written, tuple(problems)), notes


def read_source(path: Path, name: str) -> str:
    """The text of a student's file. BlankError, in words for the student, where it is missing or not UTF-8."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise blanks.BlankError(f"{name} is missing: take it from the release once more") from None
    except OSError as error:
        raise blanks.BlankError(f"{name} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise blanks.BlankError(
            f"{name}, line {line} is not UTF-8 (byte 0x{data[error.start]:02x}): save the file in the encoding UTF-8"
        ) from None


def changed_elsewhere(tree: Tree) -> list[str]:
    """What of the tree is not as it was released, outside the blanks: a line for each file."""
    notes = []
    may_change = {blank["file"] for blank in (*tree.manifest["blanks"], *tree.manifest["carried"])}
    for file, before in tree.manifest["files"].items():
        path = tree.root / file
        if file in may_change or file.endswith((ANSWERS, "README.md", ".ipynb", "notebook.py")):
            continue
        if not path.is_file():
            notes.append(f"{file} is missing here; it is graded as it was released")
        elif file_hash(path) != before:
            notes.append(f"{file} was changed; it is graded as it was released")
    for file, before in tree.manifest["outlines"].items():
        symbols = [b["symbol"] for b in (*tree.manifest["blanks"], *tree.manifest["carried"]) if b["file"] == file]
        try:
            now = blanks.outline(read_source(tree.root / file, file), symbols)
        except blanks.BlankError:
            continue  # told with the blank itself
        for name in [*before, *(now.keys() - before.keys())]:
            if before.get(name) != now.get(name):
                what = "is new" if name not in before else "was changed" if name in now else "is gone"
                notes.append(
                    f"{file}: {name} {what}. Only the bodies of the blanks are handed in: put helpers and imports "
                    "inside the function that uses them"
                )
    return notes


def read_submission(path: Path) -> Submission:
    """A submission from its JSON file, from a folder with one, or from a released tree.

    SubmissionError, in words for the student, where it is none of these. What stands in it is not trusted: see `put`.
    """
    if path.is_dir():
        return _from_folder(path)
    try:
        if path.stat().st_size > LARGEST:
            raise SubmissionError(f"{path.name} has {path.stat().st_size:,} bytes; a submission has some thousands")
        table = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise SubmissionError(
            f"{path.name} is not the file that `minidl course collect` writes: it is no JSON text. "
            "Hand in the .json file itself, as it was written"
        ) from None
    return _checked(table, path)


def _from_folder(path: Path) -> Submission:
    files = sorted(path.glob("*.json"))
    submissions = [file for file in files if file.name.endswith("_submission.json")] or [
        file for file in files if file.name != "release.json"
    ]
    if len(submissions) == 1:
        found = read_submission(submissions[0])
        return Submission(path.name, found.assignment, found.release, found.answers, found.written)
    if not submissions:
        try:
            found, _ = collect(open_tree(path))
        except (TreeError, OSError, KeyError, ValueError):
            names = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
            raise SubmissionError(
                f"no submission was found, only: {names}. Hand in the file that `minidl course collect` writes, "
                "..._submission.json"
            ) from None
        return found
    raise SubmissionError(f"{len(submissions)} .json files were handed in: hand in one")


def _checked(table: Any, path: Path) -> Submission:
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise SubmissionError(f"{path.name} is not a submission ({FORMAT!r}): write one with `minidl course collect`")
    answers = []
    try:
        for entry in table["blanks"]:
            answer = Answer(*(entry[key] for key in ("task", "file", "symbol", "source")))
            if not all(isinstance(part, str) for part in vars(answer).values()):
                raise TypeError
            answers.append(answer)
            if entry["sha256"] != answer.sha256:
                raise SubmissionError(
                    f"{path.name}: the code of task {answer.task}, {answer.symbol}, is not what was collected (its "
                    "sha256 differs). Change the code in your tree and collect it again"
                )
        assignment, release, written = table["assignment"], table["release"], table.get("written", "")
        if not all(isinstance(part, str) for part in (assignment, release, written)):
            raise TypeError
    except (KeyError, TypeError):
        raise SubmissionError(f"{path.name} is damaged: write it once more with `minidl course collect`") from None
    name = path.name.removesuffix(".json").removesuffix("_submission") or path.stem
    return Submission(name, assignment, release, tuple(answers), written)


def carry(submission: Submission, tree: Tree) -> tuple[list[str], list[str]]:
    """Put the bodies of an earlier assignment into `tree`. Returns what was put in, and what could not be, with why."""
    known = {(blank["file"], blank["symbol"]) for blank in (*tree.manifest["carried"], *tree.manifest["blanks"])}
    done, failed = [], []
    for answer in submission.answers:
        name = f"{answer.task} {answer.symbol}"
        if (answer.file, answer.symbol) not in known:
            failed.append(f"{name}: {answer.file} has no such function in this tree")
            continue
        path = tree.root / answer.file
        try:
            write_text(path, blanks.put(read_source(path, answer.file), answer.symbol, answer.source, answer.file))
        except blanks.BlankError as error:
            failed.append(f"{name}: {error}")
        else:
            done.append(name)
    return done, failed

"""What a student hands in: the bodies of the blanks, in one JSON file; and how they come into a tree.

    submission = collect(tree)                  from a released tree
    notes = changed_elsewhere(tree)             what was changed in it beside that, and is not handed in
    submission = read_submission(path)          SubmissionError, in words for the student, where it is none
    done, failed = carry(submission, tree)      the same bodies in another tree: the work of a1 in that of a2

    {"format": "minidl course submission 1", "assignment": "a2", "release": "(its seal)",
     "blanks": [{"task": "2.3", "file": "minidl/ops/convolution.py", "symbol": "Conv2d.backward",
                 "source": "        x, weight = ...", "sha256": "..."}],
     "written": "(answers.md)"}

Only such bodies are ever graded: tests, settings and other files of a student's tree never reach the grader.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minidl.course import blanks
from minidl.course.files import file_hash, read_plain, write_text
from minidl.course.release import ANSWERS, MANIFEST
from minidl.course.student import Tree, TreeError, open_tree

FORMAT = "minidl course submission 1"
LARGEST = 4_000_000  # bytes of a submission
LARGEST_SOURCE = 1_000_000  # bytes of a file with blanks


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


def collect(tree: Tree) -> Submission:
    """The bodies of the blanks of `tree`.

    A file that Python cannot read gives a problem of the submission, and the blanks of the other files are collected.
    """
    answers, problems = [], []
    for blank in tree.manifest["blanks"]:
        try:
            source = read_source(tree.root, blank["file"])
            text = blanks.body(source, blank["symbol"], blank["file"])
        except blanks.BlankError as error:
            problem = f"task {blank['task']}, {blank['symbol']}: {error}"
            if problem not in problems:
                problems.append(problem)
            continue
        if text is not None and blanks.short_hash(text) != blank["released"]:
            answers.append(Answer(blank["task"], blank["file"], blank["symbol"], text))
    written = ""
    try:
        written = _bytes_of(tree.root, f"{tree.manifest['folder']}/{ANSWERS}", LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        pass  # there are none, or the student has none
    except (OSError, blanks.BlankError) as error:
        problems.append(f"{ANSWERS}: {getattr(error, 'strerror', error)}")
    name, seal = tree.manifest["assignment"], tree.manifest["seal"]
    return Submission(tree.root.name, name, seal, tuple(answers), written, tuple(problems))


def _bytes_of(root: Path, name: str, most: int) -> bytes:
    """What is in a file of a tree. BlankError for a path or a link by which it would hand in what stands elsewhere."""
    root = root.resolve()
    path = root / name
    if ".." in path.parts or not path.is_relative_to(root):
        raise blanks.BlankError(f"{name} does not stand in the tree")
    if path.exists() and path.resolve() != path:
        raise blanks.BlankError(f"{name} is a link to another place: hand in the file itself")
    return read_plain(path, most)


def read_source(root: Path, name: str) -> str:
    """The text of a student's file, by its path in the tree.

    BlankError, in words for the student, where it is missing, a link, or not UTF-8.
    """
    try:
        data = _bytes_of(root, name, LARGEST_SOURCE)
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
            now = blanks.outline(read_source(tree.root, file), symbols)
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


def read_submission(path: Path, manifest: Mapping[str, Any] | None = None) -> Submission:
    """A submission from its JSON file, from a folder with one, or from a released tree.

    SubmissionError, in words for the student, where it is none of these. What stands in it is not trusted: see `put`.
    Nor is it trusted which functions of a tree are blanks, where `manifest`, that of the right release, is given.
    """
    if path.is_dir():
        return _from_folder(path, manifest)
    try:
        data = read_plain(path, LARGEST)
        table = json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise SubmissionError(f"{path.name} {_what_it_is(path, data)}") from None
    return from_table(table, path)


def _what_it_is(path: Path, data: bytes) -> str:
    """Of a file that is no submission: what it seems to be instead, and what to do."""
    if not data.strip():
        return "is empty: write it once more with `minidl course collect`, and look at it before you hand it in"
    if data.startswith(b"PK"):
        return "is a zip: hand in the ..._submission.json that `minidl course collect` writes, as it is"
    if path.suffix in (".py", ".ipynb"):
        return "is code: `minidl course collect` puts what you wrote into ..._submission.json. Hand in that file"
    return (
        "is not the file that `minidl course collect` writes: it is no JSON text. "
        "Hand in the .json file itself, as it was written"
    )


def unwrapped(path: Path) -> Path:
    """`path`, or what is in it where that is one folder and nothing else, as in many a zip that was unpacked."""
    for _ in range(10):
        inside = visible(path)
        if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
            break
        path = inside[0]
    return path


def visible(folder: Path) -> list[Path]:
    """What is in a folder, but for what systems leave there of themselves."""
    own = ("__MACOSX", "Thumbs.db", "desktop.ini")
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in own)


def _from_folder(path: Path, manifest: Mapping[str, Any] | None) -> Submission:
    """What a folder hands in: a released tree what stands in it now, another folder the one submission file in it."""
    folder = unwrapped(path)
    if (folder / MANIFEST).is_file():
        with contextlib.suppress(TreeError, OSError, KeyError, ValueError, TypeError, AttributeError):
            found = _from_tree(open_tree(folder), manifest)  # unless release.json is not what it was
            return replace(found, name=path.name)
    inside = visible(folder)
    files = [file for file in inside if file.suffix == ".json" and file.name != MANIFEST]
    files = [file for file in files if "_submission" in file.name] or files
    if len(inside) == 1 and not inside[0].is_dir():
        files = inside  # whatever it is: that says what is wrong with it
    if len(files) == 1:
        return replace(read_submission(files[0]), name=path.name)
    if files:
        names = ", ".join(file.name for file in files[:10])
        raise SubmissionError(f"{len(files)} .json files were handed in ({names}): hand in one")
    names = ", ".join(file.name for file in inside[:10])
    raise SubmissionError(
        f"{f'no submission is among what was handed in ({names})' if names else 'nothing was handed in'}: "
        "hand in the file that `minidl course collect` writes, ..._submission.json"
    )


def _from_tree(tree: Tree, manifest: Mapping[str, Any] | None) -> Submission:
    if manifest is not None and tree.manifest["assignment"] == manifest["assignment"]:
        tree = Tree(tree.root, {**manifest, "seal": str(tree.manifest["seal"])})
    elif manifest is not None:
        return Submission(tree.root.name, str(tree.manifest["assignment"]), "", ())  # of another: nothing is read
    return collect(tree)


def from_table(table: Any, path: Path) -> Submission:
    """The submission that stands in the JSON text of the file at `path`. SubmissionError where it is none."""
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


def carry(submission: Submission, tree: Tree, force: bool = False) -> tuple[list[str], list[str]]:
    """Put the bodies of an earlier assignment into `tree`. Returns what was put in, and what was not, with why.

    What was written in the tree since its release stays, unless `force`.
    """
    entries = [*tree.manifest["carried"], *tree.manifest["blanks"]]
    known = {(entry["file"], entry["symbol"]): entry["released"] for entry in entries}
    done, failed = [], []
    for answer in submission.answers:
        name = f"{answer.task} {answer.symbol}"
        if (answer.file, answer.symbol) not in known:
            apart = answer.file.startswith("assignments/") and not (tree.root / answer.file).exists()
            failed.append(
                f"{name}: {answer.file} belongs to that assignment alone"
                if apart
                else f"{name}: {answer.file} has no such function in this tree"
            )
            continue
        try:
            source = read_source(tree.root, answer.file)
            now = blanks.body(source, answer.symbol, answer.file)
            as_released = now is None or blanks.short_hash(now) == known[answer.file, answer.symbol]
            if not (force or as_released or now == answer.source):
                failed.append(f"{name}: other work of yours stands there in this tree; --force puts this in its place")
                continue
            write_text(tree.root / answer.file, blanks.put(source, answer.symbol, answer.source, answer.file))
        except blanks.BlankError as error:
            failed.append(f"{name}: {error}")
        else:
            done.append(name)
    return done, failed

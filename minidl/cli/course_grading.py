"""`minidl course grade` and `minidl course bundle`: submissions in, points and words for each student out."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from time import perf_counter
from typing import Any

from tqdm import tqdm

from minidl.checkpoint import atomic_write
from minidl.cli.arguments import CommandError, writable_folder
from minidl.cli.course_report import overview_figure
from minidl.cli.train_report import save_figure
from minidl.course import formats
from minidl.course.assignment import Assignment, AssignmentError, find_assignment
from minidl.course.bundle import bundle
from minidl.course.grading import OWN_FAULT, Grade, Grader
from minidl.course.inbox import assignment_of, distinct_names, submissions
from minidl.course.kept import FOLDER, as_json, read_kept
from minidl.course.overview import as_text, overview
from minidl.training.console import duration

# Of each format that is a file for each submission: its folder and the end of the name, and what writes it.
EACH: dict[str, tuple[str, Callable[[Grade], str]]] = {
    "gradescope": (".json", formats.gradescope),
    "classroom50": (".json", formats.classroom50),
    "junit": (".xml", formats.junit),
    "feedback": (".txt", formats.feedback),
}
FORMATS = ("gradescope", "classroom50", "junit", "csv")


def format_names(text: str) -> list[str]:
    """gradescope,csv -> ["gradescope", "csv"]"""
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in FORMATS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no format; there are {', '.join(FORMATS)}")
    return names


def grade(arguments: argparse.Namespace) -> int:
    """Grade all submissions, write the files, print the summary. 0 when the grading ran, whatever the points."""
    paths, passed_over = submissions(arguments.submissions)
    if passed_over:
        _note(f"passed over: {', '.join(path.name for path in passed_over)}")
    name = arguments.assignment or assignment_of(paths)
    if name is None:
        raise CommandError("the submissions do not agree on which assignment they are of: add --assignment NAME")
    assignment = find_assignment(name)
    out = writable_folder(arguments.out)
    names = distinct_names(paths)
    kept = read_kept(out, assignment)
    if arguments.rest:
        paths = [path for path in paths if names[path] not in kept]
        if not paths:
            raise CommandError(f"nothing is left to grade: each of the {len(names)} has its grade in {out}")
    earlier = {name: one.grade for name, one in kept.items() if name not in {names[path] for path in paths}}
    if earlier:
        _note(f"{len(earlier)} grades of earlier runs in {out} stay in the table and the summary")
    seed = arguments.seed
    if arguments.rest and seed is None and kept:
        seed = Counter(one.seed for one in kept.values()).most_common(1)[0][0]
    batch = _Batch(assignment, out, arguments.format, dict(earlier))
    jobs = min(arguments.jobs or os.cpu_count() or 1, len(paths))
    began = perf_counter()
    stopped = ""
    try:
        with (
            _one_interrupt(),
            Grader(assignment, seed, jobs, arguments.memory, arguments.seconds) as grader,
        ):
            for note in grader.notes:
                _note(note)
            assert grader.seed is not None
            batch.seed = grader.seed
            bar = tqdm(
                total=len(paths), desc=f"grading {assignment.name}", unit="submission", file=sys.stderr, disable=None
            )
            with bar, contextlib.closing(grader.grade_all(paths)) as results:
                for path, result in results:
                    batch.add(result.called(names[path]))
                    bar.update()
    except (KeyboardInterrupt, WriteError) as error:
        stopped = str(error) or "interrupted"
    except OSError as error:
        raise CommandError(f"the grader cannot work in {gettempdir()}: {error.strerror or error}") from None
    done = len(batch.grades) - len(earlier)
    if len(paths) == done == 1:
        print(formats.feedback(batch.grades[names[paths[0]]]), end="")
    if len(batch.grades) > 1:
        took = f"{done} submissions in {duration(perf_counter() - began)}, {jobs} at a time; seed {batch.seed}"
        took += f". {len(earlier)} of earlier runs" if earlier else ""
        if any(grade.problem for grade in batch.grades.values()):
            took += f"\nWhat comes in late: into the same folder, with --seed {batch.seed}"
        try:
            text = batch.summary(took)
        except WriteError as error:
            stopped = stopped or str(error)
        else:
            print(f"\n{len(batch.grades)} submissions are in the summary" if len(paths) == 1 else text.rstrip())
            print(f"Feedback for each student, and the picture summary.png: {out}")
    if batch.failed:
        stopped = stopped or f"the grader itself failed {batch.failed} times (the summary says how)"
        done -= batch.failed
    if stopped:
        print(f"{stopped}: {done} of {len(paths)} are graded; the same command with --rest goes on", file=sys.stderr)
        return 130 if stopped == "interrupted" else 1
    return 0


class WriteError(Exception):
    """A file of grades cannot be written: the disk is full, or it is another one's."""


@contextlib.contextmanager
def _one_interrupt() -> Iterator[None]:
    """Inside, the first Ctrl-C is a KeyboardInterrupt, and more of them do not disturb what is then cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nstopping ...", file=sys.stderr)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


@dataclass
class _Batch:
    """The grades so far, those of earlier runs in the same folder among them, and their files."""

    assignment: Assignment
    out: Path
    formats: list[str]
    grades: dict[str, Grade]
    seed: int = 0
    failed: int = 0  # for reasons of our own

    def add(self, grade: Grade) -> None:
        """Write the files of a grade; last, that it is there."""
        write_each(grade, self.out, ["feedback", *self.formats])
        self.grades[grade.name] = grade
        if "csv" in self.formats:
            write(self.out / "grades.csv", formats.table(self.assignment, [*self.grades.values()]))
        if grade.problem.startswith(OWN_FAULT):  # --rest tries it once more
            self.failed += 1
            (self.out / FOLDER / f"{grade.name}.json").unlink(missing_ok=True)
        else:
            write(self.out / FOLDER / f"{grade.name}.json", as_json(grade, self.seed))

    def summary(self, last: str) -> str:
        """Write the summary and the picture; returns the text."""
        view = overview(self.assignment, [*self.grades.values()])
        text = f"{as_text(view)}\n{last}\n"
        write(self.out / "summary.txt", text)
        with _writing(self.out / "summary.png"):
            save_figure(overview_figure(view), self.out / "summary.png")
        return text


def write_each(result: Grade, out: Path, names: Sequence[str]) -> None:
    """The files of one submission, in a folder for each format."""
    for name in names:
        if name in EACH:
            end, text = EACH[name]
            write(out / name / f"{result.name}{end}", text(result))
    if result.submission is not None and result.submission.written:
        write(out / "written" / f"{result.name}.md", result.submission.written)
    else:
        (out / "written" / f"{result.name}.md").unlink(missing_ok=True)  # an earlier run's


def write(path: Path, text: str) -> None:
    """Write a file so that it is there whole, or as it was. WriteError where that cannot be."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "replace"))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from None


def make_bundle(arguments: argparse.Namespace) -> int:
    if not arguments.gradescope:
        raise CommandError("say for which system: --gradescope")
    assignment = find_assignment(arguments.name)
    path = arguments.out or Path("out", "course", f"{assignment.name}_gradescope.zip")
    writable_folder(path.resolve().parent)
    try:
        count = bundle(assignment, path)
    except OSError as error:
        raise AssignmentError(f"cannot write {path}: {error.strerror}") from None
    print(f"{assignment.name} {assignment.title}: {count} files in {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(
        "Upload it on Gradescope as the autograder of a programming assignment; students upload "
        f"{assignment.name}_submission.json"
    )
    return 0

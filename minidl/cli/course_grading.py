"""`minidl course grade` and `minidl course bundle`: submissions in, points and words for each student out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from minidl.checkpoint import atomic_write
from minidl.cli.arguments import CommandError, writable_folder
from minidl.cli.course_report import overview_figure
from minidl.cli.train_report import save_figure
from minidl.course import formats
from minidl.course.assignment import AssignmentError, find_assignment
from minidl.course.bundle import bundle
from minidl.course.grading import Grade, Grader
from minidl.course.inbox import assignment_of, distinct_names, submissions
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
        print(f"passed over: {', '.join(path.name for path in passed_over)}", file=sys.stderr)
    name = arguments.assignment or assignment_of(paths)
    if name is None:
        raise CommandError("the submissions do not agree on which assignment they are of: add --assignment NAME")
    assignment = find_assignment(name)
    out = writable_folder(arguments.out)
    jobs = min(arguments.jobs or os.cpu_count() or 1, len(paths))
    names = distinct_names(paths)
    grades: list[Grade] = []
    began = perf_counter()
    with Grader(assignment, arguments.seed, jobs, arguments.memory, arguments.seconds) as grader:
        for note in grader.notes:
            print(f"note: {note}", file=sys.stderr)
        bar = tqdm(total=len(paths), desc=f"grading {assignment.name}", unit="", file=sys.stderr, disable=None)
        with bar:
            for path, result in grader.grade_all(paths):
                result = result.called(names[path])
                grades.append(result)
                write_each(result, out, ["feedback", *arguments.format])
                if "csv" in arguments.format:
                    write(out / "grades.csv", formats.table(assignment, grades))
                bar.update()
        seed, took = grader.seed, perf_counter() - began
    if len(paths) == 1:
        print(formats.feedback(grades[0]), end="")
        return 0
    view = overview(assignment, grades)
    text = as_text(view) + f"\n{len(paths)} submissions in {duration(took)}, {jobs} at a time; seed {seed}\n"
    write(out / "summary.txt", text)
    save_figure(overview_figure(view), out / "summary.png")
    print(text, end="")
    print(f"Feedback for each student, and the picture summary.png: {out}")
    return 0


def write_each(result: Grade, out: Path, names: Sequence[str]) -> None:
    """The files of one submission, in a folder for each format."""
    for name in names:
        if name in EACH:
            end, text = EACH[name]
            write(out / name / f"{result.name}{end}", text(result))
    if result.submission is not None and result.submission.written:
        write(out / "written" / f"{result.name}.md", result.submission.written)


def write(path: Path, text: str) -> None:
    """Write a file so that it is there whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


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

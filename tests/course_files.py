"""The sample assignment that the tests of the course kit release, solve and grade, and submissions of it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from minidl.course.assignment import LIBRARY, load_assignment
from minidl.course.prove import answers
from minidl.course.student import open_tree
from minidl.course.submission import Answer, Submission, carry

FOLDER = Path(__file__).resolve().parent / "course_sample" / "assignments" / "a9_sample"
SAMPLE = load_assignment(FOLDER, LIBRARY)


def solved(name: str = "solved", seal: str = "", **bodies: str | None) -> Submission:
    """The solution as a submission; with other bodies for some functions, or (None) without them."""
    found = []
    for answer in answers(SAMPLE):
        text = answer.source
        key = answer.symbol.replace(".", "_")
        if key in bodies:
            given = bodies[key]
            if given is None:
                continue
            text = textwrap.indent(textwrap.dedent(given).strip("\n"), "    " if "." not in answer.symbol else " " * 8)
        found.append(Answer(answer.task, answer.file, answer.symbol, text + "\n"))
    return Submission(name, SAMPLE.name, seal, tuple(found))


def hand_in(folder: Path, submission: Submission) -> Path:
    """Write the submission's file; returns its path."""
    path = folder / f"{submission.name}_submission.json"
    path.write_text(submission.as_json(), encoding="utf-8")
    return path


def solve(tree: Path, only: str | None = None) -> None:
    """Put the solution into a released tree, all of it or one task."""
    submission = solved()
    if only is not None:
        chosen = tuple(answer for answer in submission.answers if answer.task == only)
        submission = Submission("solved", SAMPLE.name, "", chosen)
    carry(submission, open_tree(tree), force=True)

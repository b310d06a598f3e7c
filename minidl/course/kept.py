"""What a folder of grades knows of earlier runs: a batch can be stopped and go on, and what comes late joins the rest.

graded/NAME.json    the points of each check, why it was not graded, what was handed in, the seed of the inputs
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl.course.assignment import Assignment
from minidl.course.checks import FAILED, PASSED, WAITS, Result
from minidl.course.grading import Grade, TaskGrade
from minidl.course.inbox import InboxError
from minidl.course.submission import SubmissionError, from_table

FORMAT = "minidl course grade 1"
FOLDER = "graded"
STATUSES = {PASSED, FAILED, WAITS}


@dataclass(frozen=True)
class Kept:
    """A grade of an earlier run, without the words for the student, and the seed of its inputs."""

    grade: Grade
    seed: int


def as_json(grade: Grade, seed: int) -> str:
    """What is kept of a grade."""
    table: dict[str, Any] = {
        "format": FORMAT,
        "assignment": grade.assignment.name,
        "seed": seed,
        "seconds": round(grade.seconds, 1),
        "problem": grade.problem,
        "notes": grade.notes,
        "checks": {
            f"{task.task.id} {result.check.name}": result.status for task in grade.tasks for result in task.results
        },
        "submission": json.loads(grade.submission.as_json()) if grade.submission is not None else None,
    }
    return json.dumps(table, indent=1) + "\n"


def read_kept(out: Path, assignment: Assignment) -> dict[str, Kept]:
    """The grades of earlier runs in the folder `out`, by name. InboxError where they are not of this assignment."""
    found = {}
    for path in sorted((out / FOLDER).glob("*.json")):
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table["assignment"] != assignment.name:
                raise InboxError(f"{out} holds grades of {table['assignment']}: name another folder with --out")
            found[path.stem] = Kept(_grade(path, table, assignment), int(table["seed"]))
        except InboxError:
            raise
        except OSError as error:
            raise InboxError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, SubmissionError):
            raise InboxError(
                f"{out} holds grades of another version of {assignment.name} ({path.name}): name another folder with "
                "--out, or remove this one and grade all anew"
            ) from None
    return found


def _grade(path: Path, table: dict[str, Any], assignment: Assignment) -> Grade:
    statuses = dict(table["checks"])
    tasks = []
    for task in assignment.tasks:
        checks = assignment.checks(task.id)
        results = tuple(Result(check, statuses.pop(f"{task.id} {check.name}")) for check in checks)
        tasks.append(TaskGrade(task, results, ""))
    if table["format"] != FORMAT or statuses or not {r.status for t in tasks for r in t.results} <= STATUSES:
        raise ValueError
    submission = from_table(table["submission"], path) if table["submission"] is not None else None
    notes = tuple(map(str, table["notes"]))
    return Grade(path.stem, assignment, tuple(tasks), notes, str(table["problem"]), submission, float(table["seconds"]))

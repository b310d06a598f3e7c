"""Grades in the formats that other systems read: Gradescope, Classroom 50, JUnit, CSV; and as text for the student."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from minidl.course.assignment import Assignment
from minidl.course.checks import PASSED, WAITS
from minidl.course.grading import Grade, TaskGrade

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def gradescope(grade: Grade) -> str:
    """The results.json of a Gradescope autograder. Tasks that are not graded yet stand in it with 0 points."""
    tests: list[dict[str, Any]] = []
    done = {task.task.id: task for task in grade.tasks}
    for task in grade.assignment.tasks:
        graded = done.get(task.id)
        counts = task.id not in grade.uncounted
        text = "not graded: the grading ended before this task" if graded is None else graded.text
        tests.append(
            {
                "number": task.id,
                "name": f"{task.id} {task.title}",
                "score": graded.points if graded is not None and counts else 0,
                "max_score": task.points if counts else 0,
                "status": "passed" if graded is not None and graded.status == PASSED else "failed",
                "output": clean(text if counts else f"{NOT_COUNTED}\n{text}"),
                "output_format": "text",
                "visibility": "visible",
            }
        )
    result: dict[str, Any] = {
        "score": grade.points,
        "execution_time": round(grade.seconds, 1),
        "output": clean(heading(grade)),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"assignment": grade.assignment.name},
    }
    return json.dumps(result, indent=1) + "\n"


def classroom50(grade: Grade) -> str:
    """The result.json of Classroom 50. Which submission of which repository it is, its runner says in variables.

    Outside of a runner they are made up from the submission: no field may be empty.
    """
    know = os.environ.get
    counts = {task.task.id for task in grade.tasks} - grade.uncounted
    tests = [
        {
            "test-name": f"{task.task.id} {task.task.title}",
            "passed": task.status == PASSED,
            "score": task.points if task.task.id in counts else 0,
            "max-score": task.task.points if task.task.id in counts else 0,
        }
        for task in grade.tasks
    ]
    repository = f"{know('GITHUB_SERVER_URL') or 'https://github.com'}/{know('GITHUB_REPOSITORY') or '-/-'}"
    tag = know("SUBMISSION_TAG") or f"submit/{clean(grade.name)}"
    commit = know("COMMIT_URL") or f"{repository}/commit/{know('GITHUB_SHA') or 'HEAD'}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = {
        "schema": "classroom50/result/v1",
        "classroom": know("CLASSROOM") or know("GITHUB_REPOSITORY_OWNER") or "-",
        "assignment": know("ASSIGNMENT") or grade.assignment.name,
        "assignment_type": know("ASSIGNMENT_TYPE") or "individual",
        "owner": know("OWNER") or know("USERNAME") or clean(grade.name),
        "submission": tag,
        "commit": commit,
        "release": know("RELEASE_URL") or f"{repository}/releases/tag/{quote(tag, safe='')}",
        "review": know("REVIEW_URL") or commit,
        "datetime": now,
        "graded_at": now,
        "score": grade.points,
        "max-score": grade.of,
        "tests": tests,
    }
    return json.dumps(result, indent=1) + "\n"


def junit(grade: Grade) -> str:
    """JUnit XML: a suite for each task, a case for each check."""
    root = ElementTree.Element("testsuites", name=clean(f"{grade.assignment.name} {grade.name}"))
    for task in grade.tasks:
        results = task.results
        failed = [result for result in results if result.status not in (PASSED, WAITS)]
        skipped = [result for result in results if result.status == WAITS]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{task.task.id} {task.task.title}",
            tests=str(len(results)),
            failures=str(len(failed)),
            errors="0",
            skipped=str(len(skipped)),
            time=f"{sum(result.seconds for result in results):.3f}",
        )
        for result in results:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"{grade.assignment.name}.{task.task.id}",
                name=clean(result.check.sentence),
                time=f"{result.seconds:.3f}",
            )
            message = clean(grade.problem or result.message)
            first = message.partition("\n")[0]
            if result in failed:
                ElementTree.SubElement(case, "failure", type="failed", message=first).text = message
            elif result in skipped:
                ElementTree.SubElement(case, "skipped", message=first)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def table(assignment: Assignment, grades: Sequence[Grade]) -> str:
    """CSV: a row for each submission, with its points for each task."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    ids = [task.id for task in assignment.tasks]
    writer.writerow(["submission", "points", "of", *ids, "seconds", "problem"])
    for grade in sorted(grades, key=lambda grade: grade.name):
        by_id = {task.task.id: task.points for task in grade.tasks}
        points = [by_id.get(id, 0) for id in ids]
        problem = grade.problem.partition("\n")[0]
        writer.writerow(
            [harmless(grade.name), grade.points, grade.of, *points, f"{grade.seconds:.1f}", harmless(problem)]
        )
    return file.getvalue()


def feedback(grade: Grade) -> str:
    """All that a student is told, as text."""
    lines = [heading(grade), ""]
    if not grade.problem:
        for task in grade.tasks:
            lines += [_title(task, grade), *(f"  {line}" for line in task.text.splitlines()), ""]
    return clean("\n".join(lines)).rstrip() + "\n"


def heading(grade: Grade) -> str:
    """The first lines of the feedback."""
    lines = [f"{grade.assignment.name} {grade.assignment.title}: {grade.points} of {grade.of} points"]
    if grade.problem:
        lines += ["", f"It could not be graded: {grade.problem}"]
    return "\n".join([*lines, *(f"Note: {note}" for note in grade.notes)])


NOT_COUNTED = "Not among the best of the tasks to choose from: it does not count."


def _title(task: TaskGrade, grade: Grade) -> str:
    line = f"{task.task.id} {task.task.title}: {task.points} of {task.task.points}"
    return f"{line}. {NOT_COUNTED}" if task.task.id in grade.uncounted else line


def clean(text: str) -> str:
    """`text` without the characters that no XML, and no screen, should have."""
    return NOT_IN_XML.sub("?", text)


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = clean(text)
    return f"'{text}" if text.startswith(FORMULA) else text

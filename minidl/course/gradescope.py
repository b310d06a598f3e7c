"""What run_autograder starts: grades the one submission in a Gradescope folder, and writes results.json.

    python -m minidl.course.gradescope assignments/a2_convolution /autograder

It is written after every task, whole or not at all, so that whatever happens the student sees the tasks so far; and it
ends well within Gradescope's ten minutes.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from minidl.checkpoint import atomic_write
from minidl.course.assignment import find_assignment
from minidl.course.formats import gradescope
from minidl.course.grading import Grader

SECONDS = 420.0  # for the checks, of Gradescope's 600
MEMORY = 1500  # MB; a container with less ends the worker, and not the grader


def main(name: str, root: Path) -> int:
    """Grade `root`/submission into `root`/results. 0 unless results.json could not be written."""
    results = root / "results" / "results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    write(results, json.dumps({"score": 0, "output": "the grading has begun, and did not come to its end"}))
    try:
        with Grader(find_assignment(name), jobs=1, memory=MEMORY, seconds=SECONDS) as grader:
            for note in grader.notes:
                print(note)
            grade = grader.grade(root / "submission", lambda so_far: write(results, gradescope(so_far)))
        write(results, gradescope(grade))
        print(f"{grade.points} of {grade.of}")
    except Exception:  # the student learns that it was not his code; staff see the rest
        traceback.print_exc()
        text = "The autograder itself failed: this is not about your code. Please tell the staff."
        write(results, json.dumps({"score": 0, "output": text, "stdout_visibility": "hidden"}))
    return 0


def write(path: Path, text: str) -> None:
    """Write results.json so that it is there whole, or as it was."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))

"""The grader is graded, for every assignment that there is and for the sample: see minidl/course/prove.py."""

import pytest

from minidl.course.assignment import LIBRARY, AssignmentError, all_assignments, load_assignment
from minidl.course.prove import prove
from tests.course_files import SAMPLE

BODY = "    grad = 2 * x\n    grad[:-1] += x[1:]  # so\n    grad[1:] += x[:-1]\n    return grad\n"


@pytest.mark.parametrize("assignment", [SAMPLE, *all_assignments()], ids=lambda assignment: assignment.name)
def test_the_checks_pass_what_is_right_and_fail_what_is_wrong(assignment):
    wrong = {proof.claim: proof.problems for proof in prove(assignment, thorough=False) if proof.problems}
    assert not wrong, "\n".join(f"{claim}:\n" + "\n".join(problems) for claim, problems in wrong.items())


def spoiled(tmp_path, file, old, new):
    """The sample with one of its files changed."""
    folder = tmp_path / "assignments" / SAMPLE.folder.name
    folder.mkdir(parents=True)
    for path in SAMPLE.folder.iterdir():
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if path.name == file:
                assert old in text
                text = text.replace(old, new, 1)
            (folder / path.name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "file, old, new, words",
    [
        ("assignment.toml", "points = 3", "points = 4", "task 9.1 is worth 4 points, its checks 3"),
        ("assignment.toml", 'needs = ["9.1"]\n', "", "9.4 Descends runs a blank of 9.1, which its task does not need"),
        ("README.md", "# Sample", BODY, "its lines stand in assignments/a9_sample/README.md"),
        ("mutants.toml", 'hint = "sign"', 'hint = "padding"', "'padding' is not in"),
        ("mutants.toml", "steps - 1", "steps + 0", "'one step too few' is not caught"),
        ("mutants.toml", 'task = "9.2"', 'task = "9.1"', "'the sum forgotten' is not caught"),
        ("mutants.toml", 'task = "9.2"', 'task = "9.1"', "task 9.2 has no planted bug"),
        ("checks.py", "0.45**3", "0.45**2", "the solution itself fails Descends"),
        ("checks.py", "seconds=1)\nclass Gradient:", "seconds=1e-9)\nclass Gradient:", "too slow"),
    ],
)
def test_a_spoiled_assignment_does_not_hold(tmp_path, file, old, new, words):
    assignment = load_assignment(spoiled(tmp_path, file, old, new), LIBRARY)
    found = ""
    try:
        for proof in prove(assignment, processes=False):
            found += "\n".join(proof.problems)
            if words in found:
                break
    except AssignmentError as error:  # a solution that fails its own checks cannot be released
        found = str(error)
    assert words in found

"""The grader is graded, for every assignment that there is and for the sample: see minidl/course/prove.py."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from minidl.course.assignment import LIBRARY, AssignmentError, all_assignments, load_assignment
from minidl.course.prove import prove
from minidl.course.workers import ONE_THREAD
from tests.course_files import SAMPLE

BODY = "    grad = 2 * x\n    grad[:-1] += x[1:]  # so\n    grad[1:] += x[:-1]\n    return grad\n"


def test_the_checks_of_the_sample_pass_what_is_right_and_fail_what_is_wrong():
    wrong = {proof.claim: proof.problems for proof in prove(SAMPLE, thorough=False) if proof.problems}
    assert not wrong, "\n".join(f"{claim}:\n" + "\n".join(problems) for claim, problems in wrong.items())


@pytest.fixture(scope="module")
def checked():
    """`minidl course check --quick` on every assignment, one on each core: name -> the future of what it ended with."""
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), **ONE_THREAD}

    def run(name):
        command = [sys.executable, "-m", "minidl", "course", "check", "--quick", name]
        return subprocess.run(command, env=environment, cwd=LIBRARY, capture_output=True, text=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {assignment.name: pool.submit(run, assignment.name) for assignment in all_assignments()}


@pytest.mark.parametrize("name", [assignment.name for assignment in all_assignments()])
def test_the_checks_pass_what_is_right_and_fail_what_is_wrong(checked, name):
    done = checked[name].result()
    assert done.returncode == 0 and "FAILS" not in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("  holds  ") >= 8


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
        (
            "checks.py",
            'numpy.ones(4), 3), "grad_output": rng.standard_normal((3, 4))',
            'numpy.ones(4), 3), "grad_output": rng.standard_normal((3, 4)) * (rng.random() < 0.5)',
            "'the sum forgotten' is not caught with the inputs of seed",
        ),
        ("checks.py", '"9.4", points=2', '"9.2", points=2', "9.2 Descends runs no blank of its own task"),
        ("hidden_checks.py", "LeakyGradientOfAScalar", "LeakyGradient", "two checks are called LeakyGradient"),
        (
            "checks.py",
            '        return {"grad_x": descend(x, 3, 0.1)}',
            '        try:\n            return {"grad_x": descend(x, 3, 0.1)}\n'
            '        except NotImplementedError:\n            return {"grad_x": x}',
            "alone blank, 9.4 Descends is failed",
        ),
        ("checks.py", "0.45**3", "0.45**2", "the solution itself fails Descends"),
        ("checks.py", "seconds=0.5)\nclass Gradient:", "seconds=1e-9)\nclass Gradient:", "too slow"),
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

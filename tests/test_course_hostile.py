"""Submissions that are hostile or unlucky: none gets what it did not earn, none stops the others, each is told why.

All of them are graded in one batch, beside one that is right. Every one has the right answers for the tasks that its
trick is not in, so that what a trick costs, and what it does not, both show.
"""

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from minidl.course import formats
from minidl.course.grading import Grader
from minidl.course.overview import as_text, overview
from minidl.course.release import release
from minidl.course.submission import Answer
from minidl.course.workers import _processes_of
from tests.course_files import FOLDER, SAMPLE, hand_in, solve, solved

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="submissions are graded on Linux and macOS")

MINUS = "return -2 * x"  # what a trick returns in the end, and is wrong

# The body of `gradient` (task 9.3, worth 3 of 10 points), and words that the student must find in the feedback.
TRICKS = {
    "a Python loop that does not end": ("while True:\n    pass", "a loop that does not end"),
    "a NumPy call that does not end": (
        "import numpy\nreturn numpy.linalg.eigvals(numpy.random.default_rng(0).random((3000, 3000)))[: x.size].real",
        "a loop that does not end",
    ),
    "sleeping": ("import time\ntime.sleep(1000)\nreturn x", "no answer within"),
    "a memory bomb": ("import numpy\nkept = []\nwhile True:\n    kept.append(numpy.ones(10**7))", "MemoryError"),
    "a fork bomb": (
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        ("does not end", "no answer within"),
    ),
    "a process that stays": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1000)\n"
        "    os._exit(0)\n" + MINUS,
        "gradient is wrong",
    ),
    "ending the worker": ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + MINUS, "the process is gone"),
    "os._exit": ("import os\nos._exit(0)", "the process ended without an answer (exit code 0)"),
    "sys.exit": ("import sys\nsys.exit(0)", "exit was called"),
    "a crash": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "recursion": ("return gradient(x)", "RecursionError"),
    "shadowing numpy": (
        "import sys, types\nfake = types.ModuleType('numpy')\nfake.asarray = lambda value: value\n"
        "fake.array_equal = lambda *a, **k: True\nsys.modules['numpy'] = fake\n"
        "sys.modules['minidl'] = types.ModuleType('minidl')\n" + MINUS,
        "gradient is wrong",
    ),
    "patching the checks": (
        "import minidl.course.checks, minidl.course.comparing\n"
        "minidl.course.comparing.difference = minidl.course.checks.difference = lambda *a, **k: None\n"
        "minidl.course.checks.Check._problem = lambda *a: None\n" + MINUS,
        "gradient is wrong",
    ),
    "patching pytest": (
        "import sys, types\ntry:\n    import pytest\nexcept ImportError:\n    pytest = types.ModuleType('pytest')\n"
        "pytest.fail = pytest.main = lambda *a, **k: 0\nsys.modules['pytest'] = pytest\n" + MINUS,
        "gradient is wrong",
    ),
    "another type": ("return 'right'", "gradient"),
    "an object that lies": (
        "class Liar:\n    shape, dtype = x.shape, x.dtype\n    def __eq__(self, other):\n        return True\n"
        "    def __array__(self, *a, **k):\n        return -2 * x\nreturn Liar()",
        "gradient is wrong",
    ),
    "changing the input": (
        "x *= 2\ngrad = x.copy()\ngrad[:-1] += x[1:] / 2\ngrad[1:] += x[:-1] / 2\nreturn grad",
        "x was changed in place",
    ),
    "printing one gigabyte": (
        "line = 'x' * 10**6\nfor _ in range(1000):\n    print(line)\n" + MINUS,
        ("gradient is wrong", "stopped after"),
    ),
    "a syntax error": ("return 2 * (x", "energy.py"),
    "a break outside a loop": ("if x.size:\n    break\nreturn x", "'break' outside loop"),
    "a global that is a parameter": ("global x\nreturn x", "parameter and global"),
    "leaving the function": ("return x\n\nimport os", "the code goes on outside the function"),
}


LYING = ("a tree that lies", "a tree that names other files")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Every submission of this file by its name: its Grade; and the grader."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = {}

    def add(name, **bodies):
        paths[name] = hand_in(folder, solved(name.replace(" ", "-"), **bodies))

    add("right")
    for name, (body, _) in TRICKS.items():
        add(name, gradient=body)
    leaving = solved("leaving-the-function")  # as it is, for `solved` would indent it
    spilled = [replace(a, source=a.source + "\nimport os\n") if a.symbol == "gradient" else a for a in leaving.answers]
    paths["leaving the function"] = hand_in(folder, replace(leaving, answers=tuple(spilled)))

    reads = f"names = {{}}\nexec(open({str(FOLDER / 'energy.py')!r}).read(), names)\nreturn names['gradient'](x)"
    add("reading the answers", gradient=reads)
    add("reading the memory", gradient=READ_MEMORY)
    results = folder / "results.json"
    add("writing to results", gradient=f"open({str(results)!r}, 'w').write('{{\"score\": 10}}')\n{MINUS}")
    add("writing to the tests", gradient=WRITE_TESTS)
    add("reading other inputs", gradient=READ_INPUTS)
    add("by finite differences", gradient=FINITE_DIFFERENCES)

    paths["binary garbage"] = folder / "garbage_submission.json"
    paths["binary garbage"].write_bytes(bytes(range(256)) * 50)
    paths["UTF-16"] = folder / "utf16_submission.json"
    paths["UTF-16"].write_text(solved().as_json(), encoding="utf-16")
    paths["a file that is not there"] = folder / "missing_submission.json"
    paths["an empty folder"] = folder / "empty"
    paths["an empty folder"].mkdir()
    paths["altered after it was collected"] = folder / "altered_submission.json"
    paths["altered after it was collected"].write_text(solved().as_json().replace("grad[1:]", "grad[2:]"))
    extra = solved("more-files")
    strangers = [
        Answer("9.3", file, "array", "    return 1\n") for file in ("numpy.py", "../../conftest.py", "/etc/passwd")
    ]
    paths["more files"] = hand_in(folder, replace(extra, answers=(*extra.answers, *strangers)))
    for name in ("a tree", "a tree in Latin-1", "a tree without a file", "a tree with a link", *LYING):
        tree = paths[name] = folder / name.replace(" ", "-")
        release(SAMPLE, tree)
        solve(tree)
    energy = paths["a tree in Latin-1"] / "assignments/a9_sample/energy.py"
    energy.write_bytes(energy.read_text().replace("two factors", "zwei Faktoren, h\u00e4ufig").encode("latin-1"))
    (paths["a tree without a file"] / "assignments/a9_sample/energy.py").unlink()
    linked = paths["a tree with a link"] / "assignments"
    shutil.rmtree(linked)
    linked.symlink_to(FOLDER.parent)  # where the answers are
    (paths["a tree that lies"] / "release.json").write_text('["minidl course release 1"]')
    manifest = paths["a tree that names other files"] / "release.json"
    table = json.loads(manifest.read_text())
    entry = {"task": "9.1", "symbol": "x", "released": ""}
    table["blanks"] = [{**entry, "file": name} for name in ("/dev/zero", "/etc/passwd", "../../secret.py")]
    table["files"], table["folder"] = {"/dev/zero": ""}, "/etc"
    manifest.write_text(json.dumps(table))
    paths["a link to a device"] = folder / "zero_submission.json"
    paths["a link to a device"].symlink_to("/dev/zero")
    paths["a pipe"] = folder / "pipe_submission.json"
    os.mkfifo(paths["a pipe"])
    jobs = 2 if os.geteuid() == 0 else 1  # as one user, each could spoil what is graded beside it
    with Grader(SAMPLE, jobs=jobs, memory=600, patience=3) as grader:
        grades = dict(grader.grade_all(list(paths.values())))
        yield {name: grades[path] for name, path in paths.items()}, grader


READ_MEMORY = """
import os
worker = os.getppid()
grader = int(open(f"/proc/{worker}/stat").read().rpartition(")")[2].split()[1])
for process in (worker, grader):
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb") as memory:
        for line in maps:
            if " rw-p " in line:
                memory.seek(int(line.partition("-")[0], 16))
                memory.read(100)
                print("READ THE MEMORY")
                return x
"""
WRITE_TESTS = """
import pathlib, sys
tree = pathlib.Path(sys.modules["minidl"].__file__).parents[1]
for path in [*tree.rglob("*.py"), *tree.parent.parent.rglob("*.py"), *tree.parent.parent.rglob("*.npz")]:
    try:
        path.write_text("")
    except OSError:
        pass
return -2 * x
"""
READ_INPUTS = """
import pathlib, sys
tree = pathlib.Path(sys.modules["minidl"].__file__).parents[1]
print("INPUTS", len(list((tree.parent / "inputs").iterdir())))
return -2 * x
"""
FINITE_DIFFERENCES = """
import numpy
grad = numpy.zeros_like(x)
for i in range(x.size):
    step = numpy.zeros_like(x)
    step[i] = 1e-5
    grad[i] = (energy(x + step) - energy(x - step)) / 2e-5
return grad
"""


def text_of(grade):
    return formats.feedback(grade)


def test_beside_all_of_them_the_right_one_has_all_points(graded):
    grades, _ = graded
    assert grades["right"].points == 10 and grades["a tree"].points == 10


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_costs_its_own_task_and_the_student_reads_why(graded, name):
    grade = graded[0][name]
    words = TRICKS[name][1]
    text = text_of(grade)
    assert not grade.problem
    assert [task.points for task in grade.tasks] == [3, 2, 0, 2], text
    assert any(word in text for word in ([words] if isinstance(words, str) else words)), text
    assert len(text) < 20_000


def test_the_gradient_by_finite_differences_does_not_pass(graded):
    grade = graded[0]["by finite differences"]
    assert [task.points for task in grade.tasks] == [3, 2, 1, 2]  # five numbers, and right: the other check has 30,000
    assert "does not end" in text_of(grade) or "too slow" in text_of(grade)


def test_the_answers_cannot_be_read(graded):
    grades, grader = graded
    if grader.users[0] is None:
        assert any("not as root" in note for note in grader.notes), "where it cannot be prevented, staff are told"
        pytest.skip("only root can start a process of another user")
    if grader.notes:
        pytest.skip(f"mounting is forbidden here, and staff are told: {grader.notes}")
    assert grades["reading the answers"].tasks[2].points == 0
    assert "Error: [Errno " in text_of(grades["reading the answers"])


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no /proc here")
def test_the_memory_of_the_grader_cannot_be_read(graded):
    grade = graded[0]["reading the memory"]
    assert grade.points == 7
    assert "Permission" in text_of(grade) and "READ THE MEMORY" not in text_of(grade)


def test_the_inputs_of_other_checks_cannot_be_read(graded):
    text = text_of(graded[0]["reading other inputs"])
    assert text.count("INPUTS 1") == 2, text


def test_written_results_and_tests_change_nothing(graded):
    grades, grader = graded
    assert grades["writing to results"].points == 7
    assert grades["writing to the tests"].tasks[0].points == 3
    if grader.users[0] is not None:
        assert grades["writing to the tests"].points == 7
        assert "Error: [Errno " in text_of(grades["writing to results"])


@pytest.mark.parametrize(
    "name, words",
    [
        ("binary garbage", "is not the file that `minidl course collect` writes"),
        ("UTF-16", "is not the file that `minidl course collect` writes"),
        ("a file that is not there", "cannot be read"),
        ("an empty folder", "nothing was handed in"),
        ("a tree that lies", "no submission is among"),
        ("a link to a device", "is a link to another place"),
        ("a pipe", "is no plain file"),
        ("altered after it was collected", "sha256"),
    ],
)
def test_what_cannot_be_graded_has_no_points_and_says_why(graded, name, words):
    grade = graded[0][name]
    assert grade.points == 0
    assert words in text_of(grade)


def test_in_a_damaged_tree_the_other_files_still_count(graded):
    latin, missing = graded[0]["a tree in Latin-1"], graded[0]["a tree without a file"]
    assert [task.points for task in latin.tasks] == [task.points for task in missing.tasks] == [3, 2, 0, 0]
    assert "energy.py, line" in text_of(latin) and "UTF-8" in text_of(latin)
    assert "energy.py is missing" in text_of(missing)


def test_a_tree_cannot_hand_in_what_stands_elsewhere(graded):
    grade = graded[0]["a tree with a link"]
    assert [task.points for task in grade.tasks] == [3, 2, 0, 0]
    assert "energy.py is a link to another place" in text_of(grade)


def test_what_a_tree_says_of_its_blanks_is_not_believed(graded):
    """Its release.json names other files, which are not even opened; the blanks of the assignment are graded."""
    assert graded[0]["a tree that names other files"].points == 10


def test_only_the_blanks_of_a_submission_are_taken(graded):
    grade = graded[0]["more files"]
    assert grade.points == 10 and text_of(grade).count("is no blank of this assignment: passed over") == 3


def test_no_process_and_no_file_stays(graded):
    _, grader = graded
    users = [user for user in grader.users if user is not None]
    assert not [process for user in users for process in _processes_of(user)]
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "worker.py" not in left or str(grader.work) not in left
    assert sorted(path.name for path in grader.work.iterdir()) == ["calls", "closed"]


def test_each_of_them_can_be_written_in_every_format(graded):
    for grade in graded[0].values():
        json.loads(formats.gradescope(grade))
        json.loads(formats.classroom50(grade))
        formats.junit(grade).encode("utf-8")
    view = overview(SAMPLE, list(graded[0].values()))
    assert "9.3" in as_text(view) and len(view.problems) == 8


def test_whoever_stops_the_batch_does_not_wait_for_a_check_that_sleeps(tmp_path):
    paths = [
        hand_in(tmp_path, solved("ada")),
        hand_in(tmp_path, solved("bob", gradient="import time\ntime.sleep(100)\nreturn x")),
    ]
    with Grader(SAMPLE, seed=1, jobs=2, patience=100) as grader:
        results = grader.grade_all(paths)
        assert next(results)[1].name == "ada"
        time.sleep(1)  # so that the other one is in its check
        began = time.monotonic()
        results.close()
        assert time.monotonic() - began < 5
        assert not grader._runs

"""A released tree: complete, without answers, and pleasant to work in. Then what is collected from it, and carried."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from minidl.cli import main
from minidl.course import blanks
from minidl.course.assignment import Assignment, AssignmentError, find_assignment, load_assignment
from minidl.course.notebook import cells, to_notebook
from minidl.course.prove import leaks
from minidl.course.release import release, write_code
from minidl.course.student import TreeError, open_tree
from minidl.course.submission import SubmissionError, carry, changed_elsewhere, collect, read_submission
from tests.course_files import FOLDER, SAMPLE, hand_in, solve, solved

ENERGY = "assignments/a9_sample/energy.py"


@pytest.fixture
def tree(tmp_path):
    release(SAMPLE, tmp_path / "tree")
    return tmp_path / "tree"


def in_tree(tree, *words):
    """Run `minidl course ...` there as a student does; (exit code, what it says)."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "minidl", "course", *words]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def said(tree, *words, monkeypatch, capsys):
    """The same in this process, for what runs no code of the tree."""
    monkeypatch.chdir(tree)
    code = main(["course", *words])
    return code, "".join(capsys.readouterr())


# --------------------------------------------------------------------------------------------------------- the tree


def test_a_release_is_complete_and_has_nothing_that_is_for_staff(tree):
    for name in ("Makefile", "README.md", "pyproject.toml", "release.json", "tests/test_a9.py", ".gitignore"):
        assert (tree / name).is_file()
    own = {path.name for path in (tree / "assignments/a9_sample").iterdir()}
    assert own == {
        *("README.md", "assignment.toml", "checks.py", "energy.py", "picture.py"),
        *("notebook.py", "notebook.ipynb", "expected.npz", "answers.md"),
    }
    for path in tree.rglob("*"):
        assert path.name != "__pycache__"
        if path.is_file() and path.suffix != ".npz":
            text = path.read_text(encoding="utf-8")
            assert "a word that stands in the hidden checks alone" not in text
            assert "minidl/course" in path.as_posix() or not re.search("@[A-Z]+@", text)
    project = tomllib.loads((tree / "pyproject.toml").read_text())
    assert len(project["tool"]["pytest"]["ini_options"]["markers"]) == 4


def test_signature_and_docstring_stay_and_the_answer_goes(tree):
    text = (tree / ENERGY).read_text()
    assert (
        'def gradient(x):\n    """The gradient of `energy`, in the shape of x."""\n    raise NotImplementedError('
        in text
    )
    assert '"Task 9.3: gradient, see assignments/a9_sample/README.md"' in text
    assert leaks(SAMPLE, tree) == []


def test_an_answer_that_is_left_is_found_though_it_is_renamed_or_in_a_text(tree):
    (tree / "minidl" / "twin.py").write_text(
        'def other(x):\n    """x"""\n    g = 2 * x\n    g[:-1] += x[1:]\n    g[1:] += x[:-1]\n    return g\n'
    )
    assert leaks(SAMPLE, tree) == ["gradient: minidl/twin.py: other computes the same"]
    (tree / "minidl" / "twin.py").unlink()
    readme = tree / "assignments/a9_sample/README.md"
    body = blanks.body((FOLDER / "energy.py").read_text(), "gradient")
    readme.write_text(readme.read_text() + "\n```python\n" + body + "```\n")
    assert leaks(SAMPLE, tree) == ["gradient: its lines stand in assignments/a9_sample/README.md"]


def test_a_folder_that_holds_something_is_not_written_into(tmp_path):
    (tmp_path / "work.py").write_text("mine")
    with pytest.raises(AssignmentError, match="is not empty"):
        release(SAMPLE, tmp_path)


def test_hollow_and_removed_files(tmp_path):
    settings = vars(SAMPLE) | {"hollow": ("minidl/ops/dropout.py",), "remove": ("minidl/onnx", "architectures/vgg.py")}
    changed = Assignment(**{name: settings[name] for name in Assignment.__dataclass_fields__})
    write_code(changed, tmp_path)
    assert "left out of this release" in (tmp_path / "minidl/ops/dropout.py").read_text()
    assert not (tmp_path / "minidl/onnx").exists() and not (tmp_path / "architectures/vgg.py").exists()


def test_the_notebook_has_the_cells_of_the_script(tree):
    notebook = json.loads((tree / "assignments/a9_sample/notebook.ipynb").read_text())
    assert notebook["nbformat"] == 4 and [cell["cell_type"] for cell in notebook["cells"]] == ["markdown", "code"]
    assert notebook["cells"][0]["source"] == ["# Sample\n", "The energy and its gradient."]
    assert notebook["cells"][1]["outputs"] == [] and "import numpy\n" in notebook["cells"][1]["source"]
    assert cells("x = 1\n# %% [markdown]\n# a\n#\n# b\n# %%\n\n") == [("code", "x = 1"), ("markdown", "a\n\nb")]
    assert json.loads(to_notebook(""))["cells"] == []


# ------------------------------------------------------------------------------------------- minidl course test, ...


def test_a_student_works_task_by_task(tree):
    code, text = in_tree(tree, "test", "9.3")
    assert code == 1 and "not written yet: Task 9.3: gradient" in text and "1 failed, 5 deselected" in text
    energy = tree / ENERGY
    released = energy.read_text()
    energy.write_text(blanks.put(released, "gradient", "    return -2 * x\n"))
    code, text = in_tree(tree, "test", "9.3")
    assert code == 1 and "worst at" in text and "came back" in text and "Traceback" not in text
    solve(tree, only="9.3")
    solve(tree, only="9.4")
    code, text = in_tree(tree, "test")
    assert code == 1 and "3 failed, 2 passed, 1 skipped" in text
    assert "waits for task 9.1, which is not written yet" in text


def test_no_check_at_all_is_a_failure(tree, monkeypatch, capsys):
    (tree / "tests/test_a9.py").write_text("")
    code, text = in_tree(tree, "test", "9.3")
    assert code == 1 and "no check was run at all: that counts as a failure" in text
    code, text = said(tree, "test", "9.7", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1 and "a9 has no task '9.7'; its tasks are 9.1, 9.2, 9.3, 9.4" in text


def test_another_minidl_is_noticed(tree, monkeypatch, capsys):
    monkeypatch.chdir(tree)
    assert main(["course", "test"]) == 1  # of this process, which has imported the project's
    error = capsys.readouterr().err
    assert "and not your tree's" in error and "python -m minidl course test" in error


def test_outside_a_tree_the_way_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["course", "collect"]) == 1
    assert "is not in a released tree" in capsys.readouterr().err


def test_the_picture_waits_for_the_code_and_is_then_drawn(tree):
    code, text = in_tree(tree, "picture")
    assert code == 1 and "some is still missing: Task 9.3" in text
    solve(tree)
    code, text = in_tree(tree, "picture", "--out", "here")
    assert code == 0 and (tree / "here/a9.png").stat().st_size > 5000


# -------------------------------------------------------------------------------------------------- collect, carry


def test_only_the_bodies_are_collected_and_other_changes_are_named(tree):
    solve(tree)
    energy = tree / ENERGY
    energy.write_text(
        "import os\n" + energy.read_text().replace("def energy(x):", "def helper():\n    pass\n\n\ndef energy(y):")
    )
    (tree / "minidl/engine.py").write_text("# mine\n")
    (tree / "minidl/memory.py").unlink()
    (tree / "tests/test_a9.py").write_text("def test():\n    pass\n")
    submission, notes = collect(open_tree(tree)), changed_elsewhere(open_tree(tree))
    assert [answer.symbol for answer in submission.answers] == [blank.symbol for blank in SAMPLE.blanks]
    text = "\n".join(notes)
    for words in (
        f"{ENERGY}: energy was changed. Only the bodies of the blanks are handed in",
        f"{ENERGY}: helper is new",
        f"{ENERGY}: (outside functions and classes) was changed",
        "minidl/engine.py was changed; it is graded as it was released",
        "minidl/memory.py is missing here",
        "tests/test_a9.py was changed",
    ):
        assert words in text
    assert len(notes) == 6
    assert "helper" not in submission.as_json() and "import os" not in submission.as_json()


def test_what_was_collected_is_read_again(tree, monkeypatch, capsys):
    solve(tree)
    (tree / "assignments/a9_sample/answers.md").write_text("any number from 0 to 1")
    code, text = said(tree, "collect", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0 and "5 of 5 functions are in" in text
    found = read_submission(tree / "a9_submission.json")
    assert found.name == "a9" and len(found.answers) == 5 and found.written == "any number from 0 to 1"
    assert found.release == open_tree(tree).manifest["seal"]


def test_blanks_are_not_collected_and_said(tree, monkeypatch, capsys):
    solve(tree, only="9.1")
    code, text = said(tree, "collect", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0 and "1 of 5 functions" in text and text.count("NOT WRITTEN") == 4


def test_windows_line_ends_and_a_byte_order_mark_are_no_change(tree):
    solve(tree)
    energy = tree / ENERGY
    before = collect(open_tree(tree))
    energy.write_bytes(b"\xef\xbb\xbf" + energy.read_bytes().replace(b"\n", b"\r\n"))
    after, notes = collect(open_tree(tree)), changed_elsewhere(open_tree(tree))
    assert after.answers == before.answers and not notes


def test_a_syntax_error_is_told_with_its_line(tree, monkeypatch, capsys):
    solve(tree)
    energy = tree / ENERGY
    energy.write_text(energy.read_text().replace("grad = 2 * x", "grad = = 2 * x"))
    code, text = said(tree, "collect", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1 and f"not collected: task 9.3, gradient: {ENERGY}, line" in text and "grad = = 2 * x" in text
    written = (tree / "a9_submission.json").read_text()
    energy.write_text(energy.read_text() + "def (\n")
    code, text = said(tree, "collect", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1 and "stays as it was" in text and (tree / "a9_submission.json").read_text() == written


def test_only_what_stands_in_the_tree_is_collected(tree, tmp_path):
    solve(tree)
    manifest = tree / "release.json"
    table = json.loads(manifest.read_text())
    (tmp_path / "secret.py").write_text("def gradient(x):\n    return 1\n")
    names = [str(tmp_path / "secret.py"), "../secret.py", "assignments/../../secret.py"]
    entry = {"task": "9.3", "symbol": "gradient", "released": ""}
    table["blanks"], table["folder"] = [{**entry, "file": name} for name in names], str(tmp_path)
    manifest.write_text(json.dumps(table))
    found = collect(open_tree(tree))
    assert not found.answers and len(found.problems) == 4
    assert all("does not stand in the tree" in problem for problem in found.problems)


@pytest.mark.parametrize(
    "text, words",
    [
        ("[1]", "is not a submission"),
        ('{"format": "minidl course submission 1"}', "is damaged"),
        ('{"format": "minidl course submission 1", "assignment": 3, "release": "", "blanks": []}', "is damaged"),
        ("[" * 100_000, "is no JSON text"),
    ],
)
def test_a_file_that_is_no_submission(tmp_path, text, words):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(SubmissionError, match=words):
        read_submission(tmp_path / "x.json")


def test_carry_puts_earlier_work_into_the_next_tree(tmp_path):
    """Two assignments on one library, the second built on the first."""
    root = tmp_path / "course"
    root.mkdir()
    try:
        for name in ("minidl", "architectures", "pyproject.toml"):
            (root / name).symlink_to(SAMPLE.root / name)
    except OSError as error:
        pytest.skip(f"links need a privilege on Windows: {error}")
    first, second = root / "assignments/b1", root / "assignments/b2"
    for folder, text in (
        (first, 'name = "b1"\ntitle = "One"\n[[task]]\nid = "1.1"\ntitle = "x"\npoints = 1\n'
                'blanks = ["minidl/ops/activation.py:LeakyReLU.backward"]\n'),
        (second, 'name = "b2"\ntitle = "Two"\nbuilds_on = "b1"\n[[task]]\nid = "2.1"\ntitle = "x"\npoints = 1\n'
                 'blanks = ["minidl/ops/activation.py:Softmax.backward"]\n'),
    ):  # fmt: skip
        folder.mkdir(parents=True)
        (folder / "assignment.toml").write_text(text)
    one, two = load_assignment(first), load_assignment(second)
    assert find_assignment("b2", root) == two
    release(one, tmp_path / "one")
    release(two, tmp_path / "two")
    path = "minidl/ops/activation.py"
    assert "Task 2.1: Softmax.backward comes in b2" in (tmp_path / "one" / path).read_text()  # no answers of the next
    assert "masked(self.negative_slope * grad_output, ~positive)" in (tmp_path / "two" / path).read_text()

    mine = "        return grad_output * 7  # mine\n"
    source = (tmp_path / "one" / path).read_text()
    (tmp_path / "one" / path).write_text(blanks.put(source, "LeakyReLU.backward", mine))
    assert "`minidl course carry b1_submission.json` puts" in (tmp_path / "two/README.md").read_text()
    submission = collect(open_tree(tmp_path / "one"))
    (tmp_path / "one" / "b1_submission.json").write_text("an older one: what stands in the tree counts")
    assert read_submission(tmp_path / "one").answers == submission.answers
    done, failed = carry(submission, open_tree(tmp_path / "two"))
    assert (done, failed) == (["1.1 LeakyReLU.backward"], [])
    assert mine in (tmp_path / "two" / path).read_text()
    collected, notes = collect(open_tree(tmp_path / "two")), changed_elsewhere(open_tree(tmp_path / "two"))
    assert not collected.answers and not notes  # what was carried is neither handed in nor complained of
    assert carry(submission, open_tree(tmp_path / "two")) == (["1.1 LeakyReLU.backward"], [])  # as it is there already

    better = mine.replace("7", "8")
    source = (tmp_path / "two" / path).read_text()
    (tmp_path / "two" / path).write_text(blanks.put(source, "LeakyReLU.backward", better))
    done, failed = carry(submission, open_tree(tmp_path / "two"))
    assert not done and "other work of yours stands there" in failed[0]
    assert better in (tmp_path / "two" / path).read_text()
    assert carry(submission, open_tree(tmp_path / "two"), force=True) == (["1.1 LeakyReLU.backward"], [])
    assert mine in (tmp_path / "two" / path).read_text()

    wrong = solved().answers[-1]
    assert carry(type(submission)("x", "b1", "", (wrong,)), open_tree(tmp_path / "two"))[1] == [
        f"9.4 descend: {ENERGY} belongs to that assignment alone"
    ]


def test_a_release_of_another_kind_is_refused(tree):
    manifest = json.loads((tree / "release.json").read_text())
    (tree / "release.json").write_text(json.dumps(manifest | {"format": "minidl course release 9"}))
    with pytest.raises(TreeError, match="is not of a release that this minidl knows"):
        open_tree(tree)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('id = "9.1"', 'id = "nine"', "must look like 2.3"),
        ('id = "9.2"', 'id = "9.1"', "stands there twice"),
        ("points = 3", "points = 0", "at least one point"),
        ("points = 3", 'points = "3"', "must be of type int"),
        ('needs = ["9.1"]', 'needs = ["9.8"]', "needs '9.8', which must be another task"),
        ('needs = ["9.1"]', 'needs = ["9.1", "9.1"]', "needs '9.1', which must be another task, named once"),
        ("[[task]]", '[[choice]]\ntitle = "x"\nbest = 1\ntasks = ["9.1", "9.1"]\n[[task]]', "in one choice once"),
        (
            "[[task]]",
            '[[choice]]\ntitle = "x"\nbest = 1\ntasks = ["9.7"]\n[[task]]',
            "'9.7' in a choice must be a task",
        ),
        ("LeakyReLU.backward", "LeakyReLU.forwards", "LeakyReLU.forwards is missing"),
        ("activation.py:LeakyReLU", "activations.py:LeakyReLU", "that file is not in the release"),
        ('title = "Sample"', 'titel = "Sample"', "'titel' is not a key"),
        ("minidl/ops/activation.py:Leaky", "../activation.py:Leaky", "must be a path inside the tree"),
    ],
)
def test_mistakes_in_assignment_toml_are_named(tmp_path, old, new, words):
    folder = tmp_path / "a9_sample"
    folder.mkdir()
    text = (FOLDER / "assignment.toml").read_text()
    assert old in text
    (folder / "assignment.toml").write_text(text.replace(old, new, 1))
    (folder / "energy.py").write_text((FOLDER / "energy.py").read_text())
    with pytest.raises(AssignmentError, match=words):
        release(load_assignment(folder, SAMPLE.root), tmp_path / "out")


def test_a_submission_is_written_by_name(tmp_path):
    path = hand_in(tmp_path, solved("ada"))
    assert path.name == "ada_submission.json" and read_submission(path).name == "ada"

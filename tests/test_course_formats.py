"""Grades as Gradescope, Classroom 50, JUnit and spreadsheets read them, each held to its schema; and a whole batch."""

import csv
import errno
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minidl.checkpoint import atomic_write
from minidl.cli import course_grading, main
from minidl.cli.course_report import overview_figure
from minidl.course import formats
from minidl.course.assignment import Choice
from minidl.course.bundle import bundle
from minidl.course.checks import FAILED, PASSED, WAITS, Result
from minidl.course.grading import OWN_FAULT, Grade, TaskGrade
from minidl.course.overview import as_text, near_identical, overview
from tests.course_files import FOLDER, SAMPLE, hand_in, solved

SCHEMAS = Path(__file__).parent / "course_schemas"
NASTY = "]]> <b>&amp;\x00\x1b[31m \ud800 =1+1 \u2028"


def graded(name="ada", lost=(), problem="", assignment=SAMPLE, body="return x"):
    """A grade as the grader makes it, without a worker: the tasks in `lost` fail, and 9.4 waits where 9.1 is lost."""
    tasks = []
    for task in assignment.tasks:
        results = []
        for check in assignment.checks(task.id):
            waits = task.id == "9.4" and "9.1" in lost
            status = FAILED if task.id in lost or problem else WAITS if waits else PASSED
            results.append(Result(check, status, "" if status == PASSED else f"wrong: {NASTY}\nmore", 0.25))
        tasks.append(TaskGrade(task, tuple(results), f"text {NASTY}"))
    return Grade(name, assignment, tuple(tasks), (), problem, solved(name, gradient=body), 1.5)


ALL = {
    "all points": graded(),
    "some": graded("grace", lost=("9.1", "9.3")),
    "not graded": graded(NASTY, problem=f"no submission {NASTY}"),
    "half way": replace(graded("tim"), tasks=graded("tim").tasks[:2]),
    "a choice": graded(
        assignment=replace(SAMPLE, choices=(Choice("two of three", 1, ("9.1", "9.3")),)), lost=("9.3",), name="kim"
    ),
}


def problems(value, schema, where="$"):
    """Where `value` breaks a JSON schema: the keywords that ours use, and no others."""
    known = {"title", "type", "required", "additionalProperties", "properties", "items", "enum", "minimum", "pattern"}
    assert schema.keys() <= known, f"{where}: a keyword that is not checked here"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if "type" in schema:
        right = isinstance(value, kinds[schema["type"]]) and (
            schema["type"] == "boolean" or not isinstance(value, bool)
        )
        if not right:
            yield f"{where}: {value!r} is no {schema['type']}"
            return
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{where}: {value!r} is below {schema['minimum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{where}: {name} is missing"
        for name, inner in value.items():
            if name in schema.get("properties", {}):
                yield from problems(inner, schema["properties"][name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}: {name} is not known"
    if isinstance(value, list) and "items" in schema:
        for number, inner in enumerate(value):
            yield from problems(inner, schema["items"], f"{where}[{number}]")


def schema(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text())


@pytest.mark.parametrize("case", ALL)
@pytest.mark.parametrize("name", ["gradescope", "classroom50"])
def test_the_json_formats_keep_to_their_schemas(name, case):
    table = json.loads(getattr(formats, name)(ALL[case]))
    assert list(problems(table, schema(name))) == []
    assert table["score"] == ALL[case].points


@pytest.mark.parametrize(
    "name, spoil",
    [
        ("gradescope", lambda table: table.update(visibility="everybody")),
        ("gradescope", lambda table: table["tests"][0].update(status="skipped")),
        ("gradescope", lambda table: table["tests"][0].pop("max_score")),
        ("classroom50", lambda table: table.update(score=1.5)),
        ("classroom50", lambda table: table.update(datetime="today")),
        ("classroom50", lambda table: table.update(commit="")),
        ("classroom50", lambda table: table.update(submission="v1.0")),
        ("classroom50", lambda table: table["tests"][0].update(passed=1)),
        ("classroom50", lambda table: table.update(extra=1)),
    ],
)
def test_the_schemas_are_checked(name, spoil):
    table = json.loads(getattr(formats, name)(ALL["some"]))
    spoil(table)
    assert list(problems(table, schema(name)))


RUNNER = {  # what Classroom 50's runner tells an autograder, in the words of its manual
    "CLASSROOM": "cs-principles",
    "ASSIGNMENT": "convolution",
    "ASSIGNMENT_TYPE": "group",
    "OWNER": "alice",
    "SUBMISSION_TAG": "submit/2026-06-01T14-32-05Z-a1b2c3d",
    "COMMIT_URL": "https://github.com/org/repo/commit/a1b2c3d",
    "RELEASE_URL": "https://github.com/org/repo/releases/tag/submit%2F2026",
    "REVIEW_URL": "https://github.com/org/repo/compare/0...a1b2c3d",
}
FIELDS = ("classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release", "review")


def test_classroom50_is_told_what_its_runner_says(monkeypatch):
    """Otherwise its collector, which compares them with the repository, throws the result away."""
    for name, value in RUNNER.items():
        monkeypatch.setenv(name, value)
    table = json.loads(formats.classroom50(ALL["some"]))
    assert [table[name] for name in FIELDS] == list(RUNNER.values())
    assert list(problems(table, schema("classroom50"))) == []


def test_classroom50_has_no_empty_field_outside_of_its_runner(monkeypatch):
    for name in (*RUNNER, "GITHUB_REPOSITORY", "GITHUB_SHA", "GITHUB_REPOSITORY_OWNER", "GITHUB_SERVER_URL"):
        monkeypatch.setenv(name, "")
    table = json.loads(formats.classroom50(ALL["some"]))
    assert list(problems(table, schema("classroom50"))) == []
    assert table["submission"] == "submit/grace" and table["score"] <= table["max-score"]


def test_gradescope_shows_each_task_with_its_words():
    table = json.loads(formats.gradescope(ALL["some"]))
    assert [(test["number"], test["score"], test["status"]) for test in table["tests"]] == [
        ("9.1", 0, "failed"), ("9.2", 2, "passed"), ("9.3", 0, "failed"), ("9.4", 0, "failed")
    ]  # fmt: skip
    assert "text ]]> <b>&amp;" in table["tests"][0]["output"] and "\0" not in table["tests"][0]["output"]
    half = json.loads(formats.gradescope(ALL["half way"]))
    assert half["tests"][3]["output"] == "not graded: the grading ended before this task" and half["score"] == 5


def test_of_a_choice_the_best_count():
    grade = ALL["a choice"]
    assert (grade.points, grade.of, grade.uncounted) == (3 + 2 + 2, 3 + 2 + 2, {"9.3"})
    table = json.loads(formats.gradescope(grade))
    assert table["tests"][2]["max_score"] == 0 and "does not count" in table["tests"][2]["output"]
    both = graded(assignment=grade.assignment)  # one of the two would do
    assert both.uncounted == {"9.3"} and both.tasks[2].points == 3
    for name in ("gradescope", "classroom50"):  # what stands beside the tests adds up to the whole
        table = json.loads(getattr(formats, name)(both))
        assert sum(test["score"] for test in table["tests"]) == table["score"] == both.points == grade.points


@pytest.mark.parametrize("case", ALL)
def test_junit_keeps_to_the_rules_of_its_schema(case):
    """Of the schema that Jenkins and its like read: names, counts that are right, one outcome at most for each case."""
    text = formats.junit(ALL[case])
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert root.tag == "testsuites"
    for suite in root:
        assert suite.tag == "testsuite"
        assert suite.keys() == ["name", "tests", "failures", "errors", "skipped", "time"]
        cases = list(suite)
        assert int(suite.get("tests")) == len(cases)
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(count)) == sum(case.find(tag) is not None for case in cases)
        assert float(suite.get("time")) == pytest.approx(sum(float(case.get("time")) for case in cases))
        for one in cases:
            assert one.tag == "testcase" and one.keys() == ["classname", "name", "time"] and len(one) <= 1
            for outcome in one:
                assert outcome.tag in ("failure", "skipped") and "\n" not in outcome.get("message")
                assert outcome.tag == "skipped" or outcome.get("type")


def test_the_table_has_a_row_for_each_and_no_formulas():
    names = ["=1+1", "@SUM(A1)", "ada", "-2", "\t=2", 'a "b", c\nd']
    text = formats.table(SAMPLE, [graded(name) for name in names])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["submission", "points", "of", "9.1", "9.2", "9.3", "9.4", "seconds", "problem"]
    assert sorted(row[0] for row in rows[1:]) == sorted(["'=1+1", "'@SUM(A1)", "ada", "'-2", "'\t=2", 'a "b", c\nd'])
    assert all(row[1:7] == ["10", "10", "3", "2", "3", "2"] for row in rows[1:])


# ---------------------------------------------------------------------------------------------------------- overview

LONG = """
result = numpy.zeros_like(x)
for position, value in enumerate(x):
    result[position] = result[position] + {a} * value
    if position > 0:
        result[position - 1] = result[position - 1] + value
    if position < len(x) - 1:
        result[position + 1] = result[position + 1] + value * {a} / 2
return result
"""


def test_who_wrote_the_same_is_found_though_names_and_comments_differ():
    copied = LONG.format(a=2).replace("result", "mine").replace("position", "i").replace("return", "# own work\nreturn")
    others = [graded(f"other{i}", body=f"return {i} * x - {i + 1}") for i in range(20)]
    pairs = list(near_identical([graded("ada", body=LONG.format(a=2)), graded("bob", body=copied), *others]))
    assert [(pair.first, pair.second, pair.symbols) for pair in pairs] == [("ada", "bob", ("gradient",))]
    assert pairs[0].share > 0.95


def test_what_many_wrote_is_nobodys_own():
    assert not list(near_identical([graded(f"s{i}", body=LONG.format(a=2)) for i in range(20)]))


def test_who_shares_a_part_only_is_not_accused():
    others = [graded(f"other{i}", body=f"return {i} * x - {i + 1}") for i in range(20)]
    own = [
        "\n".join(f"x = {name}({i}, x {sign} {i})" for i in range(30)) for name, sign in (("max", "-"), ("pow", "+"))
    ]
    ada, bob = (graded(name, body=more + LONG.format(a=2)) for name, more in zip(("ada", "bob"), own, strict=True))
    assert not list(near_identical([ada, bob, *others]))


def test_the_overview_names_the_hardest_check():
    grades = [graded("a"), graded("b", lost=("9.3",)), graded("c", lost=("9.3", "9.2")), graded("d", problem="empty")]
    view = overview(SAMPLE, grades)
    assert view.points == (5, 7, 10)  # and not the one that could not be graded
    parts = {task.task.id: (task.all, task.some, task.none, task.out) for task in view.tasks}
    assert parts == {"9.1": (3, 0, 0, 0), "9.2": (2, 0, 1, 0), "9.3": (1, 0, 2, 0), "9.4": (3, 0, 0, 0)}
    assert view.tasks[2].share == pytest.approx(1 / 3)
    assert view.checks[0][0].task == "9.3" and view.problems == (("d", "empty"),)
    text = as_text(view)
    assert "4 submissions, 3 graded" in text and "mean 7.3, median 7, half of them from 6 to 8.5" in text
    assert f" 33%  9.3 {view.checks[0][0].sentence}" in text and text.endswith("hand in)\n  d: empty\n")
    assert [len(axes.texts) for axes in overview_figure(view).axes] == [0, 6, 4]  # four checks that not all pass
    assert "100%" not in text[text.index("hardest") :]  # what everybody passes is not hard


def test_a_task_that_was_left_out_is_told_from_a_wrong_one():
    without = replace(graded("eve", lost=("9.3",)), submission=solved("eve", gradient=None))
    half = graded("joe")
    results = (*half.tasks[2].results[:-1], replace(half.tasks[2].results[-1], status=FAILED))
    half = replace(half, tasks=(*half.tasks[:2], replace(half.tasks[2], results=results), half.tasks[3]))
    view = overview(SAMPLE, [graded("a"), graded("b", lost=("9.3",)), without, half])
    assert (view.tasks[2].all, view.tasks[2].some, view.tasks[2].none, view.tasks[2].out) == (1, 1, 1, 1)


def test_an_overview_of_nothing_and_of_one(tmp_path):
    nothing = overview(SAMPLE, [graded("d", problem="empty")])
    one = overview(SAMPLE, [replace(graded("a"), notes=("collected from another release",))])
    for name, view in (("nothing", nothing), ("one", one)):
        assert as_text(view)
        overview_figure(view).savefig(tmp_path / f"{name}.png")
    assert "1 submissions, 0 graded" in as_text(nothing)
    assert "graded, but\n  a: collected from another release" in as_text(one)


# ----------------------------------------------------------------------------------------- the commands, from outside


@pytest.mark.skipif(not hasattr(os, "fork"), reason="submissions are graded on Linux and macOS")
def test_a_batch_from_the_command_line(tmp_path, capsys):
    folder = tmp_path / "handed in"
    folder.mkdir()
    hand_in(folder, solved("ada"))
    hand_in(folder, solved("bob", gradient="return -2 * x", descend=None))
    (folder / "carol.json").write_text("?")
    out = tmp_path / "out"
    command = ["course", "grade", str(folder), "--assignment", str(FOLDER), "--out", str(out), "--seed", "1"]
    assert main([*command, "--format", "gradescope,classroom50,junit,csv"]) == 0
    said = capsys.readouterr()
    assert "3 submissions, 2 graded" in said.out and "what to hand in)\n  carol" in said.out
    rows = {row["submission"]: row["points"] for row in csv.DictReader((out / "grades.csv").read_text().splitlines())}
    assert rows == {"ada": "10", "bob": "5", "carol": "0"}
    assert {str(path.relative_to(out)) for path in out.rglob("*.*")} == {
        "grades.csv", "summary.txt", "summary.png",
        *(f"feedback/{name}.txt" for name in rows), *(f"gradescope/{name}.json" for name in rows),
        *(f"classroom50/{name}.json" for name in rows), *(f"junit/{name}.xml" for name in rows),
        *(f"graded/{name}.json" for name in rows),
    }  # fmt: skip
    assert said.out.splitlines()[-2] == "What comes in late: into the same folder, with --seed 1"
    assert "not written yet: Task 9.4" in (out / "feedback/bob.txt").read_text()
    assert main([*command[:2], str(folder / "nobody.json")]) == 1
    assert "does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--format", "xls"])
    assert "'xls' is no format" in capsys.readouterr().err


def test_the_list_tells_points_that_are_graded_from_those_that_are_marked(capsys):
    assert main(["course"]) == 0
    assert "a2  Convolution: 11 tasks, 46 points and 8 for written answers" in capsys.readouterr().out


class Drawn:
    """In place of the grader: the grades are there, and no process is started. Stops after `most` of them."""

    def __init__(self, assignment, seed=None, *_):
        self.assignment, self.seed, self.notes = assignment, 7 if seed is None else seed, []
        Drawn.seeds.append(seed)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def grade_all(self, paths):
        for number, path in enumerate(paths):
            if number == Drawn.most:
                raise KeyboardInterrupt
            if path.stem.startswith(Drawn.failing or "nobody"):
                yield path, graded(path.stem, problem=f"{OWN_FAULT}: no space left", assignment=self.assignment)
                continue
            yield path, graded(path.stem, lost=("9.3",) if "bob" in path.stem else (), assignment=self.assignment)


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Three submissions, and what starts the grading of them into the same folder."""
    monkeypatch.setattr(course_grading, "Grader", Drawn)
    Drawn.seeds, Drawn.most, Drawn.failing = [], None, None
    (tmp_path / "in").mkdir()
    paths = [hand_in(tmp_path / "in", solved(name)) for name in ("ada", "bob", "cem")]
    out = tmp_path / "out"

    def run(*more, given=(tmp_path / "in",), assignment=FOLDER):
        return main(["course", "grade", *map(str, given), "--assignment", str(assignment), "--out", str(out), *more])

    return run, paths, out


def rows(out):
    return {row["submission"]: row["points"] for row in csv.DictReader((out / "grades.csv").read_text().splitlines())}


def test_a_batch_that_was_interrupted_goes_on(batch, capsys):
    run, _, out = batch
    Drawn.most = 2
    assert run("--seed", "12") == 130
    said = capsys.readouterr()
    assert "interrupted: 2 of 3 are graded" in said.err and "--rest goes on" in said.err
    assert rows(out) == {"ada": "10", "bob": "7"} and "2 submissions" in (out / "summary.txt").read_text()
    Drawn.most = None
    assert run("--rest") == 0
    assert Drawn.seeds == [12, 12]  # everybody gets the same inputs
    assert rows(out) == {"ada": "10", "bob": "7", "cem": "10"}
    text = (out / "summary.txt").read_text()
    assert "3 submissions" in text and "mean 9.0" in text and " 67%  9.3" in text
    assert "seed 12. 2 of earlier runs" in text
    assert run("--rest") == 1
    assert "nothing is left to grade" in capsys.readouterr().err


def test_a_second_ctrl_c_does_not_disturb_what_is_cleared_away(batch, capsys, monkeypatch):
    run, _, out = batch
    cleared = []

    def leave(*_):
        signal.raise_signal(signal.SIGINT)  # as by an impatient user
        cleared.append(True)

    def grade_all(self, paths):
        yield paths[0], graded(paths[0].stem, assignment=self.assignment)
        signal.raise_signal(signal.SIGINT)
        yield paths[1], graded(paths[1].stem, assignment=self.assignment)

    monkeypatch.setattr(Drawn, "__exit__", leave)
    monkeypatch.setattr(Drawn, "grade_all", grade_all)
    before = signal.getsignal(signal.SIGINT)
    assert run() == 130 and cleared == [True]
    assert signal.getsignal(signal.SIGINT) is before
    assert rows(out) == {"ada": "10"} and "interrupted: 1 of 3" in capsys.readouterr().err


def test_one_that_comes_late_joins_the_batch_and_a_better_one_takes_its_place(batch, capsys):
    run, (ada, bob, cem), out = batch
    assert run(given=(ada, bob)) == 0
    written = out / "written" / "cem.md"
    written.parent.mkdir(exist_ok=True)
    written.write_text("of an earlier run")
    assert run(given=(cem,)) == 0
    said = capsys.readouterr()
    assert "2 grades of earlier runs" in said.err and "9.1 " in said.out and "3 submissions are in the" in said.out
    assert rows(out) == {"ada": "10", "bob": "7", "cem": "10"} and not written.exists()
    assert "3 submissions" in (out / "summary.txt").read_text()
    assert run(given=(bob, cem)) == 0
    assert len(rows(out)) == 3


def test_what_the_grader_itself_failed_at_is_tried_once_more(batch, capsys):
    run, _, out = batch
    Drawn.failing = "bob"
    assert run() == 1
    assert "failed 1 times" in (said := capsys.readouterr().err) and "2 of 3 are graded; the same command with" in said
    assert rows(out) == {"ada": "10", "bob": "0", "cem": "10"}
    Drawn.failing = None
    assert run("--rest") == 0
    assert rows(out) == {"ada": "10", "bob": "7", "cem": "10"}


def test_grades_of_another_assignment_or_version_are_not_mixed(batch, capsys):
    run, _, out = batch
    assert run() == 0
    path = out / "graded" / "ada.json"
    as_it_was = path.read_text()
    for old, new, told in [
        ('"assignment": "a9"', '"assignment": "a1"', "holds grades of a1: name another folder"),
        (SAMPLE.checks()[0].name, "Gone", "holds grades of another version of a9"),
        ('"passed"', '"excellent"', "holds grades of another version of a9"),
        ("{", "", "holds grades of another version of a9"),
    ]:
        path.write_text(as_it_was.replace(old, new, 1))
        capsys.readouterr()
        assert run() == 1
        assert told in capsys.readouterr().err


def test_a_full_disk_is_told_and_nothing_is_half_written(batch, capsys, monkeypatch):
    run, _, out = batch

    def full(path):
        if "cem" in path.name or "summary" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return atomic_write(path)

    monkeypatch.setattr(course_grading, "atomic_write", full)
    assert run() == 1
    said = capsys.readouterr().err
    assert "cem.txt: No space left on device: 2 of 3 are graded; the same command with --rest goes on" in said
    assert rows(out) == {"ada": "10", "bob": "7"} and {path.stem for path in (out / "graded").iterdir()} == {
        "ada",
        "bob",
    }
    monkeypatch.undo()
    monkeypatch.setattr(course_grading, "Grader", Drawn)
    assert run("--rest") == 0 and len(rows(out)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="submissions are graded on Linux and macOS")
def test_the_bundle_grades_in_a_folder_laid_out_as_gradescopes(tmp_path):
    """By run_autograder, as Gradescope runs it: only the place of the folder and of Python are other ones."""
    path = tmp_path / "a9.zip"
    count = bundle(SAMPLE, path)
    first = path.read_bytes()
    bundle(SAMPLE, path)
    assert path.read_bytes() == first
    root = tmp_path / "autograder"
    source = root / "source"
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == count and "assignments/a9_sample/hidden_checks.py" in archive.namelist()
        for entry in archive.infolist():
            archive.extract(entry, source)
            (source / entry.filename).chmod(entry.external_attr >> 16)
    for script in ("setup.sh", "run_autograder"):
        assert (source / script).stat().st_mode & stat.S_IXUSR
        assert subprocess.run(["bash", "-n", str(source / script)]).returncode == 0
    assert "'numpy>=2.0'" in (source / "setup.sh").read_text()
    (root / "results").mkdir()
    (root / "submission").mkdir()
    hand_in(root / "submission", solved("ada", gradient="return -2 * x"))
    (root / "run_autograder").write_bytes((source / "run_autograder").read_bytes())
    (root / "run_autograder").chmod(0o755)
    environment = {**os.environ, "AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": sys.executable}
    done = subprocess.run([str(root / "run_autograder")], env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    table = json.loads((root / "results/results.json").read_text())
    assert list(problems(table, schema("gradescope"))) == []
    assert table["score"] == 7 and [test["score"] for test in table["tests"]] == [3, 2, 0, 2]
    assert source.stat().st_mode & 0o777 == 0o700

    broken = {**environment, "AUTOGRADER_PYTHON": "/bin/false"}
    subprocess.run([str(root / "run_autograder")], env=broken, capture_output=True)
    table = json.loads((root / "results/results.json").read_text())
    assert table["score"] == 0 and "tell the staff" in table["output"]

    for file in (root / "submission").iterdir():
        file.unlink()
    subprocess.run([str(root / "run_autograder")], env=environment, capture_output=True, check=True)
    table = json.loads((root / "results/results.json").read_text())
    assert table["score"] == 0 and "nothing was handed in" in table["output"]

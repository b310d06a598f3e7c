"""Grades as Gradescope, Classroom 50, JUnit and spreadsheets read them, each held to its schema; and a whole batch."""

import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minidl.cli import main
from minidl.cli.course_grading import assignment_of, distinct_names, submissions
from minidl.course import formats
from minidl.course.assignment import Choice
from minidl.course.bundle import bundle
from minidl.course.checks import FAILED, PASSED, WAITS, Result
from minidl.course.grading import Grade, TaskGrade
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
        ("classroom50", lambda table: table["tests"][0].update(passed=1)),
        ("classroom50", lambda table: table.update(extra=1)),
    ],
)
def test_the_schemas_are_checked(name, spoil):
    table = json.loads(getattr(formats, name)(ALL["some"]))
    spoil(table)
    assert list(problems(table, schema(name)))


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
    assert view.points == (0, 5, 7, 10) and view.tasks["9.3"] == pytest.approx(1 / 3)
    assert view.checks[0][0].task == "9.3" and view.problems == (("d", "empty"),)
    text = as_text(view)
    assert "mean 5.5, median 6" in text and " 33%  9.3 Gradient" in text and "not graded\n  d: empty" in text


# ----------------------------------------------------------------------------------------- the commands, from outside


def test_names_of_files_are_safe_and_distinct():
    paths = [
        Path("x/ada_submission.json"),
        Path("y/ada_submission.json"),
        Path("z/Ada.json"),
        Path("../../etc/pa ss/.."),
    ]
    assert list(distinct_names(paths).values()) == ["ada", "ada-2", "Ada-3", "submission"]


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
    assert "3 submissions" in said.out and "not graded\n  carol" in said.out
    rows = {row["submission"]: row["points"] for row in csv.DictReader((out / "grades.csv").read_text().splitlines())}
    assert rows == {"ada": "10", "bob": "5", "carol": "0"}
    assert {str(path.relative_to(out)) for path in out.rglob("*.*")} == {
        "grades.csv", "summary.txt", "summary.png",
        *(f"feedback/{name}.txt" for name in rows), *(f"gradescope/{name}.json" for name in rows),
        *(f"classroom50/{name}.json" for name in rows), *(f"junit/{name}.xml" for name in rows),
    }  # fmt: skip
    assert "not written yet: Task 9.4" in (out / "feedback/bob.txt").read_text()
    assert main([*command[:2], str(folder / "nobody.json")]) == 1
    assert "does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--format", "xls"])
    assert "'xls' is no format" in capsys.readouterr().err


def test_a_folder_is_one_submission_or_many(tmp_path):
    one, two = hand_in(tmp_path, solved("ada")), tmp_path / "bob"
    two.mkdir()
    inside = hand_in(two, solved("bob"))
    assert submissions([tmp_path]) == [tmp_path] or submissions([tmp_path]) == sorted([one, two])
    assert submissions([two]) == [two] and submissions([inside, one]) == [inside, one]
    (two / "__MACOSX").mkdir()  # what a zip from a Mac holds besides
    assert submissions([two]) == [two]


def test_one_file_beside_folders_is_not_the_only_submission(tmp_path):
    one, two = hand_in(tmp_path, solved("ada")), tmp_path / "bob"
    two.mkdir()
    hand_in(two, solved("bob"))
    assert submissions([tmp_path]) == [one, two]


def test_the_assignment_of_a_batch_is_what_most_of_it_says(tmp_path):
    def of(name, assignment):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"assignment": assignment}))
        return path

    first, unknown = of("ada", "a2"), of("bob", "a99")
    others = [of("carl", "a1"), of("dora", "a1")]
    assert assignment_of([first, unknown, *others]) == "a1"
    assert assignment_of([first, others[0]]) is None and assignment_of([unknown]) is None


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

    for file in (root / "submission").iterdir():
        file.unlink()
    subprocess.run([str(root / "run_autograder")], env=environment, capture_output=True, check=True)
    table = json.loads((root / "results/results.json").read_text())
    assert table["score"] == 0 and "no submission was found" in table["output"]

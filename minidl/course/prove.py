"""The grader is graded: whether an assignment's checks pass what is right, fail what is wrong, and nothing else.

    for proof in prove(find_assignment("a2")):
        proof.claim, proof.problems         "each blank fails its own task alone", []

The solution gets all points and the blank release none, both in workers and in released trees, as students are graded.
Single blanks and planted bugs are tried in this process, by exchanging one function at a time (see variants.py).
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from minidl.course import blanks
from minidl.course.assignment import Assignment, AssignmentError, Blank
from minidl.course.calling import call_checked
from minidl.course.checks import FAILED, PASSED, SEED, WAITS, Check, Result
from minidl.course.grading import Grade, Grader
from minidl.course.release import later, release
from minidl.course.student import open_tree
from minidl.course.submission import Answer, Submission, carry
from minidl.course.variants import live, recorded, varied

SEEDS = (SEED, 1, 2)  # with which the solution must pass
WINDOW = 4  # lines of code that tell an answer
QUICK = "MINIDL_COURSE_QUICK"  # set for notebooks and pictures that are only tried: fewer epochs will do
SLOW = 0.5  # seconds: of checks that take longer, one seed may have to do


@dataclass(frozen=True)
class Proof:
    """One claim about an assignment, and what speaks against it: nothing, if it holds."""

    claim: str
    problems: tuple[str, ...]
    count: int  # of cases that were tried


@dataclass(frozen=True)
class Mutant:
    """A planted bug: one piece of the solution's text, replaced."""

    task: str
    name: str
    file: str
    old: str
    new: str
    hint: str = ""
    symbol: str = ""  # the function in which `old` is looked for

    def planted_in(self, source: str) -> str | None:
        """`source` with the bug; None unless its place is found exactly once."""
        if not self.symbol:
            return source.replace(self.old, self.new) if source.count(self.old) == 1 else None
        text = blanks.body(source, self.symbol) or ""
        return blanks.put(source, self.symbol, text.replace(self.old, self.new)) if text.count(self.old) == 1 else None


def prove(assignment: Assignment, *, processes: bool = True, thorough: bool = True) -> Iterator[Proof]:
    """Every claim in its turn, from the quickest to the slowest.

    processes   False leaves out the claims that start processes
    thorough    False tries a check with other seeds only if it takes less than half a second

    AssignmentError where the files themselves are wrong, or the solution fails in the library itself.
    """
    yield _points(assignment)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "release")
        release(assignment, tree)
        yield Proof("the release holds no answer", tuple(leaks(assignment, tree)), len(assignment.blanks))
        if processes:
            yield _scripts(assignment, tree)
    solution = _Solution(assignment, thorough)
    yield solution.passes()
    yield solution.in_time()
    yield solution.touches()
    yield _single_blanks(assignment, solution)
    yield _mutants(assignment, solution)
    if processes and hasattr(os, "fork"):  # not on Windows, where nothing is graded
        yield from _graded(assignment)


def answers(assignment: Assignment) -> tuple[Answer, ...]:
    """The solution, as a student would hand it in."""
    found = []
    for blank, task in assignment.blanks.items():
        text = blanks.body(assignment.source(blank.file).read_text(encoding="utf-8"), blank.symbol)
        if text is None:
            raise AssignmentError(f"{assignment.name}: {blank} is blank in the library itself")
        found.append(Answer(task.id, blank.file, blank.symbol, text))
    return tuple(found)


def mutants(assignment: Assignment) -> tuple[Mutant, ...]:
    """The planted bugs of mutants.toml. AssignmentError where one is not to be found in its file."""
    path = assignment.folder / "mutants.toml"
    if not path.exists():
        return ()
    found = []
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", ()):
        mutant = Mutant(**table)
        assignment.task(mutant.task)
        try:
            found_once = mutant.planted_in(assignment.source(mutant.file).read_text(encoding="utf-8")) is not None
        except blanks.BlankError as error:
            raise AssignmentError(f"{path}: {mutant.name!r}: {error}") from None
        if not found_once:
            raise AssignmentError(f"{path}: {mutant.name!r}: its old text does not stand exactly once in {mutant.file}")
        found.append(mutant)
    return tuple(found)


def leaks(assignment: Assignment, tree: Path) -> list[str]:
    """Where a released tree still holds an answer: the same computation, or the same lines."""
    texts = {
        path.relative_to(tree).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(tree.rglob("*"))
        if path.is_file() and path.suffix not in (".npz", ".png", ".pyc")
    }
    planted = {task.id for one in (assignment, *later(assignment)) for task in one.tasks if task.planted is not None}
    solutions = [answer for one in (assignment, *later(assignment)) for answer in answers(one)]
    solutions = [answer for answer in solutions if answer.task not in planted]  # the release has nearly the answer
    forms = {answer: blanks.normalised(answer.source) for answer in solutions}
    sizes = {_size(ast.parse(form)) for form in forms.values()}
    computed: dict[str, str] = {}
    for name, text in texts.items():
        for symbol, size, statements in _functions(text) if name.endswith(".py") else ():
            if size in sizes:  # of most functions this is all that must be known
                form = blanks.normalised("\n".join(map(ast.unparse, statements)))
                computed.setdefault(form, f"{name}: {symbol}")
    compact = {name: _compact(text) for name, text in texts.items()}
    found = []
    for answer, form in forms.items():
        if form in computed and form.count("\n") >= 2:  # a body of one or two lines may well stand twice
            found.append(f"{answer.symbol}: {computed[form]} computes the same")
        lines = _compact(answer.source).split("\n")
        windows = ["\n".join(lines[i : i + WINDOW]) for i in range(max(1, len(lines) - WINDOW + 1))]
        for name, text in compact.items():
            near = name == answer.file or name.startswith(assignment.path)
            if (len(lines) >= WINDOW or near) and any(w in text for w in windows if len(w) > 30):
                found.append(f"{answer.symbol}: its lines stand in {name}")
    return found


class _Solution:
    """The solution on every check, run once for each seed; which blanks each check went through."""

    def __init__(self, assignment: Assignment, thorough: bool):
        self.assignment, self.seeds = assignment, SEEDS if thorough else SEEDS[:1]
        self.took: dict[Check, float] = {}
        self.cases: dict[Check, list[tuple[dict[str, Any], dict[str, Any] | None]]] = {}  # one for each seed
        self.results: list[Result] = []
        self.touched: dict[Check, set[str]] = {}
        codes = {live(module_of(blank.file), blank.symbol).__code__: str(blank) for blank in assignment.blanks}
        for check in assignment.checks():
            for seed in SEEDS:
                inputs = check.inputs(seed)
                with recorded(codes if seed == SEEDS[0] else {}) as seen:
                    expected, result = check.solution(inputs)
                self.results.append(result)
                self.cases.setdefault(check, []).append((inputs, expected))
                if seed == SEEDS[0]:
                    self.touched[check] = seen
                    self.took[check] = result.seconds
                if result.seconds > SLOW and not thorough:
                    break

    def judged(self, check: Check, number: int = 0) -> Result:
        """How the library, as it is changed now, does on a check; one that takes far longer than it should is ended.

        number   of the seed; where a check was tried with fewer, it is the last of them
        """
        inputs, expected = self.cases[check][: number + 1][-1]
        with _alarm(5 * self.took[check] + 1):
            return check.judge(call_checked(check.call, inputs, check.repeat), inputs, expected)

    def passes(self) -> Proof:
        failed = [f"{r.check.task} {r.check.name}: {r.message}" for r in self.results if r.status != PASSED]
        return Proof(
            f"the solution passes every check, with up to {len(SEEDS)} seeds", tuple(failed), len(self.results)
        )

    def in_time(self) -> Proof:
        best: dict[Check, float] = {}
        for result in self.results:
            best[result.check] = min(result.seconds, best.get(result.check, result.seconds))
        slow = [
            f"{check.task} {check.name}: {seconds:.2f} s of {check.seconds:g} s"
            for check, seconds in best.items()
            if seconds > check.seconds / 2
        ]
        return Proof("the solution takes less than half of every limit", tuple(slow), len(best))

    def touches(self) -> Proof:
        """A check goes through blanks of its own task, and beside them through those that it needs, and no others."""
        problems = []
        owner = {str(blank): task.id for blank, task in self.assignment.blanks.items()}
        for check, seen in self.touched.items():
            tasks = {owner[blank] for blank in seen}
            if self.assignment.task(check.task).blanks and check.task not in tasks:
                problems.append(f"{check.task} {check.name} runs no blank of its own task")
            for other in sorted(tasks - {check.task} - needed(self.assignment, check.task)):
                problems.append(f"{check.task} {check.name} runs a blank of {other}, which its task does not need")
        for blank, task in self.assignment.blanks.items():
            if not any(str(blank) in seen for check, seen in self.touched.items() if check.task == task.id):
                problems.append(f"{task.id}: no check of the task runs {blank}")
        return Proof(
            "each check runs the blanks of its own task, and what it needs", tuple(problems), len(self.touched)
        )


def needed(assignment: Assignment, task: str) -> set[str]:
    """The tasks that a task needs, directly or not."""
    found: set[str] = set()
    queue = [task]
    while queue:
        for one in assignment.task(queue.pop()).needs:
            if one not in found:
                found.add(one)
                queue.append(one)
    return found


def module_of(file: str) -> str:
    """minidl/ops/im2col.py -> minidl.ops.im2col"""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _points(assignment: Assignment) -> Proof:
    problems = []
    for task in assignment.tasks:
        total = sum(check.points for check in assignment.checks(task.id))
        if total != task.points:
            problems.append(f"task {task.id} is worth {task.points} points, its checks {total}")
    names = [check.name for check in assignment.checks()]
    problems += [f"two checks are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    return Proof("the points of each task's checks add up to the task's", tuple(problems), len(assignment.tasks))


def _single_blanks(assignment: Assignment, solution: _Solution) -> Proof:
    """With one blank alone, the checks that run it fail, or wait where they are another task's; no other runs it."""
    problems = []
    for blank, task in assignment.blanks.items():
        path = assignment.source(blank.file)
        source = path.read_text(encoding="utf-8")
        message = f"Task {task.id}: {blank.symbol}"
        if task.planted is None:
            changed = _stub(blank, source, message)
        else:
            faulty = blanks.body((assignment.folder / task.planted).read_text(encoding="utf-8"), blank.symbol)
            changed = blanks.put(source, blank.symbol, faulty or "")
        ended = []
        with varied(path, module_of(blank.file), changed):
            for check, seen in solution.touched.items():
                if str(blank) in seen and (check.task == task.id or task.planted is None):
                    ended.append((check, solution.judged(check).status))
        if task.planted is not None:
            if not any(status == FAILED for _, status in ended):
                problems.append(f"{task.id}: {blank} as it is planted fails no check")
            continue
        for check, status in ended:
            if status != (FAILED if check.task == task.id else WAITS):
                problems.append(f"with {blank} alone blank, {check.task} {check.name} is {status}")
    return Proof("each blank alone fails its own task, and no other", tuple(problems), len(assignment.blanks))


def _stub(blank: Blank, source: str, message: str) -> str:
    """The file with this one blank. Names that the body takes from around it, as super() does, stay in use."""
    free = live(module_of(blank.file), blank.symbol).__code__.co_freevars
    return blanks.put(source, blank.symbol, "\n".join([f'raise NotImplementedError("{message}")', *free]))


def _mutants(assignment: Assignment, solution: _Solution) -> Proof:
    """Each bug is caught with the inputs of every seed, as students are graded with new ones, and told by its hint."""
    problems = []
    planted = mutants(assignment)
    for mutant in planted:
        path = assignment.source(mutant.file)
        changed = mutant.planted_in(path.read_text(encoding="utf-8"))
        assert changed is not None
        checks, messages = assignment.checks(mutant.task), []
        with varied(path, module_of(mutant.file), changed):
            for check in checks:
                result = solution.judged(check)
                if result.status == FAILED:
                    messages.append(result.message)
                    if mutant.hint in result.message:
                        break
            lucky = [
                seed
                for number, seed in enumerate(solution.seeds[1:], start=1)
                if all(solution.judged(check, number).status != FAILED for check in checks)
            ]
        if not messages:
            problems.append(f"{mutant.task}: {mutant.name!r} is not caught")
        elif not any(mutant.hint in message for message in messages):
            problems.append(f"{mutant.task}: {mutant.name!r}: {mutant.hint!r} is not in: {messages[0]}")
        elif lucky:
            problems.append(f"{mutant.task}: {mutant.name!r} is not caught with the inputs of seed {lucky[0]}")
    have = {mutant.task for mutant in planted}
    problems += [f"task {task.id} has no planted bug" for task in assignment.tasks if task.id not in have]
    return Proof("every planted bug is caught by its own task", tuple(problems), len(planted))


def _scripts(assignment: Assignment, tree: Path) -> Proof:
    """The notebook runs from top to bottom, and the picture is drawn, in a released tree, which is solved here."""
    scripts = [name for name in ("notebook.py", "picture.py") if (assignment.folder / name).exists()]
    _, problems = carry(Submission("solution", assignment.name, "", answers(assignment)), open_tree(tree))
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(tree), "MPLBACKEND": "Agg", QUICK: "1"}
        for name in scripts:
            what = [str(tree / assignment.path / name)]
            if name == "picture.py":
                what = ["-m", "minidl", "course", "picture", "--out", folder]
            command = [sys.executable, "-W", "error", *what]
            ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
            if ended.returncode:
                problems.append(f"{name} ends with {ended.returncode}:\n{(ended.stdout + ended.stderr)[-2000:]}")
            elif name == "picture.py" and not any(Path(folder).glob("*.*")):
                problems.append("picture.py draws no file")
    return Proof("the notebook runs and the picture is drawn in a solved release", tuple(problems), len(scripts))


def _graded(assignment: Assignment) -> Iterator[Proof]:
    with tempfile.TemporaryDirectory() as folder, Grader(assignment) as grader:
        seal = grader.manifest["seal"]
        solved = Submission("solution", assignment.name, seal, answers(assignment))
        empty = Submission("blank", assignment.name, seal, ())
        grades: list[Grade] = []
        for submission in (solved, empty):
            path = Path(folder, f"{submission.name}.json")
            path.write_text(submission.as_json(), encoding="utf-8")
            grades.append(grader.grade(path))
    full, none = grades
    problems = [f"{task.task.id} has {task.points} of {task.task.points}:\n{task.text}" for task in full.tasks]
    wrong = [text for text, task in zip(problems, full.tasks, strict=True) if task.points != task.task.points]
    yield Proof("graded in a released tree, the solution has all points", (*_said(full), *wrong), len(full.tasks))
    earned = [f"{task.task.id} has {task.points} points" for task in none.tasks if task.points]
    yield Proof("graded, the blank release has no points", (*_said(none), *earned), len(none.tasks))


def _said(grade: Grade) -> tuple[str, ...]:
    return (grade.problem,) if grade.problem else ()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """TimeoutError inside code that takes more processor time, where the system has that: a bug may never end."""
    if not hasattr(signal, "SIGPROF") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeoutError(f"no end within {seconds:.1f} s of processor time")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@cache
def _compact(text: str) -> str:
    """The lines with code, without spaces and comments at their end. Remembered: releases have most files in common."""
    lines = (re.sub(r"\s#\s.*", "", line) for line in text.replace("\\n", "\n").split("\n"))
    found = ("".join(line.split()).strip('",') for line in lines)
    return "\n".join(line for line in found if line and not line.startswith("#"))


def _size(node: ast.AST) -> int:
    return sum(1 for _ in ast.walk(node))


@cache
def _functions(source: str) -> list[tuple[str, int, list[ast.stmt]]]:
    """Every function of a file: its name, and the size and the statements of its body. Remembered as well."""
    try:
        tree = blanks.parse(source)
    except blanks.BlankError:
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            found.append((node.name, sum(map(_size, statements)) + 1, statements))
    return found

"""Grading: each submission in a clean tree of its own, its code in a worker, its answers judged here.

    with Grader(find_assignment("a2")) as grader:
        for path, grade in grader.grade_all(paths): in the order in which they are ready
            grade.points, grade.of, grade.tasks     what each task got, with the words for the student

The inputs are drawn once for a batch, from a fresh seed, for the visible checks as well as for the hidden ones, so that
no answer can be written down beforehand; what is expected is computed from them by the library that runs this.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy

from minidl.course import blanks
from minidl.course.assignment import LIBRARY, Assignment, AssignmentError, Blank, Task
from minidl.course.calling import Outcome, save_arrays
from minidl.course.checks import FAILED, PASSED, WAITS, Check, Result
from minidl.course.extract import calls_only
from minidl.course.files import write_text
from minidl.course.release import write_tree
from minidl.course.student import told
from minidl.course.submission import Answer, Submission, SubmissionError, read_submission
from minidl.course.workers import (
    Limits,
    Worker,
    WorkerError,
    free_users,
    guard,
    read_outcome,
    remove_files_of,
    remove_folder,
    why_it_ended,
)

SEEDS = 5  # tried for inputs on which the solution passes: a training may fail by chance
STOPPED_CHECKS = 2  # of a task that may run out of time before the rest of it is not run
BUSY = 60  # times that a worker is asked again which could not start a process
FOR_ONE = 240.0  # seconds that the checks of one submission may take
SLACK = 3  # times the processor time of a check that may pass on the clock: the machine has other things to do
OVERHEAD = 0.5  # seconds of processor time for reading inputs and writing outputs, which are not the student's
OWN_FAULT = "the grader failed"  # how a problem begins that is not the submission's
FILES = {False: "checks.py", True: "hidden_checks.py"}


@dataclass(frozen=True)
class TaskGrade:
    """What one task got. `status` is "passed" (all points), "failed", or "waits" for another task."""

    task: Task
    results: tuple[Result, ...]
    text: str  # for the student

    @property
    def points(self) -> int:
        return sum(result.points for result in self.results)

    @property
    def status(self) -> str:
        statuses = {result.status for result in self.results}
        if statuses <= {PASSED}:
            return PASSED if self.results else FAILED
        return WAITS if FAILED not in statuses and PASSED not in statuses else FAILED


@dataclass(frozen=True)
class Grade:
    """What one submission got. `problem` says why it could not be graded at all; then it has no points."""

    name: str
    assignment: Assignment
    tasks: tuple[TaskGrade, ...]
    notes: tuple[str, ...] = ()
    problem: str = ""
    submission: Submission | None = None
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(task.points for task in self.tasks if task.task.id not in self.uncounted)

    def called(self, name: str) -> Grade:
        """The same under another name."""
        return replace(self, name=name)

    @property
    def uncounted(self) -> set[str]:
        """The tasks of a choice that are not among the best."""
        by_id = {task.task.id: task for task in self.tasks}
        passed_over: set[str] = set()
        for choice in self.assignment.choices:
            ranked = sorted((by_id[id] for id in choice.tasks if id in by_id), key=lambda task: -task.points)
            passed_over |= {task.task.id for task in ranked[choice.best :]}
        return passed_over

    @property
    def of(self) -> int:
        return self.assignment.points


@dataclass(frozen=True)
class _Drawn:
    """A check with its inputs of this batch, and what is expected of it."""

    check: Check
    inputs: dict[str, numpy.ndarray]
    expected: dict[str, numpy.ndarray] | None
    file: bytes  # the inputs, as an .npz


@dataclass
class Grader:
    """Grades submissions of one assignment. A context manager: what it has in a temporary folder goes with it.

    seed        of the inputs; a fresh one if None
    jobs        submissions at a time
    memory      MB for the code of one
    seconds     for the checks of one
    patience    seconds on the clock that every check may take, however little processor time it needs
    """

    assignment: Assignment
    seed: int | None = None
    jobs: int = 1
    memory: int = 2000
    seconds: float = FOR_ONE
    patience: float = 10.0
    notes: list[str] = field(default_factory=list)  # for staff

    def __enter__(self) -> Grader:
        if not hasattr(os, "fork"):
            raise AssignmentError("grading needs Linux or macOS: on Windows use WSL, or bundle --gradescope")
        if self.assignment.root != LIBRARY:
            raise AssignmentError(f"the library that runs this is not {self.assignment.root}: it has other answers")
        guard()
        self._folder = tempfile.TemporaryDirectory(prefix="minidl-grading-", ignore_cleanup_errors=True)
        self.work = Path(self._folder.name)
        self.work.chmod(0o711)
        closed = self.work / "closed"
        closed.mkdir(mode=0o700)
        self._pristine = closed / "tree"
        self.manifest = write_tree(self.assignment, self._pristine)
        for extra in ("tests", "Makefile", "README.md", "pyproject.toml", ".gitignore", "release.json"):
            remove_folder(self._pristine / extra)  # only code is run
        _compile(self.assignment, self._pristine)
        self._calls = self.work / "calls"
        self._calls.mkdir()
        for hidden, name in FILES.items():
            if (path := self.assignment.folder / name).exists():
                write_text(self._calls / FILES[hidden], calls_only(path))
        self._inputs = closed / "inputs"  # each is shown to a worker for its own check alone
        self._inputs.mkdir()
        self.seed = secrets.randbits(48) if self.seed is None else self.seed
        self._drawn = [self._draw(number, check) for number, check in enumerate(self.assignment.checks())]
        _open(self._calls)
        self.users = free_users(self.jobs)
        self._image = None if self.users[0] is not None else _in_memory(self.work)
        self._slots: SimpleQueue[tuple[int, int | None]] = SimpleQueue()
        for slot, user in enumerate(self.users):
            self._slots.put((slot, user))
        self._stop = threading.Event()
        self._runs: set[_Run] = set()
        self._try_worker()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._folder.cleanup()

    def _draw(self, number: int, check: Check) -> _Drawn:
        """Inputs on which the solution passes, and what it gives."""
        assert self.seed is not None
        for attempt in range(SEEDS):
            seed = (self.seed, number, attempt)
            inputs = check.inputs(seed)
            expected, result = check.solution(inputs)
            if result.status == PASSED:
                path = self._inputs / f"{number}.npz"
                save_arrays(path, inputs)
                path.chmod(0o644)
                return _Drawn(check, inputs, expected, path.read_bytes())
        raise AssignmentError(f"the solution itself fails {check.name}, with {SEEDS} seeds:\n{result.message}")

    def _try_worker(self) -> None:
        """Start a worker as a submission's, and say to staff what its code could read."""
        user = self.users[0]
        folder = self.work / "trial"
        self._own_tree(folder, user)
        worker = self.worker(folder, user)
        try:
            seen = worker.ready()["seen"]
        except WorkerError as error:
            hint = ""
            if user is not None:
                hint = (
                    f"\n  help: as root, submissions run as user {user}, who must be able to read the Python in "
                    f"{sys.base_prefix}. Take one that everybody can read, or do not grade as root"
                )
            raise AssignmentError(f"no worker starts: {error}\n{worker.text()}{hint}") from None
        finally:
            worker.close()
            remove_folder(folder)
        if user is None:
            self.notes.append(
                "not as root: the code of submissions runs as your own user, who may read the answers in "
                f"{LIBRARY}. Grade as root, or in a container of its own, where that matters"
            )
        elif seen:
            self.notes.append(
                f"the answers in {seen[0]} can be read by every user, so by the code of submissions too. Close the "
                f"folder while you grade: chmod o-rx {seen[0]}"
            )

    def worker(self, folder: Path, user: int | None) -> Worker:
        """A new worker in the tree in `folder`."""
        shared = self.work if self._image is None else folder
        limits = Limits(memory=self.memory, user=user)
        return Worker(folder / "tree", shared / "calls", folder / "inputs", folder / "scratch", limits)

    def _own_tree(self, folder: Path, user: int | None) -> Path:
        """A copy of the release that only `user` can read, with a folder beside it that it may write to.

        Where submissions run as our own user, one could spoil what the next are graded with. So all of that comes anew
        from memory then.
        """
        folder.mkdir()
        tree, scratch = folder / "tree", folder / "scratch"
        scratch.mkdir(mode=0o700)
        (folder / "inputs").mkdir()
        if self._image is not None:
            for path, (data, date) in self._image.items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                os.utime(target, ns=(date, date))
            return tree
        # Links are as good as copies to whoever may not write to them; `_put` replaces files, it writes into none.
        shutil.copytree(self._pristine, tree, copy_function=os.link)
        assert user is not None
        os.chown(folder, 0, user)
        folder.chmod(0o750)
        (folder / "inputs").chmod(0o755)
        os.chown(scratch, user, user)
        return tree

    # ------------------------------------------------------------------------------------------- one submission

    def grade_all(self, paths: Sequence[Path]) -> Generator[tuple[Path, Grade], None, None]:
        """Each submission with its grade, as soon as it is ready, `jobs` at a time. None of them stops the others.

        Whoever stops listening, or is interrupted, does not wait for what still runs.
        """
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = {pool.submit(self.grade, path): path for path in paths}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                self._stop.set()
                for future in futures:
                    future.cancel()
                for run in list(self._runs):
                    run.interrupt()
                raise

    def grade(self, path: Path, progress: Callable[[Grade], None] | None = None) -> Grade:
        """The grade of one submission; `progress` gets what there is of it after each task."""
        name = path.name.removesuffix(".json").removesuffix("_submission") or path.name
        try:
            submission = read_submission(path, self.manifest)
            if submission.assignment != self.assignment.name:
                raise SubmissionError(
                    f"this is a submission of {submission.assignment[:40]!r}; here {self.assignment.name} is graded"
                )
            return self._grade(submission, progress or (lambda _: None))
        except SubmissionError as error:
            return self._nothing(name, str(error))
        except Exception as error:  # the grader's own mistake, or what nobody thought of: the others go on
            return self._nothing(name, f"{OWN_FAULT}: {type(error).__name__}: {error}. Please tell the staff")

    def _nothing(self, name: str, problem: str) -> Grade:
        tasks = [
            TaskGrade(task, tuple(Result(c, FAILED, "not run") for c in self.assignment.checks(task.id)), problem)
            for task in self.assignment.tasks
        ]
        return Grade(name, self.assignment, tuple(tasks), problem=problem)

    def _grade(self, submission: Submission, progress: Callable[[Grade], None]) -> Grade:
        began = time.monotonic()
        slot, user = self._slots.get()
        folder = self.work / f"slot-{slot}"
        try:
            remove_folder(folder)
            tree = self._own_tree(folder, user)
            refused, notes = self._fill(tree, submission)
            run = _Run(self, folder, user, began)
            self._runs.add(run)
            grade = Grade(submission.name, self.assignment, (), tuple(notes), submission=submission)
            try:
                for task in self.assignment.tasks:
                    results = run.task(task, refused)
                    done = (*grade.tasks, TaskGrade(task, results, self._text(results)))
                    grade = replace(grade, tasks=done, seconds=time.monotonic() - began)
                    progress(grade)
            finally:
                self._runs.discard(run)
                run.close()
            return grade
        finally:
            remove_folder(folder)
            remove_files_of(user)
            self._slots.put((slot, user))

    def _fill(self, tree: Path, submission: Submission) -> tuple[dict[str, str], list[str]]:
        """Put the answers into the tree. Returns why some of a task were refused, by task, and notes."""
        notes = []
        if submission.release != self.manifest["seal"]:
            notes.append(
                "this was collected from another release of the assignment than the one that is graded with; where "
                "functions were changed since, that shows below"
            )
        known = self.assignment.blanks
        refused: dict[str, str] = {}
        for problem in submission.problems:
            of_task = [task.id for task in self.assignment.tasks if problem.startswith(f"task {task.id},")]
            refused |= dict.fromkeys(of_task, problem)
            if not of_task:
                notes.append(problem)
        for answer in submission.answers:
            blank = Blank(answer.file, answer.symbol)
            if blank not in known:
                notes.append(f"{answer.file[:100]}: {answer.symbol[:100]} is no blank of this assignment: passed over")
                continue
            problem_text = _put(tree, answer)
            if problem_text is not None:
                refused[known[blank].id] = problem_text
        return refused, notes

    def _text(self, results: Sequence[Result]) -> str:
        """What the student reads of a task: a line for each check that passed, more for the others."""
        lines = []
        for result in results:
            worth = f"{result.points} of {result.check.points}"
            if result.status == PASSED:
                lines.append(f"[{worth}] passed: {result.check.sentence}")
            else:
                first, *rest = told(result, self.assignment).splitlines()
                lines += [f"[{worth}] {result.status}: {first.partition(': ')[2]}", *rest]
        messages = {result.message for result in results}
        if len(messages) == 1 and len(results) > 1 and results[0].status != PASSED:  # as before anything is written
            told_once = [f"  {line}" for line in results[0].message.splitlines()]
            return "\n".join([f"all {len(results)} checks: {results[0].status}", *told_once])
        return "\n".join(lines)


class _Run:
    """The checks of one submission, in as few workers as it takes."""

    def __init__(self, grader: Grader, folder: Path, user: int | None, began: float):
        self.grader, self.folder, self.user = grader, folder, user
        self.end = began + grader.seconds
        self.worker: Worker | None = None

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def interrupt(self) -> None:
        """From another thread: do not wait for the check that runs."""
        if (worker := self.worker) is not None:
            worker.interrupt()

    def task(self, task: Task, refused: dict[str, str]) -> tuple[Result, ...]:
        """The result of each check of the task."""
        results: list[Result] = []
        stopped = 0
        for number, drawn in enumerate(self.grader._drawn):
            if drawn.check.task != task.id:
                continue
            if task.id in refused:
                results.append(Result(drawn.check, FAILED, refused[task.id]))
            elif stopped >= STOPPED_CHECKS:
                results.append(Result(drawn.check, FAILED, f"not run: {stopped} checks of this task did not end"))
            elif time.monotonic() > self.end or self.grader._stop.is_set():
                text = f"not run: the {self.grader.seconds:.0f} s for one submission are over"
                results.append(Result(drawn.check, FAILED, text))
            else:
                result, ended = self._check(number, drawn)
                results.append(result)
                stopped += not ended
        return tuple(results)

    def _check(self, number: int, drawn: _Drawn) -> tuple[Result, bool]:
        """The result, and whether the code ended by itself."""
        check = drawn.check
        inputs, outputs = self.folder / "inputs" / f"{number}.npz", self.folder / "scratch" / f"{number}"
        inputs.write_bytes(drawn.file)  # for as long as the check runs: none computes what another one is asked
        inputs.chmod(0o644)
        job = {
            "file": FILES[check.hidden],
            "check": check.name,
            "inputs": inputs.name,
            "outputs": str(outputs),
            "seconds": check.seconds,
            "repeat": check.repeat,
        }
        twice = 2 if check.repeat else 1
        try:
            answer, printed = self._ask(job, max(self.grader.patience, SLACK * twice * check.seconds))
        except WorkerError as error:
            printed = self.worker.text() if self.worker is not None else ""
            self.close()
            return Result(check, FAILED, _with_print(str(error), printed)), False
        finally:
            inputs.unlink(missing_ok=True)
        took = answer.get("seconds")
        seconds = float(took) if isinstance(took, (int, float)) else 0.0
        outcome = read_outcome(outputs)
        for left in (outputs.with_suffix(".json"), outputs.with_suffix(".npz")):
            with contextlib.suppress(OSError):
                left.unlink()
        if outcome is None:
            text = why_it_ended(answer.get("status"), seconds)
            return Result(check, FAILED, _with_print(text, printed), seconds), "stopped" not in text
        outcome.seconds = max(outcome.seconds, seconds / twice - OVERHEAD)
        return self._judged(drawn, outcome, printed), True

    def _ask(self, job: dict[str, Any], seconds: float) -> tuple[dict[str, Any], str]:
        """The answer of the worker, which is started if there is none, and what was printed."""
        if self.worker is None:
            self.worker = self.grader.worker(self.folder, self.user)
            self.worker.ready()
        answer = self.worker.run(job, seconds)
        for _ in range(BUSY):
            if not answer.get("busy"):
                break
            time.sleep(0.5)
            answer = self.worker.run(job, seconds)
        return answer, self.worker.text()

    def _judged(self, drawn: _Drawn, outcome: Outcome, printed: str) -> Result:
        result = drawn.check.judge(outcome, drawn.inputs, drawn.expected)
        return result if result.status != FAILED else replace(result, message=_with_print(result.message, printed))


def _with_print(text: str, printed: str) -> str:
    if not printed:
        return text
    lines = printed.splitlines()[:20]
    return "\n".join([text, "printed:", *(f"  {line[:200]}" for line in lines)])


def _put(tree: Path, answer: Answer) -> str | None:
    """Put one body into the tree; None, or why that cannot be."""
    path = tree / answer.file
    try:
        changed = blanks.put(path.read_text(encoding="utf-8"), answer.symbol, answer.source, answer.file).encode()
    except blanks.BlankError as error:
        return str(error)
    except UnicodeEncodeError:
        return f"{answer.symbol}: characters that no file can hold"
    for outdated in (path, *(path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")):
        outdated.unlink()
    path.write_bytes(changed)
    path.chmod(0o644)
    return None


def _in_memory(work: Path) -> dict[str, tuple[bytes, int]]:
    """The files of the clean tree and the calls: what is in each, and its date."""
    found = {}
    for start, folder in (("tree", work / "closed" / "tree"), ("calls", work / "calls")):
        for path in folder.rglob("*"):
            if path.is_file():
                name = f"{start}/{path.relative_to(folder).as_posix()}"
                found[name] = path.read_bytes(), path.stat().st_mtime_ns
    return found


def _compile(assignment: Assignment, tree: Path) -> None:
    """Compile all files once, for every worker. What the release leaves as it is need not even be compiled once."""
    for path in tree.rglob("*.py"):
        source = assignment.source(path.relative_to(tree).as_posix())
        compiled = Path(cache_from_source(str(source)))
        if compiled.is_file() and source.read_bytes() == path.read_bytes():
            shutil.copystat(source, path)  # its date tells Python that the compiled file is still right
            target = Path(cache_from_source(str(path)))
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(compiled, target)
    compileall.compile_dir(tree, quiet=2)
    _open(tree)


def _open(folder: Path) -> None:
    """Let every user read what is in `folder`, whatever the umask is."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

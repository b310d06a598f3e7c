"""One assignment: a folder of assignments/, described by its assignment.toml.

    assignment = find_assignment("a2")
    assignment.task("2.3").blanks       (Blank("minidl/ops/convolution.py", "Conv2d.backward"),)
    assignment.checks()                 those that students see, then those that they do not

The answers stand nowhere here: they are the library, in the folder above (`root`), and the assignment's own .py files.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from minidl.course.checks import AssignmentError, Check, load_checks
from minidl.errors import explain

LIBRARY = Path(__file__).resolve().parents[2]  # the folder that holds minidl/, architectures/ and assignments/
ALWAYS_INCLUDED = ("minidl", "architectures")
TASK_ID = re.compile(r"\d+\.\d+[a-z]?")  # 2.3, or 2.3a
WRITTEN_ID = re.compile(r"\d+\.W\d+")  # 2.W1


@dataclass(frozen=True)
class Blank:
    """A function whose body a student writes: `symbol`, nested names joined by dots, in `file` (with /)."""

    file: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.file}:{self.symbol}"


@dataclass(frozen=True)
class Task:
    """A step of an assignment.

    needs     the tasks that its checks cannot do without
    planted   a file of the assignment's folder, never released, with the same functions, but faulty: the release has
              those in place of blanks, and the task is to mend them
    """

    id: str
    title: str
    points: int
    blanks: tuple[Blank, ...]
    needs: tuple[str, ...] = ()
    planted: str | None = None

    @property
    def marker(self) -> str:
        """What pytest selects it by: task2_3."""
        return marker(self.id)


@dataclass(frozen=True)
class Written:
    """A question that is answered in words, and marked by a person."""

    id: str
    title: str
    points: int


@dataclass(frozen=True)
class Choice:
    """Tasks of equal points, of which the best `best` count."""

    title: str
    best: int
    tasks: tuple[str, ...]


def marker(task: str) -> str:
    """The name of a task's pytest marker: "2.3" -> "task2_3"."""
    return "task" + task.replace(".", "_")


@dataclass(frozen=True)
class Assignment:
    """One folder of assignments/.

    root     the folder of the library, in which the answers are
    remove   files and folders of the library that a release leaves out, because they hold an answer
    hollow   the same for files that must stay: a file, or file:symbol, whose functions are emptied
    include  the folders of the library that a release has
    """

    name: str
    title: str
    folder: Path
    root: Path
    tasks: tuple[Task, ...]
    written: tuple[Written, ...] = ()
    minutes: int | None = None  # that it takes a student, about
    builds_on: str | None = None
    choices: tuple[Choice, ...] = ()
    remove: tuple[str, ...] = ()
    hollow: tuple[str, ...] = ()
    include: tuple[str, ...] = ALWAYS_INCLUDED

    def task(self, id: str) -> Task:
        """The task of that number. AssignmentError where there is none."""
        for task in self.tasks:
            if task.id == id:
                return task
        known = ", ".join(task.id for task in self.tasks)
        raise AssignmentError(f"{self.name} has no task {id!r}; its tasks are {known}")

    @property
    def points(self) -> int:
        """What all tasks are worth, of a choice the best; the written questions come on top."""
        chosen = {id for choice in self.choices for id in choice.tasks}
        best = sum(choice.best * self.task(choice.tasks[0]).points for choice in self.choices)
        return best + sum(task.points for task in self.tasks if task.id not in chosen)

    @property
    def blanks(self) -> dict[Blank, Task]:
        """Every blank, and the task that it belongs to."""
        return {blank: task for task in self.tasks for blank in task.blanks}

    @property
    def path(self) -> str:
        """The folder as it stands in every tree: assignments/a2_convolution."""
        return f"assignments/{self.folder.name}"

    def source(self, file: str) -> Path:
        """Where a file of a tree, minidl/ops/im2col.py or assignments/a2_convolution/loops.py, stands here."""
        own = f"{self.path}/"
        return self.folder / file.removeprefix(own) if file.startswith(own) else self.root / file

    @cached_property
    def visible_checks(self) -> tuple[Check, ...]:
        """The checks of checks.py, which students have."""
        return self._load("checks.py", hidden=False)

    @cached_property
    def hidden_checks(self) -> tuple[Check, ...]:
        """The checks of hidden_checks.py; none in a released tree."""
        return self._load("hidden_checks.py", hidden=True)

    def checks(self, task: str | None = None) -> tuple[Check, ...]:
        """Those that students see, then those that they do not; of one task, or of all."""
        everything = self.visible_checks + self.hidden_checks
        return everything if task is None else tuple(check for check in everything if check.task == task)

    def _load(self, file: str, hidden: bool) -> tuple[Check, ...]:
        path = self.folder / file
        if not path.exists():
            return ()
        if (tree := str(self.folder.parents[1])) not in sys.path:
            sys.path.append(tree)  # for `from assignments.a2_convolution.loops import ...`
        checks = load_checks(path, hidden)
        known = {task.id for task in self.tasks}
        for check in checks:
            if check.task not in known:
                raise AssignmentError(
                    explain("load_checks", f"{path.name}: {check.name} is of task {check.task}, which does not exist")
                )
        return checks


def load_assignment(folder: Path | str, root: Path | None = None) -> Assignment:
    """The assignment that stands in `folder`, on the library in `root` (two folders up).

    AssignmentError, with the place, where its assignment.toml is wrong.
    """
    folder = Path(folder).resolve()
    path = folder / "assignment.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AssignmentError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AssignmentError(f"{path}: {error}") from None
    known = {"name", "title", "minutes", "builds_on", "remove", "hollow", "include", "task", "written", "choice"}
    _only(table, known, path)
    tasks = tuple(_task(entry, path) for entry in table.get("task", ()))
    written = tuple(_written(entry, path) for entry in table.get("written", ()))
    assignment = Assignment(
        name=_value(table, "name", str, path),
        title=_value(table, "title", str, path),
        folder=folder,
        root=folder.parents[1] if root is None else root,
        tasks=tasks,
        written=written,
        minutes=_value(table, "minutes", int, path, None),
        builds_on=_value(table, "builds_on", str, path, None),
        choices=tuple(_choice(entry, path) for entry in table.get("choice", ())),
        hollow=tuple(_paths(table.get("hollow", ()), path)),
        remove=tuple(_paths(table.get("remove", ()), path)),
        include=tuple(_paths(table.get("include", ALWAYS_INCLUDED), path)),
    )
    _consistent(assignment, path)
    return assignment


def all_assignments(root: Path = LIBRARY) -> tuple[Assignment, ...]:
    """Every assignment below `root`/assignments, by name."""
    folders = sorted(path.parent for path in (root / "assignments").glob("*/assignment.toml"))
    return tuple(sorted(map(load_assignment, folders), key=lambda assignment: assignment.name))


def find_assignment(name: str | None = None, root: Path = LIBRARY) -> Assignment:
    """The assignment called `name` ("a2", or the name of its folder, or its path); without one, the only one there is.

    AssignmentError, with those that there are, where it is not found.
    """
    if name is not None and (Path(name) / "assignment.toml").is_file():
        return load_assignment(Path(name), root)
    found = all_assignments(root)
    chosen = [one for one in found if name is None or name in (one.name, one.folder.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(one.name for one in found) or "none"
    if name is None and found:
        raise AssignmentError(f"several assignments stand here: name one of {names}")
    if not found:
        raise AssignmentError(f"{root / 'assignments'} holds no assignment: is this a tree of the course?")
    raise AssignmentError(f"there is no assignment {name!r} in {root / 'assignments'}; there are: {names}")


# ------------------------------------------------------------------------------------- what stands in assignment.toml

_REQUIRED = object()


def _value(table: dict[str, Any], key: str, kind: type, path: Path, default: Any = _REQUIRED) -> Any:
    value = table.get(key, default)
    if value is _REQUIRED:
        raise AssignmentError(f"{path}: {key!r} is missing in {table.get('id', 'the file')}")
    if value is not default and type(value) is not kind:
        raise AssignmentError(f"{path}: {key} = {value!r} must be of type {kind.__name__}")
    return value


def _only(table: dict[str, Any], known: set[str], path: Path) -> None:
    if unknown := sorted(table.keys() - known):
        raise AssignmentError(f"{path}: {unknown[0]!r} is not a key; the keys are {', '.join(sorted(known))}")


def _paths(paths: Iterable[Any], where: Path) -> Iterable[str]:
    for path in paths:
        if not isinstance(path, str) or "\\" in path or ".." in PurePosixPath(path).parts or path.startswith("/"):
            raise AssignmentError(f"{where}: {path!r} must be a path inside the tree, with /")
        yield path.rstrip("/")


def _task(table: dict[str, Any], path: Path) -> Task:
    _only(table, {"id", "title", "points", "blanks", "needs", "planted"}, path)
    id = _value(table, "id", str, path)
    if not TASK_ID.fullmatch(id):
        raise AssignmentError(f"{path}: the id {id!r} of a task must look like 2.3")
    blanks = []
    for text in table.get("blanks", ()):
        file, _, symbol = text.partition(":")
        if not symbol or not all(part.isidentifier() for part in symbol.split(".")):
            raise AssignmentError(f"{path}: task {id}: the blank {text!r} must look like minidl/file.py:Class.method")
        (file,) = _paths([file], path)
        blanks.append(Blank(file, symbol))
    points = _value(table, "points", int, path)
    if points < 1:
        raise AssignmentError(f"{path}: task {id} must be worth at least one point")
    needs, planted = tuple(table.get("needs", ())), _value(table, "planted", str, path, None)
    return Task(id, _value(table, "title", str, path), points, tuple(blanks), needs, planted)


def _written(table: dict[str, Any], path: Path) -> Written:
    _only(table, {"id", "title", "points"}, path)
    id = _value(table, "id", str, path)
    if not WRITTEN_ID.fullmatch(id):
        raise AssignmentError(f"{path}: the id {id!r} of a written question must look like 2.W1")
    return Written(id, _value(table, "title", str, path), _value(table, "points", int, path))


def _choice(table: dict[str, Any], path: Path) -> Choice:
    _only(table, {"title", "best", "tasks"}, path)
    tasks = tuple(table.get("tasks", ()))
    best = _value(table, "best", int, path)
    if not 0 < best <= len(tasks):
        raise AssignmentError(f"{path}: the best {best} of {len(tasks)} tasks cannot be chosen")
    return Choice(_value(table, "title", str, path), best, tasks)


def _consistent(assignment: Assignment, path: Path) -> None:
    ids = [task.id for task in assignment.tasks] + [question.id for question in assignment.written]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise AssignmentError(f"{path}: the id {twice[0]} stands there twice")
    chosen = [id for choice in assignment.choices for id in choice.tasks]
    if strange := [id for id in chosen if id not in ids[: len(assignment.tasks)] or chosen.count(id) > 1]:
        raise AssignmentError(f"{path}: {strange[0]!r} in a choice must be a task, and in one choice once")
    for choice in assignment.choices:
        if len({assignment.task(id).points for id in choice.tasks}) > 1:
            raise AssignmentError(f"{path}: the tasks of {choice.title!r} must be worth the same")
    blanks = [blank for task in assignment.tasks for blank in task.blanks]
    if repeated := [blank for blank in blanks if blanks.count(blank) > 1]:
        raise AssignmentError(f"{path}: {repeated[0]} is a blank twice")
    for task in assignment.tasks:
        for needed in task.needs:
            if needed not in ids or needed == task.id or task.needs.count(needed) > 1:
                raise AssignmentError(
                    f"{path}: task {task.id} needs {needed!r}, which must be another task, named once"
                )

"""What staff want to know of a batch: how the points lie, which check was the hardest, and who wrote the same."""

from __future__ import annotations

import io
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles

from minidl.course import blanks
from minidl.course.assignment import Assignment, Task
from minidl.course.checks import PASSED, Check
from minidl.course.grading import Grade

PIECE = 6  # tokens that follow each other
COMMON = 0.1  # of the submissions: a piece that so many have is nobody's own
FEW = 3  # submissions that may share a piece in any case
ALIKE = 0.7  # of the pieces of two submissions that are not common, how many both have
ENOUGH = 25  # pieces that two must share to be worth a look
BARS = 10
HARDEST = 6  # checks that are named in the text
MOST = 20  # lines of a list
NAMED = 4  # functions that a pair is told to have in common


@dataclass(frozen=True)
class Pair:
    """Two submissions that have much in common which few others have."""

    first: str
    second: str
    share: float  # of the uncommon pieces of both
    symbols: tuple[str, ...]  # the functions in which they are


@dataclass(frozen=True)
class TaskView:
    """How a batch did in one task: the mean of its points, and how many submissions have all of them, some, none though
    they handed something in, or left it out."""

    task: Task
    points: float
    all: int
    some: int
    none: int
    out: int

    @property
    def share(self) -> float:
        return self.points / self.task.points


@dataclass(frozen=True)
class Overview:
    """A batch in numbers: of the submissions that could be graded."""

    assignment: Assignment
    points: tuple[int, ...]
    problems: tuple[tuple[str, str], ...]  # (submission, why it was not graded)
    notes: tuple[tuple[str, str], ...]  # (submission, what is to be known of it)
    tasks: tuple[TaskView, ...]
    checks: tuple[tuple[Check, float], ...]  # share of the submissions that pass, the hardest first
    pairs: tuple[Pair, ...]

    @property
    def hardest(self) -> tuple[tuple[Check, float], ...]:
        """The checks that not everybody passes."""
        return tuple((check, share) for check, share in self.checks if share < 1)


def overview(assignment: Assignment, grades: Sequence[Grade]) -> Overview:
    """Of these grades."""
    graded = [grade for grade in grades if not grade.problem]
    passed: dict[Check, list[bool]] = {check: [] for check in assignment.checks()}
    for grade in graded:
        for task in grade.tasks:
            for result in task.results:
                passed[result.check].append(result.status == PASSED)
    checks = [(check, mean(results)) for check, results in passed.items() if results]
    return Overview(
        assignment,
        tuple(sorted(grade.points for grade in graded)),
        tuple(sorted((grade.name, grade.problem) for grade in grades if grade.problem)),
        tuple(sorted((grade.name, note) for grade in graded for note in grade.notes)),
        tuple(_task(task, graded) for task in assignment.tasks) if graded else (),
        tuple(sorted(checks, key=lambda pair: pair[1])),
        tuple(near_identical(grades)),
    )


def _task(task: Task, graded: Sequence[Grade]) -> TaskView:
    own = {(blank.file, blank.symbol) for blank in task.blanks}
    points, counts = [], Counter[str]()
    for grade in graded:
        got = next((done.points for done in grade.tasks if done.task.id == task.id), 0)
        answers = grade.submission.answers if grade.submission is not None else ()
        tried = any((answer.file, answer.symbol) in own for answer in answers)
        counts["all" if got == task.points else "some" if got else "none" if tried else "out"] += 1
        points.append(got)
    return TaskView(task, mean(points), counts["all"], counts["some"], counts["none"], counts["out"])


def near_identical(grades: Sequence[Grade]) -> Iterator[Pair]:
    """Pairs of submissions that share most of what few others wrote, the most alike first.

    Compared are the computations: comments, formatting and the names of local variables do not count. What more than
    a tenth of the batch has in common is left out, as short standard answers are the same everywhere.
    """
    pieces = {grade.name: _pieces(grade) for grade in grades if grade.submission is not None}
    counts = Counter(piece for found in pieces.values() for piece in found)
    most = max(FEW, COMMON * len(pieces))
    own = {name: {piece for piece in found if counts[piece] <= most} for name, found in pieces.items()}
    names = sorted(name for name, found in own.items() if len(found) >= ENOUGH)
    pairs = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            shared = own[first] & own[second]
            share = len(shared) / len(own[first] | own[second])
            if len(shared) >= ENOUGH and share >= ALIKE:
                symbols = tuple(sorted({symbol for symbol, _ in shared}))
                pairs.append(Pair(first, second, share, symbols))
    yield from sorted(pairs, key=lambda pair: -pair.share)


def _pieces(grade: Grade) -> set[tuple[str, str]]:
    """Every run of PIECE tokens of the normalised bodies, with the function that it is in."""
    assert grade.submission is not None
    found = set()
    for answer in grade.submission.answers:
        form = blanks.normalised(answer.source)
        try:
            tokens = [t.string for t in tokenize.generate_tokens(io.StringIO(form).readline) if t.string.strip()]
        except (tokenize.TokenError, SyntaxError):
            continue
        for start in range(len(tokens) - PIECE + 1):
            found.add((answer.symbol, " ".join(tokens[start : start + PIECE])))
    return found


def as_text(view: Overview) -> str:
    """The overview, for a terminal."""
    of, graded = view.assignment.points, len(view.points)
    count = graded + len(view.problems)
    title = f"{view.assignment.name} {view.assignment.title}: {count} submissions"
    lines = [f"{title}, {graded} graded" if view.problems else title]
    if view.points:
        low, _, high = quantiles(view.points, method="inclusive") if graded > 1 else view.points * 3
        lines.append(
            f"points of {of}: mean {mean(view.points):.1f}, median {median(view.points):g}, "
            f"half of them from {low:g} to {high:g}, least {view.points[0]}, most {view.points[-1]}"
        )
        lines += ["", "how the points lie", *_histogram(view.points, of)]
        lines += ["", *_task_lines(view.tasks, graded)]
    if view.hardest:
        lines += ["", "the hardest checks, and how many pass"]
        for check, share in view.hardest[:HARDEST]:
            hidden = " (hidden)" if check.hidden else ""
            lines.append(f"  {share:4.0%}  {check.task} {check.sentence}{hidden}")
    if view.pairs:
        lines += ["", "near-identical pairs, and in what (the same idea may be had twice: look at both)"]
        lines += _some([f"{pair.share:4.0%}  {pair.first}, {pair.second}: {_symbols(pair)}" for pair in view.pairs])
    else:
        lines += ["", "no near-identical pairs"]
    if view.notes:
        lines += ["", "graded, but"]
        lines += _some([f"{name}: {note.partition(chr(10))[0]}" for name, note in view.notes])
    if view.problems:
        lines += ["", "not graded (0 points, and not in the numbers above; the feedback says what to hand in)"]
        lines += [f"  {name}: {problem.partition(chr(10))[0]}" for name, problem in view.problems]
    return "\n".join(lines) + "\n"


def _some(lines: list[str]) -> list[str]:
    shown = [f"  {line}" for line in lines[:MOST]]
    return [*shown, f"  and {len(lines) - MOST} more"] if len(lines) > MOST else shown


def _symbols(pair: Pair) -> str:
    named = ", ".join(pair.symbols[:NAMED])
    return f"{named} and {len(pair.symbols) - NAMED} more" if len(pair.symbols) > NAMED else named


def _task_lines(tasks: Sequence[TaskView], graded: int) -> list[str]:
    """A table: the mean of each task's points, and how many have all of them, some, none, or left it out."""
    width = max(len(view.task.title) for view in tasks)
    lines = [f"{'tasks':{width + 9}}{'mean points':32}  all  some  none  left out"]
    for view in tasks:
        shares = [f"{value / graded:4.0%}" for value in (view.all, view.some, view.none, view.out)]
        bar = "#" * round(20 * view.share)
        lines.append(
            f"  {view.task.id:5}{view.task.title:{width}}  {bar:20}{view.points:5.1f} of {view.task.points:<3}"
            f"{shares[0]}  {shares[1]}  {shares[2]}  {shares[3]:>8}"
        )
    return lines


def _histogram(points: Sequence[int], of: int) -> list[str]:
    """A line for every number of points, or for a tenth of them where there are many."""
    width = 1 if of < 2 * BARS else -(-of // BARS)
    counts = Counter(value // width for value in points)
    most = max(counts.values())
    lines = []
    for bar in range(of // width + 1):
        first, last = bar * width, min(of, bar * width + width - 1)
        name = f"{first:3}" if first == last else f"{first:3} to {last:3}"
        length = max(1, round(40 * counts[bar] / most)) if counts[bar] else 0
        lines.append(f"  {name:10}  {'#' * length} {counts[bar] or ''}".rstrip())
    return lines

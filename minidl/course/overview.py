"""What staff want to know of a batch: how the points lie, which check was the hardest, and who wrote the same."""

from __future__ import annotations

import io
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from minidl.course import blanks
from minidl.course.assignment import Assignment
from minidl.course.checks import PASSED, Check
from minidl.course.grading import Grade

PIECE = 6  # tokens that follow each other
COMMON = 0.1  # of the submissions: a piece that so many have is nobody's own
FEW = 3  # submissions that may share a piece in any case
ALIKE = 0.7  # of the pieces of two submissions that are not common, how many both have
ENOUGH = 25  # pieces that two must share to be worth a look
BARS = 10


@dataclass(frozen=True)
class Pair:
    """Two submissions that have much in common which few others have."""

    first: str
    second: str
    share: float  # of the uncommon pieces of both
    symbols: tuple[str, ...]  # the functions in which they are


@dataclass(frozen=True)
class Overview:
    """A batch in numbers."""

    assignment: Assignment
    points: tuple[int, ...]
    problems: tuple[tuple[str, str], ...]  # (submission, why it was not graded)
    tasks: dict[str, float]  # the mean share of its points
    checks: tuple[tuple[Check, float], ...]  # share of the submissions that pass, the hardest first
    pairs: tuple[Pair, ...]


def overview(assignment: Assignment, grades: Sequence[Grade]) -> Overview:
    """Of these grades; submissions that could not be graded count as 0 points, but not for tasks and checks."""
    graded = [grade for grade in grades if not grade.problem]
    shares: dict[str, list[float]] = {task.id: [] for task in assignment.tasks}
    passed: dict[Check, list[bool]] = {check: [] for check in assignment.checks()}
    for grade in graded:
        for task in grade.tasks:
            shares[task.task.id].append(task.points / task.task.points)
            for result in task.results:
                passed[result.check].append(result.status == PASSED)
    checks = [(check, mean(results)) for check, results in passed.items() if results]
    return Overview(
        assignment,
        tuple(sorted(grade.points for grade in grades)),
        tuple((grade.name, grade.problem) for grade in grades if grade.problem),
        {id: mean(values) for id, values in shares.items() if values},
        tuple(sorted(checks, key=lambda pair: pair[1])),
        tuple(near_identical(grades)),
    )


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
    of = view.assignment.points
    lines = [f"{view.assignment.name} {view.assignment.title}: {len(view.points)} submissions"]
    if view.points:
        lines.append(
            f"points of {of}: mean {mean(view.points):.1f}, median {median(view.points):g}, "
            f"least {view.points[0]}, most {view.points[-1]}"
        )
        lines += ["", "how the points lie", *_histogram(view.points, of)]
    if view.tasks:
        lines += ["", "task, mean share of its points"]
        for task in view.assignment.tasks:
            share = view.tasks[task.id]
            lines.append(f"  {task.id:5} {'#' * round(20 * share):20} {share:4.0%}  {task.title}")
    if view.checks:
        lines += ["", "the hardest checks, and how many pass"]
        for check, share in view.checks[:5]:
            hidden = ", hidden" if check.hidden else ""
            lines.append(f"  {share:4.0%}  {check.task} {check.name}{hidden}: {check.sentence}")
    if view.pairs:
        lines += ["", "near-identical pairs, and in what (the same idea may be had twice: look at both)"]
        for pair in view.pairs[:20]:
            lines.append(f"  {pair.share:4.0%}  {pair.first}, {pair.second}: {', '.join(pair.symbols)}")
        if len(view.pairs) > 20:
            lines.append(f"  and {len(view.pairs) - 20} more")
    else:
        lines += ["", "no near-identical pairs"]
    if view.problems:
        lines += ["", "not graded"]
        lines += [f"  {name}: {problem.partition(chr(10))[0]}" for name, problem in view.problems]
    return "\n".join(lines) + "\n"


def _histogram(points: Sequence[int], of: int) -> list[str]:
    """A line for every number of points, or for a tenth of them where there are many."""
    width = 1 if of < 2 * BARS else -(-of // BARS)
    counts = Counter(value // width for value in points)
    most = max(counts.values())
    lines = []
    for bar in range(of // width + 1):
        first, last = bar * width, min(of, bar * width + width - 1)
        name = f"{first:3}" if first == last else f"{first:3} to {last:3}"
        lines.append(f"  {name:10}  {'#' * round(40 * counts[bar] / most)} {counts[bar] or ''}".rstrip())
    return lines

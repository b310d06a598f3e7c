"""A number as the sum of others: what `why` returns, and how it looks as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minidl.inspect.tables import text_table


@dataclass(frozen=True)
class Term:
    """One summand: `factor` times `value`.

    of, by     what the two are called: 'x[0,2,5,6]', 'weight[3,2,1,1]'
    """

    of: str
    value: float
    by: str
    factor: float
    place: str = ""

    @property
    def product(self) -> float:
        return self.value * self.factor if self.factor else 0.0  # nothing of an infinity is nothing


@dataclass(frozen=True, repr=False)
class Why:
    """What `why` found; printed, it is a table.

    what       the number: 'y[0,3,5,7]', 'the gradient of conv1.weight[3,0,1,2]'
    value      as it was computed
    terms      its summands
    adds_up    False where the value is no sum of the terms: of a nonlinear operation they are its inputs
    rest       how many smaller summands are not among the terms, and their sum
    notes, warnings   lines above and below the table
    """

    what: str
    value: float
    headings: tuple[str, ...]
    terms: tuple[Term, ...]
    adds_up: bool
    rest: tuple[int, float] = (0, 0.0)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    limit: int = 12

    @property
    def sum(self) -> float:
        return sum(term.product for term in self.terms) + self.rest[1]

    def __repr__(self) -> str:
        shown, count, sum_of_rest = self._shown()
        with_place = any(term.place for term in shown)
        rows = []
        for term in shown:
            cells = [term.of, in_digits(term.value), term.by, in_digits(term.factor), in_digits(term.product)]
            cells = cells if self.adds_up else [term.of, in_digits(term.value), in_digits(term.factor)]
            rows.append(([term.place] if with_place else []) + cells)
        headings = list(self.headings if with_place else self.headings[1:])
        footer = None
        if self.adds_up:
            blank = [""] * (len(headings) - 2)
            if count:
                rows.append([f"{count:,} more, smaller or 0", *blank, in_digits(sum_of_rest)])
            footer = ["sum", *blank, in_digits(self.sum)]
        elif count:
            rows.append([f"{count:,} more, with smaller derivatives", *[""] * (len(headings) - 1)])
        table = text_table(headings, rows, 1, footer) if rows else "no derivative leads from it to an input"
        lines = [f"{self.what} = {in_digits(self.value)}", *self.notes, "", table, *self.warnings]
        return "\n".join(lines)

    def _shown(self) -> tuple[list[Term], int, float]:
        """The terms of the table, the largest first if there are too many; the number of the others, and their sum."""
        count, total = self.rest
        if len(self.terms) <= self.limit:
            return list(self.terms), count, total
        ordered = sorted(self.terms, key=lambda term: -abs(term.product if self.adds_up else term.factor))
        others = [term.product for term in ordered[self.limit :]]
        return ordered[: self.limit], count + len(others), total + sum(others)


def brackets(index: Sequence[int], *more: str) -> str:
    """An index as it is written: [0,3,5]; '' for none."""
    return "[" + ",".join([*map(str, index), *more]) + "]" if index or more else ""


def in_digits(value: float) -> str:
    """A number in six digits."""
    return f"{value + 0.0:.6g}"  # 0, not -0

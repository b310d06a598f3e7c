"""What the runs of an experiment measured: by variant and seed, as a table, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minidl.cli.experiments.options import Settings
from minidl.cli.experiments.verdict import Claim, standard_error
from minidl.inspect.tables import text_table

Measures = Mapping[str, Any]  # numbers, lists of them, and "pictures", which only the run's own file keeps


@dataclass(frozen=True)
class Variant:
    """One of the things that are compared.

    name    in files and in JSON; label: for people
    details what it is made with: plain values, for JSON
    """

    name: str
    label: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A measure in the table. A `/` in the heading breaks its line; `exact` ones are counted, so they have no error."""

    measure: str
    heading: str
    unit: str = ""
    digits: int = 2
    exact: bool = False

    def text(self, value: float) -> str:
        """With its unit: 3.20 %"""
        return f"{value:,.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True)
class Results:
    """All runs of an experiment: `runs[variant.name][seed]` has its measures."""

    settings: Settings
    variants: Sequence[Variant]
    seeds: Sequence[int]
    runs: Mapping[str, Mapping[int, Measures]]

    def values(self, variant: str, measure: str) -> tuple[Any, ...]:
        """The measure of each seed, in order."""
        return tuple(self.runs[variant][seed][measure] for seed in self.seeds)

    def mean(self, variant: str, measure: str) -> float:
        values = self.values(variant, measure)
        return math.fsum(values) / len(values)

    def differences(self, measure: str, of: str, less: str) -> tuple[float, ...]:
        """Of the first variant minus the second, for each seed."""
        pairs = zip(self.values(of, measure), self.values(less, measure), strict=True)
        return tuple(first - second for first, second in pairs)

    def step(self, measure: str) -> float:
        """What one image makes of an error in percent: 100 / images. Of other measures 0."""
        counts = {"train_error": self.settings.images, "test_error": self.settings.test_images}
        return 100 / counts[measure] if measure in counts else 0.0

    def compared(
        self, text: str, what: str, measure: str, of: str, less: str, unit: str = "points", threshold: float = 0.0
    ) -> Claim:
        """The claim that a measure of the first variant is above that of the second."""
        differences = self.differences(measure, of, less)
        return Claim(text, what, differences, unit, self.step(measure), threshold)

    def any_run(self, variant: str) -> Measures:
        """The run of the first seed, for what is the same in all of them."""
        return self.runs[variant][self.seeds[0]]

    def table(self, columns: Sequence[Column]) -> str:
        """A row for each variant: mean and standard error over the seeds, in the columns that were measured."""
        columns = self._measured(columns)
        headings = ["", *(f"{column.heading} {column.unit}".rstrip() for column in columns)]
        rows = [[variant.label, *(self._cell(variant.name, column) for column in columns)] for variant in self.variants]
        return text_table(headings, rows, left=1)

    def _measured(self, columns: Sequence[Column]) -> list[Column]:
        """Those that every run has: a net that comes with its weights, say, has no error of its training."""
        runs = [measures for by_seed in self.runs.values() for measures in by_seed.values()]
        return [column for column in columns if all(column.measure in measures for measures in runs)]

    def _cell(self, variant: str, column: Column) -> str:
        values = self.values(variant, column.measure)
        mean = math.fsum(values) / len(values)
        if column.exact:
            return f"{mean:,.{column.digits}f}"
        error = standard_error(values)
        number = f"{mean:,.{column.digits}f}"
        return number if math.isnan(error) else f"{number} ± {error:,.{column.digits}f}"

    def as_record(self, columns: Sequence[Column]) -> dict[str, Any]:
        """For JSON: the numbers of the table, and below them every run."""
        columns = self._measured(columns)
        table = {
            variant.name: {column.measure: _summary(self.values(variant.name, column.measure)) for column in columns}
            for variant in self.variants
        }
        runs = [
            {"variant": name, "seed": seed, **{key: value for key, value in measures.items() if key != "pictures"}}
            for name, by_seed in self.runs.items()
            for seed, measures in by_seed.items()
        ]
        return {
            "settings": vars(self.settings),
            "seeds": list(self.seeds),
            "variants": [{"name": each.name, "label": each.label, **each.details} for each in self.variants],
            "table": table,
            "runs": runs,
        }


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    error = standard_error(values)
    return {"mean": math.fsum(values) / len(values), "standard_error": None if math.isnan(error) else error}

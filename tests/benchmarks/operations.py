"""Single operations on minidl and on PyTorch: forward, and forward with backward.

python -m tests.benchmarks.operations                      all
python -m tests.benchmarks.operations --only conv          conv pool norm pointwise concat linear loss optimizer
python -m tests.benchmarks.operations --only 1x1 dropout   or any words of their titles
"""

import argparse
import sys
from dataclasses import dataclass

from tests.benchmarks.machine import description
from tests.benchmarks.operation_cases import CASES, OPTIMIZERS
from tests.benchmarks.table import markdown, milliseconds
from tests.benchmarks.turns import Timing, Worker, geometric_mean, in_turn

TURN = 0.1  # seconds
MODULE = "tests.benchmarks.operation_cases"


@dataclass(frozen=True)
class Row:
    title: str
    forward: Timing
    both: Timing | None  # forward and backward; None for the optimizer


def chosen(words):
    """The titles of the cases whose group is among the words, or whose title contains one; all, without words."""
    groups = {title: case.group for title, case in CASES.items()} | dict.fromkeys(OPTIMIZERS, "optimizer")
    return [
        title
        for title, group in groups.items()
        if not words or group in words or any(word.lower() in title.lower() for word in words)
    ]


def measure(titles, pairs):
    """Rows as they are measured."""
    with Worker("minidl") as ours, Worker("torch") as theirs:

        def timing(function, **arguments):
            for worker in (ours, theirs):
                worker.build(f"{MODULE}:{function}", **arguments)
            return in_turn([ours, theirs], pairs, TURN)

        for title in titles:
            if title in OPTIMIZERS:
                stem, network = OPTIMIZERS[title]
                row = Row(title, timing("optimizer_step", stem=stem, network=network), None)
            else:
                row = Row(title, *(timing("operation", title=title, backward=backward) for backward in (False, True)))
            ratios = [f"{kind.ratios[0]:.2f}" for kind in (row.forward, row.both) if kind]
            print(f"{title}: {', '.join(ratios)}", file=sys.stderr, flush=True)
            yield row


def table(rows):
    heading = ["operation", "forward: minidl (ms)", "PyTorch (ms)", "ratio"]
    heading += ["with backward: minidl (ms)", "PyTorch (ms)", "ratio"]
    lines = [
        [
            row.title,
            *(
                cell
                for timing in (row.forward, row.both)
                for cell in ((*map(milliseconds, timing.medians), f"{timing.ratios[0]:.2f}") if timing else ("",) * 3)
            ),
        ]
        for row in rows
    ]
    means = [
        f"**{geometric_mean([timing.ratios[0] for timing in timings]):.2f}**" if timings else ""
        for timings in ([row.forward for row in rows], [row.both for row in rows if row.both])
    ]
    return markdown(heading, [*lines, ["**geometric mean**", "", "", means[0], "", "", means[1]]])


def add_arguments(parser):
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="groups, or words of the titles")
    parser.add_argument("--pairs", type=int, default=5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    arguments = parser.parse_args()
    titles = chosen(arguments.only)
    if not titles:
        groups = dict.fromkeys([case.group for case in CASES.values()] + ["optimizer"])
        parser.error(f"--only {' '.join(arguments.only)}: nothing matches; groups are {', '.join(groups)}")
    print(description(), end="\n\n", flush=True)
    print(table(list(measure(titles, arguments.pairs))))


if __name__ == "__main__":
    main()

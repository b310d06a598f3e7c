"""What the debugger costs: where nobody listens, and where a step is recorded, linted or watched for NaN.

    python -m tests.benchmarks.debugger [--pairs 15]

The same step in one process, both ways in turn; the median of the pairs' ratios.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass

import minidl
from minidl.debug import detect_anomaly, lint, trace
from tests.benchmarks import operation_cases, startup, subjects
from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.table import markdown, milliseconds
from tests.benchmarks.turns import TURN, Timing, in_turn
from tests.benchmarks.unheard import Deaf
from tests.benchmarks.worker import Bench

OPERATIONS = 2000  # of the chain


class Way(Bench):
    """One of the ways to run a step in this process: `enter` is called before its turns."""

    def __init__(self, step, enter=lambda: None):
        self.step, self.enter = step, enter

    def warm_up(self, seconds=0.3):
        self.enter()
        return super().warm_up(seconds)

    def time(self, repeats):
        self.enter()
        return super().time(repeats)


@dataclass(frozen=True)
class Row:
    title: str
    limit: float | None  # what the ratio must be below
    timing: Timing


def train_step(name):
    return subjects.train_step(minidl, **NETWORKS[name].arguments())


def unheard(title, step, deaf, pairs, turn=0.05):
    """The step as it is, against the same without the question whether somebody listens."""
    ways = [Way(step, lambda: deaf.cut(False)), Way(step, lambda: deaf.cut(True))]
    try:
        return Row(title, 1.01, in_turn(ways, 4 * pairs, turn))  # many short turns: less than 1 % is to be seen
    finally:
        deaf.cut(False)


def watched(step, pairs, turn=TURN):
    """A train step of ResNet-20 in each of the ways to watch it, against the step alone."""

    def inside(context):
        def run():
            with context():
                step()

        return run

    network = NETWORKS["resnet20"]
    title = f"{network.title}, {network.batch}: "
    ways = {
        'record="meta"': (None, lambda: trace(step, record="meta")),
        'record="stats"': (1.3, lambda: trace(step, record="stats")),
        'record="full"': (1.5, lambda: trace(step, record="full")),
        "lint()": (None, inside(lint)),
        "detect_anomaly()": (None, inside(detect_anomaly)),
    }
    for name, (limit, way) in ways.items():
        yield Row(title + name, limit, in_turn([Way(way), Way(step)], pairs, turn))


def measure(pairs=15):
    """Rows as they are measured."""
    lenet, chain = train_step("lenet5"), operation_cases.tiny_chain(minidl, operations=OPERATIONS)
    deaf = Deaf()
    yield unheard("LeNet-5, 128: nobody listens", lenet, deaf, pairs)
    yield unheard(f"{OPERATIONS:,} tiny operations: nobody listens", chain, deaf, pairs)
    yield from watched(train_step("resnet20"), min(pairs, 7))


def imports(runs=7):
    """Seconds of `import minidl`, and of `import minidl.debug` from there."""
    rounds = [[startup.seconds(name) for name in ("minidl", "minidl.debug")] for _ in range(runs + 1)][1:]
    return tuple(map(statistics.median, zip(*rounds, strict=True)))


def table(rows):
    lines = [
        [
            row.title,
            *map(milliseconds, row.timing.medians),
            f"{row.timing.ratios[0]:.3f}",
            "" if row.limit is None else f"< {row.limit}",
        ]
        for row in rows
    ]
    return markdown(["", "step (ms)", "without (ms)", "ratio", "must be"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    print(description(), end="\n\n", flush=True)
    rows = []
    for row in measure(arguments.pairs):
        print(f"{row.title}: {row.timing.ratios[0]:.3f}", file=sys.stderr, flush=True)
        rows.append(row)
    print(table(rows))
    core, debug = imports()
    print(f"\n`import minidl.debug`: {milliseconds(debug)} ms, of which `import minidl` {milliseconds(core)}")


if __name__ == "__main__":
    main()

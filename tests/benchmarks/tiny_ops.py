"""What one operation costs when there is nearly nothing to compute: a chain of 8x8 products and ReLUs.

    python -m tests.benchmarks.tiny_ops [--operations 2000] [--pairs 30]

minidl and PyTorch in turn, forward and backward; the median time an operation and the median of the ratios.
"""

import argparse

from tests.benchmarks.machine import description
from tests.benchmarks.table import markdown
from tests.benchmarks.turns import Worker, in_turn


def measure(operations=2000, pairs=15):
    with Worker("minidl") as ours, Worker("torch") as theirs:
        for worker in (ours, theirs):
            worker.build("tests.benchmarks.operation_cases:tiny_chain", operations=operations)
        return in_turn([ours, theirs], pairs, turn=0.1)


def table(timing, operations=2000):
    ours, theirs = (f"{seconds / operations * 1e6:.1f}" for seconds in timing.medians)
    line = ["one tiny operation, forward and backward", ours, theirs, f"{timing.ratios[0]:.2f}"]
    return markdown(["", "minidl (us)", "PyTorch (us)", "ratio"], [line])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=30)
    arguments = parser.parse_args()
    print(description(), end="\n\n", flush=True)
    print(table(measure(arguments.operations, arguments.pairs), arguments.operations))


if __name__ == "__main__":
    main()

"""Memory of a train step on minidl and on PyTorch, and whether it comes back: a leak would show over 500 steps.

    python -m tests.benchmarks.memory [--only resnet20 vgg16]

Each library and network has a fresh process. Two figures, since one alone can mislead:
  process   the most that the whole process held while it trained: what the machine must have. The library's own code
            and weights are in it; the code is most of it for a small network.
  step      the same, less what the process held with the network, the optimizer and the batch built, before the first
            step: gradients, momentum, and what forward keeps for backward.
"""

import argparse
import sys
from dataclasses import dataclass

from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS, SUBJECTS, Network
from tests.benchmarks.table import markdown, megabytes
from tests.benchmarks.turns import Worker

STEPS = 3  # momentum is there after the first, and buffers that are reused after the second


@dataclass(frozen=True)
class Use:
    """Bytes."""

    before: int  # held before the first step
    peak: int  # the most since then


@dataclass(frozen=True)
class Row:
    network: Network
    ours: Use
    theirs: Use

    @property
    def process_ratio(self):
        return self.ours.peak / self.theirs.peak

    @property
    def step_ratio(self):
        return (self.ours.peak - self.ours.before) / (self.theirs.peak - self.theirs.before)


def use(library, network):
    """What a fresh process needs for a few train steps. None where the system does not say."""
    with Worker(library) as worker:
        worker.build(SUBJECTS["train"], **network.arguments())
        before = worker.memory()
        if before is None:
            return None
        for _ in range(STEPS):
            worker.call()
        return Use(before["now"], worker.memory()["peak"])


def measure(names):
    """Rows as they are measured; none on Windows."""
    for name in names:
        network = NETWORKS[name]
        ours, theirs = use("minidl", network), use("torch", network)
        if ours is None:
            print("memory: this system does not say how much a process holds", file=sys.stderr)
            return
        row = Row(network, ours, theirs)
        print(f"{network.title}: {megabytes(ours.peak)} / {megabytes(theirs.peak)} MB", file=sys.stderr, flush=True)
        yield row


def table(rows):
    heading = ["network, batch", "process: minidl (MB)", "PyTorch (MB)", "ratio"]
    heading += ["step: minidl (MB)", "PyTorch (MB)", "ratio"]
    lines = [
        [
            f"{row.network.title}, {row.network.batch}",
            *(megabytes(use.peak) for use in (row.ours, row.theirs)),
            f"{row.process_ratio:.2f}",
            *(megabytes(use.peak - use.before) for use in (row.ours, row.theirs)),
            f"{row.step_ratio:.2f}",
        ]
        for row in rows
    ]
    worst = [f"**{max(ratios):.2f}**" for ratios in zip(*((r.process_ratio, r.step_ratio) for r in rows), strict=True)]
    return markdown(heading, [*lines, ["**worst**", "", "", worst[0], "", "", worst[1]]])


def growth(library="minidl", steps=500, settled=50, batch=None, subject=SUBJECTS["train"]):
    """Bytes that the process has grown by from step `settled` to step `steps` of training LeNet-5; None: not told."""
    with Worker(library) as worker:
        worker.build(subject, **NETWORKS["lenet5"].arguments(batch))
        worker.time(settled)
        before = worker.memory()
        worker.time(steps - settled)
        return None if before is None else worker.memory()["now"] - before["now"]


def leak_line():
    return f"LeNet-5, the whole process, from train step 50 to train step 500: {growth() / 1e6:+.1f} MB."


def add_arguments(parser):
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NET")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    arguments = parser.parse_args()
    print(description(), end="\n\n", flush=True)
    if rows := list(measure(arguments.only)):
        print(table(rows), leak_line(), sep="\n\n")


if __name__ == "__main__":
    main()

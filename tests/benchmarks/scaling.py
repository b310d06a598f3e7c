"""The time of a train step against the batch and against the depth: both should be straight lines.

    python -m tests.benchmarks.scaling [--pairs 3]

ResNet-20 with batches of 16 to 256; ResNets of 20 to 110 layers with batches of 32. The picture shows the straight line
fixed + slope n through the times; the table tells the exponent p of time ~ n^p: 1 is linear.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy

from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS, SUBJECTS, Network
from tests.benchmarks.table import markdown, milliseconds
from tests.benchmarks.turns import Timing, Worker, in_turn

BATCHES = (16, 32, 64, 128, 256)
DEPTHS = (20, 32, 44, 56, 110)
DEPTH_BATCH = 32


@dataclass(frozen=True)
class Line:
    """One curve for each library."""

    title: str
    axis: str
    places: tuple[int, ...]
    timings: tuple[Timing, ...]

    def seconds(self, library):
        """Of minidl (0) or PyTorch (1), one for each place."""
        return [timing.medians[library] for timing in self.timings]

    def fit(self, library):
        """(slope, fixed) of the straight line, in seconds, that is least far off in relation to the times."""
        seconds = numpy.array(self.seconds(library))
        return tuple(numpy.polyfit(self.places, seconds, 1, w=1 / seconds))

    def exponent(self, library):
        """p of time ~ n^p."""
        return numpy.polyfit(numpy.log(self.places), numpy.log(self.seconds(library)), 1)[0]


def deep(depth):
    return Network(f"resnet{depth}", "resnet_cifar", f"ResNet-{depth}", DEPTH_BATCH, (3, 32, 32), 10)


def measure(pairs=3):
    """The two lines: batch, depth."""

    def timing(network, batch):
        with Worker("minidl") as ours, Worker("torch") as theirs:
            for worker in (ours, theirs):
                worker.build(SUBJECTS["train"], **network.arguments(batch))
            result = in_turn([ours, theirs], pairs)
        times = " / ".join(map(milliseconds, result.medians))
        print(f"{network.title}, batch {batch}: {times} ms", file=sys.stderr, flush=True)
        return result

    by_batch = tuple(timing(NETWORKS["resnet20"], batch) for batch in BATCHES)
    by_depth = tuple(timing(deep(depth), DEPTH_BATCH) for depth in DEPTHS)
    return (
        Line("ResNet-20, by batch", "images in a batch", BATCHES, by_batch),
        Line(f"ResNets of CIFAR by depth, batch {DEPTH_BATCH}", "layers", DEPTHS, by_depth),
    )


def table(line):
    lines = [
        [f"{place}", *map(milliseconds, timing.medians), f"{timing.ratios[0]:.2f}"]
        for place, timing in zip(line.places, line.timings, strict=True)
    ]
    lines.append(["**exponent** (1 is linear)", *(f"**{line.exponent(library):.2f}**" for library in (0, 1)), ""])
    return markdown([line.axis, "minidl (ms)", "PyTorch (ms)", "ratio"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    print(description(), end="\n\n", flush=True)
    for line in measure(arguments.pairs):
        print(line.title, table(line), sep="\n\n", end="\n\n")


if __name__ == "__main__":
    main()

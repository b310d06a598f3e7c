"""Training on several processes: measured here with 1 and 2, and worked out from that for up to 1,024.

    python -m tests.benchmarks.distributed [--only resnet20] [--rounds 3] [--out out/benchmarks]

Needs the extra `mpi` and two cores. Measured: images per second of one process with two threads, and of 1 and 2
processes with one thread each; what an all-reduce of the gradients takes; and, on Linux, the bytes that a step sends
when the processes talk by TCP. What follows for more workers (workers.py) is drawn into distributed.png, and stands
with all numbers and formulae in distributed.html (distributed_page.py).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.distributed_page import Subject, figure, page, scaling_rows
from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.table import markdown
from tests.benchmarks.workers import Cost, Link, Rates

ROOT = Path(__file__).resolve().parents[2]
BATCHES = {"resnet20": 128, "alexnet_owt": 16}  # of all workers, where 1 and 2 are measured
TCP = ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo"]


@dataclass(frozen=True)
class Measured:
    """The medians of one network's rounds."""

    network: str
    batch: int
    threads: float  # seconds a step: one process, two threads
    one: dict
    two: dict
    tcp: dict

    @property
    def title(self):
        return NETWORKS[self.network].title

    @property
    def link(self):
        """Between the two processes: an all-reduce is there and back."""
        latency = self.two["small"] / 2
        sending = self.two["reduce"] - len(self.two["buckets"]) * 2 * latency
        return Link(latency, sum(self.two["buckets"]) / max(sending, 1e-9))

    @property
    def rates(self):
        """Of a worker with half of the batch, measured while the other one computed as well."""
        images, two = self.batch // 2, self.two
        costs = [Cost.through(images, two[part], two["few"], two[f"{part}_few"]) for part in ("compute", "backward")]
        return Rates(images, *costs, tuple(two["buckets"]))

    @property
    def wire(self):
        """Bytes that each of two processes sends in a step by TCP; None where the system does not count them."""
        seen = self.tcp["loopback"] / 2
        return seen if seen > sum(self.two["buckets"]) / 2 else None


def run(network, batch, steps, processes=0, options=(), threads=1):
    """The JSON of one run. processes=0: without MPI."""
    numbers = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, **numbers, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "tests.benchmarks.distributed_rank", network, "--batch", str(batch)]
    line += ["--steps", str(steps)]
    if processes:
        found = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        root = ["--allow-run-as-root"] if os.name == "posix" else []
        line = [found, *root, "--oversubscribe", "--bind-to", "none", *options, "-n", str(processes), *line, "--mpi"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(network, rounds, steps):
    """In turn, so that what else the machine does meets all alike."""
    batch, results = BATCHES[network], []
    for number in range(rounds):
        print(f"{network}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        results.append(
            (run(network, batch, steps, threads=2), run(network, batch, steps, 1), run(network, batch // 2, steps, 2))
        )
    tcp = run(network, batch // 2, steps, 2, TCP)
    alone, one, two = (_medians([result[place] for result in results]) for place in range(3))
    return Measured(network, batch, alone["step"], one, two, tcp)


def _medians(results):
    return {
        key: value if isinstance(value, list) else statistics.median(result[key] for result in results)
        for key, value in results[0].items()
    }


def throughput_rows(rows):
    heading = ["images/s", "1 process, 2 threads", "1 x 1 thread", "2 x 1 thread", "2 / 1", "2 processes / 2 threads"]
    lines = []
    for row in rows:
        speeds = [row.batch / seconds for seconds in (row.threads, row.one["step"], row.two["step"])]
        lines.append([f"{row.title}, {row.batch} images", *(f"{speed:.1f}" for speed in speeds)])
        lines[-1] += [f"{speeds[2] / speeds[1]:.2f}", f"{speeds[2] / speeds[0]:.2f}"]
    return heading, lines


def bytes_rows(rows):
    heading = ["2 processes, a step", "weights (MB)", "in buckets (MB)", "sent by each, TCP (MB)", "buckets"]
    heading += ["all-reduce alone (ms)", "longer than without (ms)"]
    lines = []
    for row in rows:
        buckets = row.two["buckets"]
        words = [f"{4 * row.two['parameters'] / 1e6:.2f}", f"{sum(buckets) / 1e6:.2f}"]
        words += ["not seen" if row.wire is None else f"{row.wire / 1e6:.2f}", f"{len(buckets)}"]
        words += [f"{row.two['reduce'] * 1e3:.2f}", f"{max(row.two['step'] - row.two['compute'], 0) * 1e3:.1f}"]
        lines.append([row.title, *words])
    return heading, lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="in each round: the median counts")
    parser.add_argument("--out", type=Path, default=Path("out", "benchmarks"), metavar="FOLDER")
    arguments = parser.parse_args()
    note = description()
    print(note, end="\n\n", flush=True)
    rows = [measure(network, arguments.rounds, arguments.steps) for network in arguments.only]
    measured = throughput_rows(rows), bytes_rows(rows)
    for heading, lines in measured:
        print(markdown(heading, lines), end="\n\n")
    print("Worked out: images a second of all workers, and the part of a step that is computing\n")
    subjects = [Subject(row.title, row.rates, row.link, row.two["step"]) for row in rows]
    for subject in subjects:
        print(f"{subject.title}:\n\n{markdown(*scaling_rows(subject))}\n")
    arguments.out.mkdir(parents=True, exist_ok=True)
    figure(subjects, note).savefig(arguments.out / "distributed.png")
    path = arguments.out / "distributed.html"
    path.write_text(page(subjects, measured, note), encoding="utf-8")
    print(f"Page: {path}, picture: {path.with_suffix('.png')}")


if __name__ == "__main__":
    main()

"""Training on several processes: measured here with 1 and 2, and worked out from that for up to 1,024.

    python -m tests.benchmarks.distributed [--only resnet20] [--rounds 3] [--out out/benchmarks]

Needs the extra `mpi` and two cores. Measured: images per second of one process with two threads, and of 1 and 2
processes with one thread each; what an all-reduce of the gradients takes; and, on Linux, the bytes that a step sends
when the processes talk by TCP. The rest is arithmetic (`Rates`): either every worker has the same number of images
whatever their number, or a batch of 1,024 is shared out to them; and what connects them is a ring of links,

    reduce(K) = sum over the buckets of 2 (K - 1) latency + 2 (K - 1) / K bytes / bandwidth
    step(K)   = computing + max(reduce(K) - backward, that of the last bucket alone)

for a bucket can leave while backward computes the others, but the last one cannot. Ring all-reduce: Patarasuk & Yuan
2009, J. Parallel Distrib. Comput. 69. Latency and bandwidth are those measured between the two processes, or nominal
ones of a network, which are optimistic: nobody else uses it, and every worker is equally fast.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from minidl.cli.complexity_plots import BLUE, GREEN, GREY, INK, LINE, ORANGE, PINK
from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.table import markdown

ROOT = Path(__file__).resolve().parents[2]
BATCHES = {"resnet20": 128, "alexnet_owt": 16}  # of all workers, where 1 and 2 are measured
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHOWN = (8, 32, 128, 1024)
WHOLE = 1024  # images of a batch that is shared out
TCP = ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo"]
LINKS = {"1 Gbit/s, 50 µs": (50e-6, 125e6), "10 Gbit/s, 20 µs": (20e-6, 1.25e9), "100 Gbit/s, 2 µs": (2e-6, 12.5e9)}
HERE = "this machine, shared memory"
COLOURS = (BLUE, ORANGE, GREEN, PINK)


@dataclass(frozen=True)
class Rates:
    """What one worker takes for its share of images, in seconds, and what it has to send, in bytes."""

    images: int
    computing: float  # a whole step without sending
    backward: float
    buckets: tuple[int, ...]

    def reduce(self, workers, latency, bandwidth):
        """Seconds to sum all buckets over a ring; and of the last one alone."""
        each = [2 * (workers - 1) * latency + 2 * (workers - 1) / workers * size / bandwidth for size in self.buckets]
        return sum(each), each[-1]

    def step(self, workers, link):
        together, last = self.reduce(workers, *link)
        return self.computing + max(together - self.backward, last if workers > 1 else 0.0)

    def with_images(self, images):
        """The same worker with another number of images: computing takes as many times longer."""
        more = images / self.images
        return replace(self, images=images, computing=self.computing * more, backward=self.backward * more)

    def efficiency(self, workers, link, whole=None):
        """Computing as a part of a step: 1 where nobody waits. `whole`: images that are shared out to all workers."""
        mine = self if whole is None else self.with_images(whole / workers)
        return mine.computing / mine.step(workers, link)

    def takes_over(self, link, whole=None):
        """The first number of workers of which more than half of a step is waiting; None up to 1,024."""
        return next((k for k in range(2, WORKERS[-1] + 1) if self.efficiency(k, link, whole) < 0.5), None)


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
    def link(self):
        """(latency, bandwidth) between the two processes: an all-reduce is there and back."""
        latency = self.two["small"] / 2
        return latency, sum(self.two["buckets"]) / max(
            self.two["reduce"] - len(self.two["buckets"]) * 2 * latency, 1e-9
        )

    @property
    def rates(self):
        """Of a worker with half of the batch, measured while the other one computed as well."""
        return Rates(self.batch // 2, self.two["compute"], self.two["backward"], tuple(self.two["buckets"]))


def run(network, batch, processes=0, options=(), threads=1):
    """The JSON of one run. processes=0: without MPI."""
    numbers = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, **numbers, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "tests.benchmarks.distributed_rank", network, "--batch", str(batch)]
    if processes:
        found = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        root = ["--allow-run-as-root"] if os.name == "posix" else []
        line = [found, *root, "--oversubscribe", "--bind-to", "none", *options, "-n", str(processes), *line, "--mpi"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(network, rounds):
    """In turn, so that what else the machine does meets all alike."""
    batch, results = BATCHES[network], []
    for number in range(rounds):
        print(f"{network}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        results.append((run(network, batch, threads=2), run(network, batch, 1), run(network, batch // 2, 2)))
    tcp = run(network, batch // 2, 2, TCP)
    alone, one, two = (_medians([result[place] for result in results]) for place in range(3))
    return Measured(network, batch, alone["step"], one, two, tcp)


def _medians(results):
    return {
        key: value if isinstance(value, list) else statistics.median(result[key] for result in results)
        for key, value in results[0].items()
    }


def throughput_table(rows):
    lines = []
    for row in rows:
        speeds = [row.batch / seconds for seconds in (row.threads, row.one["step"], row.two["step"])]
        lines.append([f"{NETWORKS[row.network].title}, {row.batch} images", *(f"{speed:.1f}" for speed in speeds)])
        lines[-1] += [f"{speeds[2] / speeds[1]:.2f}", f"{speeds[2] / speeds[0]:.2f}"]
    heading = ["images/s", "1 process, 2 threads", "1 x 1 thread", "2 x 1 thread", "2 / 1", "2 processes / 2 threads"]
    return markdown(heading, lines)


def bytes_table(rows):
    lines = []
    for row in rows:
        size = 4 * row.two["parameters"]
        sent = sum(row.two["buckets"])
        wire = row.tcp["loopback"] / 2 if row.tcp["loopback"] > size / 2 else None
        words = [f"{size / 1e6:.2f}", f"{sent / 1e6:.2f}", "not seen" if wire is None else f"{wire / 1e6:.2f}"]
        waits = max(row.two["step"] - row.two["compute"], 0)
        words += [f"{len(row.two['buckets'])}", f"{row.two['reduce'] * 1e3:.2f}", f"{waits * 1e3:.1f}"]
        lines.append([NETWORKS[row.network].title, *words])
    heading = ["2 processes, a step", "weights (MB)", "in buckets (MB)", "sent by each, TCP (MB)", "buckets"]
    return markdown([*heading, "all-reduce alone (ms)", "longer than without (ms)"], lines)


def links(row):
    latency, bandwidth = row.link
    return {f"{HERE}: {8 * bandwidth / 1e9:.0f} Gbit/s, {latency * 1e6:.0f} µs": row.link, **LINKS}


def scaling_table(row):
    lines = []
    for whole, words in ((None, f"{row.rates.images} images each"), (WHOLE, f"{WHOLE:,} in all")):
        for name, link in links(row).items():
            parts = [f"{row.rates.efficiency(workers, link, whole):.0%}" for workers in SHOWN]
            over = row.rates.takes_over(link, whole)
            lines.append([f"{words}; {name}", *parts, "beyond 1,024" if over is None else f"{over:,} workers"])
    return markdown(["efficiency", *(f"{workers:,} workers" for workers in SHOWN), "below one half from"], lines)


def figure_of(rows, note):
    """Efficiency against workers, a panel for each network."""
    figure = Figure(figsize=(12, 6.8), dpi=130, facecolor="white")
    title = "Worked out from the rates measured here: the part of a step that is computing"
    figure.text(0.03, 0.94, title, fontsize=17, fontweight="bold", color=INK, va="center")
    figure.text(0.03, 0.03, textwrap.fill(note, 150), fontsize=9.5, color=GREY, va="bottom", linespacing=1.4)
    width = 0.88 / len(rows)
    for number, row in enumerate(rows):
        axes = figure.add_axes((0.07 + width * number, 0.22, width - 0.05, 0.58))
        ways = ((None, "-", f"{row.rates.images} images a worker"), (WHOLE, "--", f"{WHOLE:,} images in all"))
        for colour, (name, link) in zip(COLOURS, links(row).items(), strict=True):
            axes.plot([], [], color=colour, linewidth=1.8, label=name)
            for whole, style, _ in ways:
                parts = [100 * row.rates.efficiency(workers, link, whole) for workers in WORKERS]
                axes.plot(WORKERS, parts, style, color=colour, linewidth=1.8)
        for _, style, words in ways:
            axes.plot([], [], style, color=GREY, label=words)
        axes.set_xscale("log", base=2)
        axes.set_ylim(0, 104)
        axes.set_xticks(WORKERS[::2], [f"{workers:,}" for workers in WORKERS[::2]])
        axes.minorticks_off()
        axes.set_title(NETWORKS[row.network].title, loc="left", fontsize=13, color=INK)
        axes.set_xlabel("workers", fontsize=12, color=INK)
        axes.set_ylabel("computing (% of a step)" if number == 0 else "", fontsize=12, color=INK)
        axes.tick_params(labelsize=11, colors=GREY, length=0)
        axes.grid(color=LINE, linewidth=0.8)
        axes.spines[:].set_visible(False)
        axes.legend(fontsize=10, framealpha=0.9, edgecolor="none", loc="lower left", labelcolor=INK)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out", "benchmarks"), metavar="FOLDER")
    arguments = parser.parse_args()
    note = description()
    print(note, end="\n\n", flush=True)
    rows = [measure(network, arguments.rounds) for network in arguments.only]
    print(throughput_table(rows), bytes_table(rows), sep="\n\n", end="\n\n")
    print("Worked out: efficiency, the part of a step that is computing\n")
    for row in rows:
        print(f"{NETWORKS[row.network].title}:\n\n{scaling_table(row)}\n")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "distributed.png"
    figure_of(rows, note).savefig(path)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()

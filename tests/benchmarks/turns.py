"""Two or more libraries in turn: A B, B A, A B ... one process for each, and the median of the rounds' ratios.

    with Worker("minidl") as ours, Worker("torch") as theirs:
        for worker in (ours, theirs):
            worker.build("tests.benchmarks.subjects:train_step", network="resnet20", ...)
        timing = in_turn([ours, theirs], rounds=5)
        timing.medians, timing.ratios       seconds of each; ours / theirs

A ratio is taken between neighbours in time, so that a machine that slows down for a while slows both down. All
libraries use the threads that they use by default.
"""

import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TURN = 0.4  # seconds: short steps are repeated until a turn lasts about so long
WARM_UP = 0.2  # seconds before each turn: after a pause, a scheduler takes its time to give each thread its own core
SETTLE = 0.1  # seconds before each turn: threads of OpenBLAS and OpenMP stay awake for a while after a product


class WorkerError(Exception):
    """The library could not do what it was asked; the text is what it said."""


class Worker:
    """A process that has imported `library`. Asked one thing at a time, it answers when it is done."""

    def __init__(self, library, python=sys.executable):
        self.library = library
        self.process = subprocess.Popen(
            [str(python), "-m", "tests.benchmarks.worker", library],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        try:
            self._ask("start")
        except WorkerError:
            self.close()
            raise

    def build(self, subject, **arguments):
        """Let the worker call `subject`, "module:function", with its library and `arguments`; keep what comes back."""
        self._ask("build", subject=subject, arguments=arguments)

    def call(self):
        return self._ask("call")

    def warm_up(self, seconds=0.3):
        return self._ask("warm_up", seconds=seconds)

    def time(self, repeats=1):
        return self._ask("time", repeats=repeats)

    def memory(self):
        return self._ask("memory")

    def version(self):
        return self._ask("version")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _ask(self, verb, **arguments):
        try:
            self.process.stdin.write(json.dumps([verb, arguments]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self.process.wait()
            raise WorkerError(f"the process of {self.library} ended with exit code {code} (killed for its memory?)")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.library}: {reply['error']}")
        return reply["result"]


@dataclass(frozen=True)
class Timing:
    """What `in_turn` measured: for each round, the seconds of each library."""

    rounds: tuple

    @property
    def medians(self):
        """Seconds of each library."""
        return tuple(statistics.median(times) for times in zip(*self.rounds, strict=True))

    @property
    def ratios(self):
        """The first library's time over that of each of the others: the median of the rounds."""
        others = range(1, len(self.rounds[0]))
        return tuple(statistics.median(times[0] / times[other] for times in self.rounds) for other in others)


def in_turn(workers, rounds, turn=TURN):
    """Warm every worker up, then time them in turn; every second round in reverse order."""
    repeats = [max(1, math.ceil(turn / worker.warm_up(turn))) for worker in workers]
    taken = []
    for number in range(rounds):
        times = [0.0] * len(workers)
        order = range(len(workers)) if number % 2 == 0 else reversed(range(len(workers)))
        for place in order:
            time.sleep(SETTLE)
            if repeats[place] > 1:
                workers[place].warm_up(WARM_UP)
            times[place] = workers[place].time(repeats[place])
        taken.append(tuple(times))
    return Timing(tuple(taken))


def geometric_mean(ratios):
    return statistics.geometric_mean(ratios)

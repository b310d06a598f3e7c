"""Runs what is not done yet: every variant with every seed. A finished run is a file, and is not repeated.

A run depends on its variant, its seed and the settings, on nothing else: not on the other runs, nor on how many go on
at a time. So they are divided among processes, each with one thread: the operations are small.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import minidl
from minidl.checkpoint import atomic_write, versions
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.options import Settings
from minidl.cli.experiments.results import Measures, Results, Variant
from minidl.parallel import one_blas_thread
from minidl.training.console import duration

FORMAT = 1  # of a run's file; another number is another layout, or another experiment under the old name

LOOK = 1.0  # seconds between two looks at whether the processes are alive


@dataclass(frozen=True)
class Task:
    """One run that is to be made. `settings`: only what its result depends on."""

    experiment: ModuleType
    variant: Variant
    seed: int
    settings: Settings

    @property
    def identity(self) -> dict[str, Any]:
        """What the result follows from."""
        return {
            "format": FORMAT,
            "experiment": self.experiment.__name__.rpartition(".")[2],
            "variant": asdict(self.variant),
            "seed": self.seed,
            "settings": vars(self.settings),
        }

    @property
    def filename(self) -> str:
        """Other settings are another file, so a long experiment is never overwritten by a short one."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        return f"{self.variant.name}-seed{self.seed}-{digest[:8]}.json"


def run_all(experiment: ModuleType, settings: Settings, folder: Path, *, jobs: int | None, again: bool) -> Results:
    """All runs of the experiment: those that `folder` has, unless `again`, and the others, which go there.

    A line is printed for each. KeyboardInterrupt, after saying so: what is finished is kept.
    """
    variants = experiment.variants(settings)
    seeds = range(settings.seeds)
    of_a_run = settings_of_a_run(experiment, settings)
    tasks = [Task(experiment, variant, seed, of_a_run) for seed in seeds for variant in variants]
    runs: dict[str, dict[int, Measures]] = {variant.name: {} for variant in variants}
    missing = []
    for task in tasks:
        known = None if again else read_run(folder / task.filename, task)
        if known is None:
            missing.append(task)
        else:
            runs[task.variant.name][task.seed] = known
    jobs = jobs or (1 if settings.device != "cpu" else os.cpu_count() or 1)
    jobs = max(1, min(jobs, len(missing)))
    print(_announced(len(tasks), len(missing), jobs, folder), flush=True)
    began = perf_counter()
    done = 0
    try:
        for task, measures, seconds in _in_processes(missing, jobs) if jobs > 1 else map(_made, missing):
            done += 1
            write_run(folder / task.filename, task, measures, seconds)
            runs[task.variant.name][task.seed] = measures
            left = (perf_counter() - began) / done * (len(missing) - done)
            print(
                _line(experiment, task, measures, seconds, len(tasks) - len(missing) + done, len(tasks), left),
                flush=True,
            )
    except KeyboardInterrupt:
        print(f"\n{len(tasks) - len(missing) + done} of {len(tasks)} runs are done and kept: the same command goes on")
        raise
    ordered = {name: {seed: by_seed[seed] for seed in seeds} for name, by_seed in runs.items()}
    return Results(settings, variants, list(seeds), ordered)


def settings_of_a_run(experiment: ModuleType, settings: Settings) -> Settings:
    """Without those that only decide which runs there are."""
    names = [option.name for option in experiment.OPTIONS if option.of_a_run]
    return Settings(**{name: getattr(settings, name) for name in [*names, "device"]})


# ------------------------------------------------------------------------------------------------------- a run


def _made(task: Task) -> tuple[Task, Measures, float]:
    """Make the run. All that is random in it follows from its seed."""
    began = perf_counter()
    threads = minidl.get_num_threads()
    minidl.set_num_threads(1)  # here too where there is only one process: another number would round otherwise
    try:
        with one_blas_thread():
            minidl.manual_seed(task.seed)
            measures = task.experiment.run(task.variant, task.seed, task.settings)
    except CommandError as error:
        raise CommandError(f"{task.variant.label}, seed {task.seed}: {error}") from None
    finally:
        minidl.set_num_threads(threads)
    return task, measures, perf_counter() - began


def _in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Measures, float]]:
    """Several at a time; leaving the loop early ends those under way. CommandError: a process was killed."""
    context = multiprocessing.get_context("spawn")  # on every system the same, and safe beside threads
    numbered = {task.filename: task for task in tasks}
    packed = [(task.experiment.__name__, task.variant, task.seed, task.settings) for task in tasks]
    with context.Pool(jobs, _leave_interrupts_to_the_parent) as pool:
        workers = _children()
        results = pool.imap_unordered(_made_elsewhere, packed)
        for _ in tasks:
            filename, measures, seconds = _next(results, workers)
            yield numbered[filename], measures, seconds


def _next(results: Any, workers: set[int | None]) -> tuple[str, Measures, float]:
    """The next result. A pool replaces a worker that dies, and waits for ever for what it was doing: so look."""
    while True:
        try:
            return results.next(timeout=LOOK)
        except multiprocessing.TimeoutError:
            if not workers <= _children():
                raise CommandError(
                    "a process that made a run was ended from outside, maybe for want of memory: --jobs 1"
                ) from None


def _children() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


def _made_elsewhere(packed: tuple[str, Variant, int, Settings]) -> tuple[str, Measures, float]:
    """A module cannot be sent to another process, its name can."""
    name, variant, seed, settings = packed
    task, measures, seconds = _made(Task(importlib.import_module(name), variant, seed, settings))
    return task.filename, measures, seconds


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ------------------------------------------------------------------------------------------------------- its file


def write_run(path: Path, task: Task, measures: Measures, seconds: float) -> None:
    """CommandError: it cannot be written."""
    record = task.identity | {"measures": measures, "seconds": seconds, "versions": versions()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(record).encode())
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None


def read_run(path: Path, task: Task) -> Measures | None:
    """The measures in the file; None where it is not there, is damaged, or is of another run."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(record[name] == value for name, value in json.loads(json.dumps(task.identity)).items()):
            return record["measures"]
    return None


# ------------------------------------------------------------------------------------------------------- words


def _announced(total: int, missing: int, jobs: int, folder: Path) -> str:
    if not missing:
        return f"All {total} runs are in {folder} already (--again repeats them)"
    words = f"{total} runs" if missing == total else f"{missing} of {total} runs are still to be made"
    return f"{words}, {jobs} at a time" if jobs > 1 else words


def _line(
    experiment: ModuleType, task: Task, measures: Measures, seconds: float, number: int, total: int, left: float
) -> str:
    """plain, 20 layers, seed 0: training error 0.21 %, test error 1.39 %   (12 s; 7 of 24, 3 min left)"""
    shown = [column for column in experiment.COLUMNS if not column.exact and column.measure in measures][:3]
    words = ", ".join(f"{column.heading.replace('/', ' ')} {column.text(measures[column.measure])}" for column in shown)
    time = f"{number} of {total}" + (f", {duration(left)} left" if left >= 1 else "")
    return f"  {task.variant.label}, seed {task.seed}: {words}   ({duration(seconds)}; {time})"

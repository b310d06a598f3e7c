"""Training on several processes, with MPI: `make test-mpi`. Each test starts an mpiexec on this machine."""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy
import pytest

import minidl
from minidl.checkpoint import read_checkpoint
from tests import mpi_worker
from tests.trainings import log_lines

ROOT = Path(__file__).resolve().parent.parent
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed"),
    pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec"),
]

MINUTE = 60


def mpiexec(size, *command, timeout=120, check=True, **options):
    """Run `command` with Python on `size` processes, each with one thread."""
    line, environment = start_of(size)
    done = subprocess.run(
        [*line, *map(str, command)], env=environment, timeout=timeout, capture_output=True, text=True, **options
    )
    if check:
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def start_of(size, *options):
    """How `size` processes begin, and their environment."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    # A container's user is often root, and it may have fewer cores than processes.
    more = ["--oversubscribe", "--bind-to", "none"] + (["--allow-run-as-root"] if os.name == "posix" else [])
    return [MPIEXEC, *more, "-n", str(size), *map(str, options), sys.executable, "-m"], environment


# ----------------------------------------------------------------------------------------------------- scenarios

# Of mpi_worker.py, by the number of processes: each number is started once, for all of its scenarios in turn.
SCENARIOS = {
    1: ["verbs", "gradients", "same_as_one"],
    2: ["gradients", "overlap", "same_as_one", "resumes"],
    3: ["verbs", "gradients", "overlap", "same_as_one", "local_statistics", "not_finite", "stop_together"],
    4: ["same_as_one"],
}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start(size): the folder of the scenarios, and what came of their processes."""

    @cache
    def start(size):
        folder = tmp_path_factory.mktemp(f"with{size}")
        return folder, mpiexec(size, "tests.mpi_worker", folder, *SCENARIOS[size], check=False)

    return start


@pytest.mark.parametrize(("size", "name"), [(size, name) for size, names in SCENARIOS.items() for name in names])
def test_scenario(size, name, start):
    folder, done = start(size)
    assert (folder / f"{name}.done").exists(), f"{done.stdout}\n{done.stderr}"
    if name == SCENARIOS[size][-1]:
        assert done.returncode == 0, done.stderr
    if name == "not_finite":
        assert len(list(folder.glob("rank*"))) == size


@pytest.fixture(scope="module")
def alone():
    """What a single process ends with, without MPI."""
    trained = mpi_worker.training(sync=False)
    trained.run()
    minidl.set_default_dtype(minidl.float32)
    return mpi_worker.result(trained)


@pytest.mark.parametrize("size", SCENARIOS)
def test_processes_give_the_weights_of_one(size, start, alone):
    """K processes with synchronised batch norm, against one with the whole batches, to 1e-12 in float64."""
    folder, done = start(size)
    assert (folder / "weights.npz").exists(), done.stderr
    state = numpy.load(folder / "weights.npz")
    assert set(state) == set(alone)
    for name, expected in alone.items():
        numpy.testing.assert_allclose(state[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)
    assert len(alone["history.test_loss"]) == mpi_worker.EPOCHS


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raises", "ValueError: this rank has a bug"),
        ("hangs", "rank [01] waited 2 seconds: rank 2 of 3 did not come"),
    ],
    ids=["raises", "hangs"],
)
def test_a_rank_that_fails_ends_the_job(how, expected, tmp_path):
    began = time.monotonic()
    done = mpiexec(3, "tests.mpi_worker", tmp_path, how, check=False, timeout=MINUTE)
    assert done.returncode != 0
    assert time.monotonic() - began < MINUTE
    assert re.search(expected, done.stderr + done.stdout), done.stderr


# ----------------------------------------------------------------------------------------------------- the command

digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
EPOCHS = 3  # of six steps
OPTIONS = ["train", "lenet5", "--data", "digits", "--batch-size", "250", "--lr", "0.01", "--epochs", str(EPOCHS)]
MPI = ["--distributed", "mpi"]


def weights(folder):
    return read_checkpoint(Path(folder, "last.safetensors"))[1]


def assert_close(ours, theirs):
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        numpy.testing.assert_allclose(ours[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of a single process, without MPI."""
    folder = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "-m", "minidl", *OPTIONS, "--out", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    return folder / "run"


@digits
def test_command(tmp_path, whole):
    """Three processes train as one would, and the first alone speaks and writes."""
    (tmp_path / "first").mkdir()
    (tmp_path / "others").mkdir()
    line, environment = start_of(1, "--wdir", tmp_path / "first")
    rest, _ = start_of(2, "--wdir", tmp_path / "others")
    command = ["minidl", *OPTIONS, *MPI, "--out", "run"]
    done = subprocess.run(
        [*line, *command, ":", *rest[rest.index("-n") :], *command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("lenet5 on digits") == done.stdout.count("Confusion matrix") == 1
    assert "mpiexec -n 3 minidl train --resume run --distributed mpi" in done.stdout
    assert "3 processes (mpi), each with its part of every batch" in done.stdout
    assert not list((tmp_path / "others").iterdir())
    folder = tmp_path / "first" / "run"
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert_close(weights(folder), weights(whole))
    ours, theirs = ([line for line in log_lines(run) if line["event"] == "epoch"] for run in (folder, whole))
    for our, their in zip(ours, theirs, strict=True):
        assert our["test_accuracy"] == pytest.approx(their["test_accuracy"], abs=1 / 360 + 1e-9)
        assert our["train_loss"] == pytest.approx(their["train_loss"], rel=1e-4)


@digits
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["lenet6", "--data", "digits"], "lenet6"),  # the first notices it
        (
            ["lenet5", "--data", "digits", "--batch-size", "2"],
            "1,437 images in batches of 2 leave 1 for the last one",
        ),  # all do
    ],
)
def test_errors_are_said_once(arguments, text, tmp_path):
    done = mpiexec(2, "minidl", "train", *arguments, *MPI, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.count("minidl train: error: ") == 1 and text in done.stderr, done.stderr


@digits
@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_killed_stuck_and_resumed_with_other_numbers_of_processes(tmp_path, whole):
    """3 processes, one of which dies; 2 that go on, one of which hangs; then one alone, without MPI.

    Each failure ends the job within a minute, and says what it was; in the end the run is what it would have been.
    """
    folder = tmp_path / "run"
    errors = broken_off(3, signal.SIGKILL, folder, *OPTIONS, "--out", "run")
    assert re.search(r"exited on\s+signal 9", errors), errors
    errors = broken_off(2, signal.SIGSTOP, folder, "train", "--resume", "run")
    assert re.search(r"rank [01] waited 3 seconds: rank [01] of 2 did not come", errors), errors
    assert re.search(r"minidl train --resume run", errors), errors
    steps = read_checkpoint(folder / "last.safetensors")[0]["state"]["training"]["position"]["step"]
    assert 2 <= steps < 6 * EPOCHS
    command = [sys.executable, "-m", "minidl", "train", "--resume", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    assert_close(weights(folder), weights(whole))


def broken_off(size, number, folder, *options):
    """Train in `folder` until something is saved, then send the signal to the last process. Returns what was said."""
    line, environment = start_of(size)
    command = [*line, "minidl", *options, *MPI, "--timeout", "3s", "--save-every", "1"]
    before = saved(folder)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder.parent, env=environment, text=True, **pipes) as job:
        until = time.monotonic() + MINUTE
        while saved(folder) == before:
            assert job.poll() is None and time.monotonic() < until
            time.sleep(0.005)
        os.kill(max(processes_in(folder.parent)), number)
        began = time.monotonic()
        _, errors = job.communicate(timeout=MINUTE)
        assert time.monotonic() - began < MINUTE
    assert job.returncode != 0
    return errors


def saved(folder):
    """When the last checkpoint was written; None before the first."""
    path = folder / "last.safetensors"
    return path.stat().st_mtime_ns if path.exists() else None


def processes_in(folder):
    """The numbers of the processes that train in `folder`."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    words = re.escape(shlex.join(["-m", "minidl", "train"]))
    pids = [int(line.split()[0]) for line in listed.splitlines() if re.search(words, line) and "mpiexec" not in line]
    mine = [pid for pid in pids if os.path.realpath(f"/proc/{pid}/cwd") == os.path.realpath(folder)]
    return mine or pids

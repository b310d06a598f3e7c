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
from pathlib import Path

import numpy
import pytest

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


def start_of(size):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    # A container's user is often root, and it may have fewer cores than processes.
    options = ["--oversubscribe", "--bind-to", "none"] + (["--allow-run-as-root"] if os.name == "posix" else [])
    return [MPIEXEC, *options, "-n", str(size), sys.executable, "-m"], environment


def scenario(size, name, folder, **options):
    return mpiexec(size, "tests.mpi_worker", name, folder, **options)


# ------------------------------------------------------------------------------------------------------ the verbs


@pytest.mark.parametrize("size", [1, 3])
def test_verbs(size, tmp_path):
    scenario(size, "verbs", tmp_path)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_gradients_are_those_of_the_whole_batch(size, tmp_path):
    scenario(size, "gradients", tmp_path)


# ---------------------------------------------------------------------------------------------------- trainings


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a single process ends with, without MPI."""
    path = tmp_path_factory.mktemp("alone") / "weights.npz"
    program = (
        "import numpy, sys; from tests import mpi_worker as w; t = w.training(sync=False); t.run(); "
        "numpy.savez(sys.argv[1], **w.result(t))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=True, timeout=MINUTE)
    return dict(numpy.load(path))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ranks_give_the_weights_of_one_process(size, tmp_path, alone):
    scenario(size, "same_as_one", tmp_path)
    state = numpy.load(tmp_path / "weights.npz")
    assert set(state) == set(alone)
    for name, expected in alone.items():
        numpy.testing.assert_allclose(state[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)
    assert len(alone["history.test_loss"]) == mpi_worker.EPOCHS


def test_local_statistics(tmp_path):
    scenario(3, "local_statistics", tmp_path)


def test_a_nan_on_one_rank(tmp_path):
    scenario(3, "not_finite", tmp_path)
    assert len(list(tmp_path.glob("rank*"))) == 3


def test_one_rank_stops_all(tmp_path):
    scenario(3, "stop_together", tmp_path)


def test_resumed_to_the_last_bit(tmp_path):
    scenario(2, "resumes", tmp_path)


# ------------------------------------------------------------------------------------------------------- failures

EXPECTED = {
    "raises": "ValueError: this rank has a bug",
    "killed": "rank 2 .* exited on\\s+signal 9",
    "hangs": "rank [01] waited 4 seconds: rank 2 of 3 did not come",
    "stopped": "rank [01] waited 4 seconds: rank 2 of 3 did not come",
}


@pytest.mark.parametrize("how", EXPECTED)
@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
def test_a_rank_that_fails_ends_the_job(how, tmp_path):
    began = time.monotonic()
    done = scenario(3, how, tmp_path, check=False, timeout=MINUTE)
    assert done.returncode != 0
    assert time.monotonic() - began < MINUTE / 2
    assert re.search(EXPECTED[how], done.stderr + done.stdout), done.stderr


# ----------------------------------------------------------------------------------------------------- the command

digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
OPTIONS = ["train", "lenet5", "--data", "digits", "--batch-size", "250", "--lr", "0.05", "--epochs", "2"]
MPI = ["--distributed", "mpi"]


def minidl(size, *arguments, **options):
    return mpiexec(size, "minidl", *arguments, **options)


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
    done = minidl(3, *OPTIONS, *MPI, "--out", "run", cwd=tmp_path)
    assert done.stdout.count("lenet5 on digits") == done.stdout.count("Confusion matrix") == 1
    assert "mpiexec -n 3 minidl train --resume run --distributed mpi" in done.stdout
    assert "3 processes (mpi), each with its part of every batch" in done.stdout
    assert_close(weights(tmp_path / "run"), weights(whole))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in whole.iterdir()}
    ours, theirs = (
        [line for line in log_lines(folder) if line["event"] == "epoch"] for folder in (tmp_path / "run", whole)
    )
    for our, their in zip(ours, theirs, strict=True):
        assert our["test_accuracy"] == pytest.approx(their["test_accuracy"], abs=1 / 360 + 1e-9)
        assert our["train_loss"] == pytest.approx(their["train_loss"], rel=1e-4)


@digits
def test_resumed_with_another_number_of_processes(tmp_path, whole):
    """2, then 3, then 1 without MPI: the run is the one that it would have been."""
    stopped = minidl(2, *OPTIONS, *MPI, "--out", "run", "--max-steps", "4", cwd=tmp_path)
    assert "mpiexec -n 2 minidl train --resume run --distributed mpi" in stopped.stdout
    minidl(3, "train", "--resume", "run", *MPI, "--max-steps", "9", cwd=tmp_path)
    command = [sys.executable, "-m", "minidl", "train", "--resume", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    assert_close(weights(tmp_path / "run"), weights(whole))


@digits
def test_errors_are_said_once(tmp_path):
    for arguments, text in (
        (["train", "lenet6", "--data", "digits"], "lenet6"),
        (
            ["train", "lenet5", "--data", "digits", "--batch-size", "2"],
            "a batch of 1 samples cannot be shared out to 3",
        ),
    ):
        done = minidl(3, *arguments, *MPI, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert done.stderr.count("minidl train: error: ") == 1 and text in done.stderr, done.stderr


@digits
@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_a_process_that_dies_or_hangs_in_the_middle(name, tmp_path, whole):
    """The job ends within a minute and says so; the run goes on from its checkpoint, with one process less."""
    line, environment = start_of(3)
    command = [*line, "minidl", *OPTIONS, *MPI, "--out", "run", "--timeout", "5s", "--save-every", "1"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        victim = wait_for_step(tmp_path / "run", job)
        os.kill(victim, getattr(signal, name))
        began = time.monotonic()
        _, errors = job.communicate(timeout=MINUTE)
        assert time.monotonic() - began < MINUTE
    assert job.returncode != 0
    if name == "SIGKILL":
        assert re.search(r"exited on\s+signal 9", errors), errors
    else:
        assert re.search(r"rank [012] waited 5 seconds: rank [012] of 3 did not come", errors), errors
        assert re.search(r"minidl train --resume run", errors), errors
    minidl(2, "train", "--resume", "run", *MPI, cwd=tmp_path)
    assert_close(weights(tmp_path / "run"), weights(whole))


def wait_for_step(folder, job):
    """The number of one of the job's processes, once there is a checkpoint."""
    until = time.monotonic() + MINUTE
    while not (folder / "last.safetensors").exists():
        assert job.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    ours = re.escape(shlex.join(["-m", "minidl", *OPTIONS[:2]]))
    pids = [int(line.split()[0]) for line in listed.splitlines() if re.search(ours, line) and "mpiexec" not in line]
    mine = [pid for pid in pids if os.path.realpath(f"/proc/{pid}/cwd") == os.path.realpath(folder.parent)]
    return max(mine or pids)

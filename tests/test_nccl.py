"""NCCL on one GPU, with one process: all that cupyx.distributed is asked for. Without MPI; skipped without a GPU."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

import minidl
from minidl.checkpoint import read_checkpoint
from tests.trainings import log_lines

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ["verbs", "behind_what_is_computed", "step", "overlap", "unused_parameters", "batch_norm", "training"]
SCENARIOS += ["other_device", "late", "joined_again"]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not minidl.cuda.is_available(), reason="no CUDA device, or CuPy is not installed"),
]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def run(*command, **variables):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    line = [sys.executable, "-m", *map(str, command)]
    return subprocess.run(line, env={**environment, **variables}, cwd=ROOT, capture_output=True, text=True, timeout=150)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The folder of the scenarios, and what came of the process that ran them all."""
    folder = tmp_path_factory.mktemp("nccl")
    return folder, run("tests.nccl_worker", free_port(), folder, *SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name, started):
    folder, done = started
    assert (folder / f"{name}.done").exists(), f"{done.stdout}\n{done.stderr}"


def test_the_process_ends_well(started):
    assert started[1].returncode == 0, started[1].stderr


def test_a_rank_that_never_comes(tmp_path):
    began = time.monotonic()
    done = run("tests.nccl_worker", free_port(), tmp_path, "nobody_else")
    assert done.returncode != 0 and time.monotonic() - began < 60
    assert "DistBackendError: init_process_group(): rank 0 of 2 did not find the others through NCCL" in done.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        done = run("tests.nccl_worker", server.getsockname()[1], tmp_path, "verbs")
    assert done.returncode != 0 and "rank 0 cannot listen at 127.0.0.1" in done.stderr, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_command(tmp_path):
    """One process with NCCL trains as one without."""
    options = ["minidl", "train", "lenet5", "--data", "digits", "--batch-size", "250", "--lr", "0.01", "--epochs", "2"]
    alone = run(*options, "--device", "cuda", "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    place = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    done = run(*options, "--distributed", "nccl", "--out", tmp_path / "nccl", **place)
    assert done.returncode == 0, done.stderr
    assert "1 process (nccl)" in done.stdout and "on cuda:0" in done.stdout
    ours, theirs = (read_checkpoint(tmp_path / name / "last.safetensors")[1] for name in ("nccl", "alone"))
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        numpy.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    epochs = [line for line in log_lines(tmp_path / "nccl") if line["event"] == "epoch"]
    assert len(epochs) == 2

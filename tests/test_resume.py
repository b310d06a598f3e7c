"""A training that was stopped, broken off or killed goes on as if it never had been: bit for bit."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

import minidl
from minidl import checkpoint
from minidl.checkpoint import CheckpointError
from minidl.training import RunFolder
from tests.trainings import (
    OPTIMIZERS,
    SCHEDULES,
    STEPS,
    STEPS_PER_EPOCH,
    StopAfter,
    everything,
    log_lines,
    run_in,
    small_training,
)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run ends with, and its log."""
    folder = tmp_path_factory.mktemp("whole")
    training = small_training()
    run_in(folder, training)
    return everything(training), log_lines(folder)


def resumed(folder, **options):
    """A training built anew, from another seed, and brought where the checkpoint was."""
    training = small_training(seed=99, **options)
    RunFolder(folder).resume(training)
    return training


def test_the_small_training_depends_on_all_that_is_random(whole):
    """Else the tests below would not notice that something is forgotten."""
    other = small_training(seed=1)
    other.run()
    assert everything(other)["model"] != whole[0]["model"]
    for part in ("random", "seed", "scheduler"):  # part by part: forget it, and the end is another
        training = small_training()
        training.run(StopAfter(7))
        state = training.state_dict()
        state[part] = small_training(seed=99).state_dict()[part]
        training.stop = False
        training.load_state_dict(state)
        training.run()
        assert everything(training)["model"] != whole[0]["model"], part


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 4, 5, 6, 12, STEPS])
def test_stopped_after_any_step(tmp_path, whole, stop, num_workers):
    run_in(tmp_path, small_training(num_workers=num_workers), StopAfter(stop), save_steps=1000)
    training = small_training(seed=99, num_workers=2 - num_workers)
    run_in(tmp_path, training, save_steps=1000)
    assert everything(training) == whole[0]
    assert log_lines(tmp_path) == whole[1]


def test_stopped_after_every_step(tmp_path, whole):
    for step in range(1, STEPS + 1):
        training = small_training(seed=step - 1)  # of the first one it counts
        run_in(tmp_path, training, StopAfter(step))
        assert training.position.step == step
    run_in(tmp_path, training := small_training())
    assert everything(training) == whole[0]
    assert log_lines(tmp_path) == whole[1]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(tmp_path, schedule):
    rates = []
    for stop in (STEPS, 4, 7):
        folder = tmp_path / str(stop)
        folder.mkdir()
        run_in(folder, small_training(schedule=schedule), StopAfter(stop))
        training = small_training(seed=99, schedule=schedule)
        run_in(folder, training)
        rates.append((everything(training), [line.get("lr") for line in log_lines(folder)]))
    assert rates[0] == rates[1] == rates[2]
    assert (len(set(rates[0][1])) > 2) == (schedule != "none")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(tmp_path, optimizer):
    whole = small_training(optimizer=optimizer, schedule="MultiStepLR")
    whole.run()
    run_in(tmp_path, small_training(optimizer=optimizer, schedule="MultiStepLR"), StopAfter(6))
    training = small_training(seed=99, optimizer=optimizer, schedule="MultiStepLR")
    run_in(tmp_path, training)
    assert everything(training) == everything(whole)


def test_a_last_epoch_that_is_a_part_of_one(tmp_path):
    """12 steps are 2.4 epochs: the rest is tested like a whole one, and that test can be broken off, too."""
    whole = small_training(max_steps=12)
    whole.run()
    assert whole.finished
    assert len(whole.history) == 3
    assert (whole.position.step, whole.position.batch, whole.last_epoch.batch) == (12, 0, 2)
    for stop in (11, 12):
        folder = tmp_path / str(stop)
        folder.mkdir()
        stopped = small_training(max_steps=12)
        run_in(folder, stopped, StopAfter(stop))
        assert not stopped.finished
        training = small_training(seed=99, max_steps=12)
        run_in(folder, training)
        assert everything(training) == everything(whole)
        assert [line["event"] for line in log_lines(folder)].count("epoch") == 3


def test_broken_off_while_it_tests(tmp_path, whole):
    training = small_training()
    loader, training.test_loader = training.test_loader, BrokenOff(training.test_loader, at=2)
    files = RunFolder(tmp_path, save_steps=1000, log_steps=1)
    files.begin()
    with pytest.raises(KeyboardInterrupt):
        training.run(files)
    assert training.testing
    assert training.test_loader is not loader
    files.save(training)
    run_in(tmp_path, training := small_training(seed=99))
    assert everything(training) == whole[0]
    assert log_lines(tmp_path) == whole[1]


class BrokenOff:
    """A loader during whose second test Ctrl-C comes."""

    def __init__(self, loader, at):
        self.loader, self.at = loader, at

    def __iter__(self):
        self.at -= 1
        for batch in self.loader:
            yield batch
            if not self.at:
                raise KeyboardInterrupt


def test_batches_that_are_no_data_loader(tmp_path):
    """Any iterable: what is done of the epoch is skipped."""

    class Batches:
        def __init__(self):
            rng = numpy.random.default_rng(0)
            self.batches = [
                (minidl.Tensor(rng.standard_normal((4, 3, 8, 8), numpy.float32)), minidl.Tensor(numpy.arange(4)))
                for _ in range(3)
            ]

        def __iter__(self):
            return iter(self.batches)

    def made(seed):
        training = small_training(seed)
        training.train_loader = Batches()
        return training

    whole = made(0)
    whole.run()
    run_in(tmp_path, made(0), StopAfter(5))
    run_in(tmp_path, training := made(99))
    ours, theirs = everything(training), everything(whole)
    assert ours == theirs
    assert ours["position"]["step"] == 9


# ---------------------------------------------------------------------------------------------- what a kill leaves


def test_a_kill_between_any_two_file_operations(tmp_path, whole, monkeypatch):
    """The folder as it is before and after each of them: whatever moment a kill takes, the run goes on from there."""
    run, moments = tmp_path / "run", tmp_path / "moments"
    run.mkdir()
    moments.mkdir()

    def remember():
        shutil.copytree(run, moments / f"{len(list(moments.iterdir())):03}")

    def remembered(function):
        def call(*arguments):
            remember()
            result = function(*arguments)
            remember()
            return result

        return call

    monkeypatch.setattr(checkpoint.os, "fsync", remembered(os.fsync))
    monkeypatch.setattr(checkpoint.os, "replace", remembered(os.replace))
    training = small_training()
    files = RunFolder(run, save_steps=4, log_steps=1)
    files.begin()
    training.run(files, StopAfter(STEPS_PER_EPOCH + 1))
    monkeypatch.undo()

    folders = sorted(moments.iterdir())
    assert len(folders) == 3 * 8  # step 4, the best, the last
    torn = 0
    for folder in folders:
        unfinished = list(folder.glob("*.tmp"))
        for path in unfinished:  # and when only half of it had been written
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            torn += 1
        run_in(folder, training := small_training(), save_steps=1000, tell=pytest.fail)
        assert everything(training) == whole[0], folder
        assert log_lines(folder) == whole[1], folder
    assert torn == 3 * 3  # before and after its fsync, and before it is renamed


def test_killed_at_random_moments(tmp_path, whole):
    """SIGKILL, again and again: no handler, no clean-up. Then it may finish."""
    rng = random.Random(0)
    command = [sys.executable, "-m", "tests.trainings", str(tmp_path)]
    killed = 0
    for _ in range(40):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.0, 0.05))
            process.kill()
            killed += process.wait() != 0
        if killed == 3:
            break
        if process.returncode == 0:  # on a busy machine the kill may come after the end: then from the beginning
            for path in tmp_path.iterdir():
                path.unlink()
            killed = 0
    assert killed == 3
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    training = resumed(tmp_path)
    assert training.finished
    assert everything(training) == whole[0]
    assert log_lines(tmp_path) == whole[1]


# --------------------------------------------------------------------------------------------- damaged, and foreign


def test_a_damaged_last_checkpoint_costs_the_steps_since_the_best(tmp_path, whole):
    run_in(tmp_path, small_training(), StopAfter(STEPS - 1))
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    told = []
    training = small_training(seed=99)
    run_in(tmp_path, training, tell=told.append)
    assert len(told) == 1
    assert "last.safetensors is damaged" in told[0]
    assert f"going on from {tmp_path / 'best.safetensors'} instead" in told[0]
    assert everything(training) == whole[0]
    assert log_lines(tmp_path) == whole[1]


def test_a_missing_last_checkpoint(tmp_path, whole):
    run_in(tmp_path, small_training())
    (tmp_path / "last.safetensors").unlink()
    run_in(tmp_path, training := small_training(seed=99), tell=pytest.fail)
    assert everything(training) == whole[0]


def test_two_damaged_checkpoints_change_nothing(tmp_path):
    run_in(tmp_path, small_training(), StopAfter(STEPS - 1))
    for name in ("last", "best"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"not a checkpoint")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    training = small_training(seed=99)
    state = everything(training)
    with pytest.raises(CheckpointError, match=r"last\.safetensors is damaged"):
        RunFolder(tmp_path).resume(training)
    assert everything(training) == state
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_run(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no file .*last\.safetensors"):
        RunFolder(tmp_path).resume(small_training())


def test_a_checkpoint_of_another_kind_of_training(tmp_path):
    training = small_training()
    checkpoint.save_checkpoint(tmp_path / "last.safetensors", training.model, training.optimizer, {"mine": 1})
    with pytest.raises(CheckpointError, match="another kind of training"):
        RunFolder(tmp_path).resume(training)


# ------------------------------------------------------------------------------------------------------- full disk


def full(*_):
    raise OSError(28, os.strerror(28))  # ENOSPC


def test_a_full_disk_is_told_once_and_the_training_goes_on(tmp_path, monkeypatch, whole):
    told = []
    files = RunFolder(tmp_path, save_steps=1, log_steps=1, tell=told.append)
    files.begin()
    training = small_training()
    training.run(files, StopAfter(6))
    before = (tmp_path / "last.safetensors").read_bytes()

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    training.stop = False
    training.run(files, StopAfter(9))
    assert len(told) == 1
    assert "the disk is full" in told[0] or "No space left" in told[0]
    assert not files.saved
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))

    monkeypatch.undo()  # somebody has made room
    training.stop = False
    training.run(files)
    assert files.saved
    assert everything(training) == whole[0]
    assert everything(resumed(tmp_path)) == whole[0]
    assert log_lines(tmp_path) == whole[1]
    assert len(told) == 1


def test_a_log_that_breaks_off_in_a_line_is_mended(tmp_path, monkeypatch):
    """Half of a line reaches the disk, then it is full; later there is room again."""
    resource = pytest.importorskip("resource", reason="limits of file sizes are POSIX's")
    told = []
    files = RunFolder(tmp_path, log_steps=1, save_steps=1000, tell=told.append)
    files.begin()
    training = small_training()
    training.run(files, StopAfter(1))
    size = (tmp_path / "log.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))  # a real limit: 20 bytes more, and no further
        training.stop = False
        training.run(files, StopAfter(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(told) == 1
    assert "log.jsonl" in told[0]
    training.stop = False
    training.run(files)
    steps = [line["step"] for line in log_lines(tmp_path) if line["event"] == "step"]
    assert steps == [1, *range(4, STEPS + 1)]


def test_a_log_that_somebody_shortened(tmp_path):
    run_in(tmp_path, small_training(), StopAfter(4))
    (tmp_path / "log.jsonl").write_text("")
    told = []
    run_in(tmp_path, small_training(), tell=told.append)
    assert len(told) == 1
    assert "lines of it are missing" in told[0]
    assert [line["step"] for line in log_lines(tmp_path) if line["event"] == "step"] == list(range(5, STEPS + 1))


def test_numbers_that_json_does_not_have_are_null_in_the_log(tmp_path):
    training = small_training()
    training.run(StopAfter(1))
    training.loss = float("nan")
    RunFolder(tmp_path, log_steps=1).step(training)
    assert log_lines(tmp_path)[0]["loss"] is None

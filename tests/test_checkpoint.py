"""A checkpoint is written whole or not at all; what is damaged or foreign is said, and changes nothing."""

import json
import os
import pickle
import random
import zlib
from pathlib import Path

import numpy
import pytest
import safetensors.numpy

import minidl
from minidl import checkpoint, nn, optim
from minidl.checkpoint import (
    CheckpointError,
    atomic_write,
    load_checkpoint,
    load_first,
    model_weights,
    read_checkpoint,
    save_checkpoint,
)
from minidl.optim.lr_scheduler import StepLR

STATE = {"epoch": 3, "note": 'a "quoted" word, ü', "numbers": [1, 2.5, None], "random": 2**127 + 1, "rate": 0.1}


def model_and_optimizer(seed=0, width=4, kind=optim.SGD, steps=2):
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    options = {"lr": 0.1, "momentum": 0.9} if kind is optim.SGD else {"lr": 0.1}
    optimizer = kind(model.parameters(), **options)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(minidl.randn(5, 3)) ** 2).sum().backward()
        optimizer.step()
    return model, optimizer


def numbers(model, optimizer):
    """All of both, to the last bit."""
    saved = optimizer.state_dict()
    state = {
        (number, key): value.tolist() if isinstance(value, minidl.Tensor) else value
        for number, values in saved["state"].items()
        for key, value in values.items()
    }
    return {name: t.numpy().tobytes() for name, t in model.state_dict().items()}, state, saved["param_groups"]


@pytest.fixture
def saved(tmp_path):
    """A checkpoint, and what is in it."""
    model, optimizer = model_and_optimizer()
    save_checkpoint(tmp_path / "last.safetensors", model, optimizer, STATE)
    return tmp_path / "last.safetensors", numbers(model, optimizer)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop])
def test_everything_comes_back(tmp_path, kind):
    model, optimizer = model_and_optimizer(kind=kind)
    StepLR(optimizer, 3)  # leaves an initial_lr in the groups
    save_checkpoint(tmp_path / "a", model, optimizer, STATE)
    other = model_and_optimizer(seed=9, kind=kind, steps=5)
    assert load_checkpoint(tmp_path / "a", *other) == STATE
    assert numbers(*other) == numbers(model, optimizer)
    assert numbers(*other)[2][0]["initial_lr"] == 0.1
    assert model_weights(tmp_path / "a")["0.weight"].tolist() == model[0].weight.tolist()


def test_an_optimizer_that_has_not_begun(tmp_path):
    model, optimizer = model_and_optimizer(steps=0)
    save_checkpoint(tmp_path / "a", model, optimizer, {})
    other = model_and_optimizer(seed=9)
    load_checkpoint(tmp_path / "a", *other)
    assert numbers(*other) == numbers(model, optimizer)
    assert numbers(*other)[1] == {}


def test_any_reader_of_safetensors_reads_it(saved):
    path, _ = saved
    tensors = safetensors.numpy.load_file(path)
    assert tensors["model.0.weight"].shape == (4, 3)
    assert tensors["optimizer.0.momentum_buffer"].shape == (4, 3)
    assert tensors["model.1.num_batches_tracked"].shape == ()


# --------------------------------------------------------------------------------------------------------- writing


def test_the_bytes_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    """After a power cut the file must be the old one or the new one: content first, then the name, then the folder."""
    order = []

    def fsync(descriptor):
        order.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file")

    def replace(source, target):
        order.append("replace")
        assert Path(source).read_bytes() == b"new"
        os.rename(source, target)

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    monkeypatch.setattr(checkpoint.os, "replace", replace)
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    if Path("/proc/self/fd").exists():
        assert order == ["fsync file", "replace", "fsync folder"]
    assert list(tmp_path.iterdir()) == [path]


class Killed(BaseException):
    """Nothing catches it by accident."""


@pytest.mark.parametrize("error", [Killed(), KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_what_fails_on_the_way_leaves_the_old_file(saved, monkeypatch, operation, error):
    path, before = saved
    content = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(checkpoint.os, operation, fail)
    with pytest.raises(CheckpointError if isinstance(error, OSError) else type(error)):
        save_checkpoint(path, *model_and_optimizer(seed=5), {})
    monkeypatch.undo()
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
    model, optimizer = model_and_optimizer(seed=9)
    load_checkpoint(path, model, optimizer)
    assert numbers(model, optimizer) == before


def test_what_cannot_be_json_is_noticed_before_anything_is_written(saved):
    path, _ = saved
    content = path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(path, *model_and_optimizer(), {"scheduler": object()})
    assert path.read_bytes() == content


def test_a_device_without_room(saved):
    """The file is written to /dev/full, where every write finds the disk full."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    path, _ = saved
    content = path.read_bytes()
    (path.parent / "last.safetensors.tmp").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"no room for .*last\.safetensors: the disk is full \(0\.0 MB"):
        save_checkpoint(path, *model_and_optimizer(seed=5), {})
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_limit_to_the_size_of_files(saved):
    resource = pytest.importorskip("resource", reason="limits of file sizes are POSIX's")
    path, _ = saved
    content = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
        with pytest.raises(CheckpointError, match="help: the last checkpoint that was written is intact"):
            save_checkpoint(path, *model_and_optimizer(seed=5), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot write .*No such file"):
        save_checkpoint(tmp_path / "none" / "a", *model_and_optimizer(), {})


# --------------------------------------------------------------------------------------------------------- damaged


def assert_refused(path, words, model=None, optimizer=None):
    """It is said, with the file's name, and neither model nor optimizer is another afterwards."""
    if model is None:
        model, optimizer = model_and_optimizer(seed=9)
    before = numbers(model, optimizer)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path, model, optimizer)
    assert str(path) in str(caught.value)
    assert numbers(model, optimizer) == before


def test_every_byte_counts(saved):
    """One flipped bit, in every fourth byte of the file, one after the other."""
    path, _ = saved
    content = bytearray(path.read_bytes())
    rng = random.Random(0)
    for place in range(0, len(content), 4):
        bit = 1 << rng.randrange(8)
        content[place] ^= bit
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
        content[place] ^= bit


def test_every_length_but_the_whole_one_is_noticed(saved):
    path, _ = saved
    content = path.read_bytes()
    for size in [*range(0, len(content), 13), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="is damaged"):
            read_checkpoint(path)
    path.write_bytes(content + b"\0")
    assert_refused(path, "is damaged")
    path.write_bytes(content)
    read_checkpoint(path)


def test_what_is_damaged_is_not_loaded(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)
    assert_refused(path, r"is damaged: its bytes are not those that were written(.|\n)*help: .*take another copy")


# --------------------------------------------------------------------------------------------------------- foreign


class Hostile:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_hostile_pickle_is_not_run(tmp_path):
    path, trace = tmp_path / "last.safetensors", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Hostile(str(trace))))
    assert_refused(path, "no complete safetensors file")
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"\xff" * 100, b"PK\x03\x04 a zip", "ü".encode() * 50])
def test_files_of_other_kinds(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert_refused(path, "no complete safetensors file")


def test_no_file_and_a_folder(tmp_path):
    assert_refused(tmp_path / "none", "there is no file")
    assert_refused(tmp_path, "cannot read|no complete safetensors file")


def test_weights_alone(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"0.weight": numpy.zeros(3)}, path)
    assert_refused(path, "no checkpoint of a training(.|\n)*help: are these weights only")


def forge(path, text):
    """A file of minidl's with a right checksum, whatever `text` is."""
    tensors = {"model.x": numpy.zeros(2, numpy.float32)}
    checksum = zlib.crc32(text.encode())
    checksum = zlib.crc32(b"model.x float32 (2,)", checksum)
    checksum = zlib.crc32(bytes(8), checksum)
    path.write_bytes(safetensors.numpy.save(tensors, {"minidl": text, "crc32": str(checksum)}))


@pytest.mark.parametrize("text", ["not JSON", "", "[]", "3", '{"format": 1}', '{"format": 1, "versions": []}'])
def test_a_header_that_is_none(tmp_path, text):
    forge(tmp_path / "a", text)
    assert_refused(tmp_path / "a", "its header is none that minidl writes")


def test_another_format(tmp_path):
    forge(tmp_path / "a", json.dumps({"format": 7, "versions": {"minidl": "9.9"}}))
    assert_refused(
        tmp_path / "a",
        r"has format 7, this minidl reads format 1(.|\n)*written by minidl 9\.9: go on with that version",
    )


def test_another_network(saved):
    path, _ = saved
    other = model_and_optimizer(width=5)
    assert_refused(path, r"does not fit: it is of another model(.|\n)*size mismatch for 0\.weight", *other)


def test_another_optimizer(saved):
    path, _ = saved
    model, optimizer = model_and_optimizer(kind=optim.Adam)
    assert_refused(path, "made with the optimizer SGD, not Adam", model, optimizer)


def test_an_optimizer_with_other_groups(saved):
    """The weights fit, so they are loaded first, and brought back."""
    path, _ = saved
    model, _ = model_and_optimizer(seed=9)
    optimizer = optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    assert_refused(path, "different number of parameter groups", model, optimizer)


def test_load_first(tmp_path):
    model, optimizer = model_and_optimizer()
    save_checkpoint(tmp_path / "good", model, optimizer, {"n": 1})
    (tmp_path / "bad").write_bytes(b"?")

    def load(path):
        return load_checkpoint(path, model, optimizer)

    told = []
    assert load_first([tmp_path / "bad", tmp_path / "good"], load, told.append) == (tmp_path / "good", {"n": 1})
    assert len(told) == 1
    assert told[0].endswith(f"going on from {tmp_path / 'good'} instead")
    with pytest.raises(CheckpointError, match="bad is damaged"):
        load_first([tmp_path / "bad", tmp_path / "none"], load, told.append)
    assert len(told) == 1

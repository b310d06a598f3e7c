"""Checkpoints: a stopped training as one file, which is written whole or not at all.

    save_checkpoint(path, model, optimizer, {"scheduler": ..., "epoch": 3, ...})
    state = load_checkpoint(path, model, optimizer)       # the model and the optimizer go on where they were

The file is safetensors: the model's tensors as "model.conv1.weight", the optimizer's as "optimizer.0.momentum_buffer"
(0 is the number of the parameter), and in its header one text of JSON with everything else. One file, so that weights,
momentum and random state cannot come from different moments. It is written beside its place, flushed to the disk, and
renamed: a kill, a crash or a full disk at any moment leaves the old file or the new one. A checksum finds bytes that
have changed since, and nothing is loaded before all of it is read and checked.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy
import safetensors
import safetensors.numpy

from minidl.backend import transfer
from minidl.errors import explain
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.tensor import Tensor

Loaded = TypeVar("Loaded")

FORMAT = 1  # of the JSON; another number is another layout


class CheckpointError(Exception):
    """A checkpoint that cannot be read or written: which file, what is wrong with it, and what to do."""


# --------------------------------------------------------------------------------------------------------- the files


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Inside, a binary file to write to; afterwards its content is at `path`, and on the disk.

    Whatever goes wrong before that leaves `path` as it was, and nothing beside it.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Also a new name has to reach the disk. Windows writes it by itself, and cannot open a folder."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_checkpoint(path: str | Path, model: Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Write the model, the optimizer and `state` (what JSON can hold) to `path`, whole or not at all.

    CheckpointError: the disk is full, or the file cannot be written; an older file at `path` is untouched.
    """
    path = Path(path)
    tensors = {f"model.{name}": _on_host(tensor) for name, tensor in model.state_dict().items()}
    saved = optimizer.state_dict()
    settings: dict[str, dict[str, Any]] = {}
    for number, values in saved["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{number}.{key}"] = _on_host(value)
            else:
                settings.setdefault(str(number), {})[key] = value
    text = json.dumps(
        {
            "format": FORMAT,
            "versions": versions(),
            "model": type(model).__name__,
            "optimizer": {"type": type(optimizer).__name__, "state": settings, "param_groups": saved["param_groups"]},
            "state": state,
        }
    )
    header = {"minidl": text, "crc32": str(_checksum(tensors, text))}
    content = safetensors.numpy.save(tensors, header)
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise CheckpointError(_unwritten(path, error, len(content))) from error


def load_checkpoint(path: str | Path, model: Module, optimizer: Optimizer) -> dict[str, Any]:
    """Make the model and the optimizer what they were, and return the `state` that was saved with them.

    CheckpointError: there is no such file, it is damaged or none of minidl's, or it belongs to another model or
    optimizer; both are then as they were before.
    """
    content, tensors = read_checkpoint(path)
    kind = content["optimizer"]["type"]
    if kind != type(optimizer).__name__:
        raise CheckpointError(foreign(path, f"it was made with the optimizer {kind}, not {type(optimizer).__name__}"))
    before = {name: _on_host(tensor).copy() for name, tensor in model.state_dict().items()}
    try:
        model.load_state_dict(_of_model(tensors))
        optimizer.load_state_dict(_optimizer_state(content["optimizer"], tensors))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        model.load_state_dict(before)
        raise CheckpointError(foreign(path, f"it is of another model or optimizer:\n{error}")) from error
    return content["state"]


def model_weights(path: str | Path) -> dict[str, numpy.ndarray]:
    """The model's state dict alone. CheckpointError as in `load_checkpoint`."""
    return _of_model(read_checkpoint(path)[1])


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """The JSON and the tensors of a checkpoint, both checked. CheckpointError as in `load_checkpoint`."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            names = file.keys() if "minidl" in header else ()  # not those of a foreign file: what types may it have?
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise CheckpointError(explain("checkpoint", f"there is no file {path}")) from None
    except OSError as error:
        raise CheckpointError(explain("checkpoint", f"cannot read {path}: {error.strerror or error}")) from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(_damaged(path, f"it is no complete safetensors file ({error})")) from error
    if "minidl" not in header:
        raise CheckpointError(
            explain(
                "checkpoint",
                f"{path} is no checkpoint of a training: a safetensors file without minidl's header",
                help="are these weights only? A training that begins with them loads them into the model",
            )
        )
    if header.get("crc32") != str(_checksum(tensors, header["minidl"])):
        raise CheckpointError(_damaged(path, "its bytes are not those that were written (the checksum differs)"))
    try:
        content = json.loads(header["minidl"])
        found, written = content["format"], content["versions"]["minidl"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(foreign(path, f"its header is none that minidl writes ({error!r})")) from error
    if found != FORMAT:
        raise CheckpointError(
            explain(
                "checkpoint",
                f"{path} has format {found}, this minidl reads format {FORMAT}",
                help=f"it was written by minidl {written}: go on with that version",
            )
        )
    return content, tensors


def load_first(paths: list[Path], load: Callable[[Path], Loaded], warn: Callable[[str], Any]) -> tuple[Path, Loaded]:
    """What `load` returns for the first of `paths` that it can read, and that path; `warn` hears of those before it.

    CheckpointError, that of the first, where none can be read.
    """
    failures: list[CheckpointError] = []
    for path in paths:
        try:
            state = load(path)
        except CheckpointError as error:
            failures.append(error)
            continue
        for failure in failures:
            warn(f"{failure}\n  going on from {path} instead")
        return path, state
    raise failures[0]


# ---------------------------------------------------------------------------------------------------------- the parts


def versions() -> dict[str, str]:
    """What the numbers depend on, beside the seed."""
    try:
        own = version("minidl")
    except PackageNotFoundError:  # run from a folder, not installed
        own = "unknown"
    return {
        "minidl": own,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _of_model(tensors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    return {name.removeprefix("model."): array for name, array in tensors.items() if name.startswith("model.")}


def _on_host(tensor: Tensor) -> numpy.ndarray:
    return numpy.asarray(transfer(tensor.data, "cpu"), order="C")


def _checksum(tensors: Mapping[str, numpy.ndarray], text: str) -> int:
    """CRC-32 of the JSON and of every tensor, with its name, type and shape."""
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        checksum = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data, checksum)
    return checksum


def _optimizer_state(saved: Mapping[str, Any], tensors: Mapping[str, numpy.ndarray]) -> dict[str, Any]:
    """As `Optimizer.state_dict` gives it: by number, which JSON has turned into text."""
    state = {int(number): dict(values) for number, values in saved["state"].items()}
    for name, array in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = Tensor(array)
    groups = [{key: _as_tuple(value) for key, value in group.items()} for group in saved["param_groups"]]
    return {"state": state, "param_groups": groups}


def _as_tuple(value: Any) -> Any:
    """JSON has no tuples, and Adam's betas are one; "params" may be one as well."""
    return tuple(value) if isinstance(value, list) else value


def _damaged(path: str | Path, reason: str) -> str:
    return explain(
        "checkpoint",
        f"{path} is damaged: {reason}",
        help="it was changed or cut off after it had been written (copied halfway? a failing disk?); take another copy",
    )


def foreign(path: str | Path, reason: str) -> str:
    """What to say about a checkpoint that is whole, and of something else."""
    return explain("checkpoint", f"{path} does not fit: {reason}", help="nothing was loaded; is it of another run?")


def _unwritten(path: Path, error: OSError, size: int) -> str:
    if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", None)):
        rule = f"no room for {path}: the disk is full ({size / 1e6:.1f} MB are needed while the old one is still there)"
    else:
        rule = f"cannot write {path}: {error.strerror or error}"
    return explain("checkpoint", rule, help="the last checkpoint that was written is intact; make room, and go on")

"""minidl.save: weights into a file, whose ending says in which format."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy

from minidl.backend import CPU, is_array, transfer
from minidl.errors import explain
from minidl.serialization.safetensors_file import save_safetensors
from minidl.serialization.torch_writer import torch_zip
from minidl.tensor import Tensor

TORCH_ENDINGS = (".pth", ".pt", ".th")
ENDINGS = (".safetensors", ".npz", *TORCH_ENDINGS)


def save(obj: Any, f: str | os.PathLike) -> None:
    """Write `obj` into the file `f`, in the format of its ending. An older file is replaced once all is written.

        minidl.save(model.state_dict(), "lenet5.safetensors")

    .safetensors, .npz      a dictionary name -> Tensor
    .pth, .pt, .th          the same, or a checkpoint: dictionaries, lists and tuples of Tensors, numbers and texts.
                            torch.load(path) opens it, also with weights_only=True

    TypeError: something in `obj` cannot be written. ValueError: another ending.
    """
    if not isinstance(f, (str, os.PathLike)):
        raise TypeError(explain("save", f"f must be a path, got {type(f).__name__}", help="save(obj, path)"))
    path = Path(f)
    if path.suffix not in ENDINGS:
        raise ValueError(explain("save", f"{path}: the ending must be one of {', '.join(ENDINGS)}"))
    if hasattr(obj, "state_dict"):
        raise TypeError(explain("save", f"got a {type(obj).__name__}", help="save its weights: model.state_dict()"))
    _write(path, _bytes(obj, path.suffix))


def _bytes(obj: Any, ending: str) -> bytes:
    if ending in TORCH_ENDINGS:
        try:
            return torch_zip(obj)
        except TypeError as error:
            help = "Tensors, numbers, texts, None, and dictionaries, lists and tuples of these"
            raise TypeError(explain("save", str(error), help=help)) from None
    arrays = _arrays(obj, ending)
    if ending == ".safetensors":
        return save_safetensors(arrays)
    file = io.BytesIO()
    numpy.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _arrays(obj: Any, ending: str) -> dict[str, numpy.ndarray]:
    """The arrays of a state dict, on the CPU."""
    if not isinstance(obj, Mapping):
        raise TypeError(explain("save", f"{ending} takes a dictionary name -> Tensor, got {type(obj).__name__}"))
    arrays = {}
    for name, value in obj.items():
        tensor = Tensor(value) if is_array(value) else value
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                explain(
                    "save",
                    f"{ending} takes a dictionary name -> Tensor, got {name!r}: {type(value).__name__}",
                    help="save the state dict alone, or the whole as .pth",
                )
            )
        arrays[name] = transfer(tensor.data, CPU)
    return arrays


def _write(path: Path, data: bytes) -> None:
    """First beside its place, then there in one step: an interrupted program leaves the old file whole."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise

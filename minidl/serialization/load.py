"""minidl.load: any file of weights. What kind of file it is, its first bytes say."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from minidl.errors import explain
from minidl.serialization.caffe import load_caffe
from minidl.serialization.npz import load_npz
from minidl.serialization.safetensors_file import load_safetensors
from minidl.serialization.source import Source
from minidl.serialization.torch_file import LEGACY_MARK, load_legacy, load_zip
from minidl.tensor import Tensor

ZIP_START, PICKLE_START = b"PK\x03\x04", b"\x80"
KNOWN = "minidl.load reads .safetensors, .npz, PyTorch's .pth, .pt and .th, and .caffemodel"

FOREIGN = {  # how files begin that come in place of weights
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "fetch it: git lfs pull"),
    b"<!doctype html": ("a web page, not the file", "open its address in a browser: the download may need a click"),
    b"<html": ("a web page, not the file", "open its address in a browser: the download may need a click"),
    b"\x89hdf": ("an HDF5 file, as Keras writes", "save the arrays from there: numpy.savez(path, **arrays)"),
    b"\x1f\x8b": ("compressed with gzip", "unpack it first: gunzip"),
    b"pk\x05\x06": ("an empty zip", KNOWN),
}


def load(f: str | os.PathLike, map_location: Any = None) -> Any:
    """What is saved in the file `f`. For weights: a dictionary name -> Tensor that `load_state_dict` takes.

        model.load_state_dict(minidl.load("resnet18.pth"))

    .safetensors, .npz      dictionary name -> Tensor
    .pth, .pt, .th          as it was saved in PyTorch: mostly such a dictionary, or a checkpoint that holds one beside
                            other things: minidl.load(path)["state_dict"]. Both formats of PyTorch; nothing in the file
                            is executed, and one that asks for anything but weights is refused
    .caffemodel             dictionary "layer.weight", "layer.bias" -> Tensor, see caffe.py

    The kind of file is found from its content; only .caffemodel needs its ending. float16 and bfloat16 become
    float32, which holds all their values. Tensors that share memory in a file of PyTorch's do so again.

    map_location: the device that all tensors are moved to; None leaves them on the CPU, wherever they were saved.

    LoadError (a RuntimeError): damaged, cut off, another kind of file, or refused. OSError: it cannot be opened.
    """
    if not isinstance(f, (str, os.PathLike)):
        raise TypeError(explain("load", f"f must be a path, got {type(f).__name__}"))
    path = Path(f)
    with path.open("rb") as stream:
        value = _read(Source(path, stream))
    return value if map_location is None else _moved(value, map_location)


def _read(source: Source) -> Any:
    start = source.begin(32)
    if not start:
        raise source.error("it is empty", help=source.AGAIN)
    if start.startswith(ZIP_START):
        return load_zip(source) if _is_torch(source) else load_npz(source)
    if start.startswith(PICKLE_START) and LEGACY_MARK in start:
        return load_legacy(source)
    if len(start) > 8 and start[8:9] == b"{":
        return load_safetensors(source)
    for beginning, (what, help) in FOREIGN.items():
        if start.lower().startswith(beginning):
            raise source.error(f"it is {what}", help=help)
    if source.path.suffix == ".caffemodel":
        return load_caffe(source)
    if start.startswith(PICKLE_START) and start[1:2] <= b"\x05":
        raise source.error(
            "it is a bare pickle, not a file that PyTorch made",
            help="a pickle can run anything, so it is not loaded; where you trust it, save its arrays as .npz",
        )
    raise source.error("it is of no kind that is known, or its beginning is damaged", help=KNOWN)


def _is_torch(source: Source) -> bool:
    """Does the zip have a data.pkl? Whatever else may be wrong with it is told by those who read it."""
    try:
        with zipfile.ZipFile(source.stream) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError):
        return source.path.suffix != ".npz"


def _moved(value: Any, to: Any) -> Any:
    """The same with all Tensors on another device."""
    if isinstance(value, Tensor):
        return value.to(to)
    if isinstance(value, dict):
        return type(value)((key, _moved(each, to)) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(each, to) for each in value)
    return value

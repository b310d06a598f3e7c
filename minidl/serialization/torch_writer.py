"""A file that `torch.load` opens, also with weights_only=True: the zip of torch_file.py, with a pickle made here.

Only the instructions that the reader in torch_pickle.py knows are written, for state dicts and plain values:

    dictionary     EMPTY_DICT, or collections.OrderedDict called without arguments; then MARK key value ... SETITEMS
    list, tuple    EMPTY_LIST MARK ... APPENDS; MARK ... TUPLE
    Tensor         torch._utils._rebuild_tensor_v2 called with (storage, offset, size, stride, requires_grad, hooks)
    storage        its description as a tuple, and BINPERSID: the numbers lie in data/0, data/1, ...
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy

from minidl.backend import CPU, bool_, float32, float64, int8, int16, int32, int64, transfer, uint8
from minidl.serialization.torch_pickle import MOST_NESTED
from minidl.tensor import Tensor

STORAGES = {
    float32: "FloatStorage",
    float64: "DoubleStorage",
    uint8: "ByteStorage",
    int8: "CharStorage",
    int16: "ShortStorage",
    int32: "IntStorage",
    int64: "LongStorage",
    bool_: "BoolStorage",
}
YEAR = (1980, 1, 1, 0, 0, 0)  # a zip needs a date; with a fixed one, equal weights give equal files


def torch_zip(value: Any) -> bytes:
    """The bytes of the file. TypeError for what is not on the list above; it says where it stands."""
    writer = _Writer()
    writer.put(value, "")
    members = {
        "data.pkl": pickle.PROTO + b"\x02" + writer.pickle.getvalue() + pickle.STOP,
        "byteorder": b"little",
        **{f"data/{key}": data for key, data in enumerate(writer.storages)},
        "version": b"3\n",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", YEAR), data)
    return file.getvalue()


class _Writer:
    def __init__(self) -> None:
        self.pickle = io.BytesIO()
        self.storages: list[bytes] = []
        self.keys: dict[tuple, int] = {}  # of arrays that were written, so that shared weights stay shared
        self.alive: list[numpy.ndarray] = []  # what `keys` tells apart by its address

    def put(self, value: Any, place: str, depth: int = 0) -> None:
        """Leave `value` on the stack of the machine that will read this."""
        write = self.pickle.write
        if depth >= MOST_NESTED:
            raise TypeError(f"{place or 'the value'} is nested more than {MOST_NESTED} levels deep, or contains itself")
        if isinstance(value, Tensor):
            self.put_tensor(value)
        elif value is None or isinstance(value, (bool, int, float, str)):
            self.put_plain(value)
        elif isinstance(value, dict):
            if isinstance(value, OrderedDict):
                write(pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE)
            else:
                write(pickle.EMPTY_DICT)
            write(pickle.MARK)
            for key, each in value.items():
                if not isinstance(key, (str, int)):
                    raise TypeError(f"a key must be a text or an int, not {key!r}")
                self.put_plain(key)
                self.put(each, f"{place}[{key!r}]", depth + 1)
            write(pickle.SETITEMS)
        elif isinstance(value, (list, tuple)):
            write(pickle.EMPTY_LIST + pickle.MARK if isinstance(value, list) else pickle.MARK)
            for index, each in enumerate(value):
                self.put(each, f"{place}[{index}]", depth + 1)
            write(pickle.APPENDS if isinstance(value, list) else pickle.TUPLE)
        else:
            raise TypeError(f"{place or 'the value'} is a {type(value).__name__}")

    def put_plain(self, value: Any) -> None:
        write = self.pickle.write
        if value is None:
            write(pickle.NONE)
        elif isinstance(value, bool):
            write(pickle.NEWTRUE if value else pickle.NEWFALSE)
        elif isinstance(value, int):
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            if -(2**31) <= value < 2**31:
                write(pickle.BININT + struct.pack("<i", value))
            else:
                write(pickle.LONG1 + struct.pack("<B", len(data)) + data)
        elif isinstance(value, float):
            write(pickle.BINFLOAT + struct.pack(">d", value))
        else:
            data = value.encode("utf-8", "surrogatepass")
            write(pickle.BINUNICODE + struct.pack("<I", len(data)) + data)

    def put_tensor(self, tensor: Tensor) -> None:
        """As a contiguous one, whatever its strides are."""
        write = self.pickle.write
        array = transfer(tensor.data, CPU)
        identity = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype)
        key = self.keys.setdefault(identity, len(self.storages))
        if key == len(self.storages):
            self.alive.append(array)
            self.storages.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        write(pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n" + pickle.MARK)
        write(pickle.MARK)
        self.put_plain("storage")
        write(pickle.GLOBAL + f"torch\n{STORAGES[array.dtype]}\n".encode())
        for part in (str(key), "cpu", array.size):
            self.put_plain(part)
        write(pickle.TUPLE + pickle.BINPERSID)
        strides = [int(numpy.prod(array.shape[dim + 1 :])) for dim in range(array.ndim)]
        for part in (0, array.shape, tuple(strides), tensor.requires_grad):
            self.put(part, "")
        write(pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE)  # no hooks
        write(pickle.TUPLE + pickle.REDUCE)

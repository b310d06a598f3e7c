"""Storages and tensors of PyTorch's files: a storage is a row of numbers, a tensor a view of one.

    element (i, j, ...) of a tensor = storage[offset + i * stride[0] + j * stride[1] + ...]

So tensors may share a storage, be transposed, or be a part of a larger one; here they are NumPy views of one array.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy
from numpy.lib.stride_tricks import as_strided

from minidl.backend import bool_, device, float32, float64, int8, int16, int32, int64, uint8
from minidl.serialization.torch_pickle import Name, PickleError, ordered_dict
from minidl.tensor import Tensor

BFLOAT16 = numpy.dtype("V2")  # NumPy has no such numbers: two bytes, the upper half of a float32


class Kind(NamedTuple):
    """A type of PyTorch's storages: its elements in the file, and what they become."""

    name: str
    stored: numpy.dtype
    loaded: numpy.dtype


KINDS = {
    "FloatStorage": Kind("FloatStorage", float32, float32),
    "DoubleStorage": Kind("DoubleStorage", float64, float64),
    "HalfStorage": Kind("HalfStorage", numpy.dtype("float16"), float32),  # float32 holds all values of both
    "BFloat16Storage": Kind("BFloat16Storage", BFLOAT16, float32),
    "LongStorage": Kind("LongStorage", int64, int64),
    "IntStorage": Kind("IntStorage", int32, int32),
    "ShortStorage": Kind("ShortStorage", int16, int16),
    "CharStorage": Kind("CharStorage", int8, int8),
    "ByteStorage": Kind("ByteStorage", uint8, uint8),
    "BoolStorage": Kind("BoolStorage", uint8, bool_),
}


class StorageId(NamedTuple):
    """What a pickle says of a storage that lies outside of it."""

    kind: Kind
    key: str
    length: int  # in elements
    view: tuple[int, int] | None = None  # offset and count of a part of it, in files of PyTorch 0.1 to 0.3

    @property
    def byte_count(self) -> int:
        return self.length * self.kind.stored.itemsize


def parse_storage_id(description: Any) -> StorageId:
    """("storage", type, key, location, count) and, in old files, (key of the part, offset, count). PickleError."""
    if not isinstance(description, tuple) or len(description) not in (5, 6) or description[0] != "storage":
        raise PickleError("it refers to something that is no storage")
    _, kind, key, _, count, *rest = description
    kind = KINDS.get(kind.text.removeprefix("torch.")) if isinstance(kind, Name) else None
    if kind is None or not isinstance(key, str) or not is_count(count):
        raise PickleError("the description of a storage is damaged")
    view = rest[0] if rest else None
    if view is not None:
        if not isinstance(view, tuple) or len(view) != 3 or not (is_count(view[1]) and is_count(view[2])):
            raise PickleError("the description of a part of a storage is damaged")
        view = (view[1], view[2])
        if sum(view) > count:
            raise PickleError(f"a part of storage {key!r} reaches beyond its end")
    return StorageId(kind, key, count, view)


def is_count(value: Any) -> bool:
    """An int of at least 0 that fits into the 64 bits of a file."""
    return type(value) is int and 0 <= value < 2**63


def decode(storage: StorageId, data: bytes | bytearray, order: Any = "<") -> numpy.ndarray:
    """The numbers of a storage as a new array, from its bytes in this order ("<" or ">")."""
    stored, loaded = storage.kind.stored, storage.kind.loaded
    if stored == BFLOAT16:
        upper = numpy.frombuffer(data, order + "u2").astype("uint32")
        return (upper << 16).view(float32)
    array = numpy.frombuffer(data, stored.newbyteorder(order))
    return array != 0 if loaded == bool_ else array.astype(loaded)


def view(storage: numpy.ndarray, offset: Any, size: Any, stride: Any) -> Tensor:
    """The tensor of this size in a storage. PickleError where it would reach outside."""
    size, stride = _sizes(size), _sizes(stride)
    if len(size) != len(stride) or len(size) > 32 or not is_count(offset):
        raise PickleError("the size and the strides of a tensor do not fit together")
    if math.prod(size) == 0:
        return Tensor(numpy.zeros(size, storage.dtype))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.size:
        raise PickleError(f"a tensor of size {size} reaches beyond its storage of {storage.size} elements")
    if math.prod(size) * storage.itemsize >= 2**63:  # strides of 0 repeat elements
        raise PickleError(f"a tensor of size {size} is larger than any memory")
    return Tensor(as_strided(storage[offset:], size, [step * storage.itemsize for step in stride]))


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or not all(is_count(number) for number in value):
        raise PickleError("the size of a tensor is damaged")
    return tuple(value)


# ------------------------------------------------------------------------------------------- the closed list of names


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor (4 arguments) and _rebuild_tensor_v2 (with requires_grad, hooks, metadata)."""
    if not isinstance(storage, numpy.ndarray):
        raise PickleError("a tensor is made of something that is no storage")
    tensor = view(storage, offset, size, stride)
    return tensor.requires_grad_() if requires_grad is True and tensor.is_floating_point() else tensor


def _parameter(data: Any, requires_grad: Any = True, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise PickleError("a parameter is made of something that is no tensor")
    return data.requires_grad_(requires_grad is True and data.is_floating_point())


def _device(kind: Any, index: Any = None) -> Any:
    return device(kind, index) if kind in ("cpu", "cuda") else str(kind)


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): ordered_dict,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch", "Size"): _sizes,
    ("torch", "device"): _device,
}

DTYPES = (float32, float64, uint8, int8, int16, int32, int64, bool_)

NAMES: Mapping[tuple[str, str], Name] = {
    **{(module, name): Name(f"{module}.{name}", function) for (module, name), function in FUNCTIONS.items()},
    **{("torch", name): Name(f"torch.{name}", None) for name in KINDS},
    **{("torch", dtype.name): Name(f"torch.{dtype}", None, dtype) for dtype in DTYPES},
}


class Storages(OrderedDict):
    """The storages that a pickle names: key -> StorageId. Each has one description, also where it is named again."""

    byte_count = 0  # of all together

    def add(self, storage: StorageId) -> None:
        if storage.key not in self:
            self[storage.key] = storage
            self.byte_count += storage.byte_count
        known = self[storage.key]
        if (known.kind, known.length) != (storage.kind, storage.length):
            raise PickleError(f"storage {storage.key!r} is described in two ways")

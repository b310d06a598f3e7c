"""The messages of an ONNX file in protocol buffers. The numbers are those of the fields in onnx.proto.

github.com/onnx/onnx: onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy

from minidl.backend import bool_, float32, float64, int8, int16, int32, int64, uint8
from minidl.serialization.protobuf import bytes_field, float_field, int_field

IR_VERSION = 8  # of the file format, the one that came with opset 18
DATA_TYPES = {float32: 1, uint8: 2, int8: 3, int16: 5, int32: 6, int64: 7, bool_: 9, float64: 11}
FLOAT, INT, STRING, FLOATS, INTS = 1, 2, 3, 6, 7  # types of attributes


def attribute(name: str, value: Any) -> bytes:
    """AttributeProto: an int, a float, a text, or a sequence of ints or of floats."""
    head = bytes_field(1, name)
    if isinstance(value, str):
        return head + bytes_field(4, value) + int_field(20, STRING)
    if isinstance(value, float):
        return head + float_field(2, value) + int_field(20, FLOAT)
    if isinstance(value, int):
        return head + int_field(3, value) + int_field(20, INT)
    if value and isinstance(value[0], float):
        return head + bytes_field(7, struct.pack(f"<{len(value)}f", *value)) + int_field(20, FLOATS)
    return head + b"".join(int_field(8, each) for each in value) + int_field(20, INTS)


def node(kind: str, name: str, inputs: Iterable[str], outputs: Iterable[str], attributes: Mapping[str, Any]) -> bytes:
    """NodeProto."""
    return (
        b"".join(bytes_field(1, each) for each in inputs)
        + b"".join(bytes_field(2, each) for each in outputs)
        + bytes_field(3, name)
        + bytes_field(4, kind)
        + b"".join(bytes_field(5, attribute(key, value)) for key, value in attributes.items())
    )


def tensor(name: str, array: numpy.ndarray) -> bytes:
    """TensorProto."""
    sizes = b"".join(int_field(1, size) for size in array.shape)
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return sizes + int_field(2, DATA_TYPES[array.dtype]) + bytes_field(8, name) + bytes_field(9, data)


def value_info(name: str, dtype: numpy.dtype, shape: Sequence[int | str]) -> bytes:
    """ValueInfoProto: a text in `shape` is the name of a size that is not fixed."""
    dims = b"".join(
        bytes_field(1, bytes_field(2, size) if isinstance(size, str) else int_field(1, size)) for size in shape
    )
    tensor_type = int_field(1, DATA_TYPES[dtype]) + bytes_field(2, dims)
    return bytes_field(1, name) + bytes_field(2, bytes_field(1, tensor_type))


def model(
    name: str,
    nodes: Iterable[bytes],
    initializers: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    opset: int,
    producer_version: str,
) -> bytes:
    """ModelProto, the whole file, with its GraphProto."""
    graph = (
        b"".join(bytes_field(1, each) for each in nodes)
        + bytes_field(2, name)
        + b"".join(bytes_field(5, each) for each in initializers)
        + b"".join(bytes_field(11, each) for each in inputs)
        + b"".join(bytes_field(12, each) for each in outputs)
    )
    return (
        int_field(1, IR_VERSION)
        + bytes_field(2, "minidl")
        + bytes_field(3, producer_version)
        + bytes_field(7, graph)
        + bytes_field(8, bytes_field(1, "") + int_field(2, opset))
    )

"""Caffe's .caffemodel: a NetParameter in protocol buffers, of which the names and blobs of the layers are read.

    NetParameter    100 layer, or before 2015 2 layers ("V1")
    layer           1 name, 2 type, 7 blobs; V1: 4 name, 5 type, 6 blobs
    BlobProto       7 shape { 1 dim }, or 1 num 2 channels 3 height 4 width; 5 data (float32), 8 double_data

Blob 0 of a layer "conv1" becomes "conv1.weight", blob 1 "conv1.bias", and further ones "conv1.2", "conv1.3": those of
a BatchNorm, for example, are the sum of means, the sum of variances, and the number to divide both by.

Shapes are (F, C / groups, KH, KW) for a convolution, (F, K) for a fully connected layer, (F,) for a bias: old files
have sizes of 1 in front of the last two, which are taken away. Networks that were trained in Caffe take images in
the order blue, green, red, with values 0..255 minus a mean, not divided.

github.com/BVLC/caffe: src/caffe/proto/caffe.proto
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

from minidl.backend import float32
from minidl.serialization.protobuf import BYTES, VARINT, WireError, fields, read_varint
from minidl.serialization.source import Source
from minidl.tensor import Tensor


class LayerFields(NamedTuple):
    """The numbers of a layer's fields."""

    name: int
    type: int
    blobs: int


LAYERS = {100: LayerFields(name=1, type=2, blobs=7), 2: LayerFields(name=4, type=5, blobs=6)}  # in NetParameter
MATRIX_LAYERS = ("InnerProduct", 14)  # fully connected: its type is a text, or in V1 a number
MOST_DIMENSIONS = 32


def load_caffe(source: Source) -> OrderedDict[str, Tensor]:
    """The blobs of all layers by name."""
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    try:
        for number, kind, value in fields(memoryview(source.stream.read())):
            if number in LAYERS and kind == BYTES:
                for key, blob in _layer(value, LAYERS[number]):
                    if key in tensors:
                        raise WireError(f"{key!r} stands twice")
                    tensors[key] = Tensor(blob)
    except WireError as error:
        raise source.error(f"it is damaged, or no .caffemodel: {error}", help=source.AGAIN) from None
    if not tensors:
        raise source.error(
            "it has no weights", help="a .prototxt only describes a network; its weights are in the .caffemodel"
        )
    return tensors


def _layer(message: memoryview, layer: LayerFields) -> Iterator[tuple[str, numpy.ndarray]]:
    """Its blobs by name."""
    name, blobs = "", []
    type: Any = None
    for number, kind, value in fields(message):
        if number == layer.name and kind == BYTES:
            name = _text(value)
        elif number == layer.type:
            type = value if kind == VARINT else _text(value)
        elif number == layer.blobs and kind == BYTES:
            blobs.append(_blob(value))
    for index, (blob, has_four_sizes) in enumerate(blobs):
        if has_four_sizes and index > 0:
            blob = blob.reshape([size for size in blob.shape if size != 1] or [1])
        elif has_four_sizes and type in MATRIX_LAYERS:
            blob = blob.reshape(-1, blob.shape[3])
        yield f"{name}.{('weight', 'bias')[index] if index < 2 else index}", blob


def _text(value: Any) -> str:
    try:
        return bytes(value).decode()
    except (UnicodeDecodeError, TypeError):
        raise WireError("the name of a layer is no text") from None


def _blob(message: Any) -> tuple[numpy.ndarray, bool]:
    """Its numbers, as float32 also where the file holds float64; and whether its shape is an old one of four sizes."""
    old_shape = [1, 1, 1, 1]
    shape = None
    parts: dict[int, list[Any]] = {5: [], 8: []}  # data, double_data: packed, or number by number
    for number, kind, value in fields(message):
        if number in (1, 2, 3, 4) and kind == VARINT:
            old_shape[number - 1] = value
        elif number == 7 and kind == BYTES:
            shape = _shape(value)
        elif number in parts and kind != VARINT:
            parts[number].append(value)
    single, double = (b"".join(parts[number]) for number in parts)
    if len(single) % 4 or len(double) % 8:
        raise WireError("a blob ends within a number")
    data = numpy.frombuffer(double, "<f8") if double else numpy.frombuffer(single, "<f4")
    sizes = old_shape if shape is None else shape
    if math.prod(sizes) != data.size:
        raise WireError(f"a blob of shape {tuple(sizes)} has {data.size:,} numbers")
    try:
        return data.astype(float32).reshape(sizes), shape is None
    except (ValueError, OverflowError):  # of sizes one of which is 0, the others may be anything
        raise WireError(f"a blob has the impossible shape {tuple(sizes)}") from None


def _shape(message: Any) -> list[int]:
    sizes: list[int] = []
    for number, kind, value in fields(message):
        if number == 1 and kind == VARINT:
            sizes.append(value)
        elif number == 1 and kind == BYTES:
            position = 0
            while position < len(value):
                size, position = read_varint(value, position)
                sizes.append(size)
        if len(sizes) > MOST_DIMENSIONS:
            raise WireError("a blob has too many dimensions")
    return sizes

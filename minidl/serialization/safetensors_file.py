"""safetensors: a JSON head with names, types, shapes and places, and the numbers behind it. The library checks them."""

from __future__ import annotations

from collections import OrderedDict

import numpy
import safetensors
from safetensors.numpy import save

from minidl.backend import bool_, float32, float64, int8, int16, int32, int64, uint8
from minidl.serialization.source import Source, as_tensor
from minidl.serialization.torch_storage import KINDS, StorageId, decode
from minidl.tensor import Tensor

DTYPES: dict[str, numpy.dtype] = {
    "F64": float64,
    "F32": float32,
    "F16": numpy.dtype("float16"),
    "I64": int64,
    "I32": int32,
    "I16": int16,
    "I8": int8,
    "U8": uint8,
    "BOOL": bool_,
}


def load_safetensors(source: Source) -> OrderedDict[str, Tensor]:
    """Its tensors by name, in the order of the file. float16 and bfloat16 become float32."""
    try:
        entries = safetensors.deserialize(source.stream.read())
    except safetensors.SafetensorError as error:
        raise source.error(f"it is damaged: {error}", help=source.AGAIN) from None
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    for name, entry in entries:
        dtype, shape, data = entry["dtype"], entry["shape"], bytearray(entry["data"])
        if dtype == "BF16":
            array = decode(StorageId(KINDS["BFloat16Storage"], name, len(data) // 2), data)
        elif dtype in DTYPES:
            array = numpy.frombuffer(data, DTYPES[dtype].newbyteorder("<")) if data else numpy.empty(0, DTYPES[dtype])
        else:
            raise source.error(
                f"{name!r} holds {dtype}, which a tensor cannot hold",
                help="convert it to F32 where the file was made",
            )
        tensors[name] = as_tensor(source, name, array, shape)
    return tensors


def save_safetensors(arrays: dict[str, numpy.ndarray]) -> bytes:
    """The bytes of the file. Weights that are shared are written for each of their names."""
    return save({name: numpy.asarray(array, order="C") for name, array in arrays.items()}, {"format": "pt"})

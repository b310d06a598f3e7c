"""NumPy's .npz: a zip with one array a member, name.npy, compressed or not."""

from __future__ import annotations

import math
import zipfile
from collections import OrderedDict

import numpy
from numpy.lib import format as npy

from minidl.serialization.archive import check_growth, check_member, opened
from minidl.serialization.source import Source, as_tensor
from minidl.tensor import Tensor


def load_npz(source: Source) -> OrderedDict[str, Tensor]:
    """Its arrays by name. Arrays of Python objects are pickles, and refused."""
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    with opened(source) as archive:
        check_growth(source, archive)
        for info in archive.infolist():
            check_member(source, info, compressed=True)
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in tensors:
                raise source.error(f"its member {name} is no array, or stands twice", help=source.AGAIN)
            tensors[name] = _read_array(source, name, archive, info)
    return tensors


def _read_array(source: Source, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Tensor:
    with archive.open(info) as member:
        try:
            version = npy.read_magic(member)
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, columns_first, dtype = read_header(member)
        except (ValueError, KeyError) as error:
            raise source.error(f"its member {info.filename} is no array: {error}", help=source.AGAIN) from None
        if dtype.hasobject:
            raise source.error(
                f"{info.filename} holds Python objects, a pickle, which is never executed here",
                help="save arrays of numbers only",
            )
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != info.file_size - member.tell():
            raise source.error(f"the size of {info.filename} does not fit its shape {shape}", help=source.AGAIN)
        data = bytearray(member.read())
    array = numpy.frombuffer(data, dtype) if data else numpy.empty(0, dtype)
    return as_tensor(source, name, array, shape, columns_first)

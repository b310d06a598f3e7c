"""NumPy's .npz: a zip with one array a member, name.npy, compressed or not."""

from __future__ import annotations

import zipfile
from collections import OrderedDict

import numpy
from numpy.lib import format as npy

from minidl.serialization.archive import check_member, opened
from minidl.serialization.source import Source, as_tensor
from minidl.tensor import Tensor


def load_npz(source: Source) -> OrderedDict[str, Tensor]:
    """Its arrays by name. Arrays of Python objects are pickles, and refused."""
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    with opened(source) as archive:
        if sum(info.compress_size for info in archive.infolist()) > source.size:
            raise source.error("its members together are larger than the file", help=source.AGAIN)
        for info in archive.infolist():
            check_member(source, info, compressed=True)
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in tensors:
                raise source.error(f"its member {name} is no array, or stands twice", help=source.AGAIN)
            tensors[name] = as_tensor(source, name, _read_array(source, archive, info))
    return tensors


def _read_array(source: Source, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> numpy.ndarray:
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
        count = 1
        for size in shape:
            count *= size
        if min(shape, default=0) < 0 or count * dtype.itemsize != info.file_size - member.tell():
            raise source.error(f"the size of {info.filename} does not fit its shape {shape}", help=source.AGAIN)
        data = bytearray(member.read())
    array = numpy.frombuffer(data, dtype) if data else numpy.empty(0, dtype)
    return array.reshape(shape, order="F" if columns_first else "C")

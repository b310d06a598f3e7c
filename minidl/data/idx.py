"""IDX, the file format of MNIST: a header that says type and shape, then the numbers.

    0 0 T D         two zeros, the type of the numbers, how many dimensions
    D times u32     the dimensions, big-endian
    numbers         big-endian, the last dimension varying fastest

http://yann.lecun.com/exdb/mnist/, "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy

from minidl.data.files import damaged

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"


def read_idx(path: Path) -> numpy.ndarray:
    """The array in an IDX file, compressed by gzip (which checks itself) or not. DataError: it is damaged."""
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise damaged(path, f"is damaged: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise damaged(path, "is no IDX file: it begins with " + (content[:4].hex(" ") or "nothing"))
    dtype, dimensions = numpy.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise damaged(path, "ends within its header")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        size = "x".join(str(length) for length in shape)
        raise damaged(path, f"holds {len(content):,} bytes, but {expected:,} belong to an array of {size}")
    numbers = numpy.frombuffer(content, dtype, offset=start).reshape(shape)
    return numbers.astype(dtype.newbyteorder("="))  # a copy, which may be written to

"""PyTorch's files. A pickle describes everything but the numbers, which lie beside it, one storage after the other.

Since PyTorch 1.6 the file is a zip, not compressed. `archive` is any name:

    archive/data.pkl        the pickle
    archive/data/0          the bytes of storage "0", and so on
    archive/byteorder       "little" or "big"; "little" where it is missing

Before, it was one stream: four pickles (a magic number, the version 1001, facts about the machine, the object), a
fifth with the list of the storages' keys, and for each of these the count of its elements (8 bytes) and its bytes.
"""

from __future__ import annotations

import mmap
from io import BytesIO
from typing import Any

import numpy

from minidl.serialization.archive import check_growth, check_member, opened
from minidl.serialization.source import Source
from minidl.serialization.torch_pickle import PickleError, Refused, read_pickle
from minidl.serialization.torch_storage import NAMES, StorageId, Storages, decode, parse_storage_id

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_MARK = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")  # in the first pickle, within the first 32 bytes
LEGACY_VERSION = 1001

REFUSED = (
    "only weights are loaded, and nothing is executed; if you trust the file, open it in PyTorch and save its weights "
    "alone: torch.save(model.state_dict(), path)"
)


def load_zip(source: Source) -> Any:
    """What was saved by PyTorch 1.6 or later."""
    with opened(source) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(members) != len(archive.infolist()):
            raise source.error("a zip that PyTorch made has one member data.pkl, and each name once", help=source.AGAIN)
        root = pickles[0].removesuffix("data.pkl")
        if root + "constants.pkl" in members:
            raise source.error(
                "this is a TorchScript archive, a program with its weights",
                help="save the weights alone: torch.save(torch.jit.load(path).state_dict(), new_path)",
            )
        check_growth(source, archive)

        def read(name: str, count: int | None = None) -> bytes:
            info = members.get(root + name)
            if info is None:
                raise source.error(f"the member {name} is missing", help=source.AGAIN)
            check_member(source, info, compressed=False)
            if count is not None and info.file_size != count:
                raise source.error(f"{name} should have {count:,} bytes, but has {info.file_size:,}", help=source.AGAIN)
            return archive.read(info)

        written = read("byteorder").strip() if root + "byteorder" in members else b"little"
        order = {b"little": "<", b"big": ">"}.get(written)
        if order is None:
            raise source.error("its byte order is neither little nor big", help=source.AGAIN)
        named = Storages()
        arrays: dict[str, numpy.ndarray] = {}

        def load_storage(description: Any) -> numpy.ndarray:
            storage = parse_storage_id(description)
            named.add(storage)
            if storage.key not in arrays:
                arrays[storage.key] = decode(storage, read(f"data/{storage.key}", storage.byte_count), order)
            return _part(arrays[storage.key], storage)

        return _interpret(source, BytesIO(read("data.pkl")), load_storage)


def load_legacy(source: Source) -> Any:
    """What was saved before PyTorch 1.6, or with `_use_new_zipfile_serialization=False`."""
    with mmap.mmap(source.stream.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        facts = [_interpret(source, stream) for _ in range(3)]
        if facts[0] != MAGIC or facts[1] != LEGACY_VERSION or not isinstance(facts[2], dict):
            raise source.error("the head of the file is damaged", help=source.AGAIN)
        order = "<" if facts[2].get("little_endian", True) is True else ">"
        named = Storages()
        arrays: dict[str, numpy.ndarray] = {}  # filled below: their numbers come behind the pickle

        def make_storage(description: Any) -> numpy.ndarray:
            storage = parse_storage_id(description)
            named.add(storage)
            if named.byte_count > source.size - stream.tell():
                raise source.error("it ends before the numbers that it describes", help=source.AGAIN)
            if storage.key not in arrays:
                arrays[storage.key] = numpy.zeros(storage.length, storage.kind.loaded)
            return _part(arrays[storage.key], storage)

        result = _interpret(source, stream, make_storage)
        keys = _interpret(source, stream)
        texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        if not texts or sorted(keys) != sorted(named):
            raise source.error("the list of its storages is damaged", help=source.AGAIN)
        for key in keys:
            count = int.from_bytes(stream.read(8), "little" if order == "<" else "big")
            data = stream.read(named[key].byte_count)
            if count != named[key].length or len(data) != named[key].byte_count:
                raise source.error(f"storage {key!r} is damaged or cut off", help=source.AGAIN)
            arrays[key][...] = decode(named[key], data, order)
        return result


def _part(array: numpy.ndarray, storage: StorageId) -> numpy.ndarray:
    if storage.view is None:
        return array
    offset, count = storage.view
    return array[offset : offset + count]


def _interpret(source: Source, stream: BytesIO | mmap.mmap, load_storage: Any = None) -> Any:
    try:
        return read_pickle(stream, NAMES, load_storage)
    except Refused as error:
        raise source.error(f"refused: {error}", help=REFUSED) from None
    except PickleError as error:
        raise source.error(str(error), help=source.AGAIN) from None

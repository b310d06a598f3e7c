"""Files of PyTorch's and Caffe's, made byte by byte, so that the tests of what reads them need neither."""

import io
import pickle
import struct
import zipfile

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value):
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def number(value):
    return pickle.dumps(value, 2)[2:-1]


def numbers(values):
    return pickle.MARK + b"".join(map(number, values)) + pickle.TUPLE


def storage(key, count, kind="FloatStorage", view=None):
    """The instructions that leave a storage on the stack."""
    parts = text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count)
    if view is not None:
        parts += pickle.MARK + text("part") + number(view[0]) + number(view[1]) + pickle.TUPLE
    return pickle.MARK + parts + pickle.TUPLE + pickle.BINPERSID


def tensor(storage, offset, size, stride, requires_grad=False):
    """Those that leave a tensor there."""
    arguments = storage + number(offset) + numbers(size) + numbers(stride) + number(requires_grad) + ORDERED_DICT
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + pickle.MARK + arguments + pickle.TUPLE + pickle.REDUCE


def dictionary(**items):
    """A whole pickle: a dictionary of these, each given as instructions."""
    body = b"".join(text(name) + value for name, value in items.items())
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK + body + pickle.SETITEMS + pickle.STOP


def torch_zip(data_pkl, storages=None, byteorder=None, root="archive", compression=zipfile.ZIP_STORED, more=None):
    """The file as PyTorch writes it since 1.6. storages: key -> bytes."""
    members = {"data.pkl": data_pkl, **{f"data/{key}": data for key, data in (storages or {}).items()}}
    members |= {} if byteorder is None else {"byteorder": byteorder}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in (members | {"version": b"3\n"} | (more or {})).items():
            archive.writestr(f"{root}/{name}", data)
    return file.getvalue()


def torch_legacy(data_pkl, storages=None, little_endian=True):
    """The file as PyTorch wrote it before. storages: key -> (count, bytes)."""
    storages = storages or {}
    facts = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    order = "<" if little_endian else ">"
    ends = [struct.pack(order + "q", count) + data for count, data in storages.values()]
    head = MAGIC + pickle.dumps(1001, 2) + pickle.dumps(facts, 2)
    return head + data_pkl + pickle.dumps(list(storages), 2) + b"".join(ends)

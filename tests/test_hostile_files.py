"""Files that want to harm whoever loads them: nothing in them may run, and no memory be taken that they do not hold.

Each payload is real: it is first shown to create a file when Python's own pickle loads it.
"""

import copyreg
import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from time import perf_counter

import numpy
import pytest

import minidl
from minidl.serialization import LoadError
from tests.weight_files import (
    MAGIC,
    ORDERED_DICT,
    dictionary,
    number,
    numbers,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
)

EXTENSION = 0xF3


class Calls:
    """Pickled, it is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(path):
    """Name -> pickle; each creates the file `path` in its own way."""
    code = f"open({str(path)!r}, 'w').close()"
    command = f'echo x > "{path}"'
    shown = {f"os.system, protocol {n}": pickle.dumps(Calls(os.system, command), n) for n in range(6)}
    shown |= {f"exec, protocol {n}": pickle.dumps(Calls(exec, code), n) for n in (0, 2, 4)}
    shown["eval"] = pickle.dumps(Calls(eval, code), 2)
    shown["inside a state dict"] = dictionary(weight=pickle.dumps(Calls(exec, code), 2)[2:-1])
    shown["as a key"] = b"}" + pickle.dumps(Calls(exec, code), 2)[2:-1] + b"K\x01s."
    shown["as a hook"] = b"\x80\x02" + pickle.dumps(Calls(exec, code), 2)[2:-1] + b"0" + ORDERED_DICT + b"."
    line = text(command)
    imported = b"cbuiltins\n__import__\n(" + text("os") + b"tR"
    shown["getattr"] = b"cbuiltins\ngetattr\n(" + imported + text("system") + b"tR(" + line + b"tR."
    shown["INST"] = b"(" + line + b"ios\nsystem\n."
    shown["OBJ"] = b"(cos\nsystem\n" + line + b"o."
    shown["GLOBAL and REDUCE by hand"] = b"cos\nsystem\n(" + line + b"tR."
    shown["STACK_GLOBAL"] = b"\x80\x04" + text("os") + text("system") + b"\x93(" + line + b"tR."
    # A dotted name walks from an allowed-looking module to another one.
    shown["dotted name"] = (
        b"\x80\x04" + text("minidl.serialization.save") + text("os.system") + b"\x93" + line + b"\x85R."
    )
    lazy = b"cbuiltins\nmap\ncbuiltins\nexec\n](" + text(code) + b"e\x86\x81"  # map.__new__(map, exec, [code])
    shown["NEWOBJ"] = b"\x80\x02cbuiltins\nbytes\n" + lazy + b"\x85\x81."
    shown["NEWOBJ_EX"] = b"\x80\x04cbuiltins\nbytes\n" + lazy + b"\x85}\x92."
    state = b"}" + text("__setstate__") + b"cos\nsystem\nsb" + line + b"b."  # BUILD twice: set it, then call it
    shown["BUILD"] = b"\x80\x02ctypes\nSimpleNamespace\n)R" + state
    shown["BUILD on an allowed class"] = b"\x80\x02" + ORDERED_DICT + state
    shown["EXT1"] = b"\x82" + bytes([EXTENSION]) + b"(" + line + b"tR."
    shown["EXT4"] = b"\x84" + struct.pack("<i", EXTENSION) + b"(" + line + b"tR."
    return shown


NAMES = list(payloads("somewhere"))


@pytest.fixture
def extension():
    """The registry of extensions knows os.system, as in a program that put it there."""
    module = os.system.__module__
    copyreg.add_extension(module, "system", EXTENSION)
    yield
    copyreg.remove_extension(module, "system", EXTENSION)
    copyreg._extension_cache.pop(EXTENSION, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_payload_does_not_run(name, tmp_path, extension):
    target = tmp_path / "pwned"
    payload = payloads(target)[name]
    with suppress(TypeError, pickle.UnpicklingError):  # it has run by then
        pickle.loads(payload)
    assert target.exists(), "the payload is none"
    target.unlink()

    places = {
        "zip.pth": torch_zip(payload),
        "legacy.pth": torch_legacy(payload),
        "as-the-keys.pth": torch_legacy(b"}.")[: -len(pickle.dumps([], 2))] + payload,
        "as-the-magic.pth": MAGIC[:-1] + b"0" + payload,
        "as-the-facts.pth": MAGIC + pickle.dumps(1001, 2) + payload,
        "bare.pth": payload,
        "bare.pkl": payload,
    }
    for file, data in places.items():
        (tmp_path / file).write_bytes(data)
        with pytest.raises(LoadError) as error:
            minidl.load(tmp_path / file)
        assert not target.exists(), f"{file} has run"
        assert file in str(error.value)
        assert "\n  help: " in str(error.value)


def test_an_object_array_does_not_run(tmp_path):
    target = tmp_path / "pwned"
    array = numpy.array([Calls(exec, f"open({str(target)!r}, 'w').close()")], dtype=object)
    path = tmp_path / "objects.npz"
    numpy.savez(path, weight=array)
    with pytest.raises(LoadError, match="holds Python objects, a pickle, which is never executed here"):
        minidl.load(path)
    assert not target.exists()
    with numpy.load(path, allow_pickle=True) as file:  # a real one
        file["weight"]
    assert target.exists()


def test_what_is_refused_is_named(tmp_path):
    for payload, words in [
        (b"cos\nsystem\n.", r"it names os\.system, which is not on the list of allowed names"),
        (b"ctorch\nFloatStorage\n)R.", r"it calls torch\.FloatStorage, which cannot be called"),
        (b"K\x01)R.", "it calls a int, which cannot be called"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n.", "_rebuild_tensor_v2 itself, which is no value"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.", "made of something that is no storage"),
        (b"ctorch\nSize\n(K\x01tR.", "the size of a tensor is damaged"),
        (b"]}b.", "it sets attributes of a list"),
        (ORDERED_DICT + b"K\x01b.", "it sets attributes of a OrderedDict"),
        (b"K\x01K\x02a.", "puts something into a int that only a list takes"),
        (b"\x8f.", r"EMPTY_SET \(at byte 0\) has no place in a file of weights"),
        (b"K\x01Q.", "refers to something that is no storage"),
    ]:
        path = tmp_path / "weights.pth"
        path.write_bytes(torch_zip(payload))
        with pytest.raises(LoadError, match=words):
            minidl.load(path)


# ------------------------------------------------------------------------------------------- memory, and endless work

HUGE = 1 << 40
LISTS = b"".join(b"](" + (b"h" + bytes([i - 1])) * 10 + b"eq" + bytes([i]) + b"0" for i in range(1, 60))

BOMBS = {
    "memo": (b"K\x01r\xff\xff\xff\x7f.", None),
    "laughs": (b"]q\x000" + LISTS + b"h\x3b.", None),  # ten times the list before, 59 times: 10^59 elements, if walked
    "a list in itself": (b"]q\x00h\x00a.", None),
    "deep list": (b"]" * 30_000 + b"a" * 29_999 + b".", "nested more than 100 levels deep"),
    "deep tuple": (b")" + b"\x85" * 30_000 + b".", "nested more than 100 levels deep"),
    "deep key": (b"})" + b"\x85" * 30_000 + b"K\x01s.", "a key of a dictionary must be a text or a number"),
    "marks": (b"(" * 30_000 + b".", "a value is missing"),
    "long bytes": (b"\x8e" + struct.pack("<Q", HUGE) + b"x.", "it is damaged"),
    "long text": (b"\x8d" + struct.pack("<Q", HUGE) + b"x.", "it is damaged"),
    "long int": (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.", "it is damaged"),
    "negative int": (b"\x8b" + struct.pack("<i", -1) + b"x.", "it is damaged"),
    "digits": (b"L" + b"9" * 100_000 + b"L\n.", "it is damaged"),
    "frame": (b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"N.", None),
    "bytearray": (b"\x96" + struct.pack("<Q", HUGE) + b"x.", "damaged|BYTEARRAY8"),
    "no end": (b"K\x01", "damaged"),
    "protocol": (b"\x80\x09N.", "it is written in protocol 9"),
}


def load_in_little_memory(path):
    tracemalloc.start()
    try:
        return minidl.load(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64e6, f"{peak:,} bytes were taken for a file of {path.stat().st_size:,}"


@pytest.mark.parametrize("wrap", [torch_zip, torch_legacy])
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name, wrap, tmp_path):
    payload, words = BOMBS[name]
    path = tmp_path / "bomb.pth"
    path.write_bytes(wrap(payload))
    if words is None:
        load_in_little_memory(path)
    else:
        with pytest.raises(LoadError, match=words):
            load_in_little_memory(path)


FOUR = struct.pack("<4f", 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        (tensor(storage("0", HUGE), 0, (HUGE,), (1,)), "bytes|ends before the numbers"),
        (tensor(storage("0", 2**63 - 1), 0, (1,), (1,)), "bytes|ends before the numbers"),
        (tensor(storage("0", 2**70), 0, (1,), (1,)), "description of a storage is damaged"),
        (tensor(storage("0", -4), 0, (1,), (1,)), "description of a storage is damaged"),
        (tensor(storage("0", 4), 0, (5,), (1,)), r"size \(5,\) reaches beyond its storage of 4 elements"),
        (tensor(storage("0", 4), 1, (4,), (1,)), "reaches beyond"),
        (tensor(storage("0", 4), 0, (2, 2), (3, 1)), "reaches beyond"),
        (tensor(storage("0", 4), 3, (2,), (-1,)), "size of a tensor is damaged"),
        (tensor(storage("0", 4), -1, (2,), (1,)), "do not fit together"),
        (tensor(storage("0", 4), 0, (2, 2), (1,)), "do not fit together"),
        (tensor(storage("0", 4), 0, (2**31, 2**31, 2), (0, 0, 0)), "larger than any memory"),
        (tensor(storage("0", 4), 0, (1,) * 40, (1,) * 40), "do not fit together"),
        (tensor(storage("0", 4, view=(2, 3)), 0, (1,), (1,)), "part of storage '0' reaches beyond its end"),
        (tensor(storage("0", 4) + b"0" + storage("0", 2), 0, (1,), (1,)), "described in two ways"),
        (tensor(storage("../0", 4), 0, (4,), (1,)), r"data/\.\./0 is missing|storages is damaged"),
        (tensor(storage("0", 4, "ComplexFloatStorage"), 0, (1,), (1,)), "not on the list of allowed names"),
        (tensor(storage("0", 4, "OrderedDict"), 0, (1,), (1,)), "not on the list of allowed names"),
    ],
)
def test_storages_that_lie(instructions, words, tmp_path):
    for file in (
        torch_zip(dictionary(x=instructions), {"0": FOUR}),
        torch_legacy(dictionary(x=instructions), {"0": (4, FOUR)}),
    ):
        path = tmp_path / "lies.pth"
        path.write_bytes(file)
        with pytest.raises(LoadError, match=words):
            load_in_little_memory(path)


def test_a_tensor_of_repeated_elements_is_a_view(tmp_path):
    """PyTorch saves expanded tensors so. Such a one may be huge, and takes no memory."""
    path = tmp_path / "expanded.pth"
    path.write_bytes(torch_zip(dictionary(x=tensor(storage("0", 4), 0, (2**20, 2**20), (0, 0))), {"0": FOUR}))
    loaded = load_in_little_memory(path)["x"]
    assert loaded.shape == (2**20, 2**20)
    assert loaded[5, 7].item() == 1


# ---------------------------------------------------------------------------------------------------------------- zips

GOOD = dictionary(x=tensor(storage("0", 4), 0, (2, 2), (2, 1)))


def patched(data, old, new):
    assert data.count(old) >= 1
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch_zip(GOOD, {"0": FOUR}, compression=zipfile.ZIP_DEFLATED), "is compressed; PyTorch never does that"),
        (torch_zip(GOOD, {"0": FOUR[:-1]}), "data/0 should have 16 bytes, but has 15"),
        (torch_zip(GOOD, {"1": FOUR}), "the member data/0 is missing"),
        (torch_zip(GOOD, {"0": FOUR}, byteorder=b"middle"), "byte order is neither little nor big"),
        (torch_zip(GOOD, {"0": FOUR}, root="../../tmp/archive"), "one member data.pkl"),
        (torch_zip(GOOD, {"0": FOUR}, more={"constants.pkl": b")."}), "this is a TorchScript archive"),
        (torch_zip(GOOD, {"0": FOUR})[:-10], "the zip is damaged"),
        (patched(torch_zip(GOOD, {"0": FOUR}), FOUR, FOUR[::-1]), "the zip is damaged: Bad CRC-32"),
    ],
)
def test_zips_that_are_wrong(data, words, tmp_path):
    path = tmp_path / "wrong.pth"
    path.write_bytes(data)
    with pytest.raises(LoadError, match=words):
        minidl.load(path)
    assert [each.name for each in tmp_path.iterdir()] == ["wrong.pth"]  # nothing was unpacked


def test_an_encrypted_zip(tmp_path):
    data = bytearray(torch_zip(GOOD, {"0": FOUR}))
    for start, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        position = data.find(start)
        while position >= 0:
            data[position + flags] |= 1
            position = data.find(start, position + 1)
    (tmp_path / "locked.pth").write_bytes(data)
    with pytest.raises(LoadError, match="is encrypted"):
        minidl.load(tmp_path / "locked.pth")


def test_a_zip_whose_members_share_their_bytes(tmp_path):
    """A thousand names for one member of a megabyte would be a gigabyte."""
    names = {f"t{i}": tensor(storage(str(i), 250_000), 0, (250_000,), (1,)) for i in range(1000)}
    data = torch_zip(dictionary(**names), {"0": bytes(1_000_000)})
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        first = archive.getinfo("archive/data/0")
        for i in range(1, 1000):
            twin = zipfile.ZipInfo(f"archive/data/{i}")
            for attribute in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, attribute, getattr(first, attribute))
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    path = tmp_path / "twins.pth"
    path.write_bytes(file.getvalue())
    with pytest.raises(LoadError, match="its members together are larger than the file"):
        load_in_little_memory(path)


def test_an_npz_that_is_a_bomb(tmp_path):
    path = tmp_path / "bomb.npz"
    file = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (25_000_000,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", file.getvalue() + bytes(100_000_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(LoadError, match="would grow from"):
        load_in_little_memory(path)


def test_an_npz_of_many_small_bombs(tmp_path):
    """Each of them alone would be let through."""
    path = tmp_path / "bombs.npz"
    file = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1_000_000,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number_of_it in range(20):
            archive.writestr(f"x{number_of_it}.npy", file.getvalue() + bytes(4_000_000))
    with pytest.raises(LoadError, match=r"it would grow from .* to 80,\d+,\d+ bytes"):
        load_in_little_memory(path)


@pytest.mark.parametrize(
    ("descr", "shape", "words"),
    [
        ("<f4", (0, 2**62), "'x' has an impossible shape"),
        ("<f4", (0, 2**70), "'x' has an impossible shape"),
        ("<f4", (1,) * 70, "'x' has an impossible shape"),
        ("|V0", (5,), "which a tensor cannot hold"),
        ("<U0", (2**40,), "which a tensor cannot hold"),
        ([("a", "<f4")], (1,), "which a tensor cannot hold"),
    ],
)
def test_an_npz_of_odd_arrays(descr, shape, words, tmp_path):
    path = tmp_path / "odd.npz"
    file = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", file.getvalue() + bytes(4 if shape[-1] == 1 else 0))
    with pytest.raises(LoadError, match=words):
        load_in_little_memory(path)


def test_an_npz_compressed_in_another_way(tmp_path):
    path = tmp_path / "lzma.npz"
    file = io.BytesIO()
    numpy.save(file, numpy.ones(2))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", file.getvalue())
    with pytest.raises(LoadError, match="compressed in a way that NumPy never does"):
        minidl.load(path)


def test_keys_that_are_no_texts(tmp_path):
    """In the list of storages behind the pickle of an old file."""
    path = tmp_path / "keys.pth"
    keys = pickle.dumps(["0"], 2)
    data = torch_legacy(GOOD, {"0": (4, FOUR)})
    assert data.count(keys) == 1
    path.write_bytes(data.replace(keys, pickle.dumps([0], 2)))
    with pytest.raises(LoadError, match="the list of its storages is damaged"):
        minidl.load(path)


def test_an_old_file_with_many_storages_takes_no_time_for_each_pair(tmp_path):
    count = 20_000
    names = b"".join(storage(str(i), 0) + b"0" for i in range(count))
    path = tmp_path / "many.pth"
    path.write_bytes(torch_legacy(names + b"N.", {str(i): (0, b"") for i in range(count)}))
    start = perf_counter()
    assert minidl.load(path) is None
    assert perf_counter() - start < 10  # half a second; with a sum for each, a minute


@pytest.mark.parametrize("shape", [(HUGE,), (3,), (2**40, 2**40), (-1,)])
def test_an_npz_that_lies(shape, tmp_path):
    path = tmp_path / "lies.npz"
    file = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", file.getvalue() + FOUR)
    with pytest.raises(LoadError, match="does not fit its shape"):
        load_in_little_memory(path)


# ------------------------------------------------------------------------------------------------------------- damage

FILES = {
    "zip.pth": torch_zip(GOOD, {"0": FOUR}, byteorder=b"little"),
    "legacy.pth": torch_legacy(GOOD, {"0": (4, FOUR)}),
}


def sample_files(tmp_path):
    tensors = {"x": minidl.tensor([1.0, 2.0]), "y": minidl.tensor(3)}
    for ending in (".safetensors", ".npz", ".pth"):
        minidl.save(tensors, tmp_path / f"ours{ending}")
        yield f"ours{ending}", (tmp_path / f"ours{ending}").read_bytes()
    yield from FILES.items()


def test_cut_off_files(tmp_path):
    """At every length: one clear error, never another exception."""
    for name, data in sample_files(tmp_path):
        path = tmp_path / f"cut-{name}"
        for length in range(0, len(data), 3):
            path.write_bytes(data[:length])
            with pytest.raises(LoadError, match="help: "):
                minidl.load(path)


def test_damaged_files(tmp_path):
    """With bytes changed at random: a value, or the one error; and never much memory."""
    draw = random.Random(0)
    for name, data in sample_files(tmp_path):
        path = tmp_path / f"damaged-{name}"
        refused = 0
        for _ in range(200):
            damaged = bytearray(data)
            for _ in range(draw.choice((1, 1, 2, 8))):
                damaged[draw.randrange(len(data))] = draw.randrange(256)
            path.write_bytes(damaged)
            try:
                minidl.load(path)
            except LoadError:
                refused += 1
        assert refused > 60


def test_a_number_is_a_number():
    assert pickle.loads(b"\x80\x02" + numbers((1, 300, 2**40)) + b".") == (1, 300, 2**40)
    assert pickle.loads(b"\x80\x02" + number(True) + b".") is True

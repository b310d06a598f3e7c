"""minidl.load and minidl.save: each format, by hand and against PyTorch; and names that do not fit."""

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy
import pytest

import minidl
from architectures import lenet5, resnet20
from minidl import nn
from minidl.serialization import LoadError
from tests.weight_files import dictionary, number, numbers, storage, tensor, text, torch_legacy, torch_zip

RESNET20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "weights" / "resnet20-12fca82f.th"
needs_resnet20 = pytest.mark.skipif(not RESNET20.exists(), reason="the published ResNet-20 is not there")
ENDINGS = (".safetensors", ".npz", ".pth")

SIX = struct.pack("<6f", *range(6))


def load_both(tmp_path, pickled, storages):
    """The file in PyTorch's new format, then in the old one. storages: key -> (count, bytes)."""
    (tmp_path / "zip.pth").write_bytes(torch_zip(pickled, {key: data for key, (_, data) in storages.items()}))
    (tmp_path / "legacy.pth").write_bytes(torch_legacy(pickled, storages))
    return [minidl.load(tmp_path / name) for name in ("zip.pth", "legacy.pth")]


# ---------------------------------------------------------------------------------------------------- PyTorch's files


@pytest.mark.parametrize(
    ("offset", "size", "stride", "values"),
    [
        (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
        (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),  # transposed
        (2, (2,), (2,), [2, 4]),  # every second one
        (5, (), (), 5),
        (1, (2, 2), (0, 1), [[1, 2], [1, 2]]),  # expanded
        (0, (0, 3), (3, 1), []),
        (6, (0,), (1,), []),
    ],
)
def test_a_tensor_is_a_view_of_a_storage(offset, size, stride, values, tmp_path):
    pickled = dictionary(x=tensor(storage("0", 6), offset, size, stride))
    for loaded in load_both(tmp_path, pickled, {"0": (6, SIX)}):
        assert list(loaded) == ["x"]
        assert (loaded["x"].shape, loaded["x"].dtype) == (size, minidl.float32)
        assert loaded["x"].tolist() == values


def test_a_shared_storage_is_shared_again(tmp_path):
    pickled = dictionary(
        whole=tensor(storage("0", 6), 0, (6,), (1,)), part=tensor(storage("0", 6), 2, (2,), (1,), requires_grad=True)
    )
    for loaded in load_both(tmp_path, pickled, {"0": (6, SIX)}):
        assert (loaded["whole"].requires_grad, loaded["part"].requires_grad) == (False, True)
        loaded["whole"].data[2] = 9
        assert loaded["part"].tolist() == [9, 3]


def test_a_part_of_a_storage(tmp_path):
    """Files of PyTorch 0.1 to 0.3 describe parts of a storage."""
    pickled = dictionary(x=tensor(storage("0", 6, view=(2, 3)), 1, (2,), (1,)))
    for loaded in load_both(tmp_path, pickled, {"0": (6, SIX)}):
        assert loaded["x"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("kind", "data", "dtype", "values"),
    [
        ("FloatStorage", struct.pack("<2f", 0.5, -2), "float32", [0.5, -2]),
        ("DoubleStorage", struct.pack("<2d", 0.1, -2), "float64", [0.1, -2]),
        ("HalfStorage", struct.pack("<2e", 0.5, -65504), "float32", [0.5, -65504]),
        ("BFloat16Storage", bytes([0x80, 0x3F, 0x20, 0xC1]), "float32", [1, -10]),
        ("LongStorage", struct.pack("<2q", 2**40, -1), "int64", [2**40, -1]),
        ("IntStorage", struct.pack("<2i", 70000, -1), "int32", [70000, -1]),
        ("ShortStorage", struct.pack("<2h", 300, -1), "int16", [300, -1]),
        ("CharStorage", b"\x7f\x80", "int8", [127, -128]),
        ("ByteStorage", b"\x07\xff", "uint8", [7, 255]),
        ("BoolStorage", b"\x01\x00", "bool", [True, False]),
    ],
)
def test_element_types(kind, data, dtype, values, tmp_path):
    pickled = dictionary(x=tensor(storage("0", 2, kind), 0, (2,), (1,)))
    for loaded in load_both(tmp_path, pickled, {"0": (2, data)}):
        assert loaded["x"].dtype == dtype
        assert loaded["x"].tolist() == values
        loaded["x"].zero_()  # not read-only


def test_big_endian(tmp_path):
    pickled = dictionary(x=tensor(storage("0", 2), 0, (2,), (1,)), y=tensor(storage("1", 1, "LongStorage"), 0, (), ()))
    floats, long = struct.pack(">2f", 1, 2), struct.pack(">q", 3)
    (tmp_path / "zip.pth").write_bytes(torch_zip(pickled, {"0": floats, "1": long}, byteorder=b"big"))
    legacy = torch_legacy(pickled, {"0": (2, floats), "1": (1, long)}, little_endian=False)
    (tmp_path / "legacy.pth").write_bytes(legacy)
    for name in ("zip.pth", "legacy.pth"):
        loaded = minidl.load(tmp_path / name)
        assert (loaded["x"].tolist(), loaded["y"].item()) == ([1, 2], 3)
        assert loaded["x"].dtype.isnative


def test_plain_values_of_every_protocol(tmp_path):
    value = {
        "epoch": 3,
        "lr": 0.1,
        "name": "ünï",
        "none": None,
        "flags": [True, False],
        "big": -(2**80),
        5: (1, (), []),
    }
    value["nested"] = OrderedDict(a={"b": b"bytes"})
    for protocol in (1, 2, 3, 4, 5):
        expected = dict(value)
        if protocol < 3:
            expected["nested"] = OrderedDict(a={"b": 1})  # bytes are a call of codecs there
        for loaded in load_both(tmp_path, pickle.dumps(expected, protocol), {}):
            assert loaded == expected
            assert type(loaded["nested"]) is OrderedDict
            assert type(loaded[5]) is tuple


def test_other_names_of_the_list(tmp_path):
    x = tensor(storage("0", 6), 0, (6,), (1,))
    version_1 = (
        b"ctorch._utils\n_rebuild_tensor\n(" + storage("0", 6) + number(1) + numbers((2,)) + numbers((1,)) + b"tR"
    )
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + x + number(True) + b"ccollections\nOrderedDict\n)RtR"
    old_parameter = b"ctorch.nn.parameter\nParameter\n(" + x + number(False) + b"tR"
    pickled = dictionary(
        version_1=version_1,
        parameter=parameter,
        old_parameter=old_parameter,
        size=b"ctorch\nSize\n(" + numbers((2, 3)) + b"tR",
        device=b"ctorch\ndevice\n(" + text("cuda") + number(1) + b"tR",
        dtype=b"ctorch\nfloat32\n",
        # what torch.nn.Module.state_dict() adds: attributes of the OrderedDict
        state=b"ccollections\nOrderedDict\n)R(" + text("w") + x + b"u}" + text("_metadata") + b"}sb",
    )
    for loaded in load_both(tmp_path, pickled, {"0": (6, SIX)}):
        assert loaded["version_1"].tolist() == [1, 2]
        assert (loaded["parameter"].requires_grad, loaded["old_parameter"].requires_grad) == (True, False)
        assert loaded["size"] == (2, 3)
        assert loaded["device"] == minidl.device("cuda:1")
        assert loaded["dtype"] == minidl.float32
        assert list(loaded["state"]) == ["w"]


@needs_resnet20
def test_the_published_resnet20(tmp_path):
    """A checkpoint of 2018, in the old format, of a network in DataParallel."""
    checkpoint = minidl.load(RESNET20)
    assert checkpoint["best_prec1"] == pytest.approx(91.78, abs=0.01)
    model = resnet20()
    with pytest.raises(RuntimeError, match=r'help: this is a checkpoint; its weights are in \["state_dict"\]'):
        model.load_state_dict(checkpoint)
    with pytest.raises(RuntimeError, match=r'help: each name begins with "module.": .*rename={"module.": ""}'):
        model.load_state_dict(checkpoint["state_dict"])
    assert not any(model.load_state_dict(checkpoint["state_dict"], rename={"module.": ""}))
    assert model.conv1.weight.data.std() > 0.1
    minidl.save(checkpoint, tmp_path / "again.pth")
    again = minidl.load(tmp_path / "again.pth")
    assert again.keys() == checkpoint.keys()
    for name, value in checkpoint["state_dict"].items():
        assert (again["state_dict"][name].numpy() == value.numpy()).all()


def torch_values(torch):
    """A checkpoint with everything that files of PyTorch's have in them."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model[2](torch.ones(1, 4)).sum().backward()
    optimizer.step()
    base = torch.arange(24.0).reshape(2, 3, 4)
    return {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "epoch": 3,
        "best": torch.tensor(91.5),
        "views": [base, base.transpose(0, 2), base[:, 1:, ::2], base[1, 2, 3], base.expand(2, 2, 3, 4), base[:0]],
        "dtypes": [
            torch.arange(3, dtype=getattr(torch, name))
            for name in ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
        ],
        "bool": torch.tensor([True, False]),
        "size": base.shape,
        "dtype": torch.float64,
    }


def assert_same(torch, theirs, ours):
    if isinstance(theirs, torch.Tensor):
        values = theirs.detach()
        values = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        assert (tuple(theirs.shape), theirs.requires_grad) == (ours.shape, ours.requires_grad)
        assert ours.dtype == values.numpy().dtype
        assert (ours.data == values.numpy()).all()
    elif isinstance(theirs, dict):
        assert list(theirs) == list(ours)
        for key in theirs:
            assert_same(torch, theirs[key], ours[key])
    elif isinstance(theirs, (list, tuple)):
        for one, other in zip(theirs, ours, strict=True):
            assert_same(torch, one, other)
    elif isinstance(theirs, torch.dtype):
        assert str(theirs) == f"torch.{ours}"
    else:
        assert theirs == ours


@pytest.mark.torch
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_saves(new, protocol, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    values = torch_values(torch)
    path = tmp_path / "checkpoint.pth"
    torch.save(values, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    ours = minidl.load(path)
    assert_same(torch, values, ours)
    ours["views"][0].data[0, 1, 0] = -1
    assert ours["views"][1].data[0, 1, 0] == ours["views"][2].data[0, 0, 0] == -1


@pytest.mark.torch
def test_what_torch_loads(tmp_path):
    """The file that `save` writes, with weights_only=True, and the same file read here."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    path = tmp_path / "ours.pth"
    torch.save(torch_values(torch), path)
    values = {key: value for key, value in minidl.load(path).items() if key not in ("dtype", "size")}
    values |= {"big": -(2**80), "small": -1, "text": "ünï", "empty": [{}, (), OrderedDict()], "none": None, 7: 2**31}
    values["limits"] = [127, 128, -128, 2**31 - 1, -(2**31), 2**63, 0.1, float("inf"), True]
    minidl.save(values, path)
    theirs = torch.load(path, weights_only=True)
    assert_same(torch, theirs, values)
    assert_same(torch, theirs, minidl.load(path))
    assert type(theirs["state_dict"]) is OrderedDict
    tied = minidl.tensor([1.0, 2.0])
    minidl.save({"a": tied, "b": tied}, path)
    theirs = torch.load(path, weights_only=True)
    assert theirs["a"].data_ptr() == theirs["b"].data_ptr()


@pytest.mark.torch
def test_torch_refuses_what_we_refuse(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "whole.pth")
    with pytest.raises(pickle.UnpicklingError, match=r"torch\.nn\.modules\.linear\.Linear"):
        torch.load(tmp_path / "whole.pth", weights_only=True)
    with pytest.raises(LoadError, match=r"names torch\.nn\.modules\.linear\.Linear, which is not on the list") as error:
        minidl.load(tmp_path / "whole.pth")
    assert "torch.save(model.state_dict(), path)" in str(error.value)


# ------------------------------------------------------------------------------------------ safetensors, npz, and save


def everything():
    return {
        "weight": minidl.randn(2, 3, 4),
        "double": minidl.tensor([0.1], dtype=minidl.float64),
        "scalar": minidl.tensor(3),
        "bool": minidl.tensor([True, False]),
        "bytes": minidl.tensor([1, 255], dtype=minidl.uint8),
        "small": minidl.tensor([-1, 2], dtype=minidl.int8),
        "short": minidl.tensor([-300], dtype=minidl.int16),
        "int": minidl.tensor([70000], dtype=minidl.int32),
        "empty": minidl.zeros(0, 3),
        "transposed": minidl.randn(3, 4).t(),
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_there_and_back(ending, tmp_path):
    values, path = everything(), tmp_path / f"all{ending}"
    minidl.save(values, str(path))
    loaded = minidl.load(str(path))
    assert sorted(loaded) == sorted(values)
    for name, value in values.items():
        assert (loaded[name].shape, loaded[name].dtype) == (value.shape, value.dtype), name
        assert (loaded[name].numpy() == value.numpy()).all()
        loaded[name].zero_()  # not read-only
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_model_there_and_back(ending, tmp_path):
    first, second = lenet5(), lenet5()
    minidl.save(first.state_dict(), tmp_path / f"lenet{ending}")
    assert not any(second.load_state_dict(minidl.load(tmp_path / f"lenet{ending}")))
    x = minidl.randn(2, 1, 32, 32)
    assert (first(x).data == second(x).data).all()
    again = tmp_path / f"again{ending}"
    minidl.save(second.state_dict(), again)
    if ending != ".npz":  # which has the date in it
        assert again.read_bytes() == (tmp_path / f"lenet{ending}").read_bytes()


def test_what_the_libraries_write(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    half = numpy.array([[0.5, -2.0]], numpy.float16)
    library.save_file({"half": half}, tmp_path / "a.safetensors")
    numpy.savez(tmp_path / "a.npz", half=half, fortran=numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)))
    numpy.savez_compressed(tmp_path / "b.npz", half=half, fortran=numpy.arange(6.0, dtype=">f8").reshape(2, 3))
    for name in ("a.safetensors", "a.npz", "b.npz"):
        loaded = minidl.load(tmp_path / name)
        assert (loaded["half"].dtype, loaded["half"].tolist()) == (minidl.float32, [[0.5, -2.0]])
        if name.endswith("npz"):
            assert loaded["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
            assert loaded["fortran"].dtype == minidl.float64
    minidl.save({"x": minidl.ones(2)}, tmp_path / "c.safetensors")
    assert library.load_file(tmp_path / "c.safetensors")["x"].tolist() == [1, 1]
    minidl.save({"x": minidl.ones(2)}, tmp_path / "c.npz")
    assert numpy.load(tmp_path / "c.npz")["x"].tolist() == [1, 1]


def test_bfloat16_in_safetensors(tmp_path):
    head = b'{"x":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes([0x80, 0x3F, 0x20, 0xC1]))
    assert minidl.load(tmp_path / "a.safetensors")["x"].tolist() == [[1, -10]]


def test_element_types_that_a_tensor_lacks(tmp_path):
    numpy.savez(tmp_path / "a.npz", x=numpy.ones(2, numpy.complex64))
    with pytest.raises(LoadError, match="'x' holds complex64, which a tensor cannot hold\n  help: convert it"):
        minidl.load(tmp_path / "a.npz")
    head = b'{"x":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"ab")
    with pytest.raises(LoadError, match="'x' holds F8_E4M3, which a tensor cannot hold"):
        minidl.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"hello, world", "of no kind that is known"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS.*\n.*git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page, not the file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (pickle.dumps({"x": 1}), "a bare pickle, not a file that PyTorch made"),
        (struct.pack("<Q", 2**60) + b'{"x"', "it is damaged"),
    ],
)
def test_other_files(data, words, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    with pytest.raises(LoadError, match=words) as error:
        minidl.load(path)
    assert str(error.value).startswith(f"load(): {path}: ")
    assert "\n  help: " in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        minidl.load(tmp_path / "nowhere.pth")
    with pytest.raises(OSError, match=r"[Dd]irectory|denied"):
        minidl.load(tmp_path)
    with pytest.raises(TypeError, match="f must be a path, got dict"):
        minidl.load({})


def test_map_location(tmp_path):
    pickled = dictionary(x=tensor(storage("0", 6), 0, (6,), (1,)), l=b"](" + tensor(storage("0", 6), 0, (), ()) + b"e")
    for loaded in load_both(tmp_path, pickled, {"0": (6, SIX)}):
        assert str(loaded["x"].device) == "cpu"
    assert minidl.load(tmp_path / "zip.pth", map_location="cpu")["x"].tolist() == list(range(6))
    if not minidl.cuda.is_available():
        with pytest.raises(RuntimeError, match="cannot move an array to cuda"):
            minidl.load(tmp_path / "zip.pth", map_location="cuda")


def test_save_refuses(tmp_path):
    model = lenet5()
    for value, ending, words in [
        (model, ".pth", r"help: save its weights: model\.state_dict\(\)"),
        (model.state_dict(), ".h5", r"must be one of \.safetensors, \.npz, \.pth"),
        ({"a": [1, {2}]}, ".pth", r"\['a'\]\[1\] is a set"),
        ({(1, 2): 3}, ".pth", r"a key must be a text or an int, not \(1, 2\)"),
        ({"epoch": 3}, ".npz", "'epoch': int\n  help: save the state dict alone, or the whole as .pth"),
        ([1], ".safetensors", "takes a dictionary name -> Tensor, got list"),
    ]:
        with pytest.raises((TypeError, ValueError), match=words):
            minidl.save(value, tmp_path / f"x{ending}")
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="contains itself"):
        minidl.save(endless, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.pth"
    minidl.save({"x": minidl.ones(1)}, path)
    before = path.read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        minidl.save({"x": minidl.zeros(1)}, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["x.pth"]


# ------------------------------------------------------------------------------------------------------------- rename


def test_rename():
    model = nn.Sequential(OrderedDict(fc=nn.Linear(2, 2)))
    state = OrderedDict((f"module.{name}", value) for name, value in model.state_dict().items())
    for rename in ({"module.": ""}, {"other.": "", "module.": "", "module.fc": "gone"}, lambda name: name[7:]):
        assert not any(model.load_state_dict(state, rename=rename))
    outer = nn.ModuleDict({"net": model})
    with pytest.raises(RuntimeError, match=r'help: each name lacks "net\.": .*rename={"": "net\."}'):
        outer.load_state_dict(model.state_dict())
    assert not any(outer.load_state_dict(model.state_dict(), rename={"": "net."}))
    with pytest.raises(ValueError, match=r'makes "x" of both "module\.fc\.weight" and "module\.fc\.bias"'):
        model.load_state_dict(state, rename=lambda _: "x")
    for wrong in ("module.", {1: ""}, {"module.": None}):
        with pytest.raises(TypeError, match="rename must be a dictionary of beginnings, or a function"):
            model.load_state_dict(state, rename=wrong)
    with pytest.raises(RuntimeError, match="Missing key") as error:
        model.load_state_dict({"strange": minidl.ones(1)})
    assert "help" not in str(error.value)

"""Files of Caffe's, written here in the wire format that they have."""

import random
import struct

import numpy
import pytest

import minidl
from minidl.serialization import LoadError
from minidl.serialization.protobuf import bytes_field, fields, float_field, int_field, read_varint, varint

W = numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 2, 2)
B = numpy.array([0.5, -1], numpy.float32)


def new_shape(shape, packed=True):
    if packed:
        return bytes_field(7, bytes_field(1, b"".join(map(varint, shape))))
    return bytes_field(7, b"".join(int_field(1, size) for size in shape))


def old_shape(shape):
    sizes = (1,) * (4 - len(shape)) + tuple(shape)
    return b"".join(int_field(number, size) for number, size in enumerate(sizes, start=1))


def floats(array, packed=True):
    if packed:
        return bytes_field(5, array.astype("<f4").tobytes())
    return b"".join(float_field(5, float(value)) for value in array.ravel())


def new_layer(name, kind, *blobs):
    top = bytes_field(3, "data") + bytes_field(4, "top") + int_field(10, 1)  # fields that are passed over
    return bytes_field(
        100, bytes_field(1, name) + bytes_field(2, kind) + top + b"".join(bytes_field(7, b) for b in blobs)
    )


def old_layer(name, kind, *blobs):
    return bytes_field(2, bytes_field(4, name) + int_field(5, kind) + b"".join(bytes_field(6, b) for b in blobs))


def load(tmp_path, data):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    return minidl.load(path)


def test_new_layers(tmp_path):
    data = bytes_field(1, "a net") + new_layer("data", "Data")
    data += new_layer("conv1", "Convolution", new_shape(W.shape) + floats(W), new_shape((2,), packed=False) + floats(B))
    double = new_shape((1,)) + bytes_field(8, struct.pack("<d", 999))
    data += new_layer(
        "bn/1", "BatchNorm", new_shape((2,)) + floats(B, packed=False), new_shape((2,)) + floats(B), double
    )
    loaded = load(tmp_path, data)
    assert list(loaded) == ["conv1.weight", "conv1.bias", "bn/1.weight", "bn/1.bias", "bn/1.2"]
    assert (loaded["conv1.weight"].numpy() == W).all()
    assert (loaded["conv1.bias"].numpy() == B).all()
    assert (loaded["bn/1.weight"].numpy() == B).all()
    assert (loaded["bn/1.2"].dtype, loaded["bn/1.2"].tolist()) == (minidl.float32, [999])


def test_old_layers(tmp_path):
    matrix, tiny = W.reshape(4, 6), W[:1, :1]
    loaded = load(
        tmp_path,
        old_layer("conv1", 4, old_shape(W.shape) + floats(W), old_shape((2,)) + floats(B))
        + old_layer("tiny", 4, old_shape(tiny.shape) + floats(tiny), old_shape((1,)) + floats(B[:1]))
        + old_layer("fc", 14, old_shape(matrix.shape) + floats(matrix), old_shape((2,)) + floats(B)),
    )
    shapes = {name: tensor.shape for name, tensor in loaded.items()}
    assert shapes == {
        "conv1.weight": (2, 3, 2, 2),
        "conv1.bias": (2,),
        "tiny.weight": (1, 1, 2, 2),
        "tiny.bias": (1,),
        "fc.weight": (4, 6),
        "fc.bias": (2,),
    }
    assert (loaded["fc.weight"].numpy() == matrix).all()


def test_the_weights_go_into_a_network(tmp_path):
    conv = minidl.nn.Conv2d(3, 2, 2)
    loaded = load(
        tmp_path, new_layer("conv1", "Convolution", new_shape(W.shape) + floats(W), new_shape((2,)) + floats(B))
    )
    assert not any(conv.load_state_dict(loaded, rename={"conv1.": ""}))


BLOB = new_shape(W.shape) + floats(W)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (new_layer("a", "Convolution", new_shape((2, 3, 2)) + floats(W)), r"shape \(2, 3, 2\) has 24 numbers"),
        (new_layer("a", "Convolution", new_shape((2**40, 2**40)) + floats(W)), "has 24 numbers"),
        (new_layer("a", "Convolution", old_shape((2**63, 2)) + floats(W)), "has 24 numbers"),
        (new_layer("a", "Convolution", new_shape((-1, -24)) + floats(W)), "has 24 numbers"),
        (new_layer("a", "Convolution", new_shape((1,) * 40) + floats(W[:1, 0, 0, 0])), "too many dimensions"),
        (new_layer("a", "Convolution", new_shape((2**62, 2**62, 0))), "impossible shape"),
        (new_layer("a", "Convolution", old_shape((2**64 - 1, 0))), "impossible shape"),
        (new_layer("a", "Convolution", new_shape((1,)) + bytes_field(5, b"abc")), "ends within a number"),
        (new_layer("a", "Convolution", BLOB) * 2, "'a.weight' stands twice"),
        (bytes_field(100, bytes_field(1, b"\xff\xfe") + bytes_field(7, BLOB)), "name of a layer is no text"),
        (new_layer("a", "Convolution", BLOB)[:-5], "reaches beyond the end of its message"),
        (varint(100 << 3 | 2) + varint(2**60), "reaches beyond the end"),
        (b"\xff" * 11, "longer than 64 bits"),
        (b"\x08\x80", "ends within a number"),
        (b"\x0b", "of the unknown kind 3"),
        (b'name: "VGG"\nlayer {}', "it is damaged, or no .caffemodel"),
        (new_layer("relu", "ReLU"), "it has no weights\n  help: a .prototxt only describes"),
    ],
)
def test_damaged_files(data, words, tmp_path):
    with pytest.raises(LoadError, match=words):
        load(tmp_path, data)


def test_random_damage(tmp_path):
    whole = new_layer("a", "Convolution", BLOB, new_shape((2,)) + floats(B))
    draw = random.Random(0)
    for _ in range(500):
        data = bytearray(whole)
        data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            load(tmp_path, bytes(data[: draw.choice((None, draw.randrange(1, len(data))))]))
        except LoadError as error:
            assert "help: " in str(error)


def test_the_wire_format():
    """Examples of the description of the encoding."""
    assert varint(150) == b"\x96\x01"
    assert varint(-1) == b"\xff" * 9 + b"\x01"
    assert read_varint(memoryview(varint(2**63 + 5)), 0) == (2**63 + 5, 10)
    assert int_field(1, 150) == b"\x08\x96\x01"
    assert bytes_field(2, "testing") == b"\x12\x07testing"
    assert [(number, bytes(value)) for number, _, value in fields(memoryview(bytes_field(300, b"x")))] == [(300, b"x")]

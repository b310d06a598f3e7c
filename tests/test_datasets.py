"""Data sets on the disk, in the official formats: small files written here, damaged ones, and the real ones."""

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import numpy
import pytest
from PIL import Image

import minidl
from minidl.data import (
    CIFAR10,
    CIFAR100,
    MNIST,
    DataError,
    DataLoader,
    Digits,
    FashionMNIST,
    ImageFolder,
    ImageNet,
    data_folder,
    named,
    transforms,
)
from minidl.data.archive import extract
from minidl.data.digits import digit_images
from minidl.data.download import md5
from minidl.data.files import RemoteFile
from minidl.data.folder import imagenet_words, read_image
from minidl.data.idx import read_idx
from tests.data_files import idx, write_images, write_mnist

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def needs(folder):
    return pytest.mark.skipif(not (SHARED / folder).is_dir(), reason=f"the files of {folder} are not here")


# ------------------------------------------------------------------------------------------------------------ idx


def test_idx_of_every_type(tmp_path):
    for code, dtype in ((0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")):
        array = (numpy.arange(24).reshape(2, 3, 4) * 5 - 7).astype(dtype)
        for name, content in (("plain", idx(array, code)), ("packed", gzip.compress(idx(array, code)))):
            (tmp_path / name).write_bytes(content)
            read = read_idx(tmp_path / name)
            assert (read.dtype, read.tolist()) == (array.dtype, array.tolist())
            read += 1  # may be written to


def test_a_damaged_idx_file_is_never_read(tmp_path):
    whole = idx(numpy.arange(600, dtype=numpy.int32).reshape(20, 30), 0x0C)
    path = tmp_path / "numbers"
    for content, message in [
        (b"", "is no IDX file: it begins with nothing"),
        (b"<html>", "is no IDX file: it begins with 3c 68 74 6d"),
        (b"\0\0\x07\x01", "is no IDX file"),
        (whole[:7], "ends within its header"),
        (whole[:-1], "holds 2,411 bytes, but 2,412 belong to an array of 20x30"),
        (whole + b"\0", "holds 2,413 bytes"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "4294967295x4294967295x4294967295"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(path)
    packed = gzip.compress(whole)
    for cut in range(2, len(packed), 23):  # a download that was cut off
        path.write_bytes(packed[:cut])
        with pytest.raises(DataError, match="is damaged"):
            read_idx(path)
    for position in range(10, len(packed), 31):  # one bit flipped anywhere behind gzip's header
        path.write_bytes(packed[:position] + bytes([packed[position] ^ 4]) + packed[position + 1 :])
        with pytest.raises(DataError, match="is damaged"):
            read_idx(path)


# ---------------------------------------------------------------------------------------------------------- MNIST


@pytest.mark.parametrize("compress", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize(
    ("kind", "folder"), [(MNIST, f) for f in MNIST.folders] + [(FashionMNIST, f) for f in FashionMNIST.folders]
)
def test_mnist_in_every_layout(tmp_path, kind, folder, compress):
    images, labels = write_mnist(tmp_path / folder, compress=compress)
    tests, _ = write_mnist(tmp_path / folder, 5, "t10k", compress, seed=1)
    data = kind(tmp_path, download=False)
    assert (data.data.dtype, data.data.shape, data.targets.dtype) == (minidl.uint8, (12, 1, 28, 28), minidl.int64)
    assert (data.data[:, 0] == images).all()
    assert (data.targets == labels).all()
    assert (kind(tmp_path, train=False, download=False).data[:, 0] == tests).all()
    image, label = data[3]
    assert (image.dtype, image.shape, type(label), label) == (minidl.float32, (1, 28, 28), int, labels[3])
    assert len(data.classes) == 10


def test_mnist_in_a_loader(tmp_path):
    images, labels = write_mnist(tmp_path)
    data = MNIST(tmp_path, transform=transforms.Compose([transforms.Pad(2), transforms.ToTensor()]), download=False)
    x, y = next(iter(DataLoader(data, 12)))
    assert (x.shape, y.tolist()) == ((12, 1, 32, 32), labels.tolist())
    numpy.testing.assert_array_equal(x.numpy()[:, 0, 2:-2, 2:-2], images / numpy.float32(255))


def test_missing_files_are_named(tmp_path):
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        MNIST(tmp_path, download=False)
    text = str(caught.value)
    assert "not there: train-labels-idx1-ubyte.gz" in text
    assert f"put into the folder {tmp_path / 'mnist'}" in text
    assert "28,881 bytes, MD5 d53e105ee54ea40749a09fcbcd1e9432" in text
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz" in text
    assert "download=True" in text
    assert "images" not in text.replace("train-labels", "")


def test_mnist_files_that_do_not_belong_together(tmp_path):
    images, labels = write_mnist(tmp_path)
    for name, array, message in [
        ("labels-idx1", labels[:-1], "is not 12 labels"),
        ("labels-idx1", images, "is not 12 labels"),
        ("labels-idx1", numpy.full(12, 10, numpy.uint8), "has the label 10 for image 0"),
        ("images-idx3", labels, "holds no gray images"),
    ]:
        path = tmp_path / f"train-{name}-ubyte.gz"
        good = path.read_bytes()
        path.write_bytes(gzip.compress(idx(array)))
        with pytest.raises(DataError, match=message):
            MNIST(tmp_path, download=False)
        path.write_bytes(good)
    MNIST(tmp_path, download=False)


@pytest.mark.parametrize("compress", [True, False])
def test_mnist_and_fashion_mnist_are_told_apart(tmp_path, monkeypatch, compress):
    _, labels = write_mnist(tmp_path, compress=compress)
    monkeypatch.setattr(MNIST, "label_md5", (hashlib.md5(labels.tobytes()).hexdigest(),))
    MNIST(tmp_path, download=False)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\S* belongs to MNIST"):
        FashionMNIST(tmp_path, download=False)


# ---------------------------------------------------------------------------------------------------------- CIFAR


class SmallCIFAR10(CIFAR10):
    records = 4


class SmallCIFAR100(CIFAR100):
    records = 4


def cifar_records(count=4, label_bytes=1, classes=10, seed=0):
    numbers = numpy.random.default_rng(seed)
    rows = numbers.integers(256, size=(count, label_bytes + 3072), dtype=numpy.uint8)
    rows[:, :label_bytes] = numbers.integers(classes, size=(count, label_bytes))
    return rows


def write_cifar10(folder, files=SmallCIFAR10.train_files + SmallCIFAR10.test_files):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [cifar_records(seed=number) for number in range(len(files))]
    for name, content in zip(files, rows, strict=True):
        (folder / name).write_bytes(content.tobytes())
    return rows


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "."])
def test_cifar10(tmp_path, folder):
    *train, test = write_cifar10(tmp_path / folder)
    data = SmallCIFAR10(tmp_path, download=False)
    rows = numpy.concatenate(train)
    assert data.data.shape == (20, 3, 32, 32)
    assert (data.targets == rows[:, 0]).all()
    red, green, blue = (rows[7, 1 + 1024 * c : 1 + 1024 * (c + 1)].reshape(32, 32) for c in range(3))
    assert (data.data[7] == [red, green, blue]).all()
    assert (SmallCIFAR10(tmp_path, train=False, download=False).targets == test[:, 0]).all()


def test_cifar100_has_two_labels(tmp_path):
    rows = cifar_records(4, 2, 100)
    (tmp_path / "train.bin").write_bytes(rows.tobytes())
    data = SmallCIFAR100(tmp_path, download=False)
    assert (data.targets == rows[:, 1]).all()
    assert (data.data.reshape(4, -1) == rows[:, 2:]).all()
    assert (len(data.classes), data.classes[0], data.classes[99]) == (100, "apple", "worm")
    assert CIFAR100.records.fget(data) == 50_000


def test_damaged_cifar_files(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    good = path.read_bytes()
    for content, message in [
        (good[:-1], r"data_batch_3\.bin has 12,291 bytes instead of 12,292"),
        (good[:3073], "has 3,073 bytes instead of 12,292"),
        (b"", "has 0 bytes"),
        (good[:3073] + b"\x0a" + good[3074:], "record 1 has the label 10, of 10"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            SmallCIFAR10(tmp_path, download=False)


def test_a_partial_cifar_is_used_only_when_asked_for(tmp_path, capsys):
    write_cifar10(tmp_path / "cifar-10-batches-bin", ("data_batch_1.bin", "data_batch_4.bin", "test_batch_first3.bin"))
    tests = tmp_path / "cifar-10-batches-bin" / "test_batch_first3.bin"
    tests.write_bytes(tests.read_bytes()[: 3 * 3073 + 100])
    with pytest.raises(DataError) as caught:
        SmallCIFAR10(tmp_path, download=False)
    assert "not there: data_batch_2.bin, data_batch_3.bin, data_batch_5.bin, nor cifar-10-binary.tar.gz" in str(
        caught.value
    )
    assert "170,052,171 bytes, MD5 c32a1d4ab5d03f1284b67883e8d87530" in str(caught.value)
    assert "use what is there, data_batch_1.bin, data_batch_4.bin: partial=True" in str(caught.value)
    with pytest.raises(DataError, match=r"test_batch_first3\.bin: partial=True"):
        SmallCIFAR10(tmp_path, train=False, download=False)
    assert capsys.readouterr().err == ""
    train, test = (SmallCIFAR10(tmp_path, train=train, partial=True) for train in (True, False))
    assert (len(train), len(test)) == (8, 3)
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith(
        "SmallCIFAR10: partial set: 8 of 20 training images, in data_batch_1.bin, data_batch_4.bin"
    )
    assert errors[1].startswith("SmallCIFAR10: partial set: 3 of 4 test images, in test_batch_first3.bin")
    with pytest.raises(DataError, match=r"no file train\*\.bin is there"):
        SmallCIFAR100(tmp_path, partial=True)


def tar_of(files, path):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_an_archive_that_lies_there_is_unpacked(tmp_path, monkeypatch):
    names = SmallCIFAR10.train_files + SmallCIFAR10.test_files
    contents = {f"cifar-10-batches-bin/{name}": cifar_records(seed=i).tobytes() for i, name in enumerate(names)}
    path = tmp_path / "cifar-10-binary.tar.gz"
    tar_of(contents, path)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is damaged: its MD5 is not"):
        SmallCIFAR10(tmp_path, download=False)
    monkeypatch.setattr(CIFAR10, "archive", RemoteFile(path.name, path.stat().st_size, md5(path), ()))
    (tmp_path / "cifar-10-batches-bin").write_text("in the way")
    with pytest.raises(DataError, match=r"tar\.gz cannot be unpacked into (.|\n)*help: unpack it yourself"):
        SmallCIFAR10(tmp_path, download=False)
    (tmp_path / "cifar-10-batches-bin").unlink()
    assert len(SmallCIFAR10(tmp_path, download=False)) == 20
    assert path.exists()  # it is the user's
    assert len(SmallCIFAR10(tmp_path, train=False, download=False)) == 4
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]


# -------------------------------------------------------------------------------------------------------- archives


def test_extract(tmp_path):
    path = tmp_path / "good.tar.gz"
    tar_of({"folder/a.bin": b"aaa", "folder/deep/b.bin": b"b" * 100_000, "./c": b""}, path)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "folder" / "a.bin").write_bytes(b"older")
    assert [found.relative_to(folder).as_posix() for found in extract(path, folder)] == [
        "folder/a.bin",
        "folder/deep/b.bin",
        "c",
    ]
    assert (folder / "folder" / "a.bin").read_bytes() == b"aaa"
    assert (folder / "folder" / "deep" / "b.bin").stat().st_size == 100_000
    with pytest.raises(DataError, match="would fill more room"):
        extract(path, folder, most=1000)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../escaped", tarfile.REGTYPE, ""),
        ("folder/../../escaped", tarfile.REGTYPE, ""),
        ("/tmp/escaped", tarfile.REGTYPE, ""),
        ("C:\\escaped", tarfile.REGTYPE, ""),
        ("..\\escaped", tarfile.REGTYPE, ""),
        ("C:escaped", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc"),
        ("link", tarfile.LNKTYPE, "first"),
        ("pipe", tarfile.FIFOTYPE, ""),
        ("disk", tarfile.BLKTYPE, ""),
        ("terminal", tarfile.CHRTYPE, ""),
        ("../folder", tarfile.DIRTYPE, ""),
    ],
)
def test_an_archive_cannot_write_elsewhere(tmp_path, name, kind, target):
    path, folder = tmp_path / "bad.tar", tmp_path / "inner" / "out"
    folder.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        first = tarfile.TarInfo("first")
        first.size = 3
        tar.addfile(first, io.BytesIO(b"abc"))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    with pytest.raises(DataError, match="not to be trusted"):
        extract(path, folder)
    everything = sorted(found.relative_to(tmp_path).as_posix() for found in tmp_path.rglob("*"))
    assert everything == ["bad.tar", "inner", "inner/out"]  # nothing anywhere, not even the good file before it


def test_a_damaged_archive_leaves_nothing(tmp_path):
    path, folder = tmp_path / "cut.tar.gz", tmp_path / "out"
    folder.mkdir()
    numbers = numpy.random.default_rng(0)
    tar_of({name: numbers.bytes(20_000) for name in "abc"}, path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for content in (whole[: len(whole) // 2], whole[:-8], bytes(flipped), b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged"):
            extract(path, folder)
        assert list(folder.iterdir()) == []


# --------------------------------------------------------------------------------------------------------- folders


def test_image_folder(tmp_path):
    write_images(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "more").mkdir()
    Image.new("L", (5, 4), 200).save(tmp_path / "cat" / "more" / "gray.JPG")
    (tmp_path / ".hidden").mkdir()
    data = ImageFolder(tmp_path)
    assert (data.classes, data.class_to_idx, len(data)) == (("cat", "dog"), {"cat": 0, "dog": 1}, 7)
    assert data.targets == [0, 0, 0, 0, 1, 1, 1]
    assert [path.name for path, _ in data.samples] == ["0.png", "1.png", "2.png", "gray.JPG", "0.png", "1.png", "2.png"]
    image, label = data[5]
    expected = numpy.asarray(Image.open(tmp_path / "dog" / "1.png")).transpose(2, 0, 1) / numpy.float32(255)
    assert label == 1
    numpy.testing.assert_array_equal(image.numpy(), expected)
    assert data[3][0].shape == (3, 4, 5)  # gray has three channels too
    with pytest.raises(RuntimeError, match="bring the samples to one size"):
        next(iter(DataLoader(data, 7)))
    cropped = data.with_transform(transforms.Compose([transforms.RandomResizedCrop(8), transforms.ToTensor()]))
    looks = []
    for count in (0, 2):
        minidl.manual_seed(0)
        (batch,) = DataLoader(cropped, 7, num_workers=count)
        looks.append(batch[0].numpy().tobytes())
    assert looks[0] == looks[1]
    assert repr(data).startswith("ImageFolder(7 images, 2 classes, ")


def test_image_folder_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        ImageFolder(tmp_path)
    write_images(tmp_path)
    (tmp_path / "zebra").mkdir()
    with pytest.raises(FileNotFoundError, match="Found no valid file for the classes zebra"):
        ImageFolder(tmp_path)


def test_images_of_cameras_and_scanners(tmp_path):
    """How the camera was held stands in the file; and 16 bits a pixel are not cut off at 255."""
    pixels = numpy.arange(60, dtype=numpy.uint8).reshape(4, 5, 3) * 4
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(pixels).save(tmp_path / "held.png", exif=exif)
    assert (read_image(tmp_path / "held.png") == numpy.rot90(pixels, -1).transpose(2, 0, 1)).all()
    gray = numpy.array([[0, 256, 40_000, 65_535]], numpy.uint16)
    Image.fromarray(gray).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").tolist() == [[[0, 1, 156, 255]]] * 3
    Image.fromarray(numpy.ones((2, 2), numpy.float32)).save(tmp_path / "floats.tiff")
    with pytest.raises(DataError, match=r"floats.tiff cannot be read: .*the pixels are floats"):
        read_image(tmp_path / "floats.tiff")


@pytest.mark.parametrize("count", [0, 2])
def test_a_damaged_image_is_named(tmp_path, count):
    write_images(tmp_path, size=(40, 40))
    path = tmp_path / "dog" / "0.png"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", b"no image at all"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"sample 3 could not be loaded(.|\n)*0\.png cannot be read"):
            list(DataLoader(ImageFolder(tmp_path), 2, num_workers=count))


def test_imagenet_as_torchvision_has_it(tmp_path):
    write_images(tmp_path / "train", ("n02", "n01", "n03"), 2)
    write_images(tmp_path / "val", ("n01", "n03"), 1)
    train, val = ImageNet(tmp_path), ImageNet(tmp_path, "val")
    assert train.wnids == val.wnids == train.classes == ("n01", "n02", "n03")
    assert (train.targets, val.targets) == ([0, 0, 1, 1, 2, 2], [0, 2])  # though val has no n02
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish\nn03 great white shark\n")
    named_ones = ImageNet(tmp_path, "val")
    assert named_ones.classes == ("tench, Tinca tinca", "goldfish", "great white shark")
    assert named_ones.wnids == ("n01", "n02", "n03")
    write_images(tmp_path / "val" / "n04", (".",), 1)
    with pytest.raises(DataError, match="has classes that train has not"):
        ImageNet(tmp_path, "val")
    with pytest.raises(ValueError, match='split must be "train" or "val"'):
        ImageNet(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageNet(tmp_path / "nowhere")


def test_the_words_of_imagenet(tmp_path):
    words = imagenet_words()
    assert (len(words), list(words)) == (1000, sorted(words))
    assert list(words.values())[281:283] == ["tabby, tabby cat", "tiger cat"]
    write_images(tmp_path / "val", ("n02123045", "n15075141"), 1)
    assert ImageNet(tmp_path, "val").classes == ("tabby, tabby cat", "toilet tissue, toilet paper, bathroom tissue")


def test_imagenet_as_kaggle_gives_it(tmp_path):
    base = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    write_images(base / "train", ("n01", "n02"), 2)
    write_images(base, ("val",), 3)
    with pytest.raises(FileNotFoundError, match=r"no .*LOC_val_solution\.csv"):
        ImageNet(tmp_path, "val")
    answers = tmp_path / "LOC_val_solution.csv"
    answers.write_text("ImageId,PredictionString\n1,n01 5 5 9 9\n0,n02 1 1 3 3 n02 4 4 5 5\n2,n02 1 2 3 4\n")
    val = ImageNet(tmp_path, "val")
    assert (val.wnids, val.targets) == (("n01", "n02"), [1, 0, 1])
    assert ImageNet(tmp_path).targets == [0, 0, 1, 1]
    answers.write_text("ImageId,PredictionString\n1,n01 5 5 9 9\n")
    with pytest.raises(DataError, match=r"no label for .*0\.png"):
        ImageNet(tmp_path, "val")


# --------------------------------------------------------------------------------------------------------- by name


def test_the_data_folder(monkeypatch):
    monkeypatch.setenv("MINIDL_DATA", "/somewhere")
    assert data_folder() == Path("/somewhere")
    assert data_folder("here") == Path("here")
    assert data_folder("~/data") == Path.home() / "data"
    monkeypatch.delenv("MINIDL_DATA")
    for platform, variables, expected in [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, Path("/caches/minidl")),
        ("linux", {}, Path.home() / ".cache/minidl"),
        ("darwin", {}, Path.home() / "Library/Caches/minidl"),
        ("win32", {"LOCALAPPDATA": "/local"}, Path("/local/minidl")),
        ("win32", {}, Path.home() / "AppData/Local/minidl"),
    ]:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "platform", platform)
        assert data_folder() == expected


def test_the_environment_says_where_the_files_are(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist")
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    assert len(MNIST(download=False)) == 12


def test_named_sets_on_the_disk(tmp_path):
    write_mnist(tmp_path / "mnist")
    write_mnist(tmp_path / "mnist", 5, "t10k")
    splits = named("mnist", tmp_path, download=False)
    assert (len(splits.train), len(splits.test), splits.image_shape) == (12, 5, (1, 28, 28))
    assert (splits.classes, splits.mean, splits.std) == (tuple("0123456789"), (0.1307,), (0.3081,))
    with pytest.raises(DataError, match="fashion-mnist"):
        named("fashion-mnist", tmp_path, download=False)


def test_named_digits():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    splits, train, test = named("digits"), Digits(), Digits(train=False)
    assert (len(splits.train), len(splits.test), splits.image_shape) == (1437, 360, (1, 32, 32))
    normalised = splits.test.with_transform(transforms.Normalize(splits.mean, splits.std))
    x, y = normalised.batch(range(360))
    numpy.testing.assert_allclose(x.numpy(), test.tensors[0].numpy(), atol=1e-5)
    assert y.tolist() == test.tensors[1].tolist()
    assert splits.mean == pytest.approx((train.mean,))
    assert digit_images(8)[0].shape == (1797, 1, 8, 8)


@pytest.mark.parametrize("testing", ["val", "test"])
def test_named_image_folder(tmp_path, testing):
    write_images(tmp_path / "train")
    with pytest.raises(FileNotFoundError, match="val"):
        named(f"imagefolder:{tmp_path}")
    write_images(tmp_path / testing, count=1)
    splits = named(f"imagefolder:{tmp_path}")
    assert (len(splits.train), len(splits.test), splits.classes) == (6, 2, ("cat", "dog"))
    assert (splits.mean, splits.std) == (ImageNet.mean, ImageNet.std)
    write_images(tmp_path / testing, ("emu",), 1)
    with pytest.raises(ValueError, match=r"differ in classes\n.*\['emu'\]"):
        named(f"imagefolder:{tmp_path}")


def test_named_refuses():
    with pytest.raises(ValueError, match="there are digits, mnist, fashion-mnist, cifar10, cifar100, imagefolder:PATH"):
        named("imagenet")
    with pytest.raises(ValueError, match="only cifar10 and cifar100 can be used in part, not mnist"):
        named("mnist", partial=True)


# -------------------------------------------------------------------------------------------------- the real files


@needs("mnist")
def test_the_real_mnist():
    splits = named("mnist", SHARED, download=False)
    assert (len(splits.train), len(splits.test)) == (60_000, 10_000)
    assert splits.train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert splits.train.data.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert splits.train.data.std() / 255 == pytest.approx(0.3081, abs=5e-5)


@needs("fashion-mnist")
def test_the_real_fashion_mnist():
    test = FashionMNIST(SHARED, train=False, download=False)
    assert (len(test), test.classes[test.targets[0]]) == (10_000, "Ankle boot")
    assert numpy.bincount(test.targets).tolist() == [1000] * 10
    with pytest.raises(DataError, match="belongs to FashionMNIST"):
        MNIST(SHARED / "fashion-mnist", train=False, download=False)


@needs("mnist")
@needs("fashion-mnist")
def test_the_published_checksums_are_those_of_the_files():
    for kind in (MNIST, FashionMNIST):
        for file in kind.files.values():
            path = SHARED / kind.folders[0] / file.name
            assert (path.stat().st_size, md5(path)) == (file.size, file.md5)


@needs("cifar-10-batches-bin")
def test_the_real_part_of_cifar10():
    train, test = (CIFAR10(SHARED, train=train, partial=True) for train in (True, False))
    assert (len(train), len(test)) == (30_000, 1_017)
    assert [train.classes[label] for label in train.targets[:3]] == ["frog", "truck", "truck"]
    assert [test.classes[label] for label in test.targets[:3]] == ["cat", "ship", "ship"]
    with pytest.raises(DataError, match=r"not there: data_batch_4\.bin, data_batch_5\.bin"):
        CIFAR10(SHARED, download=False)

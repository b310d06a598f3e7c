"""`minidl evaluate`: the numbers it gives, what it does with images of other sizes, and how it answers mistakes."""

import re

import numpy
import pytest

import architectures
import minidl
from minidl import cli, nn
from minidl.cli.evaluate import label_ranks
from minidl.data import MNIST, ArrayDataset, DataLoader
from minidl.data.transforms import Compose, Normalize, Pad, ToTensor
from tests.data_files import write_images, write_mnist
from tests.test_datasets import SHARED, needs

RESNET20 = SHARED / "weights" / "resnet20-12fca82f.th"
PUBLISHED = ["--mean", ".485,.456,.406", "--std", ".229,.224,.225"]


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """A folder with the weights of a LeNet-5, and test images in the form of MNIST's; no training images."""
    folder = tmp_path_factory.mktemp("lenet")
    minidl.manual_seed(0)
    minidl.save(architectures.lenet5().state_dict(), folder / "lenet.safetensors")
    write_mnist(folder / "mnist", 60, "t10k")
    return folder


def evaluate(capsys, *arguments):
    """The exit code, and what was printed on both outputs."""
    code = cli.main(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def accuracies(output):
    """Top-1 and top-5: how many were right, and of how many."""
    return [tuple(map(int, pair)) for pair in re.findall(r"([\d,]+) of ([\d,]+)", output.replace(",", ""))]


class Remembers(nn.Module):
    """Its scores are the first numbers of the image."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(minidl.ones(1))

    def forward(self, x):
        return x.flatten(1)[:, :6] * self.weight


def test_ranks():
    scores = numpy.array([[5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1], [0, 9, 8, 0, 0, 0]], "float32")
    images = ArrayDataset(scores[:, None, None, :], [0, 0, 2, 2])
    assert label_ranks(Remembers(), DataLoader(images, 3), 4).tolist() == [0, 5, 2, 1]


def test_the_probabilities_of_crops_are_averaged_not_their_scores():
    """One crop is sure of class 1; three lean to class 0. The mean of the scores would say 1."""
    scores = numpy.array([[1, 0], [1, 0], [1, 0], [0, 9]], "float32")

    class Crops(minidl.data.Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return minidl.tensor(scores[:, None, None, :]), 0

    probabilities = numpy.exp(scores) / numpy.exp(scores).sum(1, keepdims=True)
    assert scores.mean(0).argmax() == 1
    assert probabilities.mean(0).argmax() == 0
    assert label_ranks(Remembers(), DataLoader(Crops(), 1), 1).tolist() == [0]


def test_the_numbers_are_those_of_a_plain_loop(lenet, capsys):
    """With a border, as LeNet-5 reads 32x32; only the test images are there."""
    code, output, _ = evaluate(
        capsys, "lenet5", "--weights", lenet / "lenet.safetensors", "--data", "mnist", "--data-dir", lenet
    )
    assert code == 0
    assert "61,706 parameters, weights of lenet.safetensors" in output
    assert "60 test images of mnist, 10 classes, with a border from 28x28 to 32x32" in output
    model = architectures.lenet5()
    model.load_state_dict(minidl.load(lenet / "lenet.safetensors"))
    transform = Compose([Pad(2), ToTensor(), Normalize(MNIST.mean, MNIST.std)])
    images = MNIST(lenet, train=False, transform=transform, download=False)
    x, labels = images.batch(range(60))
    order = (-model.eval()(x).detach().numpy()).argsort(axis=1)
    right = [int((order[:, :top] == labels.numpy()[:, None]).any(axis=1).sum()) for top in (1, 5)]
    assert 0 < right[0] < right[1] < 60
    assert accuracies(output) == [(right[0], 60), (right[1], 60)]


def test_resized_and_on_ten_crops(lenet, capsys):
    options = ["lenet5", "--weights", lenet / "lenet.safetensors", "--data", "mnist", "--data-dir", lenet]
    code, output, _ = evaluate(capsys, *options, "--resize")
    assert (code, ", scaled from 28x28 to 32x32\n" in output) == (0, True)
    code, crops, _ = evaluate(capsys, *options, "--ten-crop", "--batch-size", "7")
    assert (code, "ten crops of 32x32 from images with a border of 4" in crops) == (0, True)
    assert accuracies(crops) != accuracies(output)


def test_photographs(tmp_path, capsys):
    """Of a folder, of any size, and of as few classes as the weights are for. The training images need not be there."""
    minidl.save(architectures.resnet20(num_classes=2).state_dict(), tmp_path / "two.pth")
    write_images(tmp_path / "val", count=2, size=(40, 50))
    options = ["resnet20", "--weights", tmp_path / "two.pth", "--data", f"imagefolder:{tmp_path}"]
    code, output, _ = evaluate(capsys, *options)
    assert (code, "4 test images" in output, "the middle 32x32 pixels of each" in output) == (0, True, True)
    assert "top-5" not in output
    code, output, _ = evaluate(capsys, *options, "--ten-crop")
    assert (code, "ten crops of 32x32 from images scaled to 40 pixels" in output) == (0, True)
    (tmp_path / "val" / "cat" / "0.png").write_bytes(b"no picture")
    code, _, errors = evaluate(capsys, *options)
    assert (code, "0.png cannot be read" in errors) == (1, True)


def test_imagenet(tmp_path, capsys):
    minidl.save(architectures.resnet20(num_classes=2).state_dict(), tmp_path / "two.pth")
    write_images(tmp_path / "val", ("n01440764", "n01443537"), 2, (40, 50))
    code, output, _ = evaluate(
        capsys, "resnet20", "--weights", tmp_path / "two.pth", "--data", f"imagenet:{tmp_path}", "--batch-size", "3"
    )
    assert (code, "4 test images" in output) == (0, True)


def test_mistakes(lenet, tmp_path, capsys):
    weights = lenet / "lenet.safetensors"
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    minidl.save({"epoch": 3, "state": [1]}, tmp_path / "other.pth")
    data = ["--data", "mnist", "--data-dir", lenet]
    for arguments, words in [
        (["lenet", "--weights", weights, *data], "there is no network 'lenet'; did you mean lenet5"),
        (["lenet5", "--weights", tmp_path / "no.pth", *data], "no.pth: No such file"),
        (["lenet5", "--weights", tmp_path / "text.pth", *data], "of no kind that is known"),
        (["lenet5", "--weights", tmp_path / "cut.safetensors", *data], "it is damaged"),
        (
            ["lenet5", "--weights", tmp_path / "other.pth", *data],
            "has the entries epoch, state, and no weights by name",
        ),
        (["resnet20", "--weights", weights, *data], "does not fit resnet20: Missing key(s)"),
        (
            ["lenet5", "--weights", weights, "--data", "mnist2"],
            "there is no data set 'mnist2'; help: did you mean mnist? there are digits",
        ),
        (["lenet5", "--weights", weights, "--data", f"imagefolder:{tmp_path}"], "there is no folder"),
        (["lenet5", "--weights", weights, *data, "--partial"], "only cifar10 and cifar100 can be used in part"),
        (["lenet5", "--weights", weights, *data, "--mean", "1,2"], "--mean has 2 numbers, and the images have 1 chan"),
        (["lenet5", "--weights", weights, *data, "--std", "0"], "--std must be above 0"),
        (["lenet5", "--weights", weights, *data, "--device", "tpu"], "tpu"),
    ]:
        code, _, errors = evaluate(capsys, *arguments)
        assert code == 1, arguments
        assert errors.startswith("minidl evaluate: error: ")
        assert words in errors


def test_weights_for_other_images_or_classes(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    write_mnist(tmp_path / "mnist", 3, "t10k")
    for options, words in [
        ({"num_classes": 7}, "its weights are for images of 3 channels, not 1 and for 7 classes, not 10"),
        ({"num_classes": 7, "in_channels": 1}, "its weights are for 7 classes, not 10"),
        ({}, "its weights are for images of 3 channels, not 1"),
    ]:
        minidl.save(architectures.resnet20(**options).state_dict(), path)
        code, _, errors = evaluate(capsys, "resnet20", "--weights", path, "--data", "mnist", "--data-dir", tmp_path)
        assert (code, errors.strip()) == (1, f"minidl evaluate: error: {path} does not fit resnet20: {words}")


def test_names_that_differ(lenet, tmp_path, capsys):
    """A prefix that all names have goes by itself, others by --rename; a checkpoint is looked into."""
    state = minidl.load(lenet / "lenet.safetensors")
    minidl.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "a.pth")
    minidl.save({name.replace("conv1.", "first."): value for name, value in state.items()}, tmp_path / "b.npz")
    data = ["--data", "mnist", "--data-dir", lenet]
    outputs = [
        evaluate(capsys, "lenet5", "--weights", lenet / "lenet.safetensors", *data),
        evaluate(capsys, "lenet5", "--weights", tmp_path / "a.pth", *data),
        evaluate(capsys, "lenet5", "--weights", tmp_path / "b.npz", "--rename", "first.=conv1.", *data),
    ]
    assert [code for code, _, _ in outputs] == [0, 0, 0]
    assert len({tuple(accuracies(output)) for _, output, _ in outputs}) == 1
    assert 'begin with "module.", which is left away' in outputs[1][1]


def test_without_a_network_the_files_to_get_are_listed(tmp_path, capsys, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("minidl.data.download.urlopen", unreachable)
    (tmp_path / "x").touch()  # weights that are not there would be the first thing to say
    code, _, errors = evaluate(
        capsys, "lenet5", "--weights", tmp_path / "x", "--data", "cifar10", "--data-dir", tmp_path
    )
    assert code == 1
    lines = errors.splitlines()
    assert f"  help: put into the folder {tmp_path}" in lines
    assert "    cifar-10-binary.tar.gz: 170,052,171 bytes, MD5 c32a1d4ab5d03f1284b67883e8d87530, from" in lines


@needs("weights")
@needs("cifar-10-batches-bin")
def test_the_published_resnet20_classifies_cifar10(capsys):
    """https://github.com/akamaster/pytorch_resnet_cifar10: 8.27 % of all 10,000 wrong. The first 250 here."""
    transform = Compose([ToTensor(), Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    images = minidl.data.CIFAR10(SHARED, train=False, transform=transform, partial=True)
    model = architectures.resnet20()
    model.load_state_dict(minidl.load(RESNET20)["state_dict"], rename={"module.": ""})
    ranks = label_ranks(model.eval(), DataLoader(minidl.data.Subset(images, range(250)), 125), 250)
    assert 0.89 < (ranks < 1).mean() < 0.95
    assert (ranks < 5).mean() > 0.98

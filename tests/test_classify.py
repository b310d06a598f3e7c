"""`minidl classify`: the names and probabilities it prints, its pictures, and how it answers mistakes."""

import re

import numpy
import pytest
from PIL import Image

import architectures
import minidl
from minidl import cli
from minidl.cli.answer_figure import Answer, answer_figure, percent
from minidl.data import CIFAR10, MNIST
from minidl.data.folder import read_image
from minidl.data.transforms import Compose, Normalize, Pad, ToTensor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of two small networks, and images."""
    folder = tmp_path_factory.mktemp("classify")
    minidl.manual_seed(0)
    minidl.save(architectures.lenet5().state_dict(), folder / "lenet.pth")
    minidl.save(architectures.resnet20().state_dict(), folder / "resnet.pth")
    numbers = numpy.random.default_rng(0)
    Image.fromarray(numbers.integers(256, size=(28, 28), dtype=numpy.uint8)).save(folder / "digit.png")
    Image.fromarray(numbers.integers(256, size=(32, 32, 3), dtype=numpy.uint8)).save(folder / "small.png")
    Image.fromarray(numbers.integers(256, size=(60, 90, 3), dtype=numpy.uint8)).save(folder / "photo.jpg")
    return folder


def classify(capsys, *arguments):
    code = cli.main(["classify", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def answers(output):
    """[(percent, name), ...] of all images."""
    return [(float(p), name) for p, name in re.findall(r"^ +[<>]?([\d.]+)%  (.+)$", output, re.MULTILINE)]


def expected(model, weights, x):
    model.load_state_dict(minidl.load(weights))
    return model.eval()(x).softmax(1).detach().numpy()[0]


def test_the_answers_are_those_of_a_plain_run(folder, capsys):
    """A digit of 28x28 gets the border that it has in training, and is normalised as there."""
    options = ["lenet5", "--weights", folder / "lenet.pth", "--data", "mnist", "--no-maps"]
    code, output, _ = classify(capsys, *options, folder / "digit.png")
    pixels = read_image(folder / "digit.png")[0]
    prepare = Compose([Pad(2), ToTensor(), Normalize(MNIST.mean, MNIST.std)])
    probabilities = expected(architectures.lenet5(), folder / "lenet.pth", prepare(minidl.tensor(pixels[None]))[None])
    order = numpy.argsort(-probabilities)[:5]
    assert code == 0
    assert [name for _, name in answers(output)] == [str(i) for i in order]
    assert [p for p, _ in answers(output)] == pytest.approx(100 * probabilities[order], abs=0.006)


def test_colours(folder, capsys):
    code, output, _ = classify(
        capsys,
        *("resnet20", "--weights", folder / "resnet.pth", "--data", "cifar10", "--mean", ".1,.2,.3", "--std", ".5"),
        *("--no-maps", folder / "small.png"),
    )
    pixels = read_image(folder / "small.png")
    prepare = Compose([ToTensor(), Normalize((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))])
    x = prepare(minidl.tensor(pixels))[None]
    probabilities = expected(architectures.resnet20(), folder / "resnet.pth", x)
    order = numpy.argsort(-probabilities)[:5]
    assert code == 0
    assert [name for _, name in answers(output)] == [CIFAR10.classes[i] for i in order]
    assert [p for p, _ in answers(output)] == pytest.approx(100 * probabilities[order], abs=0.006)


def test_pictures(folder, tmp_path, capsys):
    (tmp_path / "photo.png").write_bytes((folder / "small.png").read_bytes())
    images = [folder / "photo.jpg", tmp_path / "photo.png", folder / "small.png"]
    out = tmp_path / "new" / "out"
    code, output, _ = classify(
        capsys,
        *("resnet20", "--weights", folder / "resnet.pth", "--patch", "16", "--stride", "16", "--out", out),
        *images,
    )
    assert code == 0
    assert {name for _, name in answers(output)} <= set(CIFAR10.classes)  # which the network was made for
    names = ["classify-photo-1.png", "classify-photo-2.png", "classify-small.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        assert f"picture: {out / name}" in output
        with Image.open(out / name) as picture:
            assert picture.width > 1500
            assert picture.height > 500


def test_names_from_a_file(folder, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("\n".join(f"Größe {i}" for i in range(10)) + "\n\n", encoding="utf-8")
    code, output, _ = classify(
        capsys,
        *("resnet20", "--weights", folder / "resnet.pth", "--classes", tmp_path / "names.txt", "--no-maps"),
        folder / "photo.jpg",
    )
    assert code == 0
    assert {name for _, name in answers(output)} <= {f"Größe {i}" for i in range(10)}


def test_a_network_of_1000_classes_is_one_of_imagenets(tmp_path, capsys, folder):
    model = architectures.squeezenet1_1()
    with minidl.no_grad():
        model.classifier[1].bias[281] += 50
    minidl.save(model.state_dict(), tmp_path / "w.pth")
    code, output, _ = classify(
        capsys,
        *("squeezenet1_1", "--weights", tmp_path / "w.pth", "--input", "3,64,64", "--no-maps", folder / "photo.jpg"),
    )
    assert (code, answers(output)[0][1]) == (0, "tabby, tabby cat")


def test_mistakes(folder, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    (tmp_path / "file").write_text("in the way")
    net = ["resnet20", "--weights", folder / "resnet.pth"]
    image = folder / "small.png"
    for arguments, words in [
        ([*net, tmp_path / "no.png"], "there is no file"),
        ([*net, image, tmp_path / "text.png"], "text.png cannot be read"),
        ([*net, "--classes", tmp_path / "empty.txt", image], "empty.txt has no names in it"),
        ([*net, "--classes", tmp_path / "no.txt", image], "cannot read"),
        ([*net, "--classes", image, image], "cannot read"),
        ([*net, "--classes", tmp_path / "two.txt", image], "its weights are for 10 classes, not 2"),
        ([*net, "--data", "cifar", image], "there is no data set 'cifar'"),
        ([*net, "--data", "cifar100", image], "its weights are for 10 classes, not 100"),
        ([*net, "--data", "mnist", image], "its weights are for images of 3 channels, not 1"),
        ([*net, "--data", f"imagefolder:{tmp_path}", image], "there is neither"),
        ([*net, "--input", "2,32,32", image], "the network reads 2"),
        ([*net, "--out", tmp_path / "file" / "out", image], "cannot write into the folder"),
        (
            ["lenet5", "--weights", folder / "lenet.pth", "--input", "1,8,8", image],
            "lenet5 cannot read an image of 1x8x8",
        ),
    ]:
        code, _, errors = classify(capsys, *arguments)
        assert code == 1, arguments
        assert errors.startswith("minidl classify: error: ")
        assert words in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.txt", "file", "text.png", "two.txt"]


def test_percent():
    assert [percent(p) for p in (0.5, 0.9994, 0.9996, 1, 0.0006, 0.0004, 0)] == [
        *("50.0%", "99.9%", ">99.9%", ">99.9%", "0.1%", "<0.1%", "<0.1%"),
    ]
    assert percent(0.99996, 2) == ">99.99%"


@pytest.mark.parametrize(("left", "words"), [(0.9989, "no part that is hidden changes much"), (0.4, "loses 60%")])
def test_the_occlusion_map_colours_only_what_matters(left, words):
    image = numpy.random.default_rng(0).random((3, 8, 8))
    best = [Answer(i, "a name that is much too long for its place", p) for i, p in enumerate((1.0, 0.0, 0.0))]
    occluded = numpy.ones((8, 8))
    occluded[2:5, 2:5] = left
    figure = answer_figure("x.png", "net", image, best, numpy.zeros((8, 8)), occluded)
    texts = [label.get_text() for axes in figure.axes for label in (axes.xaxis.label, *axes.get_xticklabels())]
    assert words in texts

"""ResNet and the plain nets for CIFAR-10: the paper's numbers, published weights, gradients, agreement with PyTorch."""

import math
from pathlib import Path

import numpy
import pytest

import minidl
from architectures import resnet_cifar
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    undrawn,
)

BLOCKS_PER_STAGE = {
    "resnet20": 3,
    "resnet32": 5,
    "resnet44": 7,
    "resnet56": 9,
    "resnet110": 18,
    "plain20": 3,
    "plain56": 9,
}
NUMBERS = {
    "resnet20": (269_722, 40_551_040),
    "resnet32": (464_154, 68_862_592),
    "resnet44": (658_586, 97_174_144),
    "resnet56": (853_018, 125_485_696),
    "resnet110": (1_727_962, 252_887_680),
    "plain20": (269_722, 40_551_040),
    "plain56": (853_018, 125_485_696),
}
STAGES = ("bn1", "layer1", "layer2", "layer3", "avgpool", "linear")
BLOCKS = ("PlainBlock", "BasicBlock")

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"  # published weights and data sets, where they are
CHECKPOINT = SHARED / "weights" / "resnet20-12fca82f.th"
CIFAR = SHARED / "cifar-10-batches-bin" / "test_batch_first1017.bin"


def thin(block):
    return lambda module: module.ResNet(getattr(module, block), 2, num_classes=5, in_channels=2, width=3)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_shapes(name):
    with undrawn():
        model = getattr(resnet_cifar, name)()
    n = BLOCKS_PER_STAGE[name]
    assert NUMBERS[name] == (97_216 * n - 21_926, 14_155_776 * n - 1_916_288)
    measured = measure(model, (3, 32, 32), *STAGES)
    assert (count_parameters(model), measured.multiply_adds) == NUMBERS[name]
    assert measured.shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8), (64, 1, 1), (10,)]
    weighted = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    assert len(weighted) == 6 * n + 2 == int(name.removeprefix("resnet").removeprefix("plain"))


def test_other_classes_and_channels():
    with undrawn():
        assert count_parameters(resnet_cifar.resnet110(num_classes=100)) == 1_733_812
        assert count_parameters(resnet_cifar.resnet20(in_channels=1)) == 269_722 - 2 * 16 * 9


def test_the_shortcut_takes_every_second_pixel_and_adds_zeros_on_both_sides():
    block = resnet_cifar.BasicBlock(2, 4, 2)
    x = minidl.arange(2 * 3 * 3).reshape(1, 2, 3, 3).float()
    zeros = [[0, 0], [0, 0]]
    assert block.shortcut(x).tolist() == [[zeros, [[0, 2], [6, 8]], [[9, 11], [15, 17]], zeros]]


def test_initial_weights():
    weight = resnet_cifar.resnet20().layer3[0].conv1.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.03)  # fan-out, not fan-in: 32 to 64


@pytest.mark.parametrize("block", BLOCKS)
def test_gradients(block):
    assert_gradients(thin(block)(resnet_cifar), (2, 2, 9, 9))


@pytest.mark.parametrize("block", BLOCKS)
def test_learns(block):
    assert_learns(thin(block)(resnet_cifar), (8, 2, 9, 9), classes=5)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_agrees_with_pytorch(block, training):
    assert_agrees(thin(block), "resnet_cifar", (2, 2, 9, 9), training=training)


@pytest.mark.torch
@pytest.mark.skipif(not (CHECKPOINT.exists() and CIFAR.exists()), reason="needs the published weights and CIFAR-10")
def test_published_weights():
    """Idelbayev's resnet20 (91.78 % on all 10,000 test images) loads, and knows its images."""
    torch = pytest.importorskip("torch")
    checkpoint = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)
    state = {name.removeprefix("module."): value.numpy() for name, value in checkpoint["state_dict"].items()}
    model = resnet_cifar.resnet20().eval()
    model.load_state_dict(state)

    records = numpy.fromfile(CIFAR, dtype=numpy.uint8, count=300 * 3073).reshape(300, 3073)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).astype(numpy.float32) / 255
    mean, std = (numpy.float32(values).reshape(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with minidl.no_grad():
        guesses = model(minidl.from_numpy((pixels - mean) / std)).argmax(1).numpy()
    assert (guesses == records[:, 0]).mean() > 0.88

"""VGG: table 1 of the paper, torchvision's names."""

import math

import pytest

from architectures import vgg
from minidl import nn
from tests.architectures.agreement import assert_agrees, assert_gradients, assert_learns, count_parameters, measure
from tests.architectures.weights import blank, spread, without_dropout

NETWORKS = [
    # function, parameters, multiply-adds, the numbers of the convolutions in `features`
    ("vgg11", 132_863_336, 7_609_090_048, (0, 3, 6, 8, 11, 13, 16, 18)),
    ("vgg13", 133_047_848, 11_308_466_176, (0, 2, 5, 7, 10, 12, 15, 17, 20, 22)),
    ("vgg16", 138_357_544, 15_470_264_320, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
    ("vgg19", 143_667_240, 19_632_062_464, (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)),
]
WITH_BATCH_NORM = [
    ("vgg11_bn", 132_868_840, (0, 4, 8, 11, 15, 18, 22, 25)),
    ("vgg13_bn", 133_053_736, (0, 3, 7, 10, 14, 17, 21, 24, 28, 31)),
    ("vgg16_bn", 138_365_992, (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)),
    ("vgg19_bn", 143_678_248, (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49)),
]


def names(rows):
    return [row[0] for row in rows]


@pytest.mark.parametrize("name, parameters, multiply_adds, convolutions", NETWORKS, ids=names(NETWORKS))
def test_counts_and_shapes(name, parameters, multiply_adds, convolutions):
    model = blank(getattr(vgg, name))
    assert count_parameters(model) == parameters
    layers = [f"features.{i}" for i in convolutions] + [f"classifier.{i}" for i in (0, 3, 6)]
    assert list(model.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]

    pools = [f"features.{i}" for i, layer in enumerate(model.features) if isinstance(layer, nn.MaxPool2d)]
    measured = measure(model, (3, 224, 224), *pools, "avgpool", "classifier.0", "classifier.3", "classifier.6")
    assert measured.multiply_adds == multiply_adds
    blocks = [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert measured.shapes == [*blocks, (512, 7, 7), (4096,), (4096,), (1000,)]


@pytest.mark.parametrize("name, parameters, convolutions", WITH_BATCH_NORM, ids=names(WITH_BATCH_NORM))
def test_batch_norm(name, parameters, convolutions):
    model = blank(getattr(vgg, name))
    assert count_parameters(model) == parameters
    kinds = [type(layer) for layer in model.features]
    assert tuple(i for i, kind in enumerate(kinds) if kind is nn.Conv2d) == convolutions
    assert all(kinds[i : i + 3] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] for i in convolutions)
    assert {"features.0.bias", "features.1.running_var", "features.1.num_batches_tracked"} <= set(model.state_dict())


def test_vgg16_is_the_lectures_table():
    """Parameters without biases, layer by layer, and the maps of each convolution."""
    model = blank(vgg.vgg16)
    convolutions = [layer for layer in model.features if isinstance(layer, nn.Conv2d)]
    linears = [layer for layer in model.classifier if isinstance(layer, nn.Linear)]
    assert [layer.weight.numel() for layer in convolutions + linears] == [
        *(1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 589_824),
        *(1_179_648, 2_359_296, 2_359_296, 2_359_296, 2_359_296, 2_359_296),
        *(102_760_448, 16_777_216, 4_096_000),
    ]


def thin(module, layers="conv3x3"):
    return module.VGG(((2,), (3,), (4, 4), (3, 5), (5, 5)), getattr(module, layers), num_classes=3, hidden=6)


@pytest.mark.parametrize("layers", ["conv3x3", "conv3x3_bn"])
def test_gradients(layers):
    assert_gradients(thin(vgg, layers), (3, 3, 64, 32))


@pytest.mark.parametrize("layers", ["conv3x3", "conv3x3_bn"])
def test_learns(layers):
    blocks = ((8,), (8,), (16,), (16,), (16,))
    model = vgg.VGG(blocks, getattr(vgg, layers), num_classes=3, hidden=32)
    assert_learns(spread(without_dropout(model)), (6, 3, 32, 32), classes=3, steps=10, lr=0.001)


def test_initial_weights():
    """He's by fan-out in the convolutions, 0.01 in the fully connected layers, biases 0."""
    model = vgg.VGG(((64, 32),), num_classes=10, hidden=64)
    assert model.features[0].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.1)
    assert model.features[2].weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.1)
    assert model.classifier[0].weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert all((model.get_parameter(name) == 0).all() for name in model.state_dict() if name.endswith("bias"))


@pytest.mark.torch
@pytest.mark.parametrize("layers", ["conv3x3", "conv3x3_bn"])
def test_equals_torch(layers):
    assert_agrees(lambda module: without_dropout(thin(module, layers)), "vgg", (3, 3, 64, 32))

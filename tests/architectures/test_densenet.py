"""DenseNet: table 1 of the paper, torchvision's names, concatenation, gradients, agreement with PyTorch."""

import math

import numpy
import pytest

import minidl
from architectures import densenet
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
    undrawn,
)

NUMBERS = {
    "densenet121": (7_978_856, 2_834_161_664),
    "densenet169": (14_149_480, 3_359_843_328),
    "densenet201": (20_013_928, 4_291_365_888),
    "densenet161": (28_681_000, 7_727_907_072),
    "densenet40_12": (1_019_722, 264_812_928),
    "densenet_bc_100_12": (769_162, 287_929_692),
}
LAYERS = {
    "densenet121": (6, 12, 24, 16),
    "densenet169": (6, 12, 32, 32),
    "densenet201": (6, 12, 48, 32),
    "densenet161": (6, 12, 36, 24),
    "densenet40_12": (12, 12, 12),
    "densenet_bc_100_12": (16, 16, 16),
}
CHANNELS = {  # of the stem, block 1, transition 1, block 2, ...
    "densenet121": (64, 256, 128, 512, 256, 1024, 512, 1024),
    "densenet169": (64, 256, 128, 512, 256, 1280, 640, 1664),
    "densenet201": (64, 256, 128, 512, 256, 1792, 896, 1920),
    "densenet161": (96, 384, 192, 768, 384, 2112, 1056, 2208),
    "densenet40_12": (16, 160, 160, 304, 304, 448),
    "densenet_bc_100_12": (24, 216, 108, 300, 150, 342),
}
PARTS = (335_040, 33_280, 919_680, 132_096, 2_837_760, 526_336, 2_158_080)  # of densenet121
IMAGENET = [name for name, layers in LAYERS.items() if len(layers) == 4]


def parts(name):
    """denseblock1, transition1, denseblock2, ..."""
    numbers = range(1, len(LAYERS[name]) + 1)
    return [f"features.{kind}{i}" for i in numbers for kind in ("denseblock", "transition")][:-1]


def build(name):
    with undrawn():
        return getattr(densenet, name)()


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_shapes(name):
    model = build(name)
    imagenet = name in IMAGENET
    stem = "features.pool0" if imagenet else "features.conv0"
    measured = measure(model, (3, 224, 224) if imagenet else (3, 32, 32), stem, *parts(name), "")
    assert (count_parameters(model), measured.multiply_adds) == NUMBERS[name]
    sizes = (56, 56, 28, 28, 14, 14, 7, 7) if imagenet else (32, 32, 16, 16, 8, 8)
    expected = [(c, s, s) for c, s in zip(CHANNELS[name], sizes, strict=True)]
    assert measured.shapes == [*expected, (1000,) if imagenet else (10,)]
    if name == "densenet121":
        assert tuple(count_parameters(model.get_submodule(part)) for part in parts(name)) == PARTS
    depth = sum(parameter.ndim > 1 for parameter in model.parameters())
    assert depth == int(name.removeprefix("densenet").removeprefix("_bc_").removesuffix("_12"))


@pytest.mark.parametrize("name", IMAGENET)
def test_names_are_those_of_torchvision(name):
    def norm(layer):
        return [f"{layer}.{k}" for k in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    expected = ["features.conv0.weight", *norm("features.norm0")]
    for block, depth in enumerate(LAYERS[name], start=1):
        for i in range(1, depth + 1):
            layer = f"features.denseblock{block}.denselayer{i}"
            expected += [*norm(f"{layer}.norm1"), f"{layer}.conv1.weight", *norm(f"{layer}.norm2")]
            expected += [f"{layer}.conv2.weight"]
        if block < 4:
            expected += [*norm(f"features.transition{block}.norm"), f"features.transition{block}.conv.weight"]
    state = build(name).state_dict()
    assert list(state) == [*expected, *norm("features.norm5"), "classifier.weight", "classifier.bias"]
    k = 48 if name == "densenet161" else 32
    assert state["features.denseblock1.denselayer2.conv1.weight"].shape == (4 * k, 3 * k, 1, 1)
    assert state["features.denseblock1.denselayer2.conv2.weight"].shape == (k, 4 * k, 3, 3)


def test_other_classes_and_channels():
    with undrawn():
        model = densenet.densenet_bc_100_12(num_classes=100, in_channels=1)
    assert count_parameters(model) == 800_032 - 2 * 24 * 9
    with undrawn():
        assert count_parameters(densenet.densenet40_12(num_classes=100)) == 1_060_132


@pytest.mark.parametrize("layer", [densenet.DenseLayer, densenet.BottleneckLayer])
def test_a_layer_adds_its_maps_behind_all_earlier_ones(layer):
    minidl.manual_seed(0)
    x = random_images(2, 5, 4, 3, dtype=numpy.float32)
    layer = layer(5, 2, 0.0)
    y = layer(x)
    assert y.shape == (2, 7, 4, 3)
    assert minidl.equal(y[:, :5], x)
    moved = layer(x + 3)[:, 5:]
    assert minidl.allclose(moved, y[:, 5:], atol=1e-4), "batch norm is the first thing in a layer"


def test_dropout_is_after_every_convolution_but_the_first():
    """Of the paper's networks without augmentation: 0.2."""
    for name in ("densenet40_12", "densenet_bc_100_12"):
        with undrawn():
            kinds = [type(m).__name__ for m in getattr(densenet, name)(drop_rate=0.2).modules()]
        after = [kinds[i + 1] for i, kind in enumerate(kinds) if kind == "Conv2d"]
        assert after[1:] == ["Dropout"] * (len(after) - 1)
        assert after[0] != "Dropout"


def test_initial_weights():
    """He's by fan-out: the 3x3 convolution of a bottleneck has 12 filters for 48 maps."""
    model = densenet.densenet_bc_100_12()
    weights = [layer.conv2.weight for layer in model.features.denseblock1]
    mean_square = sum((weight**2).mean().item() for weight in weights) / len(weights)
    assert math.sqrt(mean_square) == pytest.approx(math.sqrt(2 / (9 * 12)), rel=0.02)
    assert (model.classifier.bias == 0).all()


THIN = {  # layer, stem, theta, size of the image
    "imagenet": ("BottleneckLayer", "imagenet_stem", 0.5, 34),
    "cifar": ("DenseLayer", "cifar_stem", 1.0, 9),
    "cifar_bc": ("BottleneckLayer", "cifar_stem", 0.5, 9),
}


def thin(layer, stem, theta, drop_rate=0.0):
    """Three blocks; theta times 13 channels is no whole number."""

    def build(module):
        layer_, stem_ = getattr(module, layer), getattr(module, stem)
        return module.DenseNet(layer_, (3, 2, 2), 3, stem_, 4, theta, 3, in_channels=2, drop_rate=drop_rate)

    return build


@pytest.mark.parametrize("layer, stem, theta, size", THIN.values(), ids=THIN)
def test_gradients(layer, stem, theta, size):
    assert_gradients(thin(layer, stem, theta, 0.2)(densenet), (3, 2, size, size + 2))


@pytest.mark.parametrize("layer, stem, theta, size", THIN.values(), ids=THIN)
def test_learns(layer, stem, theta, size):
    minidl.manual_seed(0)
    assert_learns(thin(layer, stem, theta)(densenet), (6, 2, size, size), classes=3, steps=10)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer, stem, theta, size", THIN.values(), ids=THIN)
def test_agrees_with_pytorch(layer, stem, theta, size, training):
    assert_agrees(thin(layer, stem, theta), "densenet", (3, 2, size, size + 2), training=training)

"""Network in Network: the author's two networks."""

import importlib

import pytest

from minidl import nn
from tests.architectures.agreement import assert_agrees, assert_gradients, assert_learns, count_parameters, measure
from tests.architectures.weights import blank, spread, without_dropout

nin = importlib.import_module("architectures.nin")  # `architectures` exports a function of that name


def parameters_of_convolutions(model):
    return [count_parameters(layer) for layer in model.modules() if isinstance(layer, nn.Conv2d)]


def test_cifar():
    model = blank(nin.nin_cifar)
    assert count_parameters(model) == 966_986
    assert parameters_of_convolutions(model) == [
        *(14_592, 30_880, 15_456),
        *(460_992, 37_056, 37_056),
        *(331_968, 37_056, 1_930),
    ]
    stages = {
        "features.0.conv": (192, 32, 32),
        "features.0.cccp1": (160, 32, 32),
        "features.0": (96, 32, 32),
        "features.1": (96, 16, 16),
        "features.3.conv": (192, 16, 16),
        "features.3": (192, 16, 16),
        "features.4": (192, 8, 8),
        "features.6.conv": (192, 8, 8),
        "features.6": (10, 8, 8),
        "avgpool": (10, 1, 1),
        "flatten": (10,),
    }
    measured = measure(model, (3, 32, 32), *stages)
    assert measured.multiply_adds == 222_486_528
    assert measured.shapes == list(stages.values())


def test_cifar_100():
    model = blank(lambda: nin.nin_cifar(num_classes=100))
    assert count_parameters(model) == 984_356
    assert measure(model, (3, 32, 32)).multiply_adds == 223_592_448


def test_imagenet():
    model = blank(nin.nin)
    assert count_parameters(model) == 7_595_176
    assert parameters_of_convolutions(model) == [
        *(34_944, 9_312, 9_312),
        *(614_656, 65_792, 65_792),
        *(885_120, 147_840, 147_840),
        *(3_539_968, 1_049_600, 1_025_000),
    ]
    stages = {
        "features.0": (96, 54, 54),
        "features.1": (96, 27, 27),
        "features.2": (256, 27, 27),
        "features.3": (256, 13, 13),
        "features.4": (384, 13, 13),
        "features.5": (384, 6, 6),
        "features.7": (1000, 6, 6),
        "flatten": (1000,),
    }
    measured = measure(model, (3, 224, 224), *stages)
    assert measured.multiply_adds == 1_100_188_800
    assert measured.shapes == list(stages.values())
    assert measure(model, (3, 227, 227), "features.0").multiply_adds == 1_105_996_320


def thin_cifar(module):
    return module.NiNCIFAR(num_classes=3, maps=((5, 4, 3), (4, 6, 5), (6, 4)))


def thin_imagenet(module):
    return module.NiNImageNet(num_classes=3, maps=((5, 4, 3), (4, 6, 5), (6, 4, 7), (5, 6)))


THIN = [(thin_cifar, (3, 3, 12, 10)), (thin_imagenet, (2, 3, 67, 91))]


@pytest.mark.parametrize("build, input_shape", THIN)
def test_gradients(build, input_shape):
    assert_gradients(spread(build(nin)), input_shape)


@pytest.mark.parametrize(
    "model, input_shape",
    [
        (lambda: nin.NiNCIFAR(3, maps=((16, 16, 16), (16, 16, 16), (16, 16))), (3, 3, 12, 12)),
        (lambda: nin.NiNImageNet(3, maps=((16, 16, 16), (16, 16, 16), (16, 16, 16), (16, 16))), (3, 3, 67, 67)),
    ],
    ids=["cifar", "imagenet"],
)
def test_learns(model, input_shape):
    assert_learns(spread(without_dropout(model())), input_shape, classes=3, steps=15, lr=0.02)


def test_initial_weights():
    """N(0, 0.05^2); in the ImageNet network N(0, 0.01^2) in conv1, conv3 and the last. Biases 0."""
    smaller = {"features.0.conv.weight", "features.4.conv.weight", "features.7.cccp2.weight"}
    for model, with_smaller in ((nin.nin_cifar(), set()), (nin.nin(), smaller)):
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                assert (parameter == 0).all()
            else:
                assert parameter.std().item() == pytest.approx(0.01 if name in with_smaller else 0.05, rel=0.1), name


@pytest.mark.torch
@pytest.mark.parametrize("build, input_shape", THIN)
def test_equals_torch(build, input_shape):
    assert_agrees(lambda module: without_dropout(build(module)), "nin", input_shape)

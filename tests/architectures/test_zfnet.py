"""ZFNet: the sizes of figure 3, and the lecture's wide one."""

import importlib

import pytest

from minidl import nn
from tests.architectures.agreement import assert_agrees, assert_gradients, assert_learns, count_parameters, measure
from tests.architectures.weights import blank, spread, without_dropout

zfnet = importlib.import_module("architectures.zfnet")  # `architectures` exports a function of that name

NETWORKS = [
    # function, parameters, multiply-adds, the maps of conv3, conv4 and conv5, the parameters of the layers
    ("zfnet", 62_357_608, 1_168_032_896, (384, 384, 256), (885_120, 1_327_488, 884_992, 37_752_832)),
    ("zfnet_wide", 107_627_624, 2_476_704_896, (512, 1024, 512), (1_180_160, 4_719_616, 4_719_104, 75_501_568)),
]


@pytest.mark.parametrize("name, parameters, multiply_adds, maps, layers", NETWORKS, ids=[row[0] for row in NETWORKS])
def test_counts_and_shapes(name, parameters, multiply_adds, maps, layers):
    model = blank(getattr(zfnet, name))
    assert count_parameters(model) == parameters
    counts = [count_parameters(layer) for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert counts == [14_208, 614_656, *layers, 16_781_312, 4_097_000]

    c3, c4, c5 = maps
    stages = {
        "features.conv1": (96, 110, 110),
        "features.pool1": (96, 55, 55),
        "features.norm1": (96, 55, 55),
        "features.conv2": (256, 26, 26),
        "features.pool2": (256, 13, 13),
        "features.norm2": (256, 13, 13),
        "features.conv3": (c3, 13, 13),
        "features.conv4": (c4, 13, 13),
        "features.conv5": (c5, 13, 13),
        "features.pool5": (c5, 6, 6),
        "flatten": (c5 * 36,),
        "classifier.fc6": (4096,),
        "classifier.fc7": (4096,),
        "classifier.fc8": (1000,),
    }
    measured = measure(model, (3, 224, 224), *stages)
    assert measured.multiply_adds == multiply_adds
    assert measured.shapes == list(stages.values())


def thin(module):
    return module.ZFNet(num_classes=3, maps=(6, 4, 6, 4, 4), hidden=8)


def test_gradients():
    assert_gradients(spread(thin(zfnet)), (2, 3, 224, 224))


def test_learns():
    model = zfnet.ZFNet(num_classes=3, maps=(8, 8, 8, 8, 8), hidden=32)
    assert_learns(spread(without_dropout(model)), (3, 3, 224, 224), classes=3, steps=8, lr=0.003)


def test_initial_weights():
    model = zfnet.ZFNet(num_classes=5, maps=(96, 32, 32, 32, 32), hidden=64)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
        elif parameter.numel() > 5000:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.1)


@pytest.mark.torch
def test_equals_torch():
    assert_agrees(lambda module: without_dropout(thin(module)), "zfnet", (2, 3, 224, 224))

"""ResNeXt: exact numbers, torchvision's names, branches and groups, gradients, agreement with PyTorch."""

import math

import pytest

import minidl
import minidl.nn.functional as F
from architectures import resnet, resnext
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
    "resnext50_32x4d": (25_028_904, 4_230_479_872, [9_536, 205_824, 1_197_056, 7_022_592, 14_544_896, 2_049_000]),
    "resnext101_32x8d": (88_791_336, 16_414_015_488, [9_536, 420_864, 2_405_376, 55_160_832, 28_745_728, 2_049_000]),
    "resnext29_8x64d": (34_426_698, 5_387_266_048, [1_856, 1_597_440, 6_569_984, 26_247_168, 10_250]),
}


def thin(module):
    return module.ResNeXt((2, 1, 2, 1), 3, 2, num_classes=5, in_channels=2, width=2)


def thin_cifar(module):
    return module.ResNeXtCIFAR(2, 3, 2, num_classes=5, in_channels=2, width=2)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_shapes(name):
    with undrawn():
        model = getattr(resnext, name)()
    parameters, multiply_adds, parts = NUMBERS[name]
    assert count_parameters(model) == parameters
    counts = [count_parameters(child) for child in model.children() if count_parameters(child)]
    assert [counts[0] + counts[1], *counts[2:]] == parts
    image, sizes = (
        ((3, 32, 32), (32, 32, 16, 8)) if name == "resnext29_8x64d" else ((3, 224, 224), (112, 56, 28, 14, 7))
    )
    layers = [f"layer{i}" for i in range(1, len(sizes))]
    measured = measure(model, image, "conv1", *layers, "fc")
    assert measured.multiply_adds == multiply_adds
    channels = [64, *[128 << i for i in range(1, len(sizes))]]
    assert measured.shapes[:-1] == [(c, size, size) for c, size in zip(channels, sizes, strict=True)]
    assert measured.shapes[-1] == (model.fc.out_features,)


def test_names_are_those_of_torchvision():
    with undrawn():
        model, twin = resnext.resnext50_32x4d(), resnet.resnet50()
    assert list(model.state_dict()) == list(twin.state_dict())
    assert model.layer1[0].conv2.weight.shape == (128, 4, 3, 3)
    assert model.layer2[0].conv1.stride == (1, 1) and model.layer2[0].conv2.stride == (2, 2)


def test_other_classes():
    with undrawn():
        assert count_parameters(resnext.resnext29_8x64d(num_classes=100)) == 34_518_948


def test_initial_weights():
    weight = resnext.ResNeXtCIFAR(1, 4, 8, width=8).layer3[0].conv2.weight  # 128 channels in 4 groups
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.03)


def test_the_block_is_the_sum_over_its_branches():
    """Fig. 3(a) and (c): each branch has its own 1x1, 3x3, 1x1; their outputs are added."""
    minidl.manual_seed(0)
    C, d = 4, 3
    block = resnext.Bottleneck(6, C * d, 6, C).double().eval()  # batch norm divides by sqrt(1 + eps) only
    scale = (1 + block.bn1.eps) ** -0.5
    x = random_images(2, 6, 5, 5)
    total = x
    with minidl.no_grad():
        for i in range(C):
            own = slice(i * d, (i + 1) * d)
            y = F.relu(F.conv2d(x, block.conv1.weight[own]) * scale)
            y = F.relu(F.conv2d(y, block.conv2.weight[own], padding=1) * scale)
            total = total + F.conv2d(y, block.conv3.weight[:, own]) * scale
        assert minidl.allclose(block(x), F.relu(total))


@pytest.mark.parametrize(("build", "size"), [(thin, 33), (thin_cifar, 9)])
def test_gradients(build, size):
    assert_gradients(build(resnext), (2, 2, size, size))


@pytest.mark.parametrize(("build", "size"), [(thin, 33), (thin_cifar, 9)])
def test_learns(build, size):
    assert_learns(build(resnext), (8, 2, size, size), classes=5)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("build", "size"), [(thin, 33), (thin_cifar, 9)])
def test_agrees_with_pytorch(build, size, training):
    assert_agrees(build, "resnext", (2, 2, size, size), training=training)

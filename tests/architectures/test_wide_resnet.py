"""Wide ResNet: exact numbers, torchvision's names, dropout, gradients, agreement with PyTorch."""

import math

import pytest

import minidl
from architectures import resnet, wide_resnet
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
    undrawn,
)

CIFAR = {
    "wrn_16_8": (10_961_370, 1_548_145_664, [432, 463_648, 2_098_944, 8_392_192, 1_024, 5_130]),
    "wrn_28_10": (36_479_194, 5_243_328_768, [432, 1_640_672, 6_968_000, 27_862_400, 1_280, 6_410]),
}


def thin(module, dropout=0.0):
    return module.WideResNet(2, 2, num_classes=5, in_channels=2, dropout=dropout, width=2)


def thin_imagenet(module):
    return module.WideResNetImageNet((2, 1, 2, 1), 2, num_classes=5, in_channels=2, width=2)


@pytest.mark.parametrize("name", CIFAR)
def test_numbers_and_shapes(name):
    with undrawn():
        model = getattr(wide_resnet, name)()
    parameters, multiply_adds, parts = CIFAR[name]
    assert count_parameters(model) == parameters
    assert [count_parameters(child) for child in model.children() if count_parameters(child)] == parts
    measured = measure(model, (3, 32, 32), "conv1", "layer1", "layer2", "layer3", "fc")
    assert measured.multiply_adds == multiply_adds
    k = int(name.rpartition("_")[2])
    assert measured.shapes == [(16, 32, 32), (16 * k, 32, 32), (32 * k, 16, 16), (64 * k, 8, 8), (10,)]
    convolutions = [name for name, parameter in model.named_parameters() if parameter.ndim == 4]
    assert len(convolutions) == int(name.split("_")[1])  # the depth counts the projections, not fc


def test_numbers_and_shapes_on_imagenet():
    with undrawn():
        model = wide_resnet.wide_resnet50_2()
        twin = resnet.resnet50()
    assert count_parameters(model) == 68_883_240
    layers = [count_parameters(model.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)]
    assert layers == [634_368, 3_482_624, 20_736_000, 41_971_712]
    measured = measure(model, (3, 224, 224), "conv1", "layer1", "layer2", "layer3", "layer4", "fc")
    assert measured.multiply_adds == 11_398_021_120
    assert measured.shapes == [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7), (1000,)]
    assert list(model.state_dict()) == list(twin.state_dict())  # torchvision's names
    assert model.layer2[0].conv1.stride == (1, 1) and model.layer2[0].conv2.stride == (2, 2)


def test_other_classes():
    with undrawn():
        assert count_parameters(wide_resnet.wrn_16_8(num_classes=100, in_channels=1)) == 11_007_540 - 2 * 16 * 9


def test_initial_weights():
    weight = thin(wide_resnet).layer3[0].conv1.weight  # 8 to 16 channels
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 16)), rel=0.1)


def test_dropout_stands_between_the_convolutions():
    minidl.manual_seed(0)
    block = wide_resnet.WideBlock(4, 4, dropout=0.5).double()
    seen = []
    block.conv2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].numpy()))
    x = random_images(2, 4, 6, 6)
    with minidl.no_grad():
        block(x)
        block.dropout.eval()
        block(x)
    dropped, whole = seen
    assert (((dropped == 0) | (dropped == 2 * whole)) & (whole >= 0)).all()
    assert (dropped > 0).sum() == pytest.approx((whole > 0).sum() / 2, rel=0.3)
    assert wide_resnet.wrn_16_8.__defaults__ == (10, 3, 0.0)


@pytest.mark.parametrize("build", [thin, lambda module: thin(module, dropout=0.3)])
def test_gradients(build):
    assert_gradients(build(wide_resnet), (2, 2, 9, 9))


def test_gradients_on_imagenet():
    assert_gradients(thin_imagenet(wide_resnet), (2, 2, 33, 33))


def test_learns():
    assert_learns(thin(wide_resnet), (8, 2, 9, 9), classes=5)
    assert_learns(thin_imagenet(wide_resnet), (6, 2, 33, 33), classes=5)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
def test_agrees_with_pytorch(training):
    assert_agrees(thin, "wide_resnet", (2, 2, 9, 9), training=training)
    assert_agrees(thin_imagenet, "wide_resnet", (2, 2, 33, 33), training=training)

"""ResNet and the plain nets for ImageNet: exact numbers, torchvision's names, gradients, agreement with PyTorch."""

import math

import pytest

import minidl
from architectures import resnet
from minidl.nn import init
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
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnet152": (60_192_808, 11_513_626_624),
    "resnet50_v1": (25_557_032, 3_857_973_248),
    "resnet101_v1": (44_549_160, 7_570_194_432),
    "resnet152_v1": (60_192_808, 11_282_415_616),
    "plain18": (11_515_688, 1_794_805_760),
    "plain34": (21_623_848, 3_644_493_824),
}
PARTS = {  # parameters of stem, conv2_x ... conv5_x, fc
    "resnet50": [9_536, 215_808, 1_219_584, 7_098_368, 14_964_736, 2_049_000],
    "resnet101": [9_536, 215_808, 1_219_584, 26_090_496, 14_964_736, 2_049_000],
    "resnet152": [9_536, 215_808, 2_339_840, 40_613_888, 14_964_736, 2_049_000],
}
STAGES = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "fc")


def thin(block):
    """A network with every kind of block at its place, for small images."""
    return lambda module: module.ResNet(getattr(module, block), (2, 1, 2, 1), num_classes=5, in_channels=2, width=3)


BLOCKS = ("PlainBlock", "BasicBlock", "Bottleneck", "BottleneckV1")


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_shapes(name):
    with undrawn():
        model = getattr(resnet, name)()
    parameters, multiply_adds = NUMBERS[name]
    assert count_parameters(model) == parameters
    measured = measure(model, (3, 224, 224), *STAGES)
    assert measured.multiply_adds == multiply_adds
    e = model.layer1[0].expansion
    sizes = [(64, 112, 112), (64, 56, 56), (64 * e, 56, 56), (128 * e, 28, 28), (256 * e, 14, 14), (512 * e, 7, 7)]
    assert measured.shapes == [*sizes, (1000,)]
    if name in PARTS:
        layers = [count_parameters(model.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)]
        stem = count_parameters(model.conv1) + count_parameters(model.bn1)
        assert [stem, *layers, count_parameters(model.fc)] == PARTS[name]


def test_names_are_those_of_torchvision():
    with undrawn():
        state = resnet.resnet50().state_dict()
    names = list(state)
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    first = ["conv1.weight", *[f"bn1.{name}" for name in norm]]
    block = [name for i in (1, 2, 3) for name in (f"conv{i}.weight", *[f"bn{i}.{buffer}" for buffer in norm])]
    projection = ["downsample.0.weight", *[f"downsample.1.{name}" for name in norm]]
    expected = list(first)
    for stage, depth in enumerate((3, 4, 6, 3), start=1):
        for i in range(depth):
            expected += [f"layer{stage}.{i}.{name}" for name in (block + projection if i == 0 else block)]
    assert names == [*expected, "fc.weight", "fc.bias"]
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.conv2.weight"].shape == (512, 512, 3, 3)


def test_other_classes_and_channels():
    with undrawn():
        model = resnet.resnet18(num_classes=10, in_channels=1)
    assert count_parameters(model) == 11_689_512 - 990 * 513 - 2 * 64 * 49


def test_where_the_stride_is():
    """Stride on the 3x3, as in torchvision; in v1 on the first 1x1, as in the paper."""
    for block, strides in ((resnet.Bottleneck, [(1, 1), (2, 2)]), (resnet.BottleneckV1, [(2, 2), (1, 1)])):
        made = block(8, 4, 2)
        assert [made.conv1.stride, made.conv2.stride, made.downsample[0].stride] == [*strides, (2, 2)]


def test_initial_weights():
    weight = resnet.Bottleneck(256, 64).conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(1 / 3 / weight[0].numel()), rel=0.05)  # Conv2d's own
    weight = resnet.ResNet(resnet.BasicBlock, (1, 1, 1, 1), width=16).layer4[0].conv1.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.02)  # fan-out, not fan-in: 64 to 128


@pytest.mark.parametrize("block", BLOCKS)
def test_gradients(block):
    assert_gradients(thin(block)(resnet), (2, 2, 33, 33))


@pytest.mark.parametrize("block", BLOCKS)
def test_learns(block):
    assert_learns(thin(block)(resnet), (6, 2, 33, 33), classes=5)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_agrees_with_pytorch(block, training):
    assert_agrees(thin(block), "resnet", (2, 2, 33, 33), training=training)


def test_a_block_that_adds_nothing_passes_its_input_on():
    x = random_images(2, 4, 5, 5).relu()
    for block in (resnet.BasicBlock(4, 4), resnet.Bottleneck(4, 1)):
        last = block.bn2 if isinstance(block, resnet.BasicBlock) else block.bn3
        init.zeros_(last.weight)
        assert minidl.equal(block.double()(x), x)

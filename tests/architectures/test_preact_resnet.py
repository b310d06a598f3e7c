"""Pre-activation ResNet: exact numbers, the untouched path, gradients, agreement with PyTorch."""

import math

import pytest

import minidl
from architectures import preact_resnet
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
    "preact_resnet110": (1_727_962, 252_887_680),
    "preact_resnet164": (1_703_258, 244_500_992),
    "preact_resnet1001": (10_327_706, 1_487_849_984),
}
UNITS = ("BasicUnit", "BottleneckUnit")


def thin(unit):
    return lambda module: module.PreActResNet(getattr(module, unit), 2, num_classes=5, in_channels=2, width=3)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_shapes(name):
    with undrawn():
        model = getattr(preact_resnet, name)()
    measured = measure(model, (3, 32, 32), "conv1", "layer1", "layer2", "layer3", "bn", "fc")
    assert (count_parameters(model), measured.multiply_adds) == NUMBERS[name]
    e = model.layer1[0].expansion
    shapes = [(16, 32, 32), (16 * e, 32, 32), (32 * e, 16, 16), (64 * e, 8, 8), (64 * e, 8, 8), (10,)]
    assert measured.shapes == shapes
    if name == "preact_resnet164":
        parts = [count_parameters(child) for child in model.children() if count_parameters(child)]
        assert parts == [432, 81_952, 326_272, 1_291_520, 512, 2_570]


def test_other_classes():
    with undrawn():
        assert count_parameters(preact_resnet.preact_resnet164(num_classes=100)) == 1_726_388
        assert count_parameters(preact_resnet.preact_resnet164(in_channels=1)) == 1_703_258 - 2 * 16 * 9


def test_the_path_from_unit_to_unit_is_untouched():
    """Units that add nothing pass their input on, its negative values too."""
    x = random_images(2, 4, 5, 5)
    for unit in (preact_resnet.BasicUnit(4, 4), preact_resnet.BottleneckUnit(4, 1)):
        last = unit.conv2 if isinstance(unit, preact_resnet.BasicUnit) else unit.conv3
        init.zeros_(last.weight)
        assert minidl.equal(unit.double()(x), x)


def test_the_first_unit_shares_its_activation():
    x = random_images(2, 3, 6, 6)
    for unit in (
        preact_resnet.BasicUnit(3, 8, stride=2, first=True),
        preact_resnet.BottleneckUnit(3, 2, stride=2, first=True),
    ):
        unit.double()
        with minidl.no_grad():
            activated = unit.relu(unit.bn1(x))
            y = unit.conv2(unit.relu(unit.bn2(unit.conv1(activated))))
            if isinstance(unit, preact_resnet.BottleneckUnit):
                y = unit.conv3(unit.relu(unit.bn3(y)))
            assert minidl.allclose(unit(x), y + unit.shortcut(activated))


def test_a_thousand_layers_forward_and_backward():
    minidl.manual_seed(0)
    model = preact_resnet.preact_resnet1001()
    model(random_images(2, 3, 8, 8).float()).pow(2).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and minidl.isfinite(gradient).all() for gradient in gradients)
    assert gradients[0].abs().max() > 0


def test_initial_weights():
    weight = preact_resnet.PreActResNet(preact_resnet.BasicUnit, 1).layer3[0].conv1.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.03)  # fan-out, not fan-in: 32 to 64


@pytest.mark.parametrize("unit", UNITS)
def test_gradients(unit):
    assert_gradients(thin(unit)(preact_resnet), (2, 2, 9, 9))


@pytest.mark.parametrize("unit", UNITS)
def test_learns(unit):
    assert_learns(thin(unit)(preact_resnet), (8, 2, 9, 9), classes=5)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("unit", UNITS)
def test_agrees_with_pytorch(unit, training):
    assert_agrees(thin(unit), "preact_resnet", (2, 2, 9, 9), training=training)

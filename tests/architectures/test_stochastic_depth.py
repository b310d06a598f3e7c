"""Stochastic depth: exact numbers, who survives how often, gradients, agreement with PyTorch."""

import math

import pytest

import minidl
from architectures import stochastic_depth
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
    undrawn,
)


def thin(module, last_survival=0.1):
    return module.StochasticResNet(2, last_survival, num_classes=5, in_channels=2, width=3)


def always(module):
    return thin(module, last_survival=1.0)


def blocks(model):
    return [*model.layer1, *model.layer2, *model.layer3]


def active(model, seed):
    """The numbers of the blocks that run in one forward after this seed."""
    ran = []
    for i, block in enumerate(blocks(model)):
        block.conv1.register_forward_hook(lambda module, inputs, output, i=i: ran.append(i))
    minidl.manual_seed(seed)
    with minidl.no_grad():
        model(minidl.zeros(1, model.conv1.in_channels, 8, 8))
    return sorted(set(ran))  # hooks of earlier calls are still there


def test_numbers_and_shapes():
    with undrawn():
        model = stochastic_depth.resnet110_stochastic_depth()
    assert count_parameters(model) == 1_727_962
    measured = measure(model, (3, 32, 32), "bn1", "layer1", "layer2", "layer3", "fc")
    assert measured.multiply_adds == 252_887_680
    assert measured.shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8), (10,)]
    with undrawn():
        assert count_parameters(stochastic_depth.resnet110_stochastic_depth(100, 1)) == 1_733_812 - 2 * 16 * 9


def test_survival_falls_linearly_to_a_half():
    with undrawn():
        survival = [block.survival for block in blocks(stochastic_depth.resnet110_stochastic_depth())]
    assert len(survival) == 54
    assert survival == pytest.approx([1 - block / 108 for block in range(1, 55)])
    assert sum(survival) == pytest.approx(40.25)


def test_blocks_are_left_out_as_often_as_they_should():
    minidl.manual_seed(0)
    block = stochastic_depth.StochasticBlock(1, 1, 1, survival=0.7)
    ran = []
    block.bn2.register_forward_hook(lambda module, inputs, output: ran.append(1))
    x = random_images(2, 1, 3, 3).float()
    for _ in range(1000):
        block(x)
    assert len(ran) == pytest.approx(700, abs=60)  # four standard deviations
    ran.clear()
    block.eval()(x)
    assert len(ran) == 1


def test_the_seed_says_which_blocks_run():
    model = stochastic_depth.StochasticResNet(4, width=2)
    assert active(model, 1) == active(model, 1) != active(model, 2)
    assert 0 < len(active(model, 1)) < 12
    assert active(model.eval(), 1) == list(range(12))


def test_at_test_time_a_block_adds_its_mean():
    block = stochastic_depth.StochasticBlock(3, 6, 2, survival=0.7).double().eval()
    x = random_images(2, 3, 4, 4)
    with minidl.no_grad():
        assert minidl.allclose(block(x), (0.7 * block.residual(x) + block.shortcut(x)).relu())


def test_the_shortcut_averages_and_adds_zeros_behind():
    block = stochastic_depth.StochasticBlock(1, 2, 2, survival=0.5)
    x = minidl.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert block.shortcut(x).tolist() == [[[[3.0]], [[0.0]]]]


def test_a_block_that_is_left_out_learns_nothing():
    model = thin(stochastic_depth, last_survival=0.0)  # p_L = 0: the last block never runs
    never = model.layer3[1]
    before = never.bn1.running_mean.clone()
    for seed in range(3):
        minidl.manual_seed(seed)
        model(random_images(4, 2, 8, 8).float()).pow(2).sum().backward()
    assert all(parameter.grad is None for parameter in never.parameters())
    assert minidl.equal(never.bn1.running_mean, before) and never.bn1.num_batches_tracked.item() == 0
    assert model.conv1.weight.grad is not None and model.layer1[0].bn1.num_batches_tracked.item() > 0


def test_initial_weights():
    weight = stochastic_depth.StochasticResNet(1).layer3[0].conv1.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.03)  # fan-in, not fan-out: 32 to 64


@pytest.mark.parametrize("build", [thin, always])
@pytest.mark.parametrize("training", [True, False])
def test_gradients(build, training):
    model = build(stochastic_depth)
    if build is thin:
        assert 0 < len(active(model, 0)) < 6  # assert_gradients draws from the same seed
    assert_gradients(model, (2, 2, 8, 8), training=training)


def test_learns():
    assert_learns(always(stochastic_depth), (8, 2, 8, 8), classes=5)


@pytest.mark.torch
@pytest.mark.parametrize(("build", "training"), [(thin, False), (always, True)])
def test_agrees_with_pytorch(build, training):
    """The two libraries draw different numbers, so in training with no block left out."""
    assert_agrees(build, "stochastic_depth", (2, 2, 8, 8), training=training)

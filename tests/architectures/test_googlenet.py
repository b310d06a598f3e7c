"""GoogLeNet: table 1 of the paper, the lecture's two modules, auxiliary heads, gradients, agreement with PyTorch."""

import importlib
import math

import numpy
import pytest

import minidl
from minidl.nn import functional as F
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
    undrawn,
)
from tests.architectures.weights import spread, without_dropout

googlenet = importlib.import_module("architectures.googlenet")  # of this name, the package has the function

MODULES = {  # channels in, size, channels out, parameters, multiply-adds
    "3a": (192, 28, 256, 163_696, 128_049_152),
    "3b": (256, 28, 480, 388_736, 304_267_264),
    "4a": (480, 14, 512, 376_176, 73_608_192),
    "4b": (512, 14, 512, 449_160, 87_908_352),
    "4c": (512, 14, 512, 510_104, 99_850_240),
    "4d": (512, 14, 528, 605_376, 118_515_712),
    "4e": (528, 14, 832, 868_352, 169_996_288),
    "5a": (832, 7, 832, 1_043_456, 51_079_168),
    "5b": (832, 7, 1024, 1_444_080, 70_697_984),
}


@pytest.fixture(scope="module")
def model():
    with undrawn():
        return googlenet.googlenet()


def test_numbers(model):
    assert count_parameters(model) == 13_378_280
    assert count_parameters(model.aux1) == 3_188_840
    assert count_parameters(model.aux2) == 3_190_888
    assert [count_parameters(part) for part in (model.conv1, *model.conv2)] == [9_472, 4_160, 110_784]
    assert count_parameters(model.fc) == 1_025_000
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 1) == 12_584
    with undrawn():
        assert count_parameters(googlenet.googlenet(aux=False)) == 6_998_552


def test_multiply_adds_and_shapes(model):
    modules = [f"inception{name}" for name in MODULES]
    measured = measure(model, (3, 224, 224), "conv1", "norm", "conv2", "pool", *modules, "avgpool", "")
    assert measured.multiply_adds == 1_582_671_872
    outputs = [(row[2], row[1], row[1]) for row in MODULES.values()]
    assert (
        measured.shapes
        == [
            *[(64, 112, 112), (64, 56, 56), (64, 56, 56)],  # conv1, pool, norm
            *[(192, 56, 56), (192, 56, 56), (192, 28, 28)],  # conv2, norm, pool
            *[*outputs[:2], (480, 14, 14), *outputs[2:7], (832, 7, 7), *outputs[7:]],
            *[(1024, 1, 1), (1000,)],
        ]
    )


@pytest.mark.parametrize("name", MODULES)
def test_the_rows_of_table_1(model, name):
    module = model.get_submodule(f"inception{name}")
    in_channels, size, out_channels, parameters, multiply_adds = MODULES[name]
    measured = measure(module, (in_channels, size, size), "")
    assert measured.shapes == [(out_channels, size, size)]
    assert (count_parameters(module), measured.multiply_adds) == (parameters, multiply_adds)


def test_heads(model):
    """Three outputs in training, one in evaluation; the heads take the outputs of 4a and 4d."""
    measured = measure(model, (3, 224, 224), "aux1.pool", "aux1.conv", "aux1", "aux2.conv", "", training=True)
    assert measured.multiply_adds == 1_591_044_096
    assert measured.shapes == [(512, 4, 4), (128, 4, 4), (1000,), (128, 4, 4), [(1000,)] * 3]
    assert measure(model.aux1, (512, 14, 14)).multiply_adds == 4_169_728
    assert measure(model.aux2, (528, 14, 14)).multiply_adds == 4_202_496
    assert (model.dropout.p, model.aux1.dropout.p, model.aux2.dropout.p) == (0.4, 0.7, 0.7)


# ------------------------------------------------------------------------------------------- the lecture's modules


def weights(module):
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)


def test_the_naive_module_of_the_lecture():
    module = googlenet.InceptionNaive(256, 128, 192, 96)
    measured = measure(module, (256, 28, 28), "branch1", "branch2", "branch3", "branch4", "")
    assert measured.multiply_adds == 854_196_224  # "854M ops"
    assert measured.shapes == [(c, 28, 28) for c in (128, 192, 96, 256, 672)]
    assert weights(module) == 1_089_536


def test_the_reduced_module_of_the_lecture():
    module = googlenet.Inception(256, 128, 64, 192, 64, 96, 64)
    measured = measure(module, (256, 28, 28), "branch1", "branch2", "branch3", "branch4", "")
    assert measured.shapes == [(c, 28, 28) for c in (128, 192, 96, 64, 480)]
    assert weights(module) == 346_112
    assert measured.multiply_adds == 271_351_808
    conv3x3 = measure(module.branch2[1], (64, 28, 28)).multiply_adds
    assert measured.multiply_adds + conv3x3 == 358_055_936  # "358M ops": the slide's sum has this line twice


def test_branches_stand_in_the_papers_order():
    """1x1, 3x3, 5x5, pooling, each with a ReLU; of the naive module's pooling branch, what went in."""
    x = abs(random_images(1, 4, 6, 5, dtype=numpy.float32))
    y = googlenet.InceptionNaive(4, 1, 2, 3)(x)
    assert y.shape == (1, 10, 6, 5)
    assert minidl.equal(y[:, 6:], F.max_pool2d(x, 3, 1, 1))
    module = googlenet.Inception(4, 1, 5, 2, 6, 3, 7)
    y = module(x)
    sizes = [convolution.weight.shape for convolution in module.modules() if hasattr(convolution, "weight")]
    assert sizes == [(1, 4, 1, 1), (5, 4, 1, 1), (2, 5, 3, 3), (6, 4, 1, 1), (3, 6, 5, 5), (7, 4, 1, 1)]
    for i, (start, stop) in enumerate(((0, 1), (1, 3), (3, 6), (6, 13)), start=1):
        assert minidl.equal(y[:, start:stop], module.get_submodule(f"branch{i}")(x))
    assert y.min().item() == 0


# ----------------------------------------------------------------------------------------------- gradients and torch


def thin(aux):
    """Every module with few filters, but enough that no ReLU stops all of them."""

    def build(module):
        table = dict.fromkeys(MODULES, (3, 4, 5, 3, 4, 3))
        table["4a"] = (4, 3, 3, 4, 3, 5)
        return module.GoogLeNet(3, 2, aux, stem=(3, 4, 5), table=table, head=(4, 8))

    return build


def without_gradient(model, x):
    """The parameters that get none, or nothing but zeros: a check of their gradients would say nothing."""
    minidl.manual_seed(0)
    outputs = model(x)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum((output * minidl.arange(1, 1 + output.numel()).view(*output.shape)).sum() for output in outputs).backward()
    return [name for name, value in model.named_parameters() if value.grad is None or not (value.grad != 0).any()]


def test_the_heads_are_on_4a_and_4d():
    minidl.manual_seed(0)
    model, kept = without_dropout(thin(True)(googlenet)), {}
    for name in ("4a", "4d", "5b"):
        model.get_submodule(f"inception{name}").register_forward_hook(
            lambda module, inputs, output, name=name: kept.update({name: output})
        )
    scores, aux1, aux2 = model(random_images(1, 2, 224, 224, dtype=numpy.float32))
    assert minidl.allclose(scores, model.fc(kept["5b"].mean((2, 3))), atol=1e-5)
    assert minidl.equal(aux1, model.aux1(kept["4a"]))
    assert minidl.equal(aux2, model.aux2(kept["4d"]))


def test_initial_weights():
    """Caffe's: uniform between +-sqrt(3 / fan_in), biases 0.2, and 0 in the classifiers."""
    model = googlenet.GoogLeNet(10, stem=(64, 64, 96), table=dict.fromkeys(MODULES, (8, 8, 8, 8, 8, 8)), head=(8, 16))
    weight = model.conv2[1][0].weight
    assert abs(weight).max().item() <= math.sqrt(3 / (64 * 9))
    assert weight.std().item() == pytest.approx(math.sqrt(1 / (64 * 9)), rel=0.02)
    assert {name for name, value in model.named_parameters() if value.ndim == 1 and (value == 0).all()} == {
        "fc.bias",
        "aux1.fc2.bias",
        "aux2.fc2.bias",
    }
    assert (model.conv1[0].bias == 0.2).all()
    assert (model.aux2.fc1.bias == 0.2).all()


def test_without_heads_the_image_may_be_small():
    assert thin(False)(googlenet).train()(minidl.randn(2, 2, 40, 48)).shape == (2, 3)


@pytest.mark.parametrize("aux, shape", [(True, (2, 2, 224, 224)), (False, (2, 2, 64, 48))], ids=["heads", "no heads"])
def test_gradients(aux, shape):
    minidl.manual_seed(0)
    model = thin(aux)(googlenet)
    assert_gradients(model, shape)
    assert not without_gradient(model, random_images(*shape))


def test_learns():
    minidl.manual_seed(0)
    model = spread(without_dropout(thin(True)(googlenet)))
    assert_learns(model, (3, 2, 224, 224), classes=3, steps=10, lr=0.01)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
def test_agrees_with_pytorch(training):
    assert_agrees(lambda module: without_dropout(thin(True)(module)), "googlenet", (2, 2, 224, 224), training=training)

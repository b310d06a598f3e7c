"""AlexNet, three times: the lecture's, the paper's, torchvision's."""

import importlib

import numpy
import pytest

import minidl
from minidl import nn
from tests.architectures.agreement import assert_agrees, assert_gradients, assert_learns, count_parameters, measure
from tests.architectures.weights import blank, spread, without_dropout

alexnet = importlib.import_module("architectures.alexnet")  # `architectures` exports a function of that name

CLASSIFIER = [("classifier.fc6", (4096,)), ("classifier.fc7", (4096,)), ("classifier.fc8", (1000,))]
LECTURE = [
    *(("features.conv1", (96, 55, 55)), ("features.pool1", (96, 27, 27)), ("features.norm1", (96, 27, 27))),
    *(("features.conv2", (256, 27, 27)), ("features.pool2", (256, 13, 13)), ("features.norm2", (256, 13, 13))),
    *(("features.conv3", (384, 13, 13)), ("features.conv4", (384, 13, 13)), ("features.conv5", (256, 13, 13))),
    *(("features.pool5", (256, 6, 6)), ("flatten", (9216,)), *CLASSIFIER),
]
PAPER = [
    *(("features.conv1", (96, 55, 55)), ("features.norm1", (96, 55, 55)), ("features.pool1", (96, 27, 27))),
    *(("features.conv2", (256, 27, 27)), ("features.norm2", (256, 27, 27)), ("features.pool2", (256, 13, 13))),
    *LECTURE[6:],
]
OWT = [
    *(("features.0", (64, 55, 55)), ("features.2", (64, 27, 27)), ("features.3", (192, 27, 27))),
    *(("features.5", (192, 13, 13)), ("features.6", (384, 13, 13)), ("features.8", (256, 13, 13))),
    *(("features.10", (256, 13, 13)), ("features.12", (256, 6, 6)), ("avgpool", (256, 6, 6))),
    *(("classifier.1", (4096,)), ("classifier.4", (4096,)), ("classifier.6", (1000,))),
]
NETWORKS = [
    ("alexnet", 227, 62_378_344, 1_135_256_096, LECTURE),
    ("alexnet_grouped", 227, 60_965_224, 724_406_816, PAPER),
    ("alexnet_owt", 224, 61_100_840, 714_188_480, OWT),
]
THIN = [("AlexNet", 227), ("AlexNetGrouped", 227), ("AlexNetOWT", 224)]


@pytest.mark.parametrize("name, size, parameters, multiply_adds, stages", NETWORKS, ids=[row[0] for row in NETWORKS])
def test_counts_and_shapes(name, size, parameters, multiply_adds, stages):
    model = blank(getattr(alexnet, name))
    assert count_parameters(model) == parameters
    measured = measure(model, (3, size, size), *(stage for stage, _ in stages))
    assert measured.multiply_adds == multiply_adds
    assert measured.shapes == [shape for _, shape in stages]


def test_parameters_of_each_layer():
    def counts(name):
        model = blank(getattr(alexnet, name))
        layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
        return [count_parameters(layer) for layer in layers]

    classifier = [37_752_832, 16_781_312, 4_097_000]
    assert counts("alexnet") == [34_944, 614_656, 885_120, 1_327_488, 884_992, *classifier]
    assert counts("alexnet_grouped") == [34_944, 307_456, 885_120, 663_936, 442_624, *classifier]
    assert counts("alexnet_owt") == [23_296, 307_392, 663_936, 884_992, 590_080, *classifier]


def test_torchvisions_names():
    layers = ["features.0", "features.3", "features.6", "features.8", "features.10"]
    layers += ["classifier.1", "classifier.4", "classifier.6"]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert list(blank(alexnet.alexnet_owt).state_dict()) == names


def thin(module, name):
    return getattr(module, name)(num_classes=3, maps=(6, 4, 6, 4, 4), hidden=8)


@pytest.mark.parametrize("name, size", THIN)
def test_gradients(name, size):
    assert_gradients(spread(thin(alexnet, name)), (2, 3, size, size))


@pytest.mark.parametrize("name, size", THIN)
def test_learns(name, size):
    model = getattr(alexnet, name)(num_classes=3, maps=(8, 8, 8, 8, 8), hidden=32)
    assert_learns(spread(without_dropout(model)), (3, 3, size, size), classes=3, steps=8, lr=0.001)


@pytest.mark.parametrize("name", ["AlexNet", "AlexNetGrouped"])
def test_initial_weights(name):
    """N(0, 0.01^2); biases 1 where the paper says so."""
    model = getattr(alexnet, name)(num_classes=5, maps=(96, 32, 32, 32, 32), hidden=64)
    for layer in (model.features.conv1, model.features.conv2, model.classifier.fc6, model.classifier.fc7):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
    biases = {name.split(".")[1]: bias for name, bias in model.named_parameters() if bias.ndim == 1}
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert {name: set(bias.tolist()) for name, bias in biases.items()} == {
        name: {1.0 if name in ones else 0.0} for name in biases
    }


def test_response_norm_is_the_papers():
    """Its formula at one pixel, with alpha = 1e-4 that is not divided by n."""
    a = numpy.arange(1.0, 8.0) * 30
    sums = numpy.array([(a[max(0, i - 2) : i + 3] ** 2).sum() for i in range(7)])
    b = alexnet.response_norm()(minidl.from_numpy(a.reshape(1, 7, 1, 1)))
    numpy.testing.assert_allclose(b.numpy().ravel(), a / (2 + 1e-4 * sums) ** 0.75, rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("name, size", THIN)
def test_equals_torch(name, size):
    assert_agrees(lambda module: without_dropout(thin(module, name)), "alexnet", (2, 3, size, size))

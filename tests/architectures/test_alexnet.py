"""AlexNet, three times: the lecture's, the paper's, torchvision's."""

import importlib

import numpy
import pytest

import minidl
from minidl import nn
from minidl.events import listening
from tests import standin_gpu
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
)
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


# ------------------------------------------------------------------------------------------------- on two devices


def both_networks(*devices):
    """The thin grouped network, and the same with each half on a device of its own, in float64."""
    grouped = spread(without_dropout(thin(alexnet, "AlexNetGrouped"))).double()
    halves = alexnet.AlexNetTwoGPU(devices, num_classes=3, maps=(6, 4, 6, 4, 4), hidden=8).double()
    for norm in (halves.gpu0.norm, halves.gpu1.norm, grouped.features.norm1, grouped.features.norm2):
        norm.alpha = 0.5  # the paper's is too small to be seen here
    halves.load_state_dict(alexnet.halves_of(grouped.state_dict()))
    return grouped, without_dropout(halves)


on_gpu = [pytest.mark.gpu, pytest.mark.skipif(not minidl.cuda.is_available(), reason="no CUDA device, or no CuPy")]


@pytest.mark.parametrize(
    "devices",
    [
        ("cpu", "cpu"),
        pytest.param(("cuda:0", "cuda:0"), marks=on_gpu),
        pytest.param(("cpu", "cuda:0"), marks=on_gpu),
        pytest.param(("cuda:0", "cpu"), marks=on_gpu),
    ],
    ids="-".join,
)
def test_two_gpus_compute_the_grouped_network(devices):
    """The same scores, and the same gradients of every parameter and of the image."""
    grouped, halves = both_networks(*devices)
    for name, parameter in halves.named_parameters():
        assert str(parameter.device) == devices[name.startswith("gpu1")], name
    x = random_images(2, 3, 227, 227).requires_grad_()
    cotangent = random_images(2, 3, seed=1)
    grouped(x).backward(cotangent)
    expected, x.grad = x.grad, None
    scores = halves(x)
    assert str(scores.device) == devices[0]
    scores.backward(cotangent.to(devices[0]))
    numpy.testing.assert_allclose(scores.detach().cpu().numpy(), grouped(x).detach().numpy(), rtol=1e-11)
    numpy.testing.assert_allclose(x.grad.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
    gradients = alexnet.halves_of({name: parameter.grad for name, parameter in grouped.named_parameters()})
    assert set(gradients) == {name for name, _ in halves.named_parameters()}
    for name, parameter in halves.named_parameters():
        gradient = parameter.grad.cpu().numpy()
        assert numpy.abs(gradient).max() > 0, name
        numpy.testing.assert_allclose(gradient, gradients[name].numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.skipif(standin_gpu.COMPILER is None, reason="no C++ compiler with OpenMP to run the kernels")
def test_two_gpus_compute_the_grouped_network_on_two_stand_ins():
    """An operation with arrays of another GPU than the current one is an error there."""
    with standin_gpu.installed(devices=2):
        test_two_gpus_compute_the_grouped_network(("cuda:0", "cuda:1"))


def test_every_operation_of_two_gpus_stays_on_one(monkeypatch):
    """Two placeholders: each tensor knows where it would be, `to` moves it, and no operation mixes the two."""
    _, halves = both_networks("cpu", "cpu")
    x = minidl.zeros(1, 3, 227, 227, dtype=minidl.float64)
    places, moved, kept = {}, [], []

    def put(tensor, place):
        kept.append(tensor)  # an id is one tensor's as long as that lives
        places[id(tensor)] = place
        return tensor

    for name, parameter in halves.named_parameters():
        put(parameter, "gpu1" if name.startswith("gpu1") else "gpu0")

    def to(tensor, place):
        here = places.get(id(tensor), "host")
        if here == place:
            return tensor
        moved.append((here, place, tuple(tensor.shape[1:])))
        return put(minidl.Tensor(tensor.data.copy()), place)

    def check(node, inputs, outputs):
        where = {places[id(each)] for each in inputs if isinstance(each, minidl.Tensor)}
        assert len(where) == 1, f"{node.name()} mixes {where}"
        for each in outputs if isinstance(outputs, tuple) else (outputs,):
            put(each, *where)

    monkeypatch.setattr(minidl.Tensor, "to", to)
    monkeypatch.setattr(minidl.Tensor, "device", property(lambda tensor: places[id(tensor)]))
    with listening(check), minidl.no_grad():
        scores = halves(x)
    assert places[id(scores)] == "gpu0"
    there, back = ("gpu0", "gpu1"), ("gpu1", "gpu0")
    assert sorted(moved) == sorted(
        [("host", "gpu0", (3, 227, 227)), ("host", "gpu1", (3, 227, 227))]
        + [(*way, shape) for way in (there, back) for shape in ((2, 55, 55), (2, 27, 27))]  # the seams of the norms
        + [(*way, shape) for way in (there, back) for shape in ((2, 13, 13), (2 * 6 * 6,), (4,))]  # conv3, fc6, fc7
        + [(*back, (4,))]  # fc8
    )


def test_two_gpus_have_the_papers_size():
    model = blank(lambda: alexnet.alexnet_two_gpu(("cpu", "cpu")))
    assert count_parameters(model) == 60_965_224
    assert model.gpu0.conv3.weight.shape == (192, 256, 3, 3) and model.gpu1.fc7.weight.shape == (2048, 4096)


@pytest.mark.torch
@pytest.mark.parametrize("name, size", THIN)
def test_equals_torch(name, size):
    assert_agrees(lambda module: without_dropout(thin(module, name)), "alexnet", (2, 3, size, size))


@pytest.mark.torch
def test_two_gpus_equal_torch():
    def build(module):
        return without_dropout(module.AlexNetTwoGPU(("cpu", "cpu"), num_classes=3, maps=(6, 4, 6, 4, 4), hidden=8))

    assert_agrees(build, "alexnet", (2, 3, 227, 227))

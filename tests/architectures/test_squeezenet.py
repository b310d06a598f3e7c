"""SqueezeNet: table 1 of the paper, torchvision's names, the bypasses, gradients, agreement with PyTorch."""

import math

import numpy
import pytest

import minidl
from architectures import squeezenet
from minidl import nn
from tests.architectures.agreement import (
    assert_agrees,
    assert_gradients,
    assert_learns,
    count_parameters,
    measure,
    random_images,
    undrawn,
)
from tests.architectures.weights import spread

NUMBERS = {
    "squeezenet1_0": (1_248_424, 818_924_576),
    "squeezenet1_1": (1_235_496, 349_151_936),
    "squeezenet1_0_simple_bypass": (1_248_424, 818_924_576),
    "squeezenet1_0_complex_bypass": (1_589_672, 1_165_298_720),
}
AT_227 = {"squeezenet1_0": 832_667_936, "squeezenet1_1": 387_747_520}
FIRES = {"squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12), "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12)}  # in `features`
SIZES = {  # of conv1, fire2 ... fire9, conv10
    ("squeezenet1_0", 224): (109, 54, 54, 54, 27, 27, 27, 27, 13, 13),
    ("squeezenet1_0", 227): (111, 55, 55, 55, 27, 27, 27, 27, 13, 13),
    ("squeezenet1_1", 224): (111, 55, 55, 27, 27, 13, 13, 13, 13, 13),
    ("squeezenet1_1", 227): (113, 56, 56, 28, 28, 14, 14, 14, 14, 14),
}
CHANNELS = (128, 128, 256, 256, 384, 384, 512, 512)
PARTS = {  # parameters of conv1, fire2 ... fire9, conv10
    "squeezenet1_0": (14_208, 11_920, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184, 513_000),
    "squeezenet1_1": (1_792, 11_408, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184, 513_000),
    "squeezenet1_0_complex_bypass": (
        *(14_208, 11_920 + 12_416, 12_432, 45_344 + 33_024, 49_440, 104_880 + 98_688, 111_024, 188_992 + 197_120),
        *(197_184, 513_000),
    ),
}


def layers(name):
    return ["features.0", *[f"features.{i}" for i in FIRES.get(name, FIRES["squeezenet1_0"])], "classifier.1"]


def build(name):
    with undrawn():
        return getattr(squeezenet, name)()


@pytest.mark.parametrize("name", NUMBERS)
def test_counts(name):
    model = build(name)
    assert (count_parameters(model), measure(model, (3, 224, 224)).multiply_adds) == NUMBERS[name]
    parts = PARTS.get(name, PARTS["squeezenet1_0"])
    assert tuple(count_parameters(model.get_submodule(layer)) for layer in layers(name)) == parts
    assert sum(parts) == NUMBERS[name][0]


@pytest.mark.parametrize("name, size", SIZES)
def test_shapes(name, size):
    model = build(name)
    measured = measure(model, (3, size, size), *layers(name), "")
    channels = (64 if name == "squeezenet1_1" else 96, *CHANNELS, 1000)
    expected = [(c, s, s) for c, s in zip(channels, SIZES[name, size], strict=True)]
    assert measured.shapes == [*expected, (1000,)]
    if size == 227:
        assert measured.multiply_adds == AT_227[name]


@pytest.mark.parametrize("name", FIRES)
def test_names_are_those_of_torchvision(name):
    parts = (
        "squeeze.weight",
        "squeeze.bias",
        "expand1x1.weight",
        "expand1x1.bias",
        "expand3x3.weight",
        "expand3x3.bias",
    )
    fires = [f"features.{i}.{part}" for i in FIRES[name] for part in parts]
    ends = [f"{layer}.{kind}" for layer in ("features.0", "classifier.1") for kind in ("weight", "bias")]
    state = build(name).state_dict()
    assert list(state) == [*ends[:2], *fires, *ends[2:]]
    assert state["features.12.expand3x3.weight"].shape == (256, 64, 3, 3)
    assert state["classifier.1.weight"].shape == (1000, 512, 1, 1)


def test_a_simple_bypass_takes_the_weights_of_the_plain_network():
    build("squeezenet1_0_simple_bypass").load_state_dict(build("squeezenet1_0").state_dict())


@pytest.mark.parametrize("kind", ["simple", "complex"])
def test_bypasses_are_where_the_paper_has_them(kind):
    model = build(f"squeezenet1_0_{kind}_bypass")
    fires = [type(model.get_submodule(layer)) for layer in layers("squeezenet1_0")[1:-1]]  # fire2 ... fire9
    assert fires[1::2] == [squeezenet.SimpleBypassFire] * 4
    assert fires[0::2] == [squeezenet.ComplexBypassFire if kind == "complex" else squeezenet.Fire] * 4


def test_what_a_bypass_adds():
    minidl.manual_seed(0)
    x = random_images(2, 6, 5, 4, dtype=numpy.float32)
    plain, bypassed = squeezenet.Fire(6, 2, 3, 3), squeezenet.SimpleBypassFire(6, 2, 3, 3)
    bypassed.load_state_dict(plain.state_dict())
    assert minidl.equal(bypassed(x), plain(x) + x)
    plain, bypassed = squeezenet.Fire(6, 2, 4, 4), squeezenet.ComplexBypassFire(6, 2, 4, 4)
    bypassed.load_state_dict(plain.state_dict(), strict=False)
    assert minidl.equal(bypassed(x), plain(x) + bypassed.bypass(x))
    assert plain(x).min().item() == 0  # a ReLU is the last thing in a Fire


def test_initial_weights():
    """Caffe's: uniform between +-sqrt(3 / fan_in); 0.01 in conv10; biases 0."""
    model = squeezenet.squeezenet1_0()
    weight = model.features[7].expand3x3.weight
    assert abs(weight).max().item() <= math.sqrt(3 / (32 * 9))
    assert weight.std().item() == pytest.approx(math.sqrt(1 / (32 * 9)), rel=0.02)
    assert model.classifier[1].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert all((value == 0).all() for name, value in model.state_dict().items() if name.endswith("bias"))


def test_the_scores_are_means_of_positive_maps():
    model = squeezenet.squeezenet1_1(num_classes=7, in_channels=1).eval()
    assert isinstance(model.classifier[0], nn.Dropout) and model.classifier[0].p == 0.5
    scores = model(minidl.randn(2, 1, 64, 48))
    assert scores.shape == (2, 7)
    assert (scores >= 0).all()


def thin(even, odd, dropout=0.5, version=0):
    """All eight Fires with few maps, but enough that no ReLU stops all of them."""

    def build(module):
        conv1, pools = [((4, 7), (4, 8)), ((4, 3), (3, 5))][version]
        fires = getattr(module, even), getattr(module, odd)
        return module.SqueezeNet(conv1, pools, *fires, 3, 2, base_e=40, incr_e=8, dropout=dropout)

    return build


THIN = {
    "1_0": ("Fire", "Fire", 0),
    "1_1": ("Fire", "Fire", 1),
    "simple": ("Fire", "SimpleBypassFire", 0),
    "complex": ("ComplexBypassFire", "SimpleBypassFire", 0),
}


@pytest.mark.parametrize("even, odd, version", THIN.values(), ids=THIN)
def test_gradients(even, odd, version):
    model = spread(thin(even, odd, version=version)(squeezenet))
    assert_gradients(model, (2, 2, 40, 36))
    (model(random_images(2, 2, 40, 36)) ** 2).sum().backward()
    silent = [name for name, value in model.named_parameters() if not (value.grad != 0).any()]
    assert not silent, "a check of gradients that are 0 says nothing"


@pytest.mark.parametrize("even, odd, version", THIN.values(), ids=THIN)
def test_learns(even, odd, version):
    model = spread(thin(even, odd, 0.0, version)(squeezenet))
    assert_learns(model, (6, 2, 40, 36), classes=3, steps=15, lr=0.01)


@pytest.mark.torch
@pytest.mark.parametrize("even, odd, version", THIN.values(), ids=THIN)
def test_agrees_with_pytorch(even, odd, version):
    assert_agrees(lambda module: thin(even, odd, 0.0, version)(module), "squeezenet", (2, 2, 40, 36))

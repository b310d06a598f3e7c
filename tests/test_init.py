"""Initial weights: bounds, moments and structure of what each function draws; the same arguments as PyTorch's."""

import inspect
import math

import numpy
import pytest

import minidl
from minidl import nn
from minidl.nn import init

WEIGHT = (60, 40, 3, 2)  # fan_in 240, fan_out 360
FAN_IN, FAN_OUT = 240, 360


@pytest.fixture(autouse=True)
def seed():
    minidl.manual_seed(0)


def drawn(fill, shape, *arguments, **keywords):
    """The values that `fill` puts into a Parameter, which it must return and leave a leaf."""
    tensor = nn.Parameter(minidl.empty(shape))
    assert fill(tensor, *arguments, **keywords) is tensor
    assert tensor.is_leaf and tensor.requires_grad and tensor.dtype == minidl.float32
    return tensor.detach().numpy()


def assert_uniform(values, bound, low=None):
    low = -bound if low is None else low
    width = bound - low
    assert values.min() >= low and values.max() <= bound
    assert values.min() < low + 0.01 * width and values.max() > bound - 0.01 * width
    assert abs(values.mean() - (low + bound) / 2) < 0.02 * width
    assert values.std() == pytest.approx(width / math.sqrt(12), rel=0.03)


def assert_normal(values, std, mean=0.0):
    assert abs(values.mean() - mean) < 0.05 * std
    assert values.std() == pytest.approx(std, rel=0.03)
    assert (abs(values - mean) < std).mean() == pytest.approx(0.6827, abs=0.02)
    assert (abs(values - mean) < 2 * std).mean() == pytest.approx(0.9545, abs=0.01)


def test_plain_fillings():
    assert_uniform(drawn(init.uniform_, (100, 100)), 1.0, low=0.0)
    assert_uniform(drawn(init.uniform_, (100, 100), -2, 5), 5.0, low=-2.0)
    assert_normal(drawn(init.normal_, (100, 100)), 1.0)
    assert_normal(drawn(init.normal_, (100, 100), 3.0, 0.5), 0.5, mean=3.0)
    assert (drawn(init.constant_, (2, 3), 0.25) == 0.25).all()
    assert (drawn(init.ones_, (2, 3)) == 1).all() and (drawn(init.zeros_, (2, 3)) == 0).all()
    assert (drawn(init.eye_, (2, 3)) == [[1, 0, 0], [0, 1, 0]]).all()


def test_trunc_normal():
    values = drawn(init.trunc_normal_, (200, 200))
    assert values.min() >= -2 and values.max() <= 2
    # The variance of N(0, 1) cut at 2 is 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737.
    assert values.var() == pytest.approx(0.7737, rel=0.02) and abs(values.mean()) < 0.02
    assert (abs(values) < 1).mean() == pytest.approx(0.6827 / 0.9545, abs=0.01)
    values = drawn(init.trunc_normal_, (100, 100), mean=1.0, std=2.0, a=0.5, b=4.0)
    assert values.min() >= 0.5 and values.max() <= 4.0
    assert_normal(drawn(init.trunc_normal_, (100, 100), std=0.02), 0.02)
    with pytest.raises(ValueError, match=r"\[5, 6\]"):
        init.trunc_normal_(minidl.empty(3), a=5, b=6)
    with pytest.raises(ValueError, match="too little"):
        init.trunc_normal_(minidl.empty(3), a=1, b=-1)


def test_xavier():
    std = math.sqrt(2 / (FAN_IN + FAN_OUT))
    assert_normal(drawn(init.xavier_normal_, WEIGHT), std)
    assert_normal(drawn(init.xavier_normal_, WEIGHT, gain=3.0), 3 * std)
    assert_uniform(drawn(init.xavier_uniform_, WEIGHT), math.sqrt(6 / (FAN_IN + FAN_OUT)))
    assert_uniform(drawn(init.xavier_uniform_, (30, 500), 2.0), 2 * math.sqrt(6 / 530))


def test_kaiming():
    assert_normal(drawn(init.kaiming_normal_, WEIGHT), math.sqrt(2 / FAN_IN))
    assert_normal(drawn(init.kaiming_normal_, WEIGHT, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / FAN_OUT))
    assert_normal(drawn(init.kaiming_normal_, WEIGHT, 0.5), math.sqrt(2 / 1.25 / FAN_IN))
    assert_uniform(drawn(init.kaiming_uniform_, WEIGHT), math.sqrt(6 / FAN_IN))
    assert_uniform(drawn(init.kaiming_uniform_, WEIGHT, math.sqrt(5)), 1 / math.sqrt(FAN_IN))
    assert_uniform(drawn(init.kaiming_uniform_, WEIGHT, nonlinearity="linear"), math.sqrt(3 / FAN_IN))
    assert drawn(init.kaiming_uniform_, (5, 0)).shape == (5, 0)
    with pytest.raises(ValueError, match="fan_in"):
        init.kaiming_normal_(minidl.empty(3, 3), mode="fan_avg")


def test_kaiming_keeps_the_variance_through_rectifiers():
    """What eq. (10) of He et al. 2015 promises: after 20 layers of ReLU the second moment is what it was."""
    x = minidl.randn(50, 512)
    before = (x.data**2).mean()
    for _ in range(20):
        x = (x @ init.kaiming_normal_(minidl.empty(512, 512)).T).relu()
    assert 0.5 < (x.data**2).mean() / before < 2


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (6, 2, 2, 1), (2, 3, 2)])
def test_orthogonal(shape):
    values = drawn(init.orthogonal_, shape, gain=2.0).reshape(shape[0], -1) / 2
    product = values @ values.T if values.shape[0] <= values.shape[1] else values.T @ values
    numpy.testing.assert_allclose(product, numpy.eye(len(product)), atol=1e-6)


def test_orthogonal_draws_reflections_and_rotations_alike():
    """Without the signs of R's diagonal, the determinant of every 2 x 2 draw would have one sign."""
    signs = [numpy.linalg.det(drawn(init.orthogonal_, (2, 2))) > 0 for _ in range(60)]
    assert 15 < sum(signs) < 45


def test_dirac():
    for groups, shape in ((1, (3, 2, 3, 5)), (2, (4, 3, 3, 3)), (1, (2, 2, 3)), (1, (2, 3, 3, 3, 3))):
        values = drawn(init.dirac_, shape, groups)
        assert values.sum() == groups * min(shape[0] // groups, shape[1])
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
    init.dirac_(conv.weight, groups=2)
    x = minidl.randn(2, 4, 5, 6)
    assert conv(x).tolist() == x.tolist(), "the inputs are passed on"


def test_sparse():
    values = drawn(init.sparse_, (50, 200), sparsity=0.31, std=0.5)
    assert ((values == 0).sum(axis=0) == 16).all()
    assert values[values != 0].std() == pytest.approx(0.5, rel=0.05)


def test_calculate_gain():
    assert init.calculate_gain("linear") == init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("relu") == math.sqrt(2) and init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001) and init.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="Unsupported nonlinearity swish"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="not a valid number"):
        init.calculate_gain("leaky_relu", "a")


def test_shapes_that_do_not_fit():
    vector = minidl.empty(3)
    for fill in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.raises(ValueError, match="fewer than 2 dimensions"):
            fill(vector)
    for fill in (init.eye_, lambda t: init.sparse_(t, 0.5)):
        with pytest.raises(ValueError, match="Only tensors with 2 dimensions"):
            fill(vector)
    with pytest.raises(ValueError, match="2 or more dimensions"):
        init.orthogonal_(vector)
    with pytest.raises(ValueError, match="3, 4, or 5 dimensions"):
        init.dirac_(vector)
    with pytest.raises(ValueError, match="divisible by groups"):
        init.dirac_(minidl.empty(3, 2, 3, 3), groups=2)


RANDOM = ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_"]
RANDOM += ["kaiming_normal_", "orthogonal_", "sparse_"]


@pytest.mark.parametrize("name", RANDOM)
def test_seed_and_generator(name):
    def values(**keywords):
        options = {"sparsity": 0.2} if name == "sparse_" else {}
        return getattr(init, name)(minidl.zeros(5, 4), **options, **keywords).tolist()

    minidl.manual_seed(3)
    first = values()
    assert values() != first
    minidl.manual_seed(3)
    assert values(generator=minidl.backend.Generator(9)) == values(generator=minidl.backend.Generator(9))
    assert values() == first, "a generator of one's own leaves the default one alone"


@pytest.mark.torch
@pytest.mark.parametrize("name", [*RANDOM, "constant_", "ones_", "zeros_", "eye_", "dirac_", "calculate_gain"])
def test_arguments_equal_torch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (init, torch.nn.init))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("xavier_uniform_", {"gain": 1.5}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.3}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}),
        ("trunc_normal_", {"mean": 0.5, "std": 0.7, "a": 0.0, "b": 1.0}),
        ("orthogonal_", {"gain": 3.0}),
        ("dirac_", {"groups": 2}),
    ],
)
def test_moments_equal_torch(name, arguments):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    torch.manual_seed(0)
    ours = drawn(getattr(init, name), WEIGHT, **arguments)
    theirs = getattr(torch.nn.init, name)(torch.empty(WEIGHT), **arguments).numpy()
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.03 * float(theirs.std()))
    assert abs(ours).max() == pytest.approx(abs(theirs).max(), rel=0.2)

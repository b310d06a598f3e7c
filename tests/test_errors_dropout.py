"""Dropout: wrong arguments, the ends of p, evaluation, in place, and what its numbers are."""

import numpy
import pytest

import minidl
import minidl.nn.functional as F

IMAGES = minidl.ones(2, 3, 4, 5)
VERBS = [(F.dropout, IMAGES), (F.dropout1d, minidl.ones(2, 3, 4)), (F.dropout2d, IMAGES)]
each = pytest.mark.parametrize("function, x", VERBS, ids=lambda value: getattr(value, "__name__", ""))


@each
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("training", [True, False])
def test_p_is_a_probability(function, x, p, training):
    with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
        function(x, p, training)


@each
def test_p_is_a_number(function, x):
    for p in ("0.5", None, [0.5]):
        with pytest.raises(TypeError, match="p must be a number between 0 and 1, got"):
            function(x, p)


@each
def test_input_must_be_a_floating_tensor(function, x):
    with pytest.raises(TypeError, match="argument 'input' must be Tensor, not list"):
        function([1.0])
    with pytest.raises(RuntimeError, match="input must be floating point"):
        function(x.long())


def test_shapes():
    with pytest.raises(RuntimeError, match=r"dropout1d\(\): Expected 2D or 3D input"):
        F.dropout1d(IMAGES)
    with pytest.raises(RuntimeError, match=r"dropout2d\(\): Expected 4D input(.|\n)*help: (.|\n)*dropout1d"):
        F.dropout2d(IMAGES[0])


@each
def test_nothing_to_drop(function, x):
    assert function(x, training=False) is x
    assert function(x, 0.0) is x
    assert function(x, 1.0).sum().item() == 0


@each
def test_expectation_is_the_input(function, x):
    minidl.manual_seed(3)
    large = x.repeat(20, 50, *[1] * (x.ndim - 2))
    for p in (0.2, 0.5):
        y = function(large, p)
        assert set(numpy.unique(y.numpy())) == {numpy.float32(0), numpy.float32(1 / (1 - p))}
        assert y.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("function, x", VERBS[1:], ids=lambda value: getattr(value, "__name__", ""))
def test_channels_go_as_a_whole(function, x):
    y = function(x.repeat(9, 9, *[1] * (x.ndim - 2))).numpy()
    per_channel = y.reshape(y.shape[0] * y.shape[1], -1)
    assert (per_channel == per_channel[:, :1]).all()
    assert 0 < per_channel.mean() < 2


def test_one_seed_gives_one_mask_in_every_dtype():
    masks = []
    for dtype in (minidl.float32, minidl.float64):
        minidl.manual_seed(0)
        masks.append(F.dropout(minidl.ones(50, dtype=dtype)).tolist())
    assert masks[0] == masks[1]
    assert F.dropout(minidl.ones(50)).tolist() != F.dropout(minidl.ones(50)).tolist()


def test_p_as_a_numpy_number_keeps_float32():
    assert F.dropout(minidl.ones(3), numpy.float64(0.5)).dtype == minidl.float32
    assert F.dropout(minidl.tensor(1.0), numpy.float64(0.5)).dtype == minidl.float32


@each
def test_in_place(function, x):
    start = x.clone().requires_grad_()
    y = start * 1
    assert function(y, inplace=True) is y
    y.sum().backward()
    assert (start.grad == y.detach()).all()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        function(start, inplace=True)

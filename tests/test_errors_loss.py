"""Losses: wrong arguments, the older arguments, limits."""

import math

import numpy
import pytest

import minidl
import minidl.nn.functional as F

x = minidl.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]])
t = minidl.tensor([2, 0])
half = minidl.full((2, 3), 0.5)
LOSSES = [
    (F.cross_entropy, x, t),
    (F.nll_loss, x, t),
    (F.mse_loss, x, x * 2),
    (F.l1_loss, x, x * 2),
    (F.smooth_l1_loss, x, x * 2),
    (F.huber_loss, x, x * 2),
    (F.binary_cross_entropy, half, half / 2),
    (F.binary_cross_entropy_with_logits, x, half),
    (F.kl_div, x, half),
]
CLASSES = [F.cross_entropy, F.nll_loss]
BINARY = [F.binary_cross_entropy, F.binary_cross_entropy_with_logits]
REGRESSION = [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss]


def named(functions):
    return pytest.mark.parametrize("loss", functions, ids=lambda f: f.__name__)


each = pytest.mark.parametrize("loss, input, target", LOSSES, ids=lambda value: getattr(value, "__name__", ""))


@each
def test_arguments_must_be_tensors(loss, input, target):
    for wrong, kind in ((None, "NoneType"), ([1.0], "list")):
        with pytest.raises(TypeError, match=rf"{loss.__name__}\(\): argument 'input' must be Tensor, not {kind}"):
            loss(wrong, target)
        with pytest.raises(TypeError, match=rf"{loss.__name__}\(\): argument 'target' must be Tensor, not {kind}"):
            loss(input, wrong)


@each
def test_input_must_be_floating_point(loss, input, target):
    with pytest.raises(RuntimeError, match="input must be floating point"):
        loss(input.long(), target)


@each
def test_reduction_must_be_known(loss, input, target):
    with pytest.raises(ValueError, match=r"reduction must be one of 'none', 'mean', 'sum'.*, got 'average'"):
        loss(input, target, reduction="average")
    if loss is not F.kl_div:
        with pytest.raises(ValueError, match="got 'batchmean'"):
            loss(input, target, reduction="batchmean")


@each
def test_dtypes_must_agree(loss, input, target):
    if loss not in CLASSES:
        with pytest.raises(RuntimeError, match="expected all tensors to have the same dtype"):
            loss(input, target.double())
        with pytest.raises(RuntimeError, match="expected all tensors to have the same dtype"):
            loss(input, target.long())


@each
@pytest.mark.parametrize(
    "size_average, reduce, reduction",
    [
        (None, True, "mean"),
        (None, False, "none"),
        (True, None, "mean"),
        (True, True, "mean"),
        (True, False, "none"),
        (False, None, "sum"),
        (False, True, "sum"),
        (False, False, "none"),
    ],
)
def test_older_arguments(loss, input, target, size_average, reduce, reduction):
    if loss is F.huber_loss:  # younger than they are
        return
    expected = loss(input, target, reduction=reduction)
    result = loss(input, target, size_average=size_average, reduce=reduce, reduction="sum")
    assert result.tolist() == expected.tolist()
    if loss in REGRESSION or loss is F.kl_div:
        assert loss(input, target, size_average, reduce).tolist() == expected.tolist()
    elif loss in BINARY:
        assert loss(input, target, None, size_average, reduce).tolist() == expected.tolist()
    else:
        assert loss(input, target, None, size_average, -100, reduce).tolist() == expected.tolist()


# ------------------------------------------------------------------------------------------------- classification


@named(CLASSES)
def test_labels_outside(loss):
    with pytest.raises(IndexError, match=r"Target 10 is out of bounds, at \[1\] of target(.|\n)*3 classes .* 0\.\.2"):
        loss(x, minidl.tensor([0, 10]))
    with pytest.raises(IndexError, match=r"Target -1 is out of bounds, at \[0\]"):
        loss(x, minidl.tensor([-1, -100]))
    with pytest.raises(IndexError, match=r"Target 3 is out of bounds, at \[0, 1, 0\]"):
        loss(minidl.zeros(1, 3, 2, 2), minidl.tensor([[[0, 1], [3, 5]]]))
    with pytest.raises(IndexError, match=r"Target 3 is out of bounds, at \[\]"):
        loss(x[0], minidl.tensor(3))
    assert loss(x, minidl.tensor([0, 10]), ignore_index=10).item() == loss(x[:1], minidl.tensor([0])).item()


@named(CLASSES)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_of_any_integer_dtype(loss, dtype):
    assert loss(x, minidl.from_numpy(numpy.array([2, 0], dtype=dtype))).item() == loss(x, t).item()


@named(CLASSES)
def test_shapes_of_targets(loss):
    with pytest.raises(ValueError, match=r"Expected input batch_size \(2\) to match target batch_size \(3\)"):
        loss(x, minidl.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"Expected input batch_size \(2\) to match target batch_size \(0\)"):
        loss(x, minidl.tensor(0))
    with pytest.raises(
        RuntimeError, match=r"Expected target size \(2,\), got \(2, 1\)(.|\n)*one class for each position"
    ):
        loss(x, minidl.tensor([[0], [1]]))
    with pytest.raises(RuntimeError, match=r"Expected target size \(2, 4\), got \(2, 5\)"):
        loss(minidl.zeros(2, 3, 4), minidl.zeros(2, 5, dtype=minidl.int64))
    with pytest.raises(RuntimeError, match=r"Expected target size \(2, 4, 5\), got \(2, 4\)"):
        loss(minidl.zeros(2, 3, 4, 5), minidl.zeros(2, 4, dtype=minidl.int64))
    with pytest.raises(RuntimeError, match=r"Expected target size \(\), got \(1,\)"):
        loss(x[0], minidl.tensor([0]))
    with pytest.raises(RuntimeError, match="input must have a dimension of classes"):
        loss(minidl.tensor(1.0), minidl.tensor(0))


@named(CLASSES)
def test_labels_must_be_integers(loss):
    for target in (t.float(), t > 0):
        with pytest.raises(RuntimeError, match=rf"expected target dtype to be an integer, but got {target.dtype}"):
            loss(x, target)


@named(CLASSES)
def test_weights_of_classes(loss):
    with pytest.raises(RuntimeError, match="defined either for all 3 classes or no classes"):
        loss(x, t, weight=minidl.ones(2))
    with pytest.raises(RuntimeError, match="same dtype"):
        loss(x, t, weight=minidl.ones(3).double())
    with pytest.raises(TypeError, match="argument 'weight' must be Tensor"):
        loss(x, t, weight=[1.0, 1.0, 1.0])
    weight = minidl.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        loss(x, t, weight=weight)
    with minidl.no_grad():
        assert loss(x, t, weight=weight).item() == loss(x, t).item()


@named(CLASSES)
def test_everything_ignored(loss):
    for weight in (None, minidl.ones(3)):
        scores = x.clone().requires_grad_()
        y = loss(scores, minidl.tensor([-100, -100]), weight=weight)
        y.backward()
        assert math.isnan(y.item())
        assert scores.grad.tolist() == [[0, 0, 0], [0, 0, 0]]
        assert loss(scores, minidl.tensor([-100, -100]), weight=weight, reduction="sum").item() == 0
    assert math.isnan(loss(minidl.zeros(0, 3), minidl.zeros(0, dtype=minidl.int64)).item())


@named(CLASSES)
def test_impossible_class_at_an_ignored_position(loss):
    scores = minidl.tensor([[-math.inf, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert math.isfinite(loss(scores, minidl.tensor([-100, 1])).item())
    assert math.isfinite(loss(scores, minidl.tensor([1, 1])).item())


@pytest.mark.parametrize("reduction, expected", [("mean", 0.363262), ("sum", 0.363262), ("none", [0, 0.363262])])
def test_impossible_class_at_an_ignored_position_with_label_smoothing(reduction, expected):
    x = minidl.tensor([[1.0, -math.inf], [1.0, 2.0]], requires_grad=True)
    loss = F.cross_entropy(x, minidl.tensor([-100, 1]), label_smoothing=0.1, reduction=reduction)
    assert loss.tolist() == pytest.approx(expected, abs=1e-6)
    loss.sum().backward()
    assert x.grad.tolist() == [[0, 0], pytest.approx([0.218941, -0.218941], abs=1e-6)]


def test_targets_of_probabilities():
    with pytest.raises(
        RuntimeError, match="Expected floating point type for target with class probabilities, got int64"
    ):
        F.cross_entropy(x, minidl.zeros(2, 3, dtype=minidl.int64))
    with pytest.raises(RuntimeError, match="ignore_index is not supported for floating point target"):
        F.cross_entropy(x, half, ignore_index=1)
    with pytest.raises(RuntimeError, match="same dtype"):
        F.cross_entropy(x, half.double())
    with pytest.raises(RuntimeError, match=r"Expected target size(.|\n)*|expected target dtype"):
        F.cross_entropy(x, minidl.ones(2, 4))


def test_label_smoothing_is_a_part():
    for wrong in (-0.1, 1.5):
        with pytest.raises(RuntimeError, match=rf"label_smoothing must be between 0.0 and 1.0. Got: {wrong}"):
            F.cross_entropy(x, t, label_smoothing=wrong)


def test_cross_entropy_of_large_scores():
    scores = minidl.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    y = F.cross_entropy(scores, minidl.tensor([0, 0]), reduction="none")
    assert y.tolist() == [0, 2000]
    y.sum().backward()
    assert scores.grad.tolist() == [[0, 0], [-1, 1]]


# --------------------------------------------------------------------------------------------- pairs of one shape


@named(BINARY)
def test_binary_shapes(loss):
    with pytest.raises(ValueError, match=r"Target size \(3,\) must be the same as input size \(2, 3\)"):
        loss(half, half[0])
    with pytest.raises(RuntimeError, match="the shapes do not broadcast"):
        loss(half, half, weight=minidl.ones(2))
    with pytest.raises(RuntimeError, match=r"weight must broadcast to the shape of input, \(2, 3\)"):
        loss(half, half, weight=minidl.ones(4, 2, 3))
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        loss(half, half, weight=minidl.ones(3, requires_grad=True))


def test_pos_weight():
    with pytest.raises(RuntimeError, match=r"pos_weight must broadcast to the shape of input"):
        F.binary_cross_entropy_with_logits(x, half, pos_weight=minidl.ones(4, 2, 3))
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'pos_weight'"):
        F.binary_cross_entropy_with_logits(x, half, pos_weight=minidl.ones(3, requires_grad=True))


def test_binary_cross_entropy_takes_probabilities():
    for wrong in (-0.1, 1.1, math.nan):
        bad = minidl.tensor([0.5, wrong])
        good = minidl.tensor([0.5, 0.5])
        with pytest.raises(RuntimeError, match=r"all elements of input should be between 0 and 1(.|\n)*with_logits"):
            F.binary_cross_entropy(bad, good)
        with pytest.raises(RuntimeError, match="all elements of target should be between 0 and 1"):
            F.binary_cross_entropy(good, bad)


def test_logarithms_are_clamped():
    p = minidl.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    y = F.binary_cross_entropy(p, minidl.tensor([1.0, 0.0, 0.0, 1.0]), reduction="none")
    assert y.tolist() == [100, 100, 0, 0]
    y.sum().backward()
    assert p.grad.tolist() == pytest.approx([-1e12, 1e12, 0, 0])


def test_large_logits():
    scores = minidl.tensor([1000.0, -1000.0, 1000.0], requires_grad=True)
    y = F.binary_cross_entropy_with_logits(scores, minidl.tensor([1.0, 1.0, 0.0]), reduction="none")
    assert y.tolist() == [0, 1000, 1000]
    y.sum().backward()
    assert scores.grad.tolist() == [0, -1, 1]


def test_kl_div_of_nothing():
    target = minidl.tensor([[0.0, 1.0]])
    assert F.kl_div(minidl.tensor([[-1.0, -2.0]]), target, reduction="none").tolist() == [[0, 2]]
    assert F.kl_div(minidl.tensor([[-1.0, -2.0]]), target).item() == 1
    with pytest.raises(RuntimeError, match="the shapes do not broadcast"):
        F.kl_div(x, minidl.ones(2))


# ----------------------------------------------------------------------------------------------------- regression


@named(REGRESSION)
def test_shapes_that_differ(loss):
    column, row = minidl.tensor([[1.0], [3.0]], requires_grad=True), minidl.tensor([1.0, 3.0])
    words = (
        r"Using a target size \(2,\) that is different to the input size \(2, 1\)(.|\n)*target\.view\(input\.shape\)"
    )
    with pytest.warns(UserWarning, match=words) as caught:
        y = loss(column, row, reduction="none")
    assert caught[0].filename == __file__
    assert y.shape == (2, 2)
    y.sum().backward()
    assert column.grad.shape == (2, 1)
    with (
        pytest.warns(UserWarning, match="Using a target size"),
        pytest.raises(RuntimeError, match="the shapes do not broadcast"),
    ):
        loss(x, minidl.ones(2))


@named([F.mse_loss, F.l1_loss])
def test_weights_of_elements(loss):
    input, target, weight = minidl.tensor([1.0, 2.0]), minidl.tensor([3.0, 5.0]), minidl.tensor([2.0, 1.0])
    total = 17.0 if loss is F.mse_loss else 7.0
    assert loss(input, target, weight=weight).item() == pytest.approx(total / 3)
    assert loss(input, target, weight=weight, reduction="sum").item() == total
    with pytest.raises(ValueError, match="weight and input must have the same size"):
        loss(input, target, weight=weight[:1])


def test_beta_and_delta():
    with pytest.raises(RuntimeError, match="does not support negative values for beta, got -1"):
        F.smooth_l1_loss(x, x, beta=-1)
    with pytest.raises(RuntimeError, match="does not support non-positive values for delta, got 0"):
        F.huber_loss(x, x, delta=0)
    assert F.smooth_l1_loss(x, x + 2, beta=0).item() == F.l1_loss(x, x + 2).item() == 2


def test_slopes_at_the_kinks():
    input = minidl.zeros(1, requires_grad=True)
    for loss in (F.l1_loss, F.smooth_l1_loss):
        input.grad = None
        loss(input, minidl.zeros(1)).backward()
        assert input.grad.item() == 0


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.binary_cross_entropy_with_logits])
def test_the_mean_of_nothing(loss):
    assert math.isnan(loss(minidl.zeros(0), minidl.zeros(0)).item())
    assert loss(minidl.zeros(0), minidl.zeros(0), reduction="sum").item() == 0

"""Normalization beyond one call: running statistics, large means, and what two calls in a row do to each other."""

import numpy
import pytest

import minidl
from minidl.functional.normalization import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm

rng = numpy.random.default_rng(4)


def leaf(array):
    return minidl.from_numpy(array.copy()).requires_grad_()


def test_running_statistics_by_hand():
    x = minidl.tensor([[1.0, 10.0], [3.0, 14.0]])  # means 2 and 12, unbiased variances 2 and 8
    mean, var = minidl.tensor([10.0, 0.0]), minidl.tensor([1.0, 4.0])
    arrays = mean.data, var.data
    batch_norm(x, mean, var, training=True, momentum=0.25)
    assert mean.tolist() == [0.75 * 10 + 0.25 * 2, 0.25 * 12]
    assert var.tolist() == [0.75 * 1 + 0.25 * 2, 0.75 * 4 + 0.25 * 8]
    assert (mean.data, var.data) == arrays or all(a is b for a, b in zip((mean.data, var.data), arrays, strict=True))
    batch_norm(x, mean, var, training=False)
    assert mean.tolist() == [8.0, 3.0]


def test_running_statistics_of_instance_norm_by_hand():
    x = minidl.tensor([[[1.0, 3.0]], [[10.0, 14.0]]])  # two samples of one channel: the means of both statistics
    mean, var = minidl.tensor([1.0]), minidl.tensor([3.0])
    instance_norm(x, mean, var, momentum=0.5)
    assert mean.tolist() == [0.5 * 1 + 0.5 * (2 + 12) / 2]
    assert var.tolist() == [0.5 * 3 + 0.5 * (2 + 8) / 2]


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("verb", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("with_parameters", [True, False])
def test_three_steps_and_evaluation_equal_torch(verb, dtype, with_parameters):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    xs = [rng.normal(3, 2, (2, 3, 4, 5)).astype(dtype) for _ in range(4)]
    cotangents = [rng.standard_normal((2, 3, 4, 5)).astype(dtype) for _ in range(4)]
    parameters = [rng.standard_normal(3).astype(dtype) for _ in range(2)]

    def run(library, norm):
        results = []
        mean, var = library.from_numpy(numpy.zeros(3, dtype)), library.from_numpy(numpy.ones(3, dtype))
        weight, bias = [library.from_numpy(p.copy()).requires_grad_() for p in parameters]
        for step, (array, cotangent) in enumerate(zip(xs, cotangents, strict=True)):
            x = library.from_numpy(array.copy()).requires_grad_()
            y = norm(x, mean, var, *((weight, bias) if with_parameters else (None, None)), step < 3, 0.3, 1e-3)
            y.backward(library.from_numpy(cotangent.copy()))
            results += [y.detach(), x.grad]
        return [*results, mean, var] + ([weight.grad, bias.grad] if with_parameters else [])

    ours = run(minidl, {"batch_norm": batch_norm, "instance_norm": instance_norm}[verb])
    theirs = run(torch, getattr(torch.nn.functional, verb))
    rtol = 1e-4 if dtype == "float32" else 1e-9
    for a, b in zip(ours, theirs, strict=True):
        assert str(a.dtype) == dtype
        numpy.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=rtol)


def test_statistics_survive_a_large_mean():
    """mean(x^2) - mean(x)^2 in float32 would leave nothing of a variance of 1 beside a mean of 4096."""
    noise = rng.integers(-2, 3, (8, 4, 16, 16)).astype("float32")
    x = minidl.from_numpy(noise + 4096)
    around_zero = minidl.from_numpy(noise)
    for norm in (
        lambda x: batch_norm(x, None, None, training=True),
        lambda x: group_norm(x, 2),
        lambda x: layer_norm(x, (4, 16, 16)),
        instance_norm,
    ):
        numpy.testing.assert_allclose(norm(x).numpy(), norm(around_zero).numpy(), rtol=1e-3, atol=1e-3)


def test_evaluation_may_be_followed_by_training_before_backward():
    """Backward of the first call must not see the statistics that the second one moved."""
    x, mean, var = leaf(rng.standard_normal((6, 3))), minidl.zeros(3).double(), minidl.ones(3).double()
    y = batch_norm(x, mean, var, eps=0.0)
    batch_norm(x, mean, var, training=True)
    y.sum().backward()
    numpy.testing.assert_array_equal(x.grad.numpy(), numpy.ones((6, 3)))


def test_results_may_be_changed_in_place():
    """What a normalization returns is not what it saved, so that relu_ may follow it."""
    for norm in (
        lambda x: batch_norm(x, None, None, training=True),
        lambda x: group_norm(x, 2),
        lambda x: layer_norm(x, (3,)),
        lambda x: local_response_norm(x, 3),
        instance_norm,
    ):
        x, same = [leaf(rng.standard_normal((2, 4, 3)))] * 2
        norm(x).mul_(2).sum().backward()
        changed, x.grad = x.grad, None
        (norm(same) * 2).sum().backward()
        numpy.testing.assert_array_equal(changed.numpy(), same.grad.numpy())


@pytest.mark.parametrize("verb", [batch_norm, instance_norm])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 0, 4), (2, 0, 4)])
@pytest.mark.parametrize("running", [True, False])
def test_an_empty_batch(verb, shape, running):
    C = shape[1]
    x, weight = minidl.zeros(*shape, requires_grad=True), minidl.ones(C, requires_grad=True)
    mean, var = (minidl.zeros(C), minidl.ones(C)) if running else (None, None)
    y = verb(x, mean, var, weight, None, True)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert weight.grad.tolist() == [0] * C
    if running:
        assert (mean.tolist(), var.tolist()) == ([0] * C, [1] * C)


def test_momentum_zero_and_one():
    x = minidl.from_numpy(rng.standard_normal((5, 2)))
    mean, var = minidl.zeros(2).double(), minidl.ones(2).double()
    batch_norm(x, mean, var, training=True, momentum=0)
    assert (mean.tolist(), var.tolist()) == ([0, 0], [1, 1])
    batch_norm(x, mean, var, training=True, momentum=1)
    numpy.testing.assert_allclose(mean.numpy(), x.numpy().mean(0), rtol=1e-12)
    numpy.testing.assert_allclose(var.numpy(), x.numpy().var(0, ddof=1), rtol=1e-12)


def test_lrn_of_the_paper_divides_alpha_by_nothing():
    """AlexNet sec. 3.3: b = a / (k + alpha sum a^2)^beta with alpha = 1e-4, n = 5, k = 2."""
    a = 50 * rng.standard_normal((1, 7, 1))
    b = local_response_norm(minidl.from_numpy(a), size=5, alpha=5e-4, beta=0.75, k=2.0).numpy()
    for i in range(7):
        total = sum(a[0, j, 0] ** 2 for j in range(max(0, i - 2), min(6, i + 2) + 1))
        assert b[0, i, 0] == pytest.approx(a[0, i, 0] / (2 + 1e-4 * total) ** 0.75, rel=1e-12)

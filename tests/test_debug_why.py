"""why: the sums that are shown are the numbers that were computed, and name what they are made of."""

import math

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import autograd, nn, ops
from minidl.debug import trace, why

rng = numpy.random.default_rng(0)


def leaf(*shape):
    return minidl.tensor(rng.standard_normal(shape).astype("float32"), requires_grad=True)


def ran(function):
    """What the function returns, and the tape of it."""
    tape = trace(function)
    return tape.result, tape


def everywhere(y):
    return numpy.ndindex(y.shape)


def check_sums(y, tape):
    """At every place, the terms add up to the number itself."""
    for index in everywhere(y):
        found = why(y, index, tape)
        assert found.adds_up
        assert found.value == y.data[index]
        numpy.testing.assert_allclose(found.sum, found.value, rtol=1e-5, atol=1e-6)
        assert not found.warnings


# --------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution(groups):
    x, weight, bias = leaf(2, 4, 6, 5), leaf(6, 4 // groups, 3, 2), leaf(6)
    y, tape = ran(lambda: F.conv2d(x, weight, bias, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=groups))
    check_sums(y, tape)


def test_a_convolution_names_its_window_and_its_filter():
    conv = nn.Conv2d(2, 4, 3, padding=1)
    x = leaf(2, 2, 5, 6)
    model = nn.Sequential(conv)
    tape = trace(lambda: model(x), model)
    found = why(tape.result, (1, 3, 0, 4), tape, limit=99)
    assert len(found.terms) == 2 * 2 * 3 + 1
    term = found.terms[0]
    assert (term.of, term.by) == ("x[1,0,0,3]", "0.weight[3,0,1,0]")
    assert term.value == x.data[1, 0, 0, 3]
    assert term.factor == conv.weight.data[3, 0, 1, 0]
    assert found.terms[-1].of == "0.bias[3]"
    words = str(found)
    assert words.startswith("y[1,3,0,4] = ")
    assert "Conv2d (0)" in words
    assert "image 1, rows -1..1, columns 3..5" in words
    assert "6 of its taps lie in the padding" in words
    assert "c=0 kh=1 kw=0" in words
    assert "test_debug_why.py:" in words
    assert why(tape.result, (-1, -1, 0, 4), tape).what == found.what


def test_a_linear_layer_and_products():
    x, weight, bias = leaf(2, 3, 4), leaf(5, 4), leaf(5)
    check_sums(*ran(lambda: F.linear(x, weight, bias)))
    for a, b in [((2, 1, 3, 4), (5, 4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (2, 4, 3)), ((3, 4), (4, 2))]:
        left, right = leaf(*a), leaf(*b)
        check_sums(*ran(lambda left=left, right=right: left @ right))


@pytest.mark.parametrize("padding", [0, 1])
def test_pooling(padding):
    x = leaf(2, 3, 7, 6)
    check_sums(*ran(lambda: F.max_pool2d(x, 3, 2, padding, ceil_mode=True)))
    check_sums(*ran(lambda: F.max_pool2d(x, (2, 3), 1, padding, dilation=(2, 1))))
    check_sums(*ran(lambda: F.avg_pool2d(x, 3, 2, padding, ceil_mode=True)))
    check_sums(*ran(lambda: F.avg_pool2d(x, 3, 2, padding, count_include_pad=False)))
    check_sums(*ran(lambda: F.avg_pool2d(x, 2, divisor_override=3)))
    check_sums(*ran(lambda: F.adaptive_avg_pool2d(x, (3, 4))))
    check_sums(*ran(lambda: F.adaptive_max_pool2d(x, (3, 4))))


def test_max_pooling_shows_the_window_and_its_winner():
    x = minidl.tensor([[[[1.0, 5.0], [5.0, 2.0]]]], requires_grad=True)
    y, tape = ran(lambda: F.max_pool2d(x, 2))
    found = why(y, (0, 0, 0, 0), tape)
    assert [term.factor for term in found.terms] == [0, 1, 0, 0]  # the first of the two
    assert "the largest" in str(found)


def test_any_other_operation_by_its_derivatives():
    x = leaf(2, 3)
    y, tape = ran(lambda: F.softmax(x, 1))
    found = why(y, (1, 0), tape)
    assert not found.adds_up
    p = y.data[1]
    expected = {f"x[1,{j}]": p[0] * ((j == 0) - p[j]) for j in range(3)}
    assert {term.of: pytest.approx(term.factor, rel=1e-5) for term in found.terms} == expected
    assert "derivative" in str(found)


def test_many_terms_are_shortened_to_the_largest():
    x, weight = leaf(1, 100), leaf(1, 100)
    y, tape = ran(lambda: F.linear(x, weight))
    found = why(y, (0, 0), tape, limit=5)
    words = str(found)
    assert "95 more, smaller or 0" in words
    largest = max(found.terms, key=lambda term: abs(term.product))
    assert largest.of in words.splitlines()[6]
    rows = [line.split() for line in words.splitlines() if line.startswith(("x[", "95"))]
    assert math.fsum(float(row[-1]) for row in rows) == pytest.approx(found.value, rel=1e-4)


# ------------------------------------------------------------------------------------------------------ gradients


class Shared(nn.Module):
    """A weight that two convolutions use."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(rng.standard_normal((2, 2, 3, 3)).astype("float32"))

    def forward(self, x):
        x = F.tanh(F.conv2d(x, self.weight, padding=1))
        return F.conv2d(x, self.weight)


def test_the_gradient_of_a_weight_that_is_used_twice():
    model, x = Shared(), leaf(2, 2, 5, 4)
    tape = trace(lambda: (model(x) ** 2).sum().backward(), model)
    for index in [(0, 0, 0, 0), (1, 0, 2, 1)]:
        found = why(model.weight.grad, index, tape, limit=1000)
        assert found.what.startswith("the gradient of weight[")
        assert found.value == model.weight.grad.data[index]
        numpy.testing.assert_allclose(found.sum, found.value, rtol=1e-4)
        assert len({term.place for term in found.terms}) == 1  # both are "Conv2d"
        assert len(found.terms) + found.rest[0] == 2 * (4 * 3 if index[2:] == (0, 0) else 4 * 4) + 2 * 3 * 2
        assert not found.warnings
        short = why(model.weight.grad, index, tape, limit=3)
        assert short.rest[0] + len(short.terms) == found.rest[0] + len(found.terms)
        numpy.testing.assert_allclose(short.sum, found.value, rtol=1e-4)
        assert "more, smaller or 0" in str(short)


def test_a_local_derivative_of_a_product_is_named():
    x, weight = leaf(3, 4), leaf(2, 4)
    tape = trace(lambda: (F.linear(x, weight) ** 2).sum().backward())
    found = why(weight.grad, (1, 2), tape)
    assert sorted(term.by for term in found.terms) == ["x[0,2]", "x[1,2]", "x[2,2]"]
    for term in found.terms:
        row = int(term.by[2])
        assert term.factor == pytest.approx(x.data[row, 2], rel=1e-6)
        assert term.of == f"y[{row},1]"
        assert term.value == pytest.approx(2 * (x.data[row] @ weight.data[1]), rel=1e-5)
    found = why(x.grad, (1, 2), tape)
    assert sorted(term.by for term in found.terms) == ["weight[0,2]", "weight[1,2]"]


def test_the_gradient_of_a_result():
    x, found = leaf(2, 3), []

    def step():
        h = F.relu(x)
        found.append(h)
        (h.exp() + F.softmax(h, 1)).mul(h).sum().backward()

    tape = trace(step)
    (h,) = found
    answer = why(h, (1, 2), tape, gradient=True)
    assert {term.place for term in answer.terms} == {"Exp", "Softmax", "Mul"}
    numpy.testing.assert_allclose(answer.sum, answer.value, rtol=1e-5)
    assert "the gradient of ReLU's result y[1,2]" in str(answer)
    event = next(
        event for event in tape if (event.phase, event.operation, event.kind) == ("backward", "ReLU", "before")
    )
    assert why(event.incoming[0], (1, 2), tape).value == answer.value  # the gradient itself asks the same
    part = next(event for event in tape if (event.phase, event.operation, event.kind) == ("backward", "Exp", "after"))
    assert str(why(part.produced[0], (1, 2), tape)).splitlines()[1] == "  what Exp adds to it"


def test_a_gradient_that_broadcasting_has_summed():
    a, b = leaf(3, 4), leaf(4)
    tape = trace(lambda: (a * b).sum().backward())
    found = why(b.grad, (2,), tape)
    assert len(found.terms) == 3
    assert found.sum == pytest.approx(b.grad.data[2], rel=1e-5)


def test_what_was_in_grad_before_is_told():
    x = leaf(2)
    (x * 2).sum().backward()
    tape = trace(lambda: (x * 3).sum().backward())
    found = why(x.grad, 1, tape)
    assert found.value == 3
    assert ".grad is 5 now: it held 2 before" in str(found)


def test_each_backward_on_a_tape_is_by_itself():
    x, results = leaf(3), []

    def step():
        for factor in (2.0, 5.0):
            results.append(x * factor)
            results[-1].sum().backward()
        twice = (x * 7.0).sum()
        twice.backward(retain_graph=True)
        twice.backward()

    tape = trace(step)
    found = why(x.grad, 0, tape)
    assert [term.factor for term in found.terms] == [7]
    assert found.value == found.sum == 7
    assert ".grad is 21 now: it held 14 before" in str(found)
    assert why(results[0], 1, tape, gradient=True).sum == 1
    first = next(event for event in tape if event.kind == "accumulate")
    assert why(first.incoming[0], 2, tape).sum == 2


def test_numbers_that_are_not_finite():
    x = minidl.tensor([[1.0, float("inf")], [2.0, 3.0]], requires_grad=True)
    weight = minidl.tensor([[1.0, -1.0], [float("nan"), 1.0]], requires_grad=True)

    def step():
        y = F.linear(x, weight)
        (y * y).sum().backward()
        return y

    with numpy.errstate(all="ignore"):
        y, tape = ran(step)
    assert "x[0,1]" in str(why(y, (0, 0), tape))
    for tensor in (x, weight):
        for index in everywhere(tensor):
            assert "y[" in str(why(tensor.grad, index, tape))
            assert not why(tensor.grad, index, tape).warnings


class Wrong(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * x


def test_a_wrong_backward_is_noticed():
    x = minidl.tensor([3.0, 4.0], requires_grad=True)
    tape = trace(lambda: Wrong.apply(x).sum().backward())
    found = why(x.grad, 1, tape)
    assert found.sum == found.value == 4  # what was summed, as wrong as it is
    assert "the differences of its forward give 8, its backward returned 4" in str(found)


def test_a_subclass_with_another_backward_is_still_a_convolution():
    wrong = type(
        "Wrong", (ops.Linear,), {"backward": lambda self, g: tuple(2 * d for d in ops.Linear.backward(self, g))}
    )
    x, weight, bias = leaf(2, 3), leaf(4, 3), leaf(4)
    y, tape = ran(lambda: minidl.apply(wrong, x, weight, bias))
    check_sums(y, tape)


def test_what_backward_returned_for_an_input_that_was_broadcast():
    x, b = leaf(2, 3), leaf(3)
    _, tape = ran(lambda: (x * b).sum().backward())
    event = next(e for e in tape if (e.operation, e.phase, e.kind) == ("Mul", "backward", "after"))
    found = why(event.values["gb"], (1, 2), tape)
    assert event.values["gb"].shape == (2, 3) and found.what == "the gradient of b[2]"
    assert found.value == pytest.approx(b.grad[2].item())
    assert "it was broadcast to [2, 3]: the sum over all places" in str(found)


# ------------------------------------------------------------------------------------------------------- mistakes


def test_a_forward_that_is_not_on_the_tape():
    y = F.relu(leaf(2, 3)).sum()
    tape = trace(y.backward)
    for event in tape:
        if event.operation == "ReLU":
            for value in event.values.values():
                with pytest.raises(ValueError, match="the forward of ReLU is not on the tape"):
                    why(value, (0, 0), tape)


def test_mistakes_are_explained():
    x = leaf(2, 3)
    y, tape = ran(lambda: F.relu(x))
    with pytest.raises(TypeError, match="expected a Tensor"):
        why(3, 0, tape)
    with pytest.raises(TypeError, match="the index must be ints"):
        why(y, (0, slice(None)), tape)
    for index in [(0,), (0, 3), (-3, 0), ()]:
        with pytest.raises(IndexError, match="names no number"):
            why(y, index, tape)
    with pytest.raises(ValueError, match="not on the tape"):
        why(leaf(2), 0, tape)
    with pytest.raises(ValueError, match="it came from outside"):
        why(x, (0, 0), tape)
    with pytest.raises(ValueError, match="no gradient has arrived"):
        why(x, (0, 0), tape, gradient=True)

"""check: the backward of one node, alone: right where it is right, and where it is not, where, by how much and why."""

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import autograd, nn, ops
from minidl.debug import check, trace, why
from minidl.function import Function
from tests.op_samples import SAMPLES
from tests.op_samples.running import Call, flat

rng = numpy.random.default_rng(0)


def leaf(*shape):
    return minidl.tensor(rng.standard_normal(shape).astype("float32"), requires_grad=True)


def backwards(tape):
    return [event for event in tape if (event.phase, event.kind) == ("backward", "after")]


class PerSample(ops.Conv2d):
    """The gradient of the weight is divided by N once more."""

    def backward(self, grad_output):
        grad_x, grad_weight, grad_bias = super().backward(grad_output)
        return grad_x, grad_weight / len(grad_output), grad_bias


class Flipped(ops.Conv2d):
    def backward(self, grad_output):
        grad_x, *others = super().backward(grad_output)
        return grad_x[..., ::-1].copy(), *others


def convolution(operation, x):
    """The result of a convolution with this operation, and the tape of forward and backward."""
    options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    found = []

    def step():
        found.append(minidl.apply(operation, x, leaf(4, x.shape[1], 3, 3), leaf(4), **options))
        found[0].sum().backward()

    tape = trace(step)
    return found[0], tape


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(3 * 3 * 2, 4)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        x = self.drop(F.max_pool2d(x, 2))  # with ties: what relu has set to 0
        return self.fc(x.flatten(1))


def test_every_node_of_a_network_is_right_and_nothing_of_it_changes():
    minidl.manual_seed(0)
    net, x = Net(), minidl.randn(3, 1, 6, 4)
    tape = trace(lambda: F.cross_entropy(net(x), minidl.tensor([0, 3, 1])).backward(), net)
    arrays = [*net.parameters(), *net.buffers(), *(p.grad for p in net.parameters())]
    before = [array.data.copy() for array in arrays]
    random = minidl.default_generator.get_state()
    events, length = backwards(tape), len(tape)
    assert {event.operation for event in events} >= {"Conv2d", "BatchNorm", "ReLU", "MaxPool2d", "Dropout", "Linear"}
    for event in events:
        found = check(event)
        assert found, f"{event.operation}: {found}"
        assert "float32" in str(found)
    assert len(tape) == length
    assert minidl.default_generator.get_state() == random
    for array, old in zip(arrays, before, strict=True):
        numpy.testing.assert_array_equal(array.data, old)


def test_a_wrong_factor_is_named_with_its_cause():
    y, tape = convolution(PerSample, leaf(2, 3, 6, 5))
    found = check(y, tape=tape)
    assert not found
    words = str(found)
    assert "PerSample, alone and in float64: the gradient is wrong" in words
    assert "the gradient of input 1 (weight) is wrong" in words
    assert "input 0" not in words and "input 2" not in words
    assert "108 of 108 elements" in words
    assert "relative error: 5.0e-01" in words
    assert "0.5 x numerical everywhere" in words
    assert "2 is the size of axis 0" in words


def test_only_the_wrong_node_is_wrong():
    y, tape = convolution(Flipped, leaf(2, 3, 6, 5))
    verdicts = {event.operation: bool(check(event)) for event in backwards(tape)}
    assert verdicts == {"Sum": True, "Flipped": False}
    assert "flipped over axis -1" in str(check(y, tape=tape))


def test_inputs_too_large_for_every_element_are_looked_at_along_directions_and_in_a_corner():
    y, tape = convolution(PerSample, leaf(16, 3, 12, 12))
    words = str(check(y, tape=tape, seconds=0.05))
    assert "along a random direction" in words
    assert "elements of x, one by one: right" in words
    assert "elements of weight, one by one:\n" in words
    assert "0.0625 x numerical everywhere" in words
    right, tape = convolution(ops.Conv2d, leaf(16, 3, 12, 12))
    assert "along random directions" in str(check(right, tape=tape, seconds=0.01))


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx, x, power):
        ctx.save_for_backward(x)
        ctx.power = power
        return x * x * x

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return ctx.power * grad_output * x * x, None


class OldStyle(autograd.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x * x

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        return grad_output * x  # the 2 is missing


@pytest.mark.parametrize(("power", "right"), [(3, True), (2, False)])
def test_an_autograd_function_with_settings(power, right):
    x, found = leaf(2, 3), []
    tape = trace(lambda: found.append(Cube.apply(x, power)))
    assert bool(check(found[0], tape=tape)) is right


def test_an_autograd_function_of_the_older_style():
    x, found = leaf(2, 3), []
    tape = trace(lambda: found.append(OldStyle()(x)))
    words = str(check(found[0], tape=tape))
    assert "input 0 (x) is wrong" in words
    assert "forget the 2 of a square" in words


class Double(Function):
    def forward(self, x, *, factor):
        self.factor = factor
        return factor * x

    def backward(self, grad_output):
        return self.factor * grad_output


def test_inputs_and_options_may_be_given():
    x = leaf(2, 3)
    y = minidl.apply(Double, x, factor=2.0)
    assert check(y, inputs=[x], options={"factor": 2.0})
    found = check(y, [minidl.ones(2, 3)], inputs=[x], options={"factor": 2.0})
    assert "this run, in float32, was off by at most, of the largest number: x 0.0e+00" in str(found)


class Remembers(Function):
    """Right by itself, but in a second backward the saved array is no longer what it was."""

    def forward(self, x):
        self.kept = x.copy()
        return x * x

    def backward(self, grad_output):
        return 2 * grad_output * self.kept


def test_what_happened_in_this_run_is_compared_too():
    x, found = leaf(2, 3), []

    def step():
        y = minidl.apply(Remembers, x)
        if found:
            y.grad_fn.kept *= 1.5
        found.append(y)
        y.sum().backward()

    tapes = [trace(step), trace(step)]
    good, spoiled = (str(check(y, tape=tape)) for y, tape in zip(found, tapes, strict=True))
    assert "x 0.0e+00" in good
    assert "x 5.0e-01" in spoiled


def test_a_cast_is_no_hidden_cast():
    x, found = leaf(2, 3), []
    tape = trace(lambda: found.append(x.double().float()))
    assert all(check(event) for event in tape if event.kind == "after")


@pytest.mark.parametrize("sample", {sample.op: sample for sample in reversed(SAMPLES)}.values(), ids=str)
def test_every_operation_is_right_and_its_sums_add_up(sample):
    call = Call(sample, dtype="float32")

    def step():
        outputs = [y for y in flat(call()) if y.requires_grad]
        autograd.backward(outputs, [minidl.Tensor(rng.standard_normal(y.shape).astype("float32")) for y in outputs])

    tape = trace(step)
    assert sample.op.__name__ in {event.operation for event in tape}
    for event in backwards(tape):
        found = check(event, seconds=1.0)
        assert found, found
        results = [y for y in event.outputs if y.dtype.kind == "f"]
        used = [x for x, gradient in zip(event.inputs, event.produced, strict=True) if gradient is not None]
        answers = [why(y, [size - 1 for size in y.shape], tape) for y in results]
        answers += [why(x, [size // 2 for size in x.shape], tape, gradient=True) for x in used]
        for answer in answers:
            assert not answer.warnings, answer
            assert not answer.adds_up or numpy.isclose(answer.sum, answer.value, 1e-3, 1e-5), answer


# ------------------------------------------------------------------------------------------------------- mistakes


def test_inputs_that_nobody_kept():
    y = F.relu(leaf(2))
    with pytest.raises(ValueError, match="the inputs that ReLU had are not known any more"):
        check(y)
    tape = trace(lambda: F.relu(y).sum().backward(), record="stats")
    event = next(event for event in tape if event.operation == "ReLU")
    with pytest.raises(ValueError, match=r"has not kept (the tensors of|this) ReLU"):
        check(event)


def test_what_has_no_derivative():
    x = leaf(2)
    tape = trace(lambda: (2 * x).sum().backward())
    with pytest.raises(ValueError, match="passes a gradient on as it is"):
        check(next(event for event in tape if event.kind == "accumulate"))
    for nothing in (x, None, 3):
        with pytest.raises(ValueError, match="expected an operation of the graph"):
            check(nothing)


def test_a_point_where_differences_tell_nothing():
    x = minidl.tensor([1.0, float("nan"), float("inf")], requires_grad=True)
    y = F.relu(x)
    with pytest.raises(ValueError, match=r"x holds 2 numbers that are nan or infinite(.|\n)*detect_anomaly"):
        check(y, inputs=[x])


def test_an_input_without_gradient():
    tape = trace(lambda: F.relu(minidl.ones(2)))
    with pytest.raises(ValueError, match="no input of ReLU requires a gradient"):
        check(tape[-1])

"""detect_anomaly: stops where a NaN is born, says all that is known there, and is silent where nothing is wrong."""

import threading

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import autograd, nn
from minidl.debug import AnomalyError, detect_anomaly
from minidl.events import observers
from minidl.optim import SGD


class Log(nn.Module):
    def forward(self, x):
        return (x - 1).log()


def caught(function, **settings):
    """The message of the exception that stops `function`, and its notes."""
    with pytest.raises(AnomalyError) as error, detect_anomaly(**settings):
        function()
    assert not observers
    return str(error.value), "\n".join(error.value.__notes__)


def test_a_nan_in_forward_is_stopped_in_the_operation_that_makes_it():
    minidl.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Sigmoid(), Log()), nn.Linear(3, 2))
    x = minidl.randn(5, 4)
    message, notes = caught(lambda: net(x).sum().backward())
    assert "nan in the result of Log (1.1), which was born here: 15 nan among 15 numbers" in message
    assert "x:      float32 (5, 3) on cpu, -0." in message
    assert "output: float32 (5, 3) on cpu, 15 nan" in message
    assert "first at [0, 0], where x is -0." in message
    assert "help: the logarithm of a negative number is nan" in message
    assert f'File "{__file__}", line ' in notes
    assert "return (x - 1).log()" in notes
    assert "message, notes = caught(lambda: net(x).sum().backward())" in notes
    assert "in module 1.1 of Sequential: Log()" in notes
    assert "minidl/nn" not in notes.replace("\\", "/")


def test_a_nan_in_backward_is_stopped_in_the_operation_that_makes_it():
    class Net(nn.Module):
        def forward(self, x):
            return x.sqrt() * 0.0

    net, x = nn.Sequential(Net()), minidl.tensor([4.0, 0.0, 1.0], requires_grad=True)
    message, notes = caught(lambda: net(x).sum().backward())
    assert "Function 'Sqrt' returned nan values in its 0th output, a gradient, in the backward of Sqrt (0)" in message
    assert "1 nan among 3 numbers" in message
    assert "first at [1], where saved 0 is 0, grad_output is 0, grad of x is nan" in message
    assert "sqrt(x + eps)" in message
    assert "return x.sqrt() * 0.0" in notes
    assert x.grad is None


def test_what_was_broadcast_has_its_number_at_the_place_too():
    a, b = minidl.tensor([[1.0, 2.0], [0.0, 3.0]]), minidl.tensor([[1.0], [0.0]])
    message, _ = caught(lambda: a / b)
    assert "first at [1, 0], where a is 0, b is 0, output is nan" in message
    message, _ = caught(lambda: a / minidl.tensor([0.0, 1.0]))
    assert "first at [1, 0], where a is 0, b is 0, output is nan" in message
    b.requires_grad_()
    message, _ = caught(lambda: (b**0.5 * a * 0.0).sum().backward())  # a gradient smaller than what it came from
    assert "first at [1, 0], where saved 0 is 0" in message


def test_where_an_infinity_came_from_that_became_a_nan():
    x = minidl.tensor([1.0, 0.0])

    def step():
        y = x.log()
        z = y.reshape(2, 1)
        return z * x.reshape(2, 1)

    message, notes = caught(step)
    assert "nan in the result of Mul" in message
    assert "first at [1, 0], where a is -inf, b is 0, output is nan" in message
    assert "the infinity in a came from Log, test_debug_anomaly.py:" in message
    assert "y = x.log()" in message
    assert "return z * x.reshape(2, 1)" in notes


def test_infinities_pass_unless_they_are_not_to():
    x = minidl.tensor([1.0, 0.0], requires_grad=True)

    def step():
        y = x.log()
        return y.exp().sum()

    with detect_anomaly():
        assert step().item() == 1
    message, _ = caught(step, check_inf=True)
    assert "inf in the result of Log, which was born here: 1 inf among 2 numbers" in message
    message, _ = caught(lambda: x.sqrt().sum().backward(), check_inf=True)
    assert "Function 'Sqrt' returned inf values" in message


def test_what_came_in_is_not_said_to_be_born():
    x = minidl.tensor([[1.0, float("nan")]])
    layer = nn.Sequential(nn.Linear(2, 3))
    message, _ = caught(lambda: layer(x))
    assert "nan in the result of Linear (0): it came in with x, which was made outside" in message
    layer[0].weight.data[2, 1] = numpy.nan
    message, _ = caught(lambda: layer(minidl.ones(1, 2)))
    assert "it came in with 0.weight" in message


def test_a_nan_loss_never_passes():
    nan = minidl.tensor([float("nan")])
    x = minidl.tensor([1.0], requires_grad=True)
    for loss in (lambda: (x + nan).sum(), lambda: F.mse_loss(x, nan), lambda: (x * nan).mean()):
        with pytest.raises(AnomalyError), detect_anomaly():
            loss().backward()
        for backward in (minidl.Tensor.backward, autograd.backward, lambda outside: autograd.grad(outside, x)):
            outside = loss()
            message, notes = caught(lambda backward=backward, outside=outside: backward(outside))
            assert "nan in the tensor that backward was called on: 1 nan among 1 numbers" in message
            assert "help: run forward inside of detect_anomaly as well" in message
            assert "called outside of detect_anomaly" in notes
            assert x.grad is None
    outside = (x * nan).sum()
    with detect_anomaly(check_nan=False), pytest.warns(UserWarning, match="no forward pass information"):
        outside.backward()
    leaf = minidl.tensor([float("nan"), 1.0], requires_grad=True)
    one = leaf[1] * 2
    with pytest.raises(AnomalyError, match="not finite itself"), pytest.warns(UserWarning), detect_anomaly():
        one.backward()


def test_an_infinite_loss_from_outside_passes_unless_it_is_not_to():
    x = minidl.tensor([1.0], requires_grad=True)
    loss = (x + minidl.tensor([float("inf")])).sum()
    with detect_anomaly(), pytest.warns(UserWarning, match="no forward pass information"):
        loss.backward(retain_graph=True)
    message, _ = caught(lambda: loss.backward(), check_inf=True)
    assert "inf in the tensor that backward was called on: 1 inf among 1 numbers" in message


def test_gradients_that_add_up_to_nan_and_hooks():
    x = minidl.tensor([1.0], requires_grad=True)

    y = x.exp()
    expected = r"nan in the gradient that arrives at Exp.*although no backward(.|\n)*given to backward"
    told = pytest.warns(UserWarning, match="no forward pass")
    with pytest.raises(AnomalyError, match=expected), told, detect_anomaly():
        y.backward(minidl.tensor([float("nan")]))

    def hooked():
        y = x.exp()
        y.register_hook(lambda gradient: gradient * float("nan"))
        y.backward()

    with pytest.raises(AnomalyError, match="hook"), detect_anomaly():
        hooked()


def test_a_sum_of_infinite_gradients():
    x = minidl.tensor([0.0], requires_grad=True)

    def step():
        y = x * 1.0
        (y.sqrt() - y.sqrt()).sum().backward()  # inf - inf, where the two meet

    message, _ = caught(step)
    assert "nan in the gradient that arrives at Mul, although no backward returned it" in message
    assert "gradients were added: inf - inf" in message


def test_an_update_that_spoils_a_parameter():
    x = minidl.tensor([0.0], requires_grad=True)
    optimizer = SGD([x], lr=0.0)
    with pytest.raises(AnomalyError, match=r"SGD.step made a parameter(.|\n)*gradient:.*1 inf"), detect_anomaly():
        x.sqrt().sum().backward()  # infinite, and 0 * inf is nan
        optimizer.step()


class Fails(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad_output):
        raise ZeroDivisionError("in my backward")


def test_an_infinity_of_an_update_is_remembered():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    optimizer = SGD([x], lr=1e38)

    def train():
        for _ in range(2):
            optimizer.zero_grad()
            ((x - x) * 9 + x * 1e3).sum().backward()
            optimizer.step()  # to -inf

    line = train.__code__.co_firstlineno + 4
    message, _ = caught(train)
    assert "nan in the result of Sub, which was born here" in message
    assert f"the infinity in a came from SGD.step, test_debug_anomaly.py:{line}: optimizer.step()" in message


def test_an_exception_in_a_backward_gets_the_line_of_its_forward():
    x = minidl.tensor([1.0], requires_grad=True)
    for settings in ({}, {"check_nan": False}):
        with pytest.raises(ZeroDivisionError) as error, detect_anomaly(**settings):
            y = Fails.apply(x)
            y.backward()
        assert "y = Fails.apply(x)" in "\n".join(error.value.__notes__)


def test_an_exception_after_one_that_was_caught_gets_no_line_of_that():
    with pytest.raises(LookupError) as error, detect_anomaly():
        y = Fails.apply(minidl.tensor([1.0], requires_grad=True))
        with pytest.raises(ZeroDivisionError):
            y.backward()
        raise LookupError
    assert not hasattr(error.value, "__notes__")


def test_without_check_nan_nothing_is_stopped():
    x = minidl.tensor([-1.0], requires_grad=True)
    with detect_anomaly(check_nan=False):
        x.log().sum().backward()


def test_with_check_inf_alone_an_update_is_looked_at_too():
    x = minidl.tensor([1.0], requires_grad=True)
    optimizer = SGD([x], lr=1e30)
    with pytest.raises(AnomalyError, match=r"SGD\.step made a parameter"), detect_anomaly(False, check_inf=True):
        (x * 1e30).sum().backward()
        optimizer.step()


def test_turned_on_and_off():
    x = minidl.tensor([-1.0])
    assert autograd.detect_anomaly is detect_anomaly
    autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(AnomalyError):
            x.log()
        with autograd.set_detect_anomaly(False), numpy.errstate(invalid="ignore"):
            x.log()
        with pytest.raises(AnomalyError):
            x.log()
    finally:
        autograd.set_detect_anomaly(False)
    assert not observers
    with numpy.errstate(invalid="ignore"):
        x.log()
    with autograd.set_detect_anomaly(True), pytest.raises(AnomalyError):
        x.log()
    assert not observers


def test_another_thread_is_left_alone():
    results = []

    def work():
        with numpy.errstate(invalid="ignore"):
            results.append(minidl.tensor([-1.0]).log())

    with detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(results) == 1


def test_a_right_training_is_not_stopped_and_comes_out_the_same():
    def train():
        minidl.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, padding=1),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(4 * 3 * 3, 5),
        )
        optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9)
        images, labels = minidl.randn(8, 1, 4, 4), minidl.tensor([0, 1, 2, 3, 4, 0, 1, 2])
        for _ in range(4):
            optimizer.zero_grad()
            scores = net(images)
            masked = minidl.where(scores > -9, scores, minidl.full_like(scores, float("-inf")))
            loss = F.cross_entropy(masked, labels)
            loss.backward()
            optimizer.step()
        return loss.item()

    with detect_anomaly(check_inf=True):
        watched = train()
    assert watched == train()

"""Observers: told of every operation, module, update and change in place; nobody is told of what nobody watches."""

import numpy
import pytest

import minidl
from minidl import engine, events, nn, optim
from minidl.nn.utils import clip_grad_norm_, clip_grad_value_


class Diary(events.Observer):
    """Writes down the name of each method that was called, with a word about its arguments."""

    def __init__(self):
        self.lines = []

    def before_forward(self, node, inputs, options):
        self.lines.append(f"before {node.name()}")

    def after_forward(self, node, inputs, outputs):
        self.lines.append(f"after {node.name()}")

    def start_backward(self, tensor, gradient):
        self.lines.append(f"start backward {tuple(tensor.shape)} {float(gradient)}")

    def overwritten(self, array):
        self.lines.append(f"overwritten {array.shape}")

    def before_backward(self, node, grad_outputs):
        self.lines.append(f"before d{node.name()}")

    def after_backward(self, node, grad_inputs):
        self.lines.append(f"after d{node.name()} {len(grad_inputs)}")

    def enter_module(self, module, inputs):
        self.lines.append(f"enter {type(module).__name__}")

    def leave_module(self, module, output):
        self.lines.append(f"leave {type(module).__name__} {output is not None}")

    def before_step(self, optimizer):
        self.lines.append("before step")

    def after_step(self, optimizer):
        self.lines.append("after step")

    def before_update(self, optimizer, param):
        self.lines.append(f"before update {tuple(param.shape)}")

    def after_update(self, optimizer, param):
        self.lines.append(f"after update {tuple(param.shape)}")

    def before_zero_grad(self, owner):
        self.lines.append(f"before zero_grad {type(owner).__name__}")

    def after_zero_grad(self, owner):
        self.lines.append(f"after zero_grad {type(owner).__name__}")


def test_an_observer_is_told_of_everything_in_its_order():
    layer = nn.Linear(3, 2)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    x = minidl.randn(4, 3)
    diary = Diary()
    with events.observing(diary):
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()
        layer.zero_grad()
    assert diary.lines == [
        "before zero_grad SGD",
        "after zero_grad SGD",
        "enter Linear",
        "before Linear",
        "after Linear",
        "leave Linear True",
        "before Sum",
        "after Sum",
        "start backward () 1.0",
        "before dSum",
        "after dSum 1",
        "before dLinear",
        "after dLinear 3",
        "before dAccumulateGrad",
        "after dAccumulateGrad 0",
        "before dAccumulateGrad",
        "after dAccumulateGrad 0",
        "before step",
        "before update (2, 3)",
        "after update (2, 3)",
        "before update (2,)",
        "after update (2,)",
        "after step",
        "before zero_grad Linear",
        "after zero_grad Linear",
    ]
    layer(x).sum().backward()
    assert len(diary.lines) == 25  # no longer told
    assert not events.observers


def test_a_function_on_tensors_has_its_name_before_it_has_run():
    class Double(minidl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * 2

    diary = Diary()
    with events.observing(diary):
        Double.apply(minidl.ones(2, requires_grad=True)).sum().backward()
    assert [line for line in diary.lines if "Double" in line] == [
        "before Double",
        "after Double",
        "before dDouble",
        "after dDouble 1",
    ]


def test_where_backward_starts_and_what_is_overwritten():
    diary, x = Diary(), minidl.ones(2, requires_grad=True)
    losses = [x.sum(), (x * 2).sum()]
    two = minidl.tensor(2.0)
    with events.observing(diary):
        minidl.autograd.backward(losses, [two, None])
        assert diary.lines[:2] == ["start backward () 2.0", "start backward () 1.0"]
        diary.lines.clear()
        minidl.autograd.grad((x * 2).sum(), x, two)
        assert "start backward () 2.0" in diary.lines
        diary.lines.clear()
        x.data -= 1
        x.data = x.data - 1  # another array: the old one is as it was
        with pytest.raises(RuntimeError):
            minidl.ones(2).sum().backward()
    assert [line for line in diary.lines if "Sum" not in line] == ["overwritten (2,)"]


def test_a_module_is_left_also_by_an_exception():
    class Broken(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    diary = Diary()
    with events.observing(diary), pytest.raises(ZeroDivisionError):
        nn.Sequential(Broken())(minidl.ones(2))
    assert diary.lines == ["enter Sequential", "enter Broken", "leave Broken False", "leave Sequential False"]


def test_hooks_of_modules_run_between_entering_and_leaving():
    layer = nn.ReLU()
    diary = Diary()
    layer.register_forward_pre_hook(lambda module, inputs: diary.lines.append("pre-hook"))
    layer.register_forward_hook(lambda module, inputs, output: diary.lines.append("hook"))
    with events.observing(diary):
        layer(minidl.ones(2))
    assert diary.lines == ["enter ReLU", "pre-hook", "before ReLU", "after ReLU", "hook", "leave ReLU True"]


def test_backward_tells_those_who_come_while_it_is_under_way():
    diary = Diary()

    class Calls(minidl.Function):
        def forward(self, x):
            return x + 1

        def backward(self, grad_output):
            events.observers.append(diary)
            return grad_output

    x = minidl.ones(2, requires_grad=True)
    try:
        minidl.apply(Calls, x * 2).sum().backward()
    finally:
        events.observers.remove(diary)
    assert diary.lines == [
        "after dCalls 1",
        "before dMul",
        "after dMul 2",
        *["before dAccumulateGrad"],
        "after dAccumulateGrad 0",
    ]


def test_the_walk_has_no_events_for_nobody():
    y = (minidl.ones(2, requires_grad=True) * 2).sum()
    assert list(engine.walk([(y.gradient_edge(), numpy.float32(1))], events=events.observers)) == []


class Copies(events.Observer):
    """What was in an array before each change."""

    def __init__(self, array):
        self.array, self.found = array, []

    def before_change(self, array):
        if numpy.may_share_memory(array, self.array):
            self.found.append(self.array.copy())


def in_place(name):
    x = minidl.tensor([1.0, -2.0, 3.0])
    changes = {
        "add_": lambda: x.add_(1),
        "relu_": lambda: x.relu_(),
        "setitem": lambda: x.__setitem__(0, 5.0),
        "a view": lambda: x[1:].mul_(2),
        "fill_": lambda: x.fill_(7),
        "copy_": lambda: x.copy_(minidl.zeros(3)),
    }
    return x.data, changes[name]


@pytest.mark.parametrize("name", ["add_", "relu_", "setitem", "a view", "fill_", "copy_"])
def test_a_change_in_place_is_told_of_before_it_happens(name):
    array, change = in_place(name)
    copies = Copies(array)
    with events.observing(copies):
        change()
    assert copies.found[0].tolist() == [1.0, -2.0, 3.0]
    assert array.tolist() != [1.0, -2.0, 3.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda p, o: (p * 3).sum().backward(),  # added to the gradient that is there
        lambda p, o: o.zero_grad(set_to_none=False),
        lambda p, o: clip_grad_norm_([p], 0.1),
        lambda p, o: clip_grad_value_([p], 0.1),
    ],
)
def test_changes_of_a_gradient_are_told_of(change):
    param = nn.Parameter(minidl.ones(3))
    optimizer = optim.SGD([param], lr=0.5, momentum=0.9)
    (param * 2).sum().backward()
    copies = Copies(param.grad.data)
    with events.observing(copies):
        change(param, optimizer)
    assert copies.found[0].tolist() == [2.0, 2.0, 2.0]
    assert copies.array.tolist() != [2.0, 2.0, 2.0]


def test_a_step_tells_of_parameters_and_of_its_buffers():
    param = nn.Parameter(minidl.ones(3))
    optimizer = optim.SGD([param], lr=0.5, momentum=0.9)
    (param * 2).sum().backward()
    optimizer.step()
    momentum = optimizer.state[param]["momentum_buffer"].data
    for array, before in ((param.data, [0.0, 0.0, 0.0]), (momentum, [2.0, 2.0, 2.0])):
        assert array.tolist() == before
    watch = [Copies(param.data), Copies(momentum)]
    with events.observing(watch[0]), events.observing(watch[1]):
        optimizer.step()
    assert [copies.found[0].tolist() for copies in watch] == [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]
    assert numpy.allclose(momentum, 3.8)

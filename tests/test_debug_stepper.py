"""Stepping from a script: SPECs, moving forward and back, and the end of the function; where two runs part."""

import threading
import time

import numpy
import pytest

import minidl
import minidl.debug
from architectures.lenet import lenet5
from minidl import nn, optim
from minidl.debug import Spec, SpecError, Stepper, diff, trace


def lenet_step(seed=0, change=None):
    minidl.manual_seed(seed)
    model = lenet5()
    x, labels = minidl.randn(2, 1, 32, 32), minidl.tensor([1, 2])
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    if change is not None:
        change(model)

    def run():
        loss = loss_fn(model(x), labels)  # forward
        loss.backward()
        optimizer.step()
        return loss

    return run


@pytest.fixture(scope="module")
def tape():
    return trace(lenet_step())


def found(tape, text):
    """The events at which a SPEC matches."""
    spec = Spec(text)
    return [e for e in tape if spec.matches(e, tape[e.number - 1] if e.number else None)]


# ------------------------------------------------------------------------------------------------------------ SPECs


def test_operations(tape):
    events = found(tape, "op:Conv2d")
    assert [(e.phase, e.kind, e.path) for e in events] == [
        ("forward", "before", "conv1"),
        ("forward", "before", "conv2"),
        ("backward", "before", "conv2"),
        ("backward", "before", "conv1"),
    ]
    assert {e.operation for e in found(tape, "op:*Pool2d")} == {"MaxPool2d"}
    assert found(tape, "op:Conv2d phase:bwd") == events[2:]
    assert found(tape, "phase:backward mod:conv1 op:Conv2d") == events[3:]


def test_modules_are_regions_that_one_enters(tape):
    events = found(tape, "mod:conv*")
    assert [(e.phase, e.kind, e.path) for e in events] == [
        ("forward", "enter", "conv1"),
        ("forward", "enter", "conv2"),
        ("backward", "before", "conv2"),
        ("backward", "before", "conv1"),
    ]


def test_a_module_includes_its_parts():
    model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Tanh()), nn.ReLU())
    tape = trace(lambda: model(minidl.ones(2)), model)
    assert [e.number for e in found(tape, "mod:0")] == [1]
    assert [e.path for e in found(tape, "mod:0.*")] == ["0.0"]


def test_phases(tape):
    (begin,) = found(tape, "phase:bwd")
    assert (begin.operation, begin.kind) == ("CrossEntropy", "before")
    (update,) = found(tape, "phase:update")
    assert (update.operation, update.kind) == ("SGD", "enter")
    assert found(tape, "phase:fwd")[0].number == 0


def test_parameters_shapes_and_gradients(tape):
    assert [(e.phase, e.kind) for e in found(tape, "param:conv1.weight")] == [
        ("backward", "accumulate"),
        ("update", "before"),
    ]
    assert len(found(tape, "param:fc?.bias")) == 6
    assert {e.operation for e in found(tape, "shape:*,6,14,14")} == {"MaxPool2d", "Conv2d"}
    largest = max(v.statistics.largest for e in tape if e.phase == "backward" for v in e.made)
    assert found(tape, f"grad>={largest * 0.999}")
    assert not found(tape, f"grad>{largest * 1.001}")


def test_lines_of_files(tape):
    line = next(e for e in tape if e.phase == "forward").source.line
    events = found(tape, f"test_debug_stepper.py:{line}")
    assert events[0].number == 0
    assert {e.phase for e in events} == {"forward", "backward"}
    assert not found(tape, f"test_debug_stepper.py:{line + 1000}")
    lenet = next(e for e in tape if e.operation == "Conv2d").stack[0].line
    assert found(tape, f"lenet.py:{lenet}")
    assert found(tape, f"architectures/lenet.py:{lenet}")


def test_bad_numbers_and_zeros():
    x = minidl.tensor([-1.0, 4.0])

    def run():
        y = x.sqrt()
        z = y / minidl.zeros(2)
        return (z * 0).relu() + minidl.tensor([-1.0, -2.0]).relu()

    with numpy.errstate(all="ignore"):
        tape = trace(run)
    assert found(tape, "nan")[0].operation == "Sqrt"
    assert found(tape, "inf")[0].operation == "Div"
    assert [e.operation for e in found(tape, "zero")] == ["Div", "ReLU"]  # the zeros that came in; the dead ReLU
    tape = trace(lambda: minidl.tensor([float("nan")]) * 2)
    assert [e.kind for e in found(tape, "nan")] == ["before", "after"]  # it was in the input already


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("", "a SPEC is one of op:Conv2d"),
        ("if x", "a SPEC is one of"),
        ("op:", "nothing stands after 'op:'; for example op:Conv2d"),
        ("op:conv2d", "there is no operation 'conv2d'; did you mean op:Conv2d?"),
        ("op:Nonsense", "there is no operation 'Nonsense'"),
        ("op:Nope", "there is no operation 'Nope'; the stops show what runs"),  # and no _Node is named
        ("conv2d", "did you mean op:Conv2d?"),
        ("modd:conv1", "did you mean mod:features"),
        ("phase:back", "there is no phase 'back': fwd, bwd or update"),
        ("shape:3,x", r"a shape is numbers and \* with commas"),
        ("grad>big", "'big' is no number, as in grad>1e3"),
        ("nan if x[", r"the condition `x\[` is no expression"),
        ("train.py:x", "'train.py:x' is no SPEC"),
    ],
)
def test_a_wrong_spec_gives_one_line_of_help(text, help):
    with pytest.raises(SpecError, match=help) as caught:
        Spec(text)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- Stepper


def test_there_and_back():
    with Stepper(lenet_step()) as stepper:
        assert stepper.current is None
        first = stepper.step()
        assert (first.kind, first.operation) == ("enter", "LeNet5")
        conv = stepper.run_until("op:Conv2d")
        assert conv.path == "conv1"
        after = stepper.step()
        assert after.kind == "after"
        y = stepper.values["y"].array.copy()
        assert stepper.back() is conv
        assert "y" not in stepper.values
        assert len(stepper.tape) == after.number + 1  # nothing ran
        assert stepper.step() is after
        assert numpy.array_equal(stepper.values["y"].array, y)
        assert stepper.back(100) is None
        assert stepper.position == 0
        assert stepper.go_to(after.number) is after
        backward = stepper.run_until("phase:bwd")
        assert backward.incoming[0].array.tolist() == 1.0
        assert stepper.back_until("op:Linear").path == "fc3"


def test_next_and_finish_respect_modules():
    with Stepper(lenet_step()) as stepper:
        stepper.run_until("mod:conv1")
        assert (stepper.current.kind, stepper.current.path) == ("enter", "conv1")
        event = stepper.next()
        assert (event.kind, event.path) == ("leave", "conv1")
        assert stepper.next().kind == "enter"
        stepper.step()
        event = stepper.finish()  # from within relu
        assert (event.kind, event.path) == ("leave", "relu")
        assert stepper.finish().operation == "LeNet5"
        stepper.run_until("phase:bwd op:Linear")
        assert stepper.current.path == "fc3"
        assert stepper.finish().path == "relu"  # backward has left fc3, with its parameters
        stepper.run_until("phase:update")
        assert stepper.next().kind == "leave"
        assert stepper.back_next().kind == "enter"


def test_breakpoints_and_conditions():
    with Stepper(lenet_step()) as stepper:
        number = stepper.break_at("op:Linear if x.shape[1] == 84")
        stepper.break_at("op:Conv2d", temporary=True)
        assert stepper.resume().path == "conv1"
        assert stepper.resume().path == "fc3"
        assert stepper.reason == "breakpoint 1: op:Linear if x.shape[1] == 84"
        stepper.clear(number)
        assert stepper.resume() is None
        assert stepper.finished
        assert stepper.current.phase == "update"


def test_a_condition_that_fails_stops_there():
    with Stepper(lenet_step()) as stepper:
        stepper.break_at("op:Linear if nothing_of_that_name")
        with pytest.warns(UserWarning, match="the condition `nothing_of_that_name` failed: NameError") as told:
            assert stepper.resume().path == "fc1"
        assert told[0].filename == __file__


def test_names_that_the_model_does_not_have_and_arrays_that_are_written_into():
    w = minidl.ones(3, requires_grad=True)

    def run():
        y = (w * 2).sum()
        w.data -= 1
        return y

    with Stepper(lenet_step()) as stepper:
        stepper.step()
        with pytest.raises(SpecError, match="did you mean mod:conv1"):
            stepper.run_until("mod:convolution1")
    with Stepper(run) as stepper:
        stepper.step()
        with pytest.warns(UserWarning, match=r"test_debug_stepper.py:\d+ writes into the array of a tensor itself"):
            stepper.resume()


def test_stepping_changes_no_result():
    plain = lenet_step()()
    with Stepper(lenet_step()) as stepper:
        steps = 0
        while stepper.step() is not None:
            steps += 1
        assert steps == len(stepper.tape) > 100
        assert stepper.result.item() == plain.item()
        assert stepper.step() is None


def test_closing_ends_the_function_where_it_stands():
    ended = []

    def run():
        try:
            x = minidl.ones(2)
            for _ in range(1000):
                x = x * 1.5
            ended.append("by itself")
        except Exception:
            ended.append("swallowed")
        finally:
            ended.append("cleanly")

    stepper = Stepper(run)
    stepper.step(5)
    stepper.close()
    assert ended == ["cleanly"]
    assert len(stepper.tape) == 5
    assert stepper.step() is None
    assert not minidl.events.observers
    Stepper(run).close()  # before its first step
    assert ended == ["cleanly"]
    assert not [t for t in threading.enumerate() if t.name == "minidl.Stepper"]


def test_a_stepper_that_is_forgotten_ends_its_thread():
    stepper = Stepper(lenet_step())
    stepper.step(3)
    thread = stepper._thread
    del stepper
    thread.join(5)
    assert not thread.is_alive()


def test_an_exception_comes_out_of_the_step_that_met_it():
    def run():
        x = minidl.ones(2) * 2
        return x.reshape(7)

    with Stepper(run) as stepper:
        stepper.step(2)
        with pytest.raises(RuntimeError, match="reshape"):
            stepper.step()
        assert stepper.finished
        assert stepper.current.operation == "Mul"
        assert stepper.back().kind == "before"


def test_gradients_are_off_in_the_function_where_they_are_off_outside():
    with minidl.no_grad():
        stepper = Stepper(lambda: minidl.ones(2, requires_grad=True) * 2)
    stepper.resume()
    assert not stepper.result.requires_grad
    stepper.close()


def test_what_the_caller_computes_meanwhile_is_not_on_the_tape():
    with Stepper(lambda: minidl.ones(2) * 2) as stepper:
        stepper.step()
        minidl.ones(3) + 1
        stepper.resume()
        assert [e.operation for e in stepper.tape] == ["Mul", "Mul"]


def test_an_event_that_there_is_not():
    with Stepper(lenet_step()) as stepper:
        stepper.step(3)
        assert stepper.go_to(-1).number == 2
        with pytest.raises(IndexError, match="there is no event 99: the tape has 3 so far"):
            stepper.go_to(99)


def test_a_stop_in_words():
    with Stepper(lenet_step()) as stepper:
        assert str(stepper) == "before the first event"
        stepper.run_until("op:ReLU phase:bwd")
        stepper.step()
        text = str(stepper)
    assert "backward  after ReLU   in relu" in text
    assert "dx = dy [x > 0]" in text
    assert "gy f32[2,84]" in text
    assert "loss = loss_fn(model(x), labels)  # forward" in text


def test_time_spent_looking_is_not_the_computations():
    with Stepper(lambda: nn.ReLU()(minidl.ones(2))) as stepper:
        stepper.step(2)  # inside of the module
        time.sleep(0.3)
        stepper.resume()
        assert stepper.tape[-1].kind == "leave"
        assert stepper.tape[-1].seconds < 0.2


# ------------------------------------------------------------------------------------------------------------- diff


def test_the_same_run_twice_does_not_part(tape):
    assert diff(tape, trace(lenet_step())) is None
    assert diff(tape, trace(lenet_step(), record="stats")) is None


def test_another_seed_parts_at_what_comes_in(tape):
    parted = diff(tape, trace(lenet_step(seed=1)))
    assert parted.left.operation == "LeNet5"
    assert parted.reason.startswith("x differs in")
    assert parted.left.number == parted.right.number == 0


def test_a_changed_weight_parts_at_its_layer(tape):
    def change(model):
        model.fc2.weight.data[3, 5] += 0.01

    parted = diff(tape, trace(lenet_step(change=change)))
    assert (parted.left.path, parted.left.kind) == ("fc2", "before")
    assert parted.reason.startswith("weight differs in 1 of 10080 elements, most at [3,5]")
    assert "lenet.py" in str(parted) or "test_debug_stepper.py" in str(parted)


def test_a_wrong_backward_parts_at_its_node(monkeypatch, tape):
    right = minidl.ops.ReLU.backward
    monkeypatch.setattr(minidl.ops.ReLU, "backward", lambda self, gy: right(self, gy) * 1.01)
    parted = diff(tape, trace(lenet_step()))
    assert (parted.left.phase, parted.left.kind, parted.left.operation) == ("backward", "after", "ReLU")
    assert parted.reason.startswith("gx differs")


def test_other_operations_and_shapes_part():
    x = minidl.ones(2, 3)
    plus, times = trace(lambda: x + 1), trace(lambda: x * 1)
    assert diff(plus, times).reason == "another operation, Add and Mul"
    longer = trace(lambda: (x + 1) * 2)
    assert diff(plus, longer).reason == "one of them goes on"
    assert diff(plus, longer).left is None
    y = minidl.ones(2, 4)
    assert diff(plus, trace(lambda: y + 1)).reason == "a is f32[2,3] and f32[2,4]"


def test_nan_in_both_is_the_same_and_in_one_is_not():
    bad, good = minidl.tensor([1.0, float("nan")]), minidl.tensor([1.0, 2.0])
    assert diff(trace(lambda: bad * 2), trace(lambda: bad * 2)) is None
    assert "differs in 1 of 2 elements, most at [1]" in diff(trace(lambda: bad * 2), trace(lambda: good * 2)).reason

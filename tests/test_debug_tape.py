"""The tape: every tensor as it was, within a budget of memory; and what is known of an array at a glance."""

import gc
import inspect
import math
import os
import subprocess
import sys
import sysconfig
import threading
import weakref
from pathlib import Path

import numpy
import pytest

import minidl
import minidl.debug
from architectures.lenet import lenet5
from minidl import events, nn, optim
from minidl.debug import Value, check, statistics, trace
from minidl.debug.lines import tensor_line
from minidl.source import is_users


def lenet_step(steps=1, seed=0):
    """A function that trains LeNet-5 for some steps, everything in it changed in place; and the model."""
    minidl.manual_seed(seed)
    model = lenet5()
    x, labels = minidl.randn(4, 1, 32, 32), minidl.tensor([1, 2, 3, 4])
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()

    def run():
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=False)
            loss = loss_fn(model(x), labels)
            loss.backward()
            optimizer.step()
        return loss

    return run, model


def test_the_events_of_a_small_computation():
    layer = nn.Linear(2, 1)

    def run():
        layer(minidl.ones(3, 2)).sum().backward()

    tape = trace(run)
    assert [(e.phase, e.kind, e.operation) for e in tape] == [
        ("forward", "enter", "Linear"),
        ("forward", "before", "Linear"),
        ("forward", "after", "Linear"),
        ("forward", "leave", "Linear"),
        ("forward", "before", "Sum"),
        ("forward", "after", "Sum"),
        ("backward", "before", "Sum"),
        ("backward", "after", "Sum"),
        ("backward", "before", "Linear"),
        ("backward", "after", "Linear"),
        ("backward", "accumulate", "AccumulateGrad"),
        ("backward", "accumulate", "AccumulateGrad"),
    ]
    assert [e.number for e in tape] == list(range(len(tape)))
    before, after = tape[1], tape[2]
    assert before.names == ("x", "weight", "bias")
    assert list(before.values) == ["x", "weight", "bias"]
    assert "y" in after.values
    assert after.values["weight"].name == "weight"
    back = tape[9]
    assert {"gy", "gx", "gweight", "gbias"} - set(back.values) == {"gx"}  # the input needed none
    assert back.values["gweight"].array.tolist() == [[3.0, 3.0]]
    assert [e.kind for e in tape.of_call(after.call)] == ["before", "after", "before", "after"]
    assert tape.other(after, "backward", "before") is tape[8]
    assert tape.producer(tape[4].values["x"]) is after
    assert tape.consumers(after.values["y"]) == [tape[4]]
    assert {e.parameter for e in tape if e.kind == "accumulate"} == {"weight", "bias"}
    assert after.seconds > 0
    assert after.bytes == 12
    assert tape[5].level == 0
    assert before.level == 1


class EveryArray(events.Observer):
    """The reference: a copy of every array at every event, made at once."""

    def __init__(self):
        self.copies = []

    def note(self, *arrays):
        self.copies.append([array.copy() for array in arrays])

    def before_forward(self, node, inputs, options):
        self.note(*[x.data for x in inputs if isinstance(x, minidl.Tensor)])

    def after_forward(self, node, inputs, outputs):
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        self.note(*[y.data for y in outputs])

    def before_backward(self, node, grad_outputs):
        if not node.keeps_gradient:
            self.note(*grad_outputs)

    def after_backward(self, node, grad_inputs):
        if node.keeps_gradient:
            self.note(node.variable.grad.data)
        else:
            self.note(*[g for g in grad_inputs if g is not None])

    def before_update(self, optimizer, param):
        self.note(param.data, param.grad.data)

    def after_update(self, optimizer, param):
        self.note(param.data)


def recorded(event):
    """What EveryArray notes at this event."""
    if event.kind in ("enter", "leave") or event.operation == "zero_grad":
        return None
    if event.phase == "update":
        return event.inputs[:2] if event.kind == "before" else event.outputs[:1]
    if event.phase == "forward":
        return event.inputs if event.kind == "before" else event.outputs
    return event.incoming if event.kind == "before" else event.produced


def test_all_tensors_are_as_they_were_although_much_was_changed_in_place():
    run, _ = lenet_step(steps=3)
    reference = EveryArray()
    with events.observing(reference):
        tape = trace(run)
    kept = [[v for v in values if isinstance(v, Value)] for e in tape if (values := recorded(e)) is not None]
    assert len(kept) == len(reference.copies)
    for values, copies in zip(kept, reference.copies, strict=True):
        assert len(values) == len(copies)
        for value, copy in zip(values, copies, strict=True):
            assert numpy.array_equal(value.array, copy)
    updates = [e for e in tape if e.phase == "update" and e.kind == "after" and e.parameter == "conv1.weight"]
    assert len(updates) == 3
    for event in updates:
        assert not numpy.array_equal(event.values["param"].array, event.values["new_param"].array)


def test_large_memory_is_not_used_again_while_the_tape_holds_it():
    x = minidl.randn(1 << 17)  # what minidl recycles is larger than that of the C library
    seen = []

    def run():
        y = x
        for i in range(6):
            y = (y * (i + 2)).relu()
            seen.append(y.data.copy())

    tape = trace(run)
    made = [e.values["y"] for e in tape if e.operation == "ReLU" and e.kind == "after"]
    assert all(numpy.array_equal(value.array, copy) for value, copy in zip(made, seen, strict=True))


def test_in_place_relu_leaves_the_input_on_the_tape():
    x = minidl.tensor([-1.0, 2.0])
    tape = trace(lambda: x.relu_())
    assert tape[0].values["x"].array.tolist() == [-1.0, 2.0]
    assert tape[1].values["x"].array.tolist() == [-1.0, 2.0]
    assert tape[1].values["y"].array.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("record", ["full", "stats"])
def test_what_nobody_is_told_of_beforehand_is_noticed_where_it_happens(record):
    x = minidl.ones(3)

    def run():
        y = x * 2
        x.data -= 1
        return y + x * 3

    tape = trace(run, record=record)
    before, after = tape[0].values["a"], tape[2].values["a"]
    assert before is not after
    assert after.statistics.max == 0
    assert not after.overwritten
    if record == "full":  # else the statistics of that time are there, and true
        line = run.__code__.co_firstlineno + 2
        assert before.overwritten == f"test_debug_tape.py:{line}"
        assert f"(overwritten in test_debug_tape.py:{line})" in tensor_line("a", before)
    else:
        assert before.statistics.max == 1
        assert not before.overwritten
    assert not tape[1].values["y"].overwritten


class FailsForward(minidl.Function):
    def forward(self, x):
        raise KeyError("forward")


class FailsBackward(minidl.Function):
    def forward(self, x):
        return x * 1

    def backward(self, grad_output):
        raise KeyError("backward")


def test_what_comes_after_a_caught_exception_does_not_stand_in_what_raised_it():
    x = minidl.ones(2, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.1)
    optimizer.update = None  # not callable: the step fails

    def run():
        x.grad = minidl.ones(2)
        failing = (
            lambda: minidl.apply(FailsForward, x),
            lambda: minidl.apply(FailsBackward, x).sum().backward(),
            optimizer.step,
        )
        for fails in failing:
            with pytest.raises((KeyError, TypeError)):
                fails()
            x.exp()

    tape = trace(run)
    after = [event for event in tape if event.operation == "Exp"]
    assert [(event.within, event.level) for event in after] == [(None, 0)] * 6


def test_beyond_the_budget_the_oldest_arrays_go_and_their_statistics_stay():
    x = minidl.ones(1000)

    def run():
        y = x
        for _ in range(50):
            y = y * 2.0

    tape = trace(run, budget=40_000)
    made = [e.values["y"] for e in tape if e.kind == "after"]
    assert made[0].array is None
    assert made[0].statistics.mean == 2.0
    assert made[-1].array is not None
    assert tape.kept <= 40_000
    assert tape.dropped == sum(value.array is None for value in tape.values) >= 40


def test_beyond_the_budget_what_operations_have_saved_goes_too():
    w, saved = minidl.ones(1000, requires_grad=True), []

    def run():
        for _ in range(20):  # an evaluation: nobody goes backward
            y = (w * 2.0).exp()
            saved.append(weakref.ref(y.data))

    tape = trace(run, budget=20_000)
    gc.collect()
    assert sum(array() is not None for array in saved) <= 5
    first, last = tape[3], tape[-1]
    assert first.operation == last.operation == "Exp"
    assert first.node is None and last.node is not None
    with pytest.raises(ValueError, match="the tape has not kept this Exp"):
        check(first)


@pytest.mark.parametrize("record", ["meta", "stats"])
def test_without_arrays_the_tape_keeps_nothing_alive(record):
    arrays = []

    def run():
        y = minidl.randn(300, requires_grad=True) * 2
        arrays.append(weakref.ref(y.data))
        y.sum().backward()

    tape = trace(run, record=record)
    gc.collect()
    assert arrays[0]() is None
    value = tape[1].values["y"]
    assert value.array is None
    assert value.shape == (300,)
    assert (value.statistics is None) == (record == "meta")


def test_statistics_are_those_of_the_arrays():
    run, _ = lenet_step(steps=2)
    full = trace(run)
    run, _ = lenet_step(steps=2)
    stats = trace(run, record="stats")
    assert len(full) == len(stats)
    for mine, theirs in zip(full.values, stats.values, strict=True):
        a, b = mine.statistics, theirs.statistics
        assert (a.size, a.min, a.max, a.zeros) == (b.size, b.min, b.max, b.zeros)
        assert (a.mean, a.std) == pytest.approx((b.mean, b.std), rel=1e-4, abs=1e-9)


def test_a_traced_step_computes_what_a_plain_one_does():
    run, model = lenet_step(steps=2)
    plain_loss = run()
    plain = [p.data.copy() for p in model.parameters()]
    run, model = lenet_step(steps=2)
    tape = trace(run)
    assert tape.result.item() == plain_loss.item()
    assert all(numpy.array_equal(p.data, q) for p, q in zip(model.parameters(), plain, strict=True))


def test_paths_are_those_of_the_model_and_a_loss_has_its_own():
    run, model = lenet_step()
    tape = trace(run)
    assert tape.model is model
    forward = [(e.operation, e.path) for e in tape if e.phase == "forward" and e.kind == "before"]
    assert forward[0] == ("Conv2d", "conv1")
    assert forward[-1] == ("CrossEntropy", "CrossEntropyLoss")
    backward = [(e.operation, e.path) for e in tape if e.phase == "backward" and e.kind == "before"]
    assert backward == forward[::-1]


def test_a_model_that_is_given_has_the_names():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    tape = trace(lambda: model[0](minidl.ones(1, 2)), model)
    assert [e.path for e in tape if e.kind == "enter"] == ["0", "0.0", "0.1"]
    assert tape[2].values["weight"].name == "0.0.weight"


def test_the_line_is_the_users():
    def run():
        return minidl.ones(2) * 3  # this line

    (before, _) = trace(run)
    assert before.source.file == __file__
    assert before.source.text.endswith("# this line")
    assert before.source.function == "run"
    x = minidl.ones(2, requires_grad=True)
    accumulated = trace(lambda: (x * 3).sum().backward())[-1]
    assert accumulated.kind == "accumulate"
    assert accumulated.source.text.startswith("accumulated = trace(")
    model = lenet5()
    tape = trace(lambda: model(minidl.zeros(1, 1, 32, 32)))
    conv = next(e for e in tape if e.operation == "Conv2d" and e.kind == "before")
    assert conv.source.file == __file__  # the nearest that is not of architectures/
    assert conv.stack[0].name.startswith("lenet.py:")


def test_whose_a_file_is():
    assert is_users(__file__) and is_users("<stdin>")
    assert is_users(str(Path(minidl.__file__).parents[1] / "architectures" / "lenet.py"))
    assert not is_users(minidl.__file__) and not is_users(inspect.__file__)
    assert not is_users(str(Path(sysconfig.get_path("scripts"), "minidl")))  # the command itself


def test_operations_inside_of_others_say_so():
    class Double(minidl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * 2

    x = minidl.ones(2, requires_grad=True)
    tape = trace(lambda: Double.apply(x).sum().backward())
    inner = [e for e in tape if e.operation == "Mul" and e.kind == "before"]
    assert [tape[e.within].operation for e in inner] == ["Double", "Double"]
    assert [tape[e.within].phase for e in inner] == ["forward", "backward"]
    assert tape[0].operation == "Double"
    assert tape[0].names == ("x",)


def test_an_exception_has_the_tape_of_what_came_before_it():
    def run():
        y = minidl.ones(2) * 3
        return y.reshape(5)

    with pytest.raises(RuntimeError) as caught:
        trace(run)
    assert [e.operation for e in caught.value.tape] == ["Mul", "Mul"]
    assert not events.observers


def test_what_other_threads_compute_is_not_on_the_tape():
    def run():
        thread = threading.Thread(target=lambda: minidl.ones(2) * 5)
        thread.start()
        thread.join()
        return minidl.ones(2) + 1

    assert [e.operation for e in trace(run)] == ["Add", "Add"]


def test_tapes_steppers_and_differences_in_words():
    w = minidl.ones(2, requires_grad=True)
    tape = trace(lambda: (w * 3).sum().backward())
    assert repr(tape) == "<Tape: 4 events forward, 5 events backward>"
    assert repr(trace(lambda: None)) == "<Tape: no events>"
    with minidl.debug.Stepper(lambda: w * 3) as stepper:
        assert repr(stepper) == "<Stepper at nothing yet>"
        stepper.step()
        assert repr(stepper) == "<Stepper at <Event 0: forward, before Mul>>"
    parted = minidl.debug.diff(tape, trace(lambda: w * 4))
    assert repr(parted) == str(parted)
    assert repr(parted).startswith("the runs part here: ")


def test_the_debugger_is_imported_when_it_is_first_asked_for():
    code = """
import sys, minidl
assert "minidl.debug" not in sys.modules and "debug" in dir(minidl)
assert minidl.debug.step is sys.modules["minidl.debug"].step
from minidl import debug
assert debug is minidl.debug
minidl.Tenser
"""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": str(root)}
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("AttributeError: module 'minidl' has no attribute 'Tenser'")
    assert sys.version_info >= (3, 12) or last.endswith("Did you mean: 'Tensor'?")


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: trace(x.sum()), "trace(): expected a function, which is called here"),
        (lambda x: minidl.debug.Stepper(x), "Stepper(): expected a function"),
        (lambda x: trace(lambda: x, x), "the model is a module, or is left out"),
        (lambda x: minidl.debug.step(x).__enter__(), "the model is a module, or is left out"),
        (lambda x: minidl.debug.diff(trace(lambda: x), x), "diff(): expected two tapes"),
    ],
)
def test_what_is_given_in_the_wrong_place_is_said(call, words):
    with pytest.raises(TypeError) as error:
        call(minidl.ones(2))
    assert words in str(error.value)


def test_an_unknown_record():
    with pytest.raises(ValueError, match="there is no record 'all'"):
        trace(lambda: None, record="all")


# ----------------------------------------------------------------------------------------------------- statistics


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (300, 401)])
def test_statistics_against_numpy(dtype, shape):
    draws = numpy.asarray(numpy.random.default_rng(0).standard_normal(shape) * 3)
    array = (
        (draws > 0) if dtype == "bool" else numpy.abs(draws).astype(dtype) if "int" in dtype else draws.astype(dtype)
    )
    known, wide = statistics(array), array.astype("float64")
    assert known.size == array.size
    assert (known.min, known.max) == (wide.min(), wide.max())
    assert known.mean == pytest.approx(wide.mean(), rel=1e-3, abs=1e-5)
    assert known.std == pytest.approx(wide.std(), rel=1e-3, abs=1e-5)
    assert known.zeros == int((array == 0).sum())
    assert known.is_finite
    assert sum(known.histogram) == known.sample.size


def test_statistics_of_what_is_not_finite():
    array = numpy.array([1.0, numpy.nan, -3.0, numpy.inf, -numpy.inf, 0.0], "float32")
    known = statistics(array)
    assert (known.nans, known.infs, known.zeros, known.size) == (1, 2, 1, 6)
    assert (known.min, known.max, known.mean) == (-3.0, 1.0, pytest.approx(-2 / 3))
    assert not known.is_finite
    assert math.isnan(known.largest)
    nothing = statistics(numpy.full(3, numpy.nan, "float32"))
    assert nothing.nans == 3
    assert math.isnan(nothing.min)
    assert sum(nothing.histogram) == 0
    assert statistics(numpy.zeros((0, 4), "float32")).size == 0


def test_the_deviation_survives_a_large_mean_and_large_numbers():
    draws = numpy.random.default_rng(0).standard_normal(100_000)
    assert statistics((draws + 1e4).astype("float32")).std == pytest.approx(1.0, rel=1e-2)
    assert statistics((draws * 1e30).astype("float32")).std == pytest.approx(1e30, rel=1e-2)


def test_a_nan_is_seen_wherever_it_is():
    for place in (0, 70_000, 199_999):
        array = numpy.ones(200_000, "float32")
        array[place] = numpy.nan
        assert statistics(array).nans == 1
        assert statistics(array.reshape(400, 500).T).nans == 1

"""The benchmark harness: it asks in turn, its ratios and tables are right, failures speak; and training leaks nothing.

Nothing here depends on how long something took.
"""

import importlib.util
import subprocess
import sys

import pytest

import minidl
from minidl import buffers, events, parallel
from tests.benchmarks import debugger, memory, networks, operations, scaling
from tests.benchmarks.plots import Bars, ratio_figure, scaling_figure
from tests.benchmarks.resident import memory as resident
from tests.benchmarks.table import markdown, milliseconds
from tests.benchmarks.turns import ROOT, Timing, Worker, WorkerError, in_turn
from tests.benchmarks.unheard import Deaf, cut_source

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
TINY = networks.Network("lenet5", "lenet", "LeNet-5", 2, (1, 32, 32), 10)


class Recorded:
    """Stands in for a worker: writes down when it is asked, and answers from a list."""

    def __init__(self, name, seconds, asked):
        self.name, self.seconds, self.asked = name, iter(seconds), asked

    def warm_up(self, seconds):
        return 0.01

    def time(self, repeats):
        self.asked.append((self.name, repeats))
        return next(self.seconds)


def test_turns_alternate_and_ratios_are_of_neighbours(monkeypatch):
    monkeypatch.setattr("tests.benchmarks.turns.SETTLE", 0)
    asked = []
    timing = in_turn([Recorded("a", [1, 10, 3], asked), Recorded("b", [2, 5, 4], asked)], rounds=3, turn=0.045)
    assert asked == [(name, 5) for name in "abbaab"]
    assert timing.rounds == ((1, 2), (10, 5), (3, 4))
    assert timing.medians == (3, 4)
    assert timing.ratios == (0.75,)  # the median of 1/2, 10/5 and 3/4


def test_the_tables():
    rows = [
        networks.Row(networks.NETWORKS[name], mode, Timing(((ours, 0.02),)))
        for name, mode, ours in (
            ("lenet5", "train", 0.01),
            ("lenet5", "infer", 0.02),
            ("vgg16", "train", 0.04),
            ("vgg16", "infer", 0.08),
        )
    ]
    lines = networks.table(rows).splitlines()
    assert lines[2] == "| LeNet-5, 128 | 10.0 | 20.0 | 0.50 | 20.0 | 20.0 | 1.00 |"
    assert lines[4].split("|")[4].strip() == "**1.00**"  # the root of 0.5 * 2
    assert lines[4].split("|")[7].strip() == "**2.00**"
    assert lines[5].split("|")[7].strip() == "**4.00**"
    assert len({line.count("|") for line in lines}) == 1
    sizes = memory.Row(TINY, memory.Use(10_000_000, 40_000_000), memory.Use(60_000_000, 80_000_000))
    assert memory.table([sizes]).splitlines()[2] == "| LeNet-5, 2 | 40 | 80 | 0.50 | 30 | 20 | 1.50 |"
    step = operations.Row("SGD step", Timing(((0.001, 0.002),)), None)
    assert operations.table([step]).splitlines()[2] == "| SGD step | 1.00 | 2.00 | 0.50 |  |  |  |"
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00001234, "0.0123"), (0.0001234, "0.123"), (0.01234, "12.3"), (1.2344, "1,234")]
)
def test_milliseconds(seconds, text):
    assert milliseconds(seconds) == text


def test_a_straight_line_is_found():
    line = scaling.Line("t", "n", (10, 20, 40), tuple(Timing(((2 * n, n**2),)) for n in (10, 20, 40)))
    slope, fixed = line.fit(0)
    assert (slope, fixed, line.exponent(0)) == pytest.approx((2, 0, 1), abs=1e-9)
    assert line.exponent(1) == pytest.approx(2)
    assert len(scaling_figure([line, line], "note").axes) == 2


def test_a_bar_starts_at_1():
    figure = ratio_figure([Bars("x", (0.5, 4.0)), Bars("y", (2.0, None))], ("a", "b"), "title", "less", "more", "note")
    ends = [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in figure.axes[0].patches]
    assert ends == [[0.5, 1], [1, 4], [1, 2]]


def test_operations_are_chosen_by_group_or_word():
    assert all("pool" in title for title in operations.chosen(["pool"]))
    assert operations.chosen(["optimizer"]) == list(operations.OPTIMIZERS)
    assert len(operations.chosen([])) == len(operations.CASES) + len(operations.OPTIMIZERS)
    assert not operations.chosen(["nothing of the kind"])


def test_a_worker_says_what_went_wrong():
    with pytest.raises(WorkerError, match="No module named 'no_such_library'"):
        Worker("no_such_library")
    with Worker("minidl") as worker:
        with pytest.raises(WorkerError, match="no attribute 'nothing'"):
            worker.build("tests.benchmarks.subjects:nothing")
        with pytest.raises(WorkerError, match="conv2d"):  # a wrong size; and the worker is still there
            worker.build(networks.SUBJECTS["train"], stem="lenet", network="lenet5", shape=[2, 3, 32, 32], classes=10)
            worker.call()
        worker.build(networks.SUBJECTS["infer"], **TINY.arguments())
        assert worker.call() > 0
        worker.process.kill()
        with pytest.raises(WorkerError, match="ended with exit code"):
            worker.call()


@needs_torch
@pytest.mark.torch
def test_both_libraries_compute_the_same(monkeypatch):
    """The whole way of a comparison, with a small batch: same weights, same loss, and the loss falls."""
    monkeypatch.setattr("tests.benchmarks.turns.SETTLE", 0)
    with Worker("minidl") as ours, Worker("torch") as theirs:
        losses = []
        for worker in (ours, theirs):
            worker.build(networks.SUBJECTS["train"], **TINY.arguments())
            losses.append([worker.call() for _ in range(3)])
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        assert losses[0][0] > losses[0][2]
        timing = in_turn([ours, theirs], rounds=2, turn=0.001)
        assert len(timing.rounds) == 2
        assert all(seconds > 0 for times in timing.rounds for seconds in times)
        title = operations.chosen(["linear, 400"])[0]
        for worker in (ours, theirs):
            for backward in (False, True):
                worker.build(f"{operations.MODULE}:operation", title=title, backward=backward)
                worker.call()


@pytest.mark.skipif(resident() is None, reason="this system does not say how much memory a process holds")
def test_training_leaks_nothing():
    """LeNet-5, from train step 50 to step 500. The output of its first convolution, kept each time, would be 68 MB."""
    assert memory.growth(batch=8) < 4_000_000


@pytest.mark.skipif(resident() is None, reason="this system does not say how much memory a process holds")
def test_threads_and_recycled_memory_leak_nothing():
    """The same with limits so low that threads and recycled memory serve its small arrays too."""
    assert memory.growth(batch=8, subject="tests.test_benchmarks:step_with_low_limits") < 4_000_000


def step_with_low_limits(library, **arguments):
    buffers.WORTH_KEEPING, parallel.LARGE = 1 << 12, 1 << 12
    return networks_subject("train")(library, **arguments)


@pytest.mark.skipif(resident() is None, reason="this system does not say how much memory a process holds")
def test_a_leak_is_seen():
    assert memory.growth(batch=8, steps=300, subject="tests.test_benchmarks:leaking_step") > 4_000_000


def leaking_step(library, **arguments):
    """A train step that keeps 40 kB each time: less than the graph that `losses.append(loss)` would keep."""
    step = networks_subject("train")(library, **arguments)
    kept = []

    def leak():
        kept.append(library.ones(10_000))
        return step()

    return leak


def networks_subject(mode):
    module, function = networks.SUBJECTS[mode].split(":")
    return getattr(importlib.import_module(module), function)


def test_the_question_whether_somebody_listens_is_cut_out_and_put_back():
    text = """
def ask(observers, before_change, events, done=()):
    if observers:
        done += "asked",
    for observer in observers:
        done += "told",
    before_change()
    if done:
        done += "other",
    return done

def walk(events):
    if events:
        yield 1
"""
    code, count = cut_source(text)
    assert count == 4
    names = {}
    exec(code, names)
    assert names["ask"]([1], None, None) == ()
    assert list(names["walk"]([1])) == []  # and still a generator

    step = networks_subject("train")(minidl, **TINY.arguments())
    told = Told()
    deaf = Deaf()
    assert deaf.places > 20
    with events.observing(told):
        for cut in (True, False):
            deaf.cut(cut)
            try:
                step()
            finally:
                deaf.cut(False)
            assert bool(told.count) is not cut


class Told(events.Observer):
    count = 0

    def after_forward(self, *event):
        self.count += 1

    def after_backward(self, *event):
        self.count += 1

    def enter_module(self, *event):
        self.count += 1

    def before_change(self, *event):
        self.count += 1

    def after_step(self, *event):
        self.count += 1


def test_what_the_debugger_costs(monkeypatch):
    """Every row; not how much."""
    monkeypatch.setattr("tests.benchmarks.turns.SETTLE", 0)
    rows = list(debugger.watched(networks_subject("train")(minidl, **TINY.arguments()), pairs=1, turn=0))
    rows.append(debugger.unheard("nobody", lambda: None, Deaf(), pairs=1, turn=0))
    text = debugger.table(rows)
    for words in ('record="stats"', "< 1.5", "lint()", "detect_anomaly()", "| nobody |", "< 1.01"):
        assert words in text
    assert not events.observers


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["networks", "--only", "nonet"], "invalid choice: 'nonet'"),
        (["operations", "--only", "nothing"], "groups are conv, pool"),
        (["dance"], "unrecognized arguments: dance"),
    ],
)
def test_wrong_options(arguments, words):
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr

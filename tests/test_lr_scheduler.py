"""Schedules of the learning rate: by hand, step for step against PyTorch, and stopped and continued."""

import copy
import importlib
import importlib.util
import json
import math
import warnings

import numpy
import pytest

import minidl
from minidl import optim
from minidl.optim import lr_scheduler

torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


def optimizer_of(library, kind="SGD", **options):
    """An optimizer of two groups, with rates 1 and 10, whose step can be taken."""
    a, b = (library.ones(1, requires_grad=True) for _ in range(2))
    a.grad, b.grad = library.ones(1), library.ones(1)
    return getattr(library.optim, kind)([{"params": [a]}, {"params": [b], "lr": 10.0}], lr=1.0, **options)


def rates(scheduler, count):
    """The rates of the first group over `count` epochs."""
    seen = []
    for _ in range(count):
        seen.append(scheduler.get_last_lr()[0])
        assert [group["lr"] for group in scheduler.optimizer.param_groups] == scheduler.get_last_lr()
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def half(epoch):
    return 1 / (1 + epoch)


# name, options, the rates of the first epochs, worked out by hand
BY_HAND = [
    ("StepLR", {"step_size": 2}, [1, 1, 0.1, 0.1, 0.01]),
    ("StepLR", {"step_size": 3, "gamma": 0.5}, [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
    ("MultiStepLR", {"milestones": [4, 1]}, [1, 0.1, 0.1, 0.1, 0.01, 0.01]),
    ("MultiStepLR", {"milestones": [2, 2, 3], "gamma": 0.5}, [1, 1, 0.25, 0.125, 0.125]),
    ("ExponentialLR", {"gamma": 0.5}, [1, 0.5, 0.25, 0.125]),
    ("CosineAnnealingLR", {"T_max": 4}, [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0]),
    ("CosineAnnealingLR", {"T_max": 2, "eta_min": 0.5}, [1, 0.75, 0.5, 0.75, 1, 0.75]),
    ("LinearLR", {"start_factor": 0.25, "total_iters": 3}, [0.25, 0.5, 0.75, 1, 1, 1]),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 4}, [1, 0.75, 0.5, 0.25, 0, 0]),
    ("LambdaLR", {"lr_lambda": half}, [1, 1 / 2, 1 / 3, 1 / 4]),
    (
        "OneCycleLR",
        {"max_lr": 1.0, "total_steps": 5, "pct_start": 0.6, "div_factor": 2},
        [0.5, 0.75, 1, 0.500025, 5e-5],
    ),
    (
        "OneCycleLR",
        {"max_lr": 1.0, "epochs": 3, "steps_per_epoch": 2, "pct_start": 0.5, "anneal_strategy": "linear"},
        [0.04, 0.52, 1, 1 - (1 - 4e-6) / 3, 1 - 2 * (1 - 4e-6) / 3, 4e-6],
    ),
]
FURTHER = [
    ("LambdaLR", {"lr_lambda": [half, lambda epoch: 0.9**epoch]}),
    ("OneCycleLR", {"max_lr": [2.0, 3.0], "total_steps": 20}),
    ("OneCycleLR", {"max_lr": 2.0, "total_steps": 19, "three_phase": True, "base_momentum": 0.5, "max_momentum": 0.7}),
    ("OneCycleLR", {"max_lr": 2.0, "total_steps": 19, "three_phase": True, "cycle_momentum": False}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
]


@pytest.mark.parametrize(("name", "options", "expected"), BY_HAND)
def test_by_hand(name, options, expected):
    scheduler = getattr(lr_scheduler, name)(optimizer_of(minidl, momentum=0.9), **options)
    assert rates(scheduler, len(expected)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.torch
@needs_torch
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), [each[:2] for each in BY_HAND] + FURTHER)
def test_as_pytorch(name, options, kind):
    extra = {"momentum": 0.9} if kind == "SGD" else {}
    ours, theirs = (
        getattr(library.optim.lr_scheduler, name)(optimizer_of(library, kind, **extra), **options)
        for library in (minidl, torch)
    )
    count = options.get("total_steps") or options.get("epochs", 15) * options.get("steps_per_epoch", 1)
    for _ in range(count):
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-9, abs=1e-12)
        for group, other in zip(ours.optimizer.param_groups, theirs.optimizer.param_groups, strict=True):
            assert {"lr", "initial_lr"} <= set(group)
            for key in {"lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr"} & set(group):
                assert group[key] == pytest.approx(other[key], rel=1e-9, abs=1e-12)
        for scheduler in (ours, theirs):
            scheduler.optimizer.step()
            scheduler.step()
    assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-9, abs=1e-12)  # one beyond the cycle


def warm_up(library, optimizer=None):
    """Three epochs up, four of a decay, then a schedule by milestones."""
    optimizer = optimizer or optimizer_of(library)
    schedules = library.optim.lr_scheduler
    parts = [
        schedules.LinearLR(optimizer, 0.5, total_iters=2),
        schedules.ExponentialLR(optimizer, 0.5),
        schedules.MultiStepLR(optimizer, [1, 3]),
    ]
    return schedules.SequentialLR(optimizer, parts, [3, 7])


def test_sequential():
    expected = [0.5, 0.75, 1, 1, 0.5, 0.25, 0.125, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates(warm_up(minidl), len(expected)) == pytest.approx(expected)


@pytest.mark.torch
@needs_torch
def test_sequential_as_pytorch():
    ours, theirs = warm_up(minidl), warm_up(torch)
    for _ in range(14):
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr())
        for scheduler in (ours, theirs):
            scheduler.optimizer.step()
            scheduler.step()


def test_sequential_in_sequential():
    optimizer = optimizer_of(minidl)
    inner = warm_up(minidl, optimizer)
    outer = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.ExponentialLR(optimizer, 0.1), inner], [2])
    assert rates(outer, 6) == pytest.approx([1, 0.1, 0.5, 0.75, 1, 1])


# name of the case, options, metrics, the rate after each of them
PLATEAUS = [
    ({"patience": 1}, [3, 3, 3, 3, 3], [1, 1, 0.1, 0.1, 0.01]),
    ({"patience": 0, "factor": 0.5}, [3, 2, 2.5, 1, 1], [1, 1, 0.5, 0.5, 0.25]),
    ({"patience": 0, "threshold": 0.1}, [10, 9.5, 8.5], [1, 0.1, 0.1]),  # 9.5 is not 10 % better
    ({"patience": 0, "threshold": 1, "threshold_mode": "abs"}, [10, 9.5, 8.5], [1, 0.1, 0.1]),
    ({"patience": 0, "mode": "max"}, [0.1, 0.2, 0.2, 0.3], [1, 1, 0.1, 0.1]),
    ({"patience": 0, "mode": "max", "threshold": 0.5}, [1, 1.4, 1.6], [1, 0.1, 0.1]),
    ({"patience": 0, "mode": "max", "threshold": 0.5, "threshold_mode": "abs"}, [1, 1.4, 1.6], [1, 0.1, 0.1]),
    ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1, 1, 1], [1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
    ({"patience": 0, "min_lr": 0.04}, [1, 1, 1, 1], [1, 0.1, 0.04, 0.04]),
    ({"patience": 0, "min_lr": [0.04, 2.0]}, [1, 1, 1, 1], [1, 0.1, 0.04, 0.04]),
    ({"patience": 0, "eps": 0.5}, [1, 1, 1, 1], [1, 0.1, 0.1, 0.1]),  # the second change would be one of 0.09
    ({"patience": 0}, [1, math.nan, 1], [1, 0.1, 0.01]),
]


@pytest.mark.parametrize(("options", "metrics", "expected"), PLATEAUS)
def test_plateau_by_hand(options, metrics, expected):
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer_of(minidl), **options)
    seen = []
    for metric in metrics:
        scheduler.step(metric)
        seen.append(scheduler.get_last_lr()[0])
    assert seen == pytest.approx(expected)


@pytest.mark.torch
@needs_torch
@pytest.mark.parametrize("options", [each[0] for each in PLATEAUS])
def test_plateau_as_pytorch(options):
    metrics = numpy.round(numpy.random.default_rng(0).standard_normal(40) + 3, 1)  # with repetitions
    ours, theirs = (
        library.optim.lr_scheduler.ReduceLROnPlateau(optimizer_of(library), **options) for library in (minidl, torch)
    )
    for metric in metrics:
        ours.step(minidl.tensor(metric))
        theirs.step(torch.tensor(metric))
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr())
        assert (ours.best, ours.num_bad_epochs, ours.cooldown_counter) == pytest.approx(
            (theirs.best, theirs.num_bad_epochs, theirs.cooldown_counter)
        )


# ---------------------------------------------------------------------------------------------- stopped and continued


class Decay:
    """A schedule with a state of its own."""

    def __init__(self):
        self.calls = 0

    def __call__(self, epoch):
        self.calls += 1
        return 0.5**self.calls


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 9])
@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: lr_scheduler.StepLR(optimizer, 3),
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 4, 0.1),
        lambda optimizer: lr_scheduler.LambdaLR(optimizer, [half, Decay()]),
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 3.0, 12),
        lambda optimizer: warm_up(minidl, optimizer),
        lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, cooldown=1),
    ],
    ids=["StepLR", "CosineAnnealingLR", "LambdaLR", "OneCycleLR", "SequentialLR", "ReduceLROnPlateau"],
)
def test_a_schedule_resumes(make, stop):
    """To the last bit, from a state that went through JSON, as in a checkpoint."""

    def epoch(scheduler):
        scheduler.optimizer.step()
        metrics = [1.0] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []
        scheduler.step(*metrics)
        return [{key: group[key] for key in ("lr", "momentum")} for group in scheduler.optimizer.param_groups]

    whole, part = (make(optimizer_of(minidl, momentum=0.9)) for _ in range(2))
    expected = [epoch(whole) for _ in range(10)]
    for _ in range(stop):
        epoch(part)
    resumed = make(optimizer_of(minidl, momentum=0.9))
    resumed.optimizer.load_state_dict(copy.deepcopy(part.optimizer.state_dict()))
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert resumed.get_last_lr() == part.get_last_lr()
    assert [epoch(resumed) for _ in range(stop, 10)] == expected[stop:]


def test_last_epoch_goes_on_from_there():
    optimizer = optimizer_of(minidl)
    with pytest.raises(KeyError, match="'initial_lr' is not specified in param_groups"):
        lr_scheduler.StepLR(optimizer, 2, last_epoch=3)
    for group in optimizer.param_groups:
        group["initial_lr"] = 1.0
    assert lr_scheduler.StepLR(optimizer, 2, last_epoch=3).get_last_lr() == pytest.approx([0.01, 0.01])


def test_a_schedule_of_ones_own():
    class Halves(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    assert rates(Halves(optimizer_of(minidl)), 3) == [1, 0.5, 0.25]
    with pytest.raises(NotImplementedError, match=r"LRScheduler\.get_lr"):
        lr_scheduler.LRScheduler(optimizer_of(minidl))


# ------------------------------------------------------------------------------------------------------- mistakes


def test_the_optimizer_steps_first():
    scheduler = lr_scheduler.StepLR(optimizer_of(minidl), 2)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("LambdaLR", {"lr_lambda": [half]}, "Expected 2 lr_lambdas, but got 1"),
        ("LinearLR", {"start_factor": 0}, "Starting multiplicative factor expected to be greater than 0"),
        ("LinearLR", {"end_factor": 1.5}, "Ending multiplicative factor expected to be between 0 and 1"),
        ("OneCycleLR", {"max_lr": 1.0}, "either total_steps OR"),
        ("OneCycleLR", {"max_lr": 1.0, "epochs": 2}, "either total_steps OR"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}, "Expected positive integer total_steps, but got 0"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 2}, "between 0 and 1 pct_start"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "s"}, "one of 'cos' or 'linear'"),
        ("OneCycleLR", {"max_lr": [1.0], "total_steps": 9}, "expected 2 values for max_lr, got 1"),
        ("SequentialLR", {"schedulers": [], "milestones": []}, "at least one scheduler"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "Factor should be < 1.0"),
        ("ReduceLROnPlateau", {"mode": "most"}, "mode most is unknown!"),
        ("ReduceLROnPlateau", {"threshold_mode": "ratio"}, "threshold mode ratio is unknown!"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, "expected 2 values for min_lr, got 1"),
    ],
)
def test_mistakes(name, options, words):
    with pytest.raises(ValueError, match=words):
        getattr(lr_scheduler, name)(optimizer_of(minidl, momentum=0.9), **options)


def test_mistakes_with_sequences():
    optimizer = optimizer_of(minidl)
    first = lr_scheduler.StepLR(optimizer, 2)
    with pytest.raises(ValueError, match="same optimizer, but number 1 has another one"):
        lr_scheduler.SequentialLR(optimizer, [first, lr_scheduler.StepLR(optimizer_of(minidl), 2)], [1])
    with pytest.raises(ValueError, match="one more than the number of milestone points"):
        lr_scheduler.SequentialLR(optimizer, [first], [1])
    with pytest.raises(ValueError, match="does not support ReduceLROnPlateau"):
        lr_scheduler.SequentialLR(optimizer, [first, lr_scheduler.ReduceLROnPlateau(optimizer)], [1])
    with pytest.raises(TypeError, match="number 1 is no scheduler"):
        lr_scheduler.SequentialLR(optimizer, [first, 0.1], [1])


def test_one_cycle_wants_momentum_and_ends():
    plain = optim.Adagrad([minidl.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        lr_scheduler.OneCycleLR(plain, 1.0, 9)
    scheduler = lr_scheduler.OneCycleLR(optimizer_of(minidl), 1.0, 4)
    rates(scheduler, 4)
    with pytest.raises(ValueError, match="Tried to step 5 times"):
        scheduler.step()


@pytest.mark.parametrize("name", ["StepLR", "LambdaLR", "OneCycleLR", "ReduceLROnPlateau"])
def test_an_optimizer_is_asked_for(name):
    with pytest.raises(TypeError, match="list is not an Optimizer"):
        getattr(lr_scheduler, name)([], 1.0)

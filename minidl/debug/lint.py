"""lint: warnings for mistakes that raise no exception, and only make a training worse.

    with minidl.debug.lint():
        train(model, ...)                 a few steps are enough, and an evaluation

The rules, each a class of lint_rules.py:

    StaleGradients    a step takes gradients that an earlier one has taken before: zero_grad() is missing
    SoftmaxTwice      cross-entropy on probabilities: it takes scores, and computes the softmax itself
    TrainMode         dropout, or batch norm's statistics of the batch, where nothing is learnt: eval() is missing
    NotInOptimizer    a parameter gets gradients, and no optimizer ever changes it
    BroadcastLoss     a prediction (N, 1) against a target (N,), in a loss: N * N differences
    DeadReLU          over 90 % of the units of a ReLU are 0 for every image
    FirstLoss         the first loss is far above log C, that of guessing among C classes

Each finds a sign of the mistake, and none can know what was meant: so they warn, at the user's line, once for each
place, and are on only where they are asked for.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from minidl.backend import is_array, on_device_of
from minidl.debug.lint_rules import RULES, Finding, Run
from minidl.events import Observer, observers
from minidl.optim import Optimizer
from minidl.source import user_stack, users_line
from minidl.tensor import Tensor


class LintWarning(UserWarning):
    """A likely mistake, found by `lint`."""


class lint:
    """A context manager that watches what runs in it, in its thread.

    found       the findings so far: each with its rule, its message and the line of the user's code

    A LintWarning for each. A step takes 1.05 to 1.1 times as long on batches as one trains on, 1.2 on two images.
    """

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self._watch: _Watch | None = None

    def __enter__(self) -> lint:
        self._watch = _Watch(self._report)
        observers.append(self._watch)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        assert self._watch is not None
        observers.remove(self._watch)
        if error is None:  # else the run is not complete, and its own error says more
            self._watch.end()
        self._watch = None

    def _report(self, finding: Finding) -> None:
        if any((finding.rule, finding.place) == (old.rule, old.place) for old in self.found):
            return
        self.found.append(finding)
        source = users_line(user_stack())
        file, line = (source.file, source.line) if source else ("minidl", 0)
        warnings.warn_explicit(finding.message, LintWarning, file, line, registry={})


class _Watch(Observer):
    """Hands on what happens to every rule, and knows which modules run."""

    def __init__(self, report: Any):
        self.run, self.thread = Run(report), threading.get_ident()
        self.rules = [rule(self.run) for rule in RULES]

    def before_forward(self, *event: Any) -> None:
        self._tell("before_forward", event)

    def after_forward(self, *event: Any) -> None:
        self._tell("after_forward", event)

    def before_backward(self, *event: Any) -> None:
        self._tell("before_backward", event)

    def after_backward(self, *event: Any) -> None:
        self._tell("after_backward", event)

    def enter_module(self, *event: Any) -> None:
        if threading.get_ident() == self.thread:
            self.run.enter(event[0])
            self._tell("enter_module", event)

    def leave_module(self, *event: Any) -> None:
        if threading.get_ident() == self.thread:
            self.run.leave()

    def before_update(self, *event: Any) -> None:
        self._tell("before_update", event)

    def before_step(self, *event: Any) -> None:
        self._tell("before_step", event)

    def after_step(self, *event: Any) -> None:
        self._tell("after_step", event)

    def end(self) -> None:
        for rule in self.rules:
            rule.end()

    def _tell(self, moment: str, event: tuple) -> None:
        if threading.get_ident() == self.thread:
            with on_device_of(_arrays(event)):
                for rule in self.rules:
                    getattr(rule, moment)(*event)


def _arrays(event: Iterable) -> Iterator[Any]:
    """The arrays that an event is about."""
    for item in event:
        if isinstance(item, (tuple, list)):
            yield from _arrays(item)
        elif isinstance(item, Tensor):
            yield item.data
        elif isinstance(item, Optimizer):
            yield from _arrays(param for group in item.param_groups for param in group["params"])
        elif is_array(item):
            yield item

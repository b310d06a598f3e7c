"""Schedules of the learning rate: `scheduler.step()` sets the lr of the optimizer's groups anew.

    scheduler = MultiStepLR(optimizer, [32000, 48000])
    for x, y in loader:
        ...
        optimizer.step()
        scheduler.step()             # after each step, or after each epoch: "epoch" below is one call of step()

Each says in closed form what the rate is in epoch t, from the group's "initial_lr". PyTorch multiplies the rate of the
epoch before instead, which is the same up to rounding, unless somebody else changes the rate in between: here, the
schedule has the last word. ReduceLROnPlateau alone goes by what it is told, and multiplies.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, SupportsFloat

from minidl.errors import explain
from minidl.optim.optimizer import Optimizer


class LRScheduler:
    """Base class of schedules. A subclass defines `get_lr`: the rate of each group, from base_lrs and last_epoch.

    base_lrs     the rate that each group began with; kept in the group as "initial_lr"
    last_epoch   the number of calls of `step`. As an argument: the one to go on from (the groups have "initial_lr")

    TypeError: `optimizer` is none. KeyError: last_epoch is given, and a group has no "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = _checked(self, optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    explain(
                        type(self).__name__,
                        f"param 'initial_lr' is not specified in param_groups[{number}] when resuming an optimizer",
                        help="load the optimizer's state first, or leave last_epoch at -1 for a new training",
                    )
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1
        self._set_rates()

    def get_lr(self) -> list[float]:
        """The learning rate of each group in epoch `last_epoch`. To ask for the present one, take get_last_lr()."""
        raise NotImplementedError(f"{type(self).__name__}.get_lr is not defined")

    def step(self) -> None:
        """Go on to the next epoch."""
        _warn_if_early(self)
        self.last_epoch += 1
        self._set_rates()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group, as the schedule last set it."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, which has a state dict of its own."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict()`. The learning rates themselves come with the optimizer's."""
        vars(self).update(state_dict)

    def _start(self) -> None:
        """Set the rates of the first epoch."""
        self.last_epoch = 0
        self._set_rates()

    def _set_rates(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class LambdaLR(LRScheduler):
    """lr = initial_lr * lr_lambda(t); a list has one function for each group.

    Functions are not in the state dict: the new schedule brings its own. Of objects that can be called, the attributes
    are. ValueError: a list of another length than the groups'.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable], last_epoch: int = -1
    ):
        count = len(_checked(self, optimizer).param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ValueError(explain("LambdaLR", f"Expected {count} lr_lambdas, but got {len(self.lr_lambdas)}"))
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factors = [function(self.last_epoch) for function in self.lr_lambdas]
        return [base * factor for base, factor in zip(self.base_lrs, factors, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        kept = [None if isinstance(each, FunctionType) else dict(vars(each)) for each in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for function, kept in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if kept is not None:
                vars(function).update(kept)


class StepLR(LRScheduler):
    """lr = initial_lr * gamma^floor(t / step_size): a step down every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr = initial_lr * gamma^(number of milestones reached): a step down at each of these epochs."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * self.gamma ** bisect_right(self.milestones, self.last_epoch) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr = initial_lr * gamma^t"""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr - eta_min) * (1 + cos(pi t / T_max)) / 2, which rises again after T_max.

    Loshchilov & Hutter, "SGDR", ICLR 2017, arXiv:1608.03983, eq. (5), without its restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class LinearLR(LRScheduler):
    """lr = initial_lr times a factor that goes from start_factor to end_factor in total_iters epochs, and stays there.

    ValueError: start_factor outside (0, 1], end_factor outside [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            rule = "Starting multiplicative factor expected to be greater than 0 and less or equal to 1"
            raise ValueError(explain("LinearLR", f"{rule}, got {start_factor}"))
        if not 0 <= end_factor <= 1:
            rule = "Ending multiplicative factor expected to be between 0 and 1"
            raise ValueError(explain("LinearLR", f"{rule}, got {end_factor}"))
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = min(self.last_epoch, self.total_iters) / self.total_iters if self.total_iters else 1.0
        factor = self.start_factor + (self.end_factor - self.start_factor) * share
        return [base * factor for base in self.base_lrs]


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr in pct_start of the steps, then down to 1 / final_div_factor of the start.

    The momentum (of Adam: the first beta) goes the other way, from max_momentum down to base_momentum and back. Rate
    and momentum follow a half cosine, or a line (anneal_strategy). With three_phase the way down first ends at the rate
    of the start, as far from the peak as that, and the rest goes to the end. To be stepped after each batch.
    Smith & Topin, arXiv:1708.07120.

    ValueError: neither total_steps nor epochs and steps_per_epoch; settings out of range; an optimizer without
    momentum where cycle_momentum is on; more than total_steps steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        groups = _checked(self, optimizer).param_groups
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not (isinstance(pct_start, (int, float)) and 0 <= pct_start <= 1):
            raise ValueError(explain("OneCycleLR", f"Expected float between 0 and 1 pct_start, but got {pct_start}"))
        if anneal_strategy not in ("cos", "linear"):
            rule = f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            raise ValueError(explain("OneCycleLR", rule))
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            rule = "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            raise ValueError(explain("OneCycleLR", rule, help=f"{type(optimizer).__name__}: cycle_momentum=False"))
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        peak = pct_start * self.total_steps - 1
        self.phases = [(peak, "initial_lr", "max_lr", "max_momentum", "base_momentum")]  # the first one's start is 0
        if three_phase:
            self.phases += [(2 * peak, "max_lr", "initial_lr", "base_momentum", "max_momentum")]
            self.phases += [(self.total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
        else:
            self.phases += [(self.total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]

        if last_epoch == -1:
            settings = zip(
                groups,
                _for_each_group("max_lr", max_lr, groups),
                _for_each_group("base_momentum", base_momentum, groups),
                _for_each_group("max_momentum", max_momentum, groups),
                strict=True,
            )
            for group, rate, low, high in settings:
                group.update(initial_lr=rate / div_factor, max_lr=rate, min_lr=rate / div_factor / final_div_factor)
                if cycle_momentum:
                    group.update(base_momentum=low, max_momentum=high)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            rule = f"Tried to step {self.last_epoch} times. The specified number of total steps is {self.total_steps}"
            raise ValueError(explain("OneCycleLR", rule))
        last = len(self.phases) - 1  # also for one step beyond it, which PyTorch allows
        number = next((number for number, phase in enumerate(self.phases) if self.last_epoch <= phase[0]), last)
        start = self.phases[number - 1][0] if number else 0.0
        end, *names = self.phases[number]
        share = (self.last_epoch - start) / (end - start)
        rates = []
        for group in self.optimizer.param_groups:
            first_lr, last_lr, first_momentum, last_momentum = (group.get(name, 0.0) for name in names)
            rates.append(self._between(first_lr, last_lr, share))
            if self.cycle_momentum:
                momentum = self._between(first_momentum, last_momentum, share)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _between(self, first: float, last: float, share: float) -> float:
        """A `share` of the way from `first` to `last`."""
        if self.anneal_strategy == "linear":
            return first + (last - first) * share
        return last + (first - last) / 2 * (1 + math.cos(math.pi * share))


class SequentialLR(LRScheduler):
    """One schedule after the other: the next one begins, with its epoch 0, at each of the milestones.

    ValueError: no schedule, one of another optimizer, a ReduceLROnPlateau, or not one milestone less than schedules.
    TypeError: one that is no schedule.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ):
        where = "SequentialLR"
        if not schedulers:
            raise ValueError(explain(where, "expects at least one scheduler, but got no scheduler"))
        for index, scheduler in enumerate(schedulers):
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    explain(where, f"does not support ReduceLROnPlateau, which needs a metric, but got one at {index}")
                )
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(explain(where, f"number {index} is no scheduler, but {type(scheduler).__name__}"))
            if scheduler.optimizer is not optimizer:
                rule = f"expects all schedulers to belong to the same optimizer, but number {index} has another one"
                raise ValueError(explain(where, rule))
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                explain(
                    where,
                    "expects number of schedulers provided to be one more than the number of milestone points, "
                    f"but got {len(schedulers)} schedulers and {len(milestones)} milestones",
                )
            )
        self.optimizer = optimizer
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._begin(bisect_right(self._milestones, 0))

    def step(self) -> None:
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        if number and self._milestones[number - 1] == self.last_epoch:
            self._begin(number)
        else:
            self._schedulers[number].step()
            self._last_lr = self._schedulers[number].get_last_lr()

    def _begin(self, number: int) -> None:
        self._schedulers[number]._start()
        self._last_lr = self._schedulers[number].get_last_lr()

    def _start(self) -> None:
        self.last_epoch = 0
        self._begin(bisect_right(self._milestones, 0))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [each.state_dict() for each in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau(LRScheduler):
    """lr <- max(lr * factor, min_lr) once the metric has not become better for more than `patience` epochs.

    scheduler.step(metric) after each epoch. Better is, with mode "min": metric < best * (1 - threshold), or
    < best - threshold where threshold_mode is "abs"; "max" the other way round. After a reduction, `cooldown` epochs
    do not count. A change of the rate by no more than eps is not made.
    AlexNet's recipe (sec. 5): "divide the learning rate by 10 when the validation error rate stopped improving".

    ValueError: factor not below 1; another mode or threshold_mode; a list min_lr of another length than the groups'.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        where = "ReduceLROnPlateau"
        self.optimizer = _checked(self, optimizer)
        if factor >= 1:
            raise ValueError(explain(where, f"Factor should be < 1.0, got {factor}"))
        for name, value, choices in (
            ("mode", mode, ("min", "max")),
            ("threshold mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in choices:
                raise ValueError(explain(where, f"{name} {value} is unknown!", help=f"one of {', '.join(choices)}"))
        self.mode, self.factor, self.patience, self.eps = mode, factor, patience, eps
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lrs = _for_each_group("min_lr", min_lr, optimizer.param_groups, where)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Go on to the next epoch, of which the last one's metric is known."""
        current = float(metrics)
        self.last_epoch += 1
        if self.is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                rate = max(group["lr"] * self.factor, low)
                if group["lr"] - rate > self.eps:
                    group["lr"] = rate
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def is_better(self, metric: float, best: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "abs":
            return sign * metric > sign * best + self.threshold
        return sign * metric > sign * best * (1 + sign * self.threshold)


def _checked(scheduler: LRScheduler, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(explain(type(scheduler).__name__, f"{type(optimizer).__name__} is not an Optimizer"))
    return optimizer


def _warn_if_early(scheduler: LRScheduler) -> None:
    if scheduler.last_epoch == 0 and not scheduler.optimizer.state:  # the optimizer's first step makes an entry
        warnings.warn(
            "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value of the learning "
            "rate is skipped. Call `optimizer.step()` first.",
            stacklevel=3,
        )


def _for_each_group(name: str, value: Any, groups: list, where: str = "OneCycleLR") -> list[float]:
    """A list of numbers as it is, one number as often as there are groups. ValueError for another length."""
    values = list(value) if isinstance(value, (list, tuple)) else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(explain(where, f"expected {len(groups)} values for {name}, got {len(values)}"))
    return values


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    settings = {"total_steps": total_steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        rule = "You must define either total_steps OR (epochs AND steps_per_epoch)"
        raise ValueError(explain("OneCycleLR", rule))
    for name, value in settings.items():
        if value is not None and (not isinstance(value, int) or value <= 0):
            raise ValueError(explain("OneCycleLR", f"Expected positive integer {name}, but got {value}"))
    return total_steps if total_steps is not None else epochs * steps_per_epoch  # type: ignore[operator]

"""Schedules of the learning rate: `scheduler.step()` after each epoch sets the lr of the optimizer's groups."""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Iterable
from typing import Any

from minidl.errors import explain
from minidl.optim.optimizer import Optimizer


class LRScheduler:
    """Base class of schedules. A subclass says in `factor(epoch)` what the first lr is multiplied by.

    The first lr of each group is kept there as "initial_lr"; `last_epoch` counts the calls of `step`.

    TypeError where `optimizer` is none.
    """

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(explain(type(self).__name__, f"{type(optimizer).__name__} is not an Optimizer"))
        self.optimizer = optimizer
        self.last_epoch = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._set_rates()

    def factor(self, epoch: int) -> float:
        raise NotImplementedError(f"{type(self).__name__}.factor is not defined")

    def step(self) -> None:
        """Go on to the next epoch."""
        if self.last_epoch == 0 and not self.optimizer.state:  # the optimizer's first step makes an entry
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value of the learning "
                "rate is skipped. Call `optimizer.step()` first.",
                stacklevel=2,
            )
        self.last_epoch += 1
        self._set_rates()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, which has a state dict of its own."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict()`. The learning rates themselves come with the optimizer's."""
        vars(self).update(state_dict)

    def _set_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.factor(self.last_epoch)


class StepLR(LRScheduler):
    """lr = initial_lr * gamma^floor(epoch / step_size): a step down every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = initial_lr * gamma^(number of milestones reached): a step down at each of these epochs."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma ** bisect.bisect_right(self.milestones, epoch)

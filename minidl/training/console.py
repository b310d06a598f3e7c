"""What a training shows while it runs: a progress bar on a terminal, and a line for each epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sized
from time import perf_counter
from typing import Any

from tqdm import tqdm

from minidl.training.loop import Position, Training

REFRESH = 0.2  # seconds: to look at the accuracy waits for the device


class Console:
    """The bar: loss, accuracy, images per second, time left in the epoch. The line: the same, for the whole of it.

    words       what the second loader holds: "test" or "validation"
    """

    def __init__(self, words: str = "test", print_line: Callable[[str], Any] | None = None):
        self.words = words
        self.print_line = print_line or (lambda line: print(line, flush=True))
        self._bar: tqdm | None = None
        self._refreshed = 0.0

    def step(self, training: Training) -> None:
        now = training.position
        if self._bar is None:
            total = len(training.train_loader) if isinstance(training.train_loader, Sized) else None
            # disable=None: only where there is a terminal. The steps of a continued epoch that were done before count.
            self._bar = tqdm(total=total, initial=now.batch - 1, desc=title(training), leave=False, disable=None)
        if not self._bar.disable and perf_counter() - self._refreshed >= REFRESH:
            now = training.sums()
            self._bar.set_postfix_str(
                f"loss {now.loss_sum / now.count:.4f}, {now.correct / now.count:.2%} right, {speed(now)}",
                refresh=False,
            )
            self._refreshed = perf_counter()
        self._bar.update()

    def epoch(self, training: Training) -> None:
        self.close()
        history = training.history
        number = len(history)
        line = (
            f"{title(training, number)}   loss {history.train_loss[-1]:.4f}   train {history.train_accuracy[-1]:7.2%}"
            f"   {self.words} {history.test_accuracy[-1]:7.2%}   {speed(training.last_epoch)}"
        )
        left = time_left(training)
        self.print_line(line + (f"   {duration(left)} left" if left >= 60 else ""))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def tell(self, text: str) -> None:
        """Say something without breaking the bar."""
        with tqdm.external_write_mode(file=sys.stderr):
            print(text, file=sys.stderr, flush=True)


def title(training: Training, epoch: int | None = None) -> str:
    """epoch  3/20"""
    width = len(str(training.epochs))
    return f"epoch {training.position.epoch + 1 if epoch is None else epoch:{width}}/{training.epochs}"


def speed(position: Position) -> str:
    """5,927 images/s: of an epoch, or as much of it as is done."""
    return f"{position.count / max(position.seconds, 1e-9):,.0f} images/s"


def time_left(training: Training) -> float:
    """Seconds, if every epoch to come takes as long as the last one."""
    done = training.history.seconds
    return done[-1] * (training.epochs - len(done)) if done else 0.0


def duration(seconds: float) -> str:
    """45 s, 12 min, 3 h 20 min"""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"

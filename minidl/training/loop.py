"""The training loop, which `fit`, notebooks and `minidl train` share.

The five lines that everybody writes by hand stand in `Training.train_step`. What is around them is there so that a
training can stop after any step and go on as if it never had: all that it knows beside weights and optimizer is in
`state_dict()`, and the order of the images follows from (seed, epoch), so no batch is lost or seen twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from time import perf_counter
from typing import Any, Protocol

import numpy

from minidl.backend import default_generator, on_device_of
from minidl.data import DataLoader
from minidl.errors import explain
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from minidl.tensor import Tensor
from minidl.training.history import History
from minidl.training.metrics import Evaluation, Loss, device_of, evaluate
from minidl.training.nonfinite import where_it_began


@dataclass
class Position:
    """How far a training is, and the sums of the epoch under way."""

    epoch: int = 0  # complete epochs
    batch: int = 0  # batches of the one under way
    step: int = 0  # steps of the optimizer in all
    loss_sum: float = 0.0
    correct: int = 0
    count: int = 0  # images
    seconds: float = 0.0


class Observer(Protocol):
    """Who is told how a training goes: the progress bar, the log, the checkpoints."""

    def step(self, training: Training) -> None:
        """A step is done."""

    def epoch(self, training: Training) -> None:
        """An epoch is done, and tested."""


class Training:
    """A training of a classifier, from its first step to its last, or any part of it.

    loaders         give pairs (inputs, labels); a DataLoader can begin in the middle of an epoch, anything else is
                    iterated over, and what is already done skipped
    scheduler       its `step` is called after each epoch, or after each "step" if `schedule_by` says so;
                    ReduceLROnPlateau is told the test accuracy, or the test loss where its mode is "min"
    max_steps       end after that many steps in all: the last epoch may be a part of one

    position        where it stands; history: the epochs so far; stop: set it to leave after the step under way
    last_epoch      the sums of the epoch that was complete last
    loss            of the last batch; num_scores: the numbers that the model gives for an image

    ValueError: another `schedule_by`, or ReduceLROnPlateau by step.
    """

    test_may_break_off = True  # a signal need not wait for its end

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss_fn: Loss,
        train_loader: Iterable,
        test_loader: Iterable,
        epochs: int,
        *,
        scheduler: LRScheduler | None = None,
        schedule_by: str = "epoch",
        max_steps: int | None = None,
    ):
        if schedule_by not in ("epoch", "step"):
            raise ValueError(explain("fit", f'schedule_by is "epoch" or "step", got {schedule_by!r}'))
        if schedule_by == "step" and isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(explain("fit", 'ReduceLROnPlateau looks at the test after an epoch: schedule_by="epoch"'))
        self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn
        self.train_loader, self.test_loader = train_loader, test_loader
        self.epochs, self.max_steps = epochs, max_steps
        self.scheduler, self.schedule_by = scheduler, schedule_by
        self.position, self.last_epoch, self.history = Position(), Position(), History()
        # A loader that was used before goes on with new orders.
        self.first_epoch = train_loader.epoch if isinstance(train_loader, DataLoader) else 0
        self.device = device_of(model)
        self.stop = self.testing = False
        self.loss = math.nan
        self.num_scores = 0
        self._correct: Any = 0  # on the device, so that nothing waits for it

    # -------------------------------------------------------------------------------------------------- the loop

    def run(self, *observers: Observer) -> History:
        """Go on until the end, or until `stop` is set. FloatingPointError: the loss or a gradient is not finite."""
        while not self.finished and not self.should_stop():
            self.model.train()
            clock = perf_counter()
            for inputs, labels in self.batches():
                self.train_step(inputs, labels)
                self.position.seconds += perf_counter() - clock
                for observer in observers:
                    observer.step(self)
                if self.should_stop():
                    return self.history
                if self.out_of_steps:
                    break
                clock = perf_counter()
            self.end_epoch()  # the loader has no more, or that was the last step of all
            for observer in observers:
                observer.epoch(self)
        return self.history

    def train_step(self, inputs: Tensor, labels: Tensor) -> None:
        """One step of the optimizer on one batch."""
        random = default_generator.get_state()
        inputs, labels = inputs.to(self.device), labels.to(self.device)
        # What overflows reaches the loss, which is checked: NumPy's warnings before that only hide the message.
        with numpy.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.optimizer.zero_grad()
            scores = self.scores_of(inputs)
            loss = self.loss_fn(scores, labels)
            self.backward(loss, len(labels))
            first = scores[0] if isinstance(scores, tuple) else scores  # others: of auxiliary classifiers
            right = (first.argmax(dim=1) == labels).sum()
            self.loss, right, count = self.result_of(loss, right, len(labels))
            if not (math.isfinite(self.loss) and self._gradients_are_finite()):
                default_generator.set_state(random)  # the same dropout once more
                raise FloatingPointError(self._diverged(inputs, labels))
            self.optimizer.step()  # not before the check: it would spoil every weight
        if self.scheduler is not None and self.schedule_by == "step":
            self.scheduler.step()

        self.num_scores = first.shape[1]
        with on_device_of((right,)):
            self._correct += right
        now = self.position
        now.batch += 1
        now.step += 1
        now.loss_sum += self.loss * count
        now.count += count

    # What a training on many processes does otherwise: see sharded.py.

    def scores_of(self, inputs: Tensor) -> Any:
        return self.model(inputs)

    def backward(self, loss: Tensor, count: int) -> None:
        loss.backward()

    def result_of(self, loss: Tensor, right: Tensor, count: int) -> tuple[float, Any, int]:
        """Of a batch: its loss, how many images were right (on the device), and how many there were."""
        return loss.item(), right.data, count  # waits for the device, once in a step

    def should_stop(self) -> bool:
        return self.stop

    def test(self) -> Evaluation:
        """How good the model is on the test images, with the loss."""
        return evaluate(self.model, self.test_loader, self.loss_fn)

    def where_it_began(self, inputs: Tensor, labels: Tensor) -> str:
        """A sentence about the first nan or infinity of the step that was not taken."""
        return where_it_began(self.model, self.loss_fn, inputs, labels)

    def batches(self) -> Iterator[Any]:
        """Those of the epoch under way that are not done."""
        if self.out_of_steps:  # it was stopped before the last test
            return iter(())
        loader, done = self.train_loader, self.position.batch
        if isinstance(loader, DataLoader):
            epoch = self.first_epoch + self.position.epoch
            loader.epoch = epoch + 1  # so many are begun
            return loader.batches(epoch, done)
        return islice(iter(loader), done, None)

    def end_epoch(self) -> None:
        """Test, write down, and turn to the next epoch."""
        # Nothing changes meanwhile, so a test may be broken off, and the flag stays then.
        self.testing = self.test_may_break_off
        tested = self.test()
        self.testing = False
        now = self.sums()
        self.history.train_loss.append(now.loss_sum / max(now.count, 1))
        self.history.train_accuracy.append(now.correct / max(now.count, 1))
        self.history.test_loss.append(tested.loss)  # type: ignore[arg-type]
        self.history.test_accuracy.append(tested.accuracy)
        self.history.seconds.append(now.seconds)
        if self.scheduler is not None and self.schedule_by == "epoch":
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(self.history.test_loss[-1] if self.scheduler.mode == "min" else tested.accuracy)
            else:
                self.scheduler.step()
        self.last_epoch, self.position = now, Position(epoch=now.epoch + 1, step=now.step)

    # ------------------------------------------------------------------------------------------ where it stands

    @property
    def finished(self) -> bool:
        """Whether every epoch is done, or every step and the test after it."""
        if self.out_of_steps:
            return self.position.batch == 0
        return self.position.epoch >= self.epochs or self.out_of_steps

    @property
    def out_of_steps(self) -> bool:
        return self.max_steps is not None and self.position.step >= self.max_steps

    @property
    def lr(self) -> float:
        """The learning rate, of the first group."""
        return self.optimizer.param_groups[0]["lr"]

    def sums(self) -> Position:
        """The position, with what the device counts. Waits for it."""
        self.position.correct += int(self._correct)
        self._correct = 0
        return self.position

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on, beside model and optimizer, as JSON can hold it."""
        return {
            "position": asdict(self.sums()),
            "history": asdict(self.history),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "random": default_generator.get_state(),
            "first_epoch": self.first_epoch,
            "seed": self.train_loader.seed if isinstance(self.train_loader, DataLoader) else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict()`. The model and the optimizer have their own."""
        self.position, self.history = Position(**state["position"]), History(**state["history"])
        self._correct = 0
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        default_generator.set_state(state["random"])
        self.first_epoch = state["first_epoch"]
        if isinstance(self.train_loader, DataLoader):
            self.train_loader.seed = state["seed"]

    # -------------------------------------------------------------------------------------------- what goes wrong

    def _gradients_are_finite(self) -> bool:
        """One number for all of a device: a sum is not finite where one of its terms is not."""
        totals: dict[Any, Any] = {}
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    gradient, place = parameter.grad.data, parameter.grad.device
                    with on_device_of((gradient,)):
                        totals[place] = totals.get(place, 0.0) + gradient.sum()
        return all(math.isfinite(float(total)) for total in totals.values())

    def _diverged(self, inputs: Tensor, labels: Tensor) -> str:
        """What to say about a loss or a gradient that is not finite, and where it began."""
        title = f"in batch {self.position.batch + 1} of epoch {self.position.epoch + 1}/{self.epochs}"
        what = f"the loss is {self.loss}" if not math.isfinite(self.loss) else "a gradient is not finite"
        rates = ", ".join(f"{group['lr']:g}" for group in self.optimizer.param_groups)
        return explain(
            "fit",
            f"{what} {title}: training cannot go on\n  {self.where_it_began(inputs, labels)}",
            help=f"lower the learning rate (lr is {rates}); if it is so in the first batch, look for nan in the inputs",
        )

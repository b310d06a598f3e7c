"""Training a classifier: the loop, and how its result is measured.

    history = fit(model, train_loader, test_loader, loss_fn, optimizer, epochs=20)
    result = evaluate(model, test_loader)          # result.accuracy, result.confusion

The loop is the one that everybody writes by hand; the five lines in the middle of `train_epoch` are all there is to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

import numpy
from tqdm import tqdm

from minidl.backend import CPU, array_module
from minidl.errors import explain
from minidl.grad_mode import no_grad
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.tensor import Tensor


@dataclass
class History:
    """What `fit` saw: one number for each epoch. Accuracies are fractions.

    The training numbers are averages over the batches of the epoch, while the weights still moved (and dropout was
    on), so in the first epochs the test numbers may well be the better ones.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # for training, without the test
    interrupted: bool = False  # by Ctrl-C: the numbers of the epochs before are complete

    def __len__(self) -> int:
        """The number of complete epochs."""
        return len(self.test_accuracy)


class Evaluation(NamedTuple):
    """What `evaluate` returns. confusion[i, j] counts the samples of class i that were taken for class j."""

    accuracy: float
    confusion: numpy.ndarray
    loss: float | None


def fit(
    model: Module,
    train_loader: Iterable,
    test_loader: Iterable,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    epochs: int,
    *,
    scheduler: Any = None,
    progress: bool = True,
) -> History:
    """Train for `epochs` epochs, and test after each of them.

    The loaders give pairs (inputs, labels); `scheduler.step()`, if there is one, is called after each epoch; with
    `progress` there is a bar on a terminal, and a line for each epoch. Ctrl-C ends the training, not the program.

    FloatingPointError: the loss is infinite or not a number.
    """
    history = History()
    try:
        for epoch in range(1, epochs + 1):
            title = f"epoch {epoch:{len(str(epochs))}}/{epochs}"
            start = perf_counter()
            loss, accuracy, count = train_epoch(model, train_loader, loss_fn, optimizer, title, progress)
            seconds = perf_counter() - start
            tested = evaluate(model, test_loader, loss_fn)
            if scheduler is not None:
                scheduler.step()
            history.train_loss.append(loss)
            history.train_accuracy.append(accuracy)
            history.test_loss.append(tested.loss)  # type: ignore[arg-type]
            history.seconds.append(seconds)
            history.test_accuracy.append(tested.accuracy)
            if progress:
                print(
                    f"{title}   loss {loss:.4f}   train {accuracy:7.2%}   test {tested.accuracy:7.2%}   "
                    f"{count / seconds:,.0f} images/s",
                    flush=True,
                )
    except KeyboardInterrupt:
        history.interrupted = True
    return history


def train_epoch(
    model: Module,
    loader: Iterable,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    title: str = "training",
    progress: bool = True,
) -> tuple[float, float, int]:
    """Once through `loader`. Returns the mean loss, the accuracy and the number of samples.

    FloatingPointError: the loss is infinite or not a number.
    """
    model.train()
    device = _device_of(model)
    loss_sum, correct, count = 0.0, 0, 0
    bar = tqdm(loader, title, leave=False, disable=None if progress else True)  # None: where there is a terminal
    # What overflows reaches the loss, which is checked: NumPy's warnings before that only hide the message.
    with bar, numpy.errstate(over="ignore", invalid="ignore"):
        for batch, (inputs, labels) in enumerate(bar, 1):
            inputs, labels = inputs.to(device), labels.to(device)

            optimizer.zero_grad()
            scores = model(inputs)
            loss = loss_fn(scores, labels)
            value = loss.item()
            if not math.isfinite(value):  # before the step, which would spoil every weight
                raise FloatingPointError(_diverged(value, title, batch, optimizer))
            loss.backward()
            optimizer.step()

            loss_sum += value * len(labels)
            correct += int((scores.argmax(dim=1) == labels).sum().item())
            count += len(labels)
            bar.set_postfix(loss=f"{loss_sum / count:.4f}", accuracy=f"{correct / count:.2%}", refresh=False)
    return loss_sum / max(count, 1), correct / max(count, 1), count


@no_grad()
def predict(model: Module, loader: Iterable) -> tuple[Tensor, Tensor]:
    """The scores (N, classes) of all inputs in `loader`, and their labels (N,). The model is in eval mode meanwhile.

    ValueError: `loader` has no batch.
    """
    device = _device_of(model)
    scores, labels = [], []
    with eval_mode(model):
        for x, y in loader:
            scores.append(model(x.to(device)).data)
            labels.append(y.to(device).data)
    if not scores:
        raise ValueError(
            explain(
                "predict",
                "the loader gave no batch",
                help="is the dataset empty, the loader an iterator that is used up, or its one batch left out by "
                "drop_last?",
            )
        )
    xp = array_module(scores[0])
    return Tensor(xp.concatenate(scores)), Tensor(xp.concatenate(labels))


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """Inside, the model is in eval mode; afterwards each of its modules is in its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def evaluate(model: Module, loader: Iterable, loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None) -> Evaluation:
    """The accuracy on `loader`, the confusion matrix, and the loss if `loss_fn` is given."""
    scores, labels = predict(model, loader)
    return Evaluation(
        accuracy(scores, labels),
        confusion_matrix(scores.argmax(dim=1), labels, scores.shape[1]),
        None if loss_fn is None else loss_fn(scores, labels).item(),
    )


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The fraction of samples whose label has the highest score. scores (N, classes), labels (N,)."""
    return (scores.argmax(dim=1) == labels).sum().item() / len(labels)


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> numpy.ndarray:
    """How many samples of class i (row) were taken for class j (column): counts (num_classes, num_classes)."""
    pairs = (labels * num_classes + predicted).cpu().numpy()
    return numpy.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _device_of(model: Module) -> Any:
    """Where the model computes; the CPU for one without parameters."""
    parameter = next(model.parameters(), None)
    return CPU if parameter is None else parameter.device


def _diverged(value: float, title: str, batch: int, optimizer: Optimizer) -> str:
    rates = ", ".join(f"{group['lr']:g}" for group in optimizer.param_groups)
    return explain(
        "fit",
        f"the loss is {value} in batch {batch} of {' '.join(title.split())}: training cannot go on",
        help=f"lower the learning rate (lr is {rates}); if it is so in the first batch, look for nan in the inputs",
    )

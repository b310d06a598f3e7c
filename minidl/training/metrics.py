"""How good a classifier is: its scores on a data set, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy

from minidl.backend import CPU, array_module, on_device_of
from minidl.errors import explain
from minidl.grad_mode import no_grad
from minidl.nn import Module
from minidl.nn.eval_mode import eval_mode
from minidl.tensor import Tensor

Loss = Callable[[Any, Tensor], Tensor]


class Evaluation(NamedTuple):
    """What `evaluate` returns. confusion[i, j] counts the samples of class i that were taken for class j."""

    accuracy: float
    confusion: numpy.ndarray
    loss: float | None


@no_grad()
def predict(model: Module, loader: Iterable) -> tuple[Tensor, Tensor]:
    """The scores (N, classes) of all inputs in `loader`, and their labels (N,). The model is in eval mode meanwhile.

    ValueError: `loader` has no batch.
    """
    device = device_of(model)
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
    with on_device_of(scores):
        return Tensor(xp.concatenate(scores)), Tensor(xp.concatenate(labels))


def evaluate(model: Module, loader: Iterable, loss_fn: Loss | None = None) -> Evaluation:
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


def device_of(model: Module) -> Any:
    """Where the model computes; the CPU for one without parameters."""
    parameter = next(model.parameters(), None)
    return CPU if parameter is None else parameter.device

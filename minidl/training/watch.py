"""The classic silent bugs: a training that runs, raises nothing, and learns nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from minidl import nn
from minidl.nn.functional import cross_entropy
from minidl.training.auxiliary import AuxiliaryLoss
from minidl.training.loop import Training

TOO_SMALL, TOO_LARGE = 0.5, 3.0  # times the loss of guessing; the networks of architectures/ begin between 0.9 and 1.9
ENOUGH = 100  # steps after which something should have been learnt


class Watch:
    """Warns, once each, of a first loss far from that of guessing, and of a first epoch (of ENOUGH steps)
    in which nothing was learnt.

    Before the first step a network knows nothing: with C classes it gives each about the probability 1/C, so its
    cross-entropy is about log C. A loss below half of that or above three times as much has a reason. Only
    cross-entropies are judged. `classes`: how many the data has; else, as many as the network gives scores.
    """

    def __init__(self, tell: Callable[[str], Any] = warnings.warn, classes: int | None = None):
        self.tell = tell
        self.classes = classes

    def step(self, training: Training) -> None:
        if training.position.step == 1:
            text = first_loss(training.loss, self.classes or training.num_scores, training.num_scores, training.loss_fn)
            if text:
                self.tell(text)

    def epoch(self, training: Training) -> None:
        enough = training.position.step >= ENOUGH
        if len(training.history) == 1 and enough and is_cross_entropy(training.loss_fn):
            classes = self.classes or training.num_scores
            text = nothing_learnt(training.history.train_loss[0], training.history.train_accuracy[0], classes)
            if text:
                self.tell(text)


def is_cross_entropy(loss_fn: Any) -> bool:
    return loss_fn is cross_entropy or isinstance(loss_fn, (nn.CrossEntropyLoss, AuxiliaryLoss))


def first_loss(loss: float, classes: int, num_scores: int, loss_fn: Any) -> str | None:
    """What to say about the first loss of a training; None where it is about as large as that of guessing."""
    if not is_cross_entropy(loss_fn) or num_scores < 2 or classes < 2:
        return None
    heads = loss_fn.heads if isinstance(loss_fn, AuxiliaryLoss) else 1.0
    expected = heads * math.log(classes)
    if TOO_SMALL * expected <= loss <= TOO_LARGE * expected:
        return None
    if num_scores != classes:
        cause = f"the network gives {num_scores} scores and there are {classes} classes: pass num_classes={classes}"
    elif loss > expected:
        cause = (
            "the scores are large before anything is learnt: are the inputs normalised (mean 0, deviation 1), the "
            "initial weights those of the paper, is there a softmax or a scale too much?"
        )
    else:
        cause = "it knows something already: are its weights trained ones, do the inputs tell the label?"
    return (
        f"the loss of the first batch is {loss:.3g}, and guessing among {classes} classes would give "
        f"{expected:.3g} (log {classes}{f' x {heads:g}' if heads != 1 else ''})\n  help: {cause}"
    )


def nothing_learnt(loss: float, accuracy: float, classes: int) -> str | None:
    """What to say after an epoch that is no better than guessing; None for one that is."""
    if classes < 2 or loss < 0.98 * math.log(classes) or accuracy > 1.5 / classes:
        return None
    return (
        f"after one epoch the loss is {loss:.3g} and the accuracy {accuracy:.2%}: guessing among {classes} classes "
        f"gives {math.log(classes):.3g} and {1 / classes:.2%}\n"
        "  help: a learning rate too high or too low, labels that do not belong to their images, weights that the "
        "optimizer does not have, or gradients that vanish; does the network learn one batch by heart?"
    )

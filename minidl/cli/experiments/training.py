"""How every experiment trains a network: SGD with momentum, and a learning rate that falls to 0 as a cosine.

One recipe for all that is compared, so that no one has a better one. The cosine ends at 0 whatever the number of epochs
is, so a short training is a whole one, and not the first part of a long one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

import minidl
from minidl import nn, optim
from minidl.backend import device
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.images import Images
from minidl.cli.experiments.options import Settings
from minidl.cli.experiments.results import Measures
from minidl.data import ArrayDataset, DataLoader, Subset
from minidl.nn import Module
from minidl.training import History, Training, predict

TEST_BATCH = 250  # images; testing keeps nothing for a backward pass
WATCHED = 100  # test images that are looked at after each epoch; all of them come at the end
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4


@dataclass(frozen=True)
class Trained:
    """What came out of a training: errors in percent, with the weights of the last step.

    train_error     on the training images as they are: no augmentation, no dropout, batch norm with its averages
    seconds         of training: of the processor's time on the CPU, so that no other program's work counts
    """

    history: History
    train_error: float
    test_error: float
    seconds: float

    @property
    def measures(self) -> Measures:
        """What a run writes down of it."""
        return {"train_error": self.train_error, "test_error": self.test_error, "seconds": self.seconds}

    @property
    def learning_errors(self) -> list[float]:
        """The error on the training images of each epoch, in percent, while the weights still moved."""
        return [100 - 100 * accuracy for accuracy in self.history.train_accuracy]


def train(model: Module, images: Images, settings: Settings, seed: int, augment: Sequence[Callable] = ()) -> Trained:
    """Train the model, and test it. The order of the images and what `augment` does follow from the seed.

    CommandError: the loss is not finite, or the device is missing.
    """
    try:
        model.to(device(settings.device))
    except RuntimeError as error:
        raise CommandError(str(error).splitlines()[0]) from None
    loader = DataLoader(images.normalized(images.train, augment), settings.batch_size, shuffle=True)
    loader.seed = seed
    steps = settings.epochs * len(loader)
    optimizer = optim.SGD(model.parameters(), lr=settings.lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    test = images.normalized(images.test)
    training = Training(
        model,
        optimizer,
        nn.CrossEntropyLoss(),
        loader,
        DataLoader(Subset(test, range(min(WATCHED, len(test)))), TEST_BATCH),
        settings.epochs,
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        schedule_by="step",
    )
    clock = process_time if settings.device == "cpu" else perf_counter
    began = clock()
    try:
        history = training.run()
    except FloatingPointError as error:
        raise CommandError(str(error)) from None
    seconds = clock() - began
    return Trained(
        history,
        error_on(model, images.normalized(images.train)),
        error_on(model, test),
        seconds,
    )


def error_on(model: Module, images: ArrayDataset) -> float:
    """The error in percent."""
    scores, labels = predict(model, DataLoader(images, TEST_BATCH))
    return error_of(scores, labels)


def error_of(scores: minidl.Tensor, labels: minidl.Tensor) -> float:
    """Of scores or probabilities (N, classes): how many percent have another class above their own."""
    wrong = (scores.argmax(dim=1) != labels).sum().item()
    return 100 * wrong / len(labels)

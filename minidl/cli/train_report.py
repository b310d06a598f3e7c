"""What a training leaves behind: curves while it runs, and in the end a report in words and as a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy
import safetensors.numpy
from matplotlib.figure import Figure

from minidl.checkpoint import CheckpointError, atomic_write, model_weights, read_checkpoint
from minidl.cli.arguments import CommandError
from minidl.cli.report import MISTAKES, Mistake, confusion_text, curves_figure, training_figure, worst_pairs_text
from minidl.cli.train_setup import Setup
from minidl.cli.weights import trained_on_header
from minidl.tensor import Tensor
from minidl.training import Training, confusion_matrix, predict
from minidl.training.console import duration
from minidl.training.run_folder import BEST

REDRAW = 10.0  # seconds between two pictures at least: drawing takes half of one
TABLE = 12  # classes whose confusion matrix still fits on a terminal


class Curves:
    """Draws the learning curves after an epoch; the picture is replaced as a whole, so a viewer never sees half."""

    def __init__(self, path: Path, title: str, watched: str, tell: Callable[[str], Any]):
        self.path, self.title, self.watched, self.tell = path, title, watched, tell
        self._drawn_at, self._drawn_epochs = -REDRAW, 0

    def step(self, training: Training) -> None:
        pass

    def epoch(self, training: Training) -> None:
        if perf_counter() - self._drawn_at >= REDRAW:
            self.draw(training)

    def draw(self, training: Training) -> None:
        """Bring the picture up to date, if there are epochs that it lacks."""
        epochs = len(training.history)
        if epochs == self._drawn_epochs:
            return
        figure = curves_figure(f"{self.title}, epoch {epochs} of {training.epochs}", training.history, self.watched)
        try:
            save_figure(figure, self.path)
        except OSError as error:
            self.tell(f"cannot write {self.path}: {error.strerror}")
        self._drawn_at, self._drawn_epochs = perf_counter(), epochs


def save_figure(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path) as file:
        file.write(picture.getvalue())


def final_report(setup: Setup, folder: Path) -> None:
    """Test, print and draw; with the weights of the best epoch where images were kept back to choose it by.

    CommandError: the report cannot be written.
    """
    training, classes = setup.training, setup.splits.classes
    chosen = "the last epoch"
    results = [_tested(setup)]
    if setup.watched == "validation" and training.history.best_epoch != len(training.history):
        last = results[0]
        print(f"\nTest accuracy with the weights of the last epoch: {_accuracy(last):.2%}")
        try:
            setup.model.load_state_dict(model_weights(folder / BEST))
            results.append(_tested(setup))
            epoch = read_checkpoint(folder / BEST)[0]["state"]["training"]["position"]["epoch"]
            chosen = f"epoch {epoch}, the best on the validation images"
            if epoch != training.history.best_epoch:  # the disk was full
                chosen += f" of those that could be saved (epoch {training.history.best_epoch} was better)"
        except CheckpointError as error:
            print(error)
    probabilities, labels = results[-1]
    confusion = confusion_matrix(Tensor(probabilities.argmax(axis=1)), Tensor(labels), len(classes))
    right = int(confusion.trace())
    if len(classes) <= TABLE:
        print("\nConfusion matrix of the test images: a row for each class, a column for what it was taken for")
        print(confusion_text(confusion, classes))
    else:
        print(f"\nMost often mistaken: {worst_pairs_text(confusion, classes)}")
    print(
        f"\nTest accuracy {right / len(labels):.2%} ({right:,} of {len(labels):,}) with the weights of {chosen}; "
        f"trained in {duration(sum(training.history.seconds))}"
    )
    figure = training_figure(
        f"{setup.settings.title}: {right / len(labels):.1%} right on {len(labels):,} images",
        training.history,
        confusion,
        classes,
        worst_mistakes(setup, probabilities, labels),
        watched=setup.watched,
        things="class",
    )
    weights = {name: tensor.cpu().numpy() for name, tensor in setup.model.state_dict().items()}
    try:
        save_figure(figure, folder / "report.png")
        with atomic_write(folder / "model.safetensors") as file:
            file.write(safetensors.numpy.save(weights, trained_on_header(setup.splits)))
    except OSError as error:
        raise CommandError(f"cannot write the report into {folder}: {error.strerror}") from None
    print(f"Curves, matrix and mistakes: {folder / 'report.png'}; the weights alone: {folder / 'model.safetensors'}")


def _tested(setup: Setup) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The probabilities (N, classes) of the test images, and their labels."""
    scores, labels = predict(setup.model, setup.test_loader)
    return scores.softmax(dim=1).cpu().numpy(), labels.cpu().numpy()


def _accuracy(result: tuple[numpy.ndarray, numpy.ndarray]) -> float:
    probabilities, labels = result
    return float((probabilities.argmax(axis=1) == labels).mean())


def worst_mistakes(
    setup: Setup, probabilities: numpy.ndarray, labels: numpy.ndarray, most: int = MISTAKES
) -> list[Mistake]:
    """The wrong answers, the surest first, with the images as they were before the transforms."""
    answers, classes = probabilities.argmax(axis=1), setup.splits.classes
    wrong = numpy.flatnonzero(answers != labels)
    wrong = wrong[numpy.argsort(-probabilities[wrong, answers[wrong]], kind="stable")][:most]
    images = setup.splits.test.with_transform(None)
    return [
        Mistake(
            numpy.clip(images[i][0].numpy().transpose(1, 2, 0).squeeze(), 0, 1),
            classes[labels[i]],
            classes[answers[i]],
            float(probabilities[i, answers[i]]),
        )
        for i in map(int, wrong)
    ]

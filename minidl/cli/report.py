"""A training as a picture and as text. The only module that needs matplotlib; it keeps no state of pyplot's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minidl.training import History

# Blue and orange of Okabe & Ito, which are told apart in every common kind of colour blindness.
BLUE, ORANGE = "#0072B2", "#D55E00"
MISTAKES = 7  # images in the row at most
MARKED = 40  # epochs whose points are marked
NAMED = 20  # classes whose names and numbers have room in the matrix

INK, GREY, LINE = "#222222", "#666666", "#DDDDDD"
RIGHT = LinearSegmentedColormap.from_list("right", ["#FFFFFF", BLUE])
WRONG = LinearSegmentedColormap.from_list("wrong", ["#FBE3D6", ORANGE])


class Mistake(NamedTuple):
    """An image (H, W) or (H, W, 3) with values 0..1, its class, the answer, and the probability of that."""

    image: numpy.ndarray
    label: str
    answer: str
    probability: float


def confusion_text(confusion: numpy.ndarray, classes: Sequence[str]) -> str:
    """The matrix as lines of text, a dot for zero, with the accuracy on each class at the end of its row."""
    width = max(len(str(confusion.max())), *(len(name) for name in classes)) + 2
    margin = max(len(name) for name in classes) + 2
    lines = [" " * margin + "".join(f"{name:>{width}}" for name in classes)]
    for name, row, right in zip(classes, confusion, confusion.diagonal(), strict=True):
        cells = "".join(f"{count or '.':>{width}}" for count in row)
        lines.append(f"{name:>{margin}}{cells}{right / max(row.sum(), 1):>10.1%}")
    return "\n".join(lines)


def worst_pairs_text(confusion: numpy.ndarray, classes: Sequence[str], most: int = 8) -> str:
    """The most frequent mistakes, where the matrix has too many classes to print."""
    wrong = confusion - numpy.diag(confusion.diagonal())
    pairs = [divmod(int(place), len(classes)) for place in numpy.argsort(-wrong, axis=None, kind="stable")[:most]]
    words = [f"{classes[i]} taken for {classes[j]} ({wrong[i, j]})" for i, j in pairs if wrong[i, j]]
    return ", ".join(words) or "nothing"


def curves_figure(title: str, history: History, watched: str = "test") -> Figure:
    """The learning curves alone, for a look at a training that goes on."""
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=14, fontweight="bold", color=INK)
    left, right = figure.subplots(1, 2)
    _draw_loss(left, history, watched)
    left.set_xlabel("Epoch", fontsize=11, color=INK)
    _draw_accuracy(right, history, watched)
    _legend(figure, right)
    return figure


def training_figure(
    title: str,
    history: History,
    confusion: numpy.ndarray,
    classes: Sequence[str],
    mistakes: Sequence[Mistake],
    *,
    watched: str = "test",
    things: str = "digit",
) -> Figure:
    """Learning curves on the left, the confusion matrix on the right, the mistakes as images below.

    watched     which images the curves show beside the training ones; things: what a class is called
    """
    verb = "read as" if things == "digit" else "taken for"
    words = [f"{mistake.label} {verb} {mistake.answer}" for mistake in mistakes]
    two_lines = max(map(len, words), default=0) > 14
    row = (2.35 if two_lines else 1.9) if mistakes else 0.0  # of the pictures below, in inches
    figure = Figure(figsize=(10, 5.7 + row), dpi=180, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    figure.suptitle(title, fontsize=15, fontweight="bold", color=INK)
    parts: Any = figure.subfigures(2, 1, height_ratios=[5.7, row]) if mistakes else (figure.subfigures(1, 1), None)
    upper, lower = parts
    axes = upper.subplot_mosaic([["loss", "matrix"], ["accuracy", "matrix"]], width_ratios=[1, 1.15])
    axes["accuracy"].sharex(axes["loss"])
    _draw_loss(axes["loss"], history, watched)
    _draw_accuracy(axes["accuracy"], history, watched)
    _draw_confusion(axes["matrix"], confusion, classes, things)
    _legend(upper, axes["accuracy"])
    if lower is not None:
        lower.suptitle("The mistakes it was surest of", fontsize=12, color=INK)
        places = lower.subplots(1, len(mistakes), squeeze=False)[0]
        for place, mistake, line in zip(places, mistakes, words, strict=True):
            _draw_mistake(place, mistake, line.replace(f" {verb}", f"\n{verb}") if two_lines else line)
    return figure


def _draw_loss(axes: Axes, history: History, watched: str) -> None:
    _draw_curves(axes, history.train_loss, history.test_loss, watched)
    title = "Loss (cross-entropy)"
    losses = history.train_loss + history.test_loss
    if losses and 0 < 10 * min(losses) < max(losses):  # else a logarithmic axis may have no tick to label
        axes.set_yscale("log")
        title = "Loss (cross-entropy, logarithmic scale)"
        axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title(title, fontsize=12, color=INK, loc="left")


def _draw_accuracy(axes: Axes, history: History, watched: str) -> None:
    _draw_curves(axes, history.train_accuracy, history.test_accuracy, watched)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    low = min([*history.train_accuracy, *history.test_accuracy, 0.95])
    axes.set_ylim(low - 0.05 * (1 - low), 1.01)
    axes.set_title("Accuracy", fontsize=12, color=INK, loc="left")
    axes.set_xlabel("Epoch", fontsize=11, color=INK)


def _legend(figure: Any, axes: Axes) -> None:
    """Below the curves, which may be anywhere in their axes."""
    lines, words = axes.get_legend_handles_labels()
    figure.legend(lines, words, loc="outside lower left", ncols=2, fontsize=11, labelcolor=INK, frameon=False)


def _draw_curves(axes: Axes, train: list[float], test: list[float], watched: str) -> None:
    epochs = range(1, len(train) + 1)
    # In the first epochs the test is the better one, which would look like a mistake without a word.
    words = "training (average while learning)", f"{watched} (after the epoch)"
    size = 3.5 if len(train) <= MARKED else 0  # more points than that would be a band
    axes.plot(epochs, train, color=BLUE, linewidth=2, label=words[0], marker="o", markersize=size)
    axes.plot(epochs, test, color=ORANGE, linewidth=2, label=words[1], marker="s", markersize=size, linestyle="--")
    if len(train) == 1:
        axes.set_xlim(0, 2)
        axes.set_xticks([1])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(color=LINE, linewidth=0.8)
    axes.tick_params(labelsize=10.5, colors=GREY, length=0)
    axes.spines[:].set_visible(False)


def _draw_confusion(axes: Axes, confusion: numpy.ndarray, classes: Sequence[str], things: str) -> None:
    """Right answers in blue, wrong ones in orange: one wrong answer must not drown beside a hundred right ones."""
    count = len(classes)
    named = count <= NAMED
    colours = numpy.ones((count, count, 4))
    most_wrong = max(1, (confusion - numpy.diag(confusion.diagonal())).max())
    size = 11 if confusion.max() < 1000 else 8.5
    for i, j in numpy.argwhere(confusion):
        if i == j:
            colours[i, j] = RIGHT(0.75 * confusion[i, i] / confusion.diagonal().max())
        else:
            colours[i, j] = WRONG(confusion[i, j] / most_wrong)
        if named:
            axes.text(j, i, str(confusion[i, j]), ha="center", va="center", fontsize=size, color=INK)
    axes.imshow(colours)
    axes.tick_params(which="both", length=0)
    axes.tick_params(labelsize=10.5, colors=GREY)
    if named:
        upright = max(map(len, classes)) > 3
        names = [name if len(name) <= 12 else f"{name[:11]}…" for name in classes]
        axes.set_xticks(range(count), names, **({"rotation": 45, "ha": "right"} if upright else {}))  # type: ignore[arg-type]
        axes.set_yticks(range(count), names)
        axes.set_xticks(numpy.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(numpy.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=LINE, linewidth=0.8)
    axes.spines[:].set_visible(not named)
    axes.spines[:].set_color(LINE)
    axes.set_title("Confusion matrix (test)", fontsize=12, color=INK, loc="left")
    axes.set_xlabel(f"Predicted {things}", fontsize=11, color=INK)
    axes.set_ylabel(f"True {things}", fontsize=11, color=INK)


def _draw_mistake(axes: Axes, mistake: Mistake, words: str) -> None:
    axes.imshow(mistake.image, cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(LINE)
    axes.set_title(words, fontsize=9 if "\n" in words else 11, color=INK)
    # rounded down: only certainty is 100 %
    axes.set_xlabel(f"{int(100 * mistake.probability)}% sure", fontsize=10.5, color=GREY)

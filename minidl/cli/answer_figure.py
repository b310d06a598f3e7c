"""An image, what a network says it is, and where it looks: the picture of `minidl classify`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from minidl.cli.report import BLUE, GREY, INK, LINE, ORANGE

LEAST = 0.02  # a change of the probability that is worth a colour
PAPER = 0.72  # how far the image fades below a map: 1 is white
HEAT = LinearSegmentedColormap.from_list("heat", ["#FFFFFF00", "#E69F0099", ORANGE, "#7A2E00"])
CHANGE = LinearSegmentedColormap.from_list("change", ["#00466E", BLUE, "#FFFFFF00", ORANGE, "#7A2E00"])


class Answer(NamedTuple):
    """A class, its name, and the probability that the network gives it."""

    label: int
    name: str
    probability: float


def answer_figure(
    title: str,
    network: str,
    image: numpy.ndarray,
    answers: Sequence[Answer],
    saliency: numpy.ndarray,
    occluded: numpy.ndarray,
) -> Figure:
    """image: (C, H, W) with values 0..1; saliency, occluded: (H, W), as minidl.inspect.attribution gives them."""
    figure = Figure(figsize=(13.2, 4.5), dpi=150, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.09)  # type: ignore[union-attr, call-arg]
    best = answers[0]
    words = f"{title}: {network} says {best.name}, {percent(best.probability)}"
    figure.suptitle(words, x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    upper, lower = figure.subplots(2, 4, height_ratios=[1, 0.045])  # colour bars below the maps
    for axes in lower[:2]:
        axes.set_visible(False)
    _draw_image(upper[0], image)
    _draw_answers(upper[1], answers)
    _draw_saliency(upper[2], lower[2], image, saliency)
    _draw_occlusion(upper[3], lower[3], image, best, occluded)
    return figure


def _draw_image(axes: Axes, image: numpy.ndarray) -> None:
    shown = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _frame(axes, f"What the network reads: {image.shape[2]}×{image.shape[1]}")


def _draw_answers(axes: Axes, answers: Sequence[Answer]) -> None:
    """Bars with their names above them: names of ImageNet's classes are long."""
    places = numpy.arange(len(answers))
    probabilities = [answer.probability for answer in answers]
    colours = [BLUE, *["#9DB8CC"] * (len(answers) - 1)]
    axes.barh(places + 0.18, [1] * len(answers), height=0.3, color="#F1F1F1")
    axes.barh(places + 0.18, probabilities, height=0.3, color=colours)
    for place, answer in zip(places, answers, strict=True):
        weight = "bold" if place == 0 else "normal"
        axes.text(0, place - 0.08, _short(answer.name), va="bottom", fontsize=11, color=INK, fontweight=weight)
        axes.text(1, place - 0.08, percent(answer.probability), va="bottom", ha="right", fontsize=11, color=GREY)
    axes.set_box_aspect(1)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(answers) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(f"The {len(answers)} most probable classes", fontsize=12, color=INK, loc="left")


def _draw_saliency(axes: Axes, bar: Axes, image: numpy.ndarray, saliency: numpy.ndarray) -> None:
    """Of the hundredth part with the largest values all are drawn alike: single pixels would hide the rest."""
    strongest = float(numpy.quantile(saliency, 0.99)) or float(saliency.max()) or 1.0
    _draw_faded(axes, image)
    drawn = axes.imshow(saliency / strongest, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
    _frame(axes, "Saliency")
    _draw_scale(bar, drawn, {0: "nothing", 1: "the most"}, "how much the score changes with a pixel")


def _draw_occlusion(axes: Axes, bar: Axes, image: numpy.ndarray, best: Answer, occluded: numpy.ndarray) -> None:
    """What is lost: orange where hiding the pixel makes the class less probable, blue where more.

    The scale never ends below LEAST: of an image that the network is sure of whatever is hidden, nothing is coloured.
    """
    lost = best.probability - occluded
    most = float(numpy.abs(lost).max())
    reach = max(most, LEAST)
    text = f"{100 * reach:.0f}%"
    _draw_faded(axes, image)
    drawn = axes.imshow(lost, cmap=CHANGE, norm=TwoSlopeNorm(0, -reach, reach), interpolation="bilinear")
    _frame(axes, "Occlusion")
    ticks = {-reach: f"gains {text}", 0: "0", reach: f"loses {text}"}
    words = "what the probability does without a pixel" if most > LEAST else "no part that is hidden changes much"
    _draw_scale(bar, drawn, ticks, words)


def _draw_faded(axes: Axes, image: numpy.ndarray) -> None:
    """The image in light gray, for what is drawn over it."""
    gray = image.mean(axis=0)
    axes.imshow(PAPER + (1 - PAPER) * gray, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _draw_scale(axes: Axes, drawn: Any, ticks: dict[float, str], words: str) -> None:
    """The colour bar of a map, what its ends mean, and what it shows."""
    bar = axes.get_figure().colorbar(drawn, cax=axes, orientation="horizontal")  # type: ignore[union-attr]
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes.tick_params(labelsize=9.5, colors=GREY, length=0)
    axes.set_xlabel(words, fontsize=10.5, color=GREY)


def _frame(axes: Axes, title: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(LINE)
    axes.set_title(title, fontsize=12, color=INK, loc="left")


def percent(fraction: float, digits: int = 1) -> str:
    """Only certainty is 100 %, and only the impossible 0 %: what would be rounded to them is >99.9% or <0.1%."""
    unit = 10.0**-digits
    if 100 * fraction >= 100 - unit / 2:
        return f">{100 - unit:.{digits}f}%"
    if 100 * fraction < unit / 2:
        return f"<{unit:.{digits}f}%"
    return f"{100 * fraction:.{digits}f}%"


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"

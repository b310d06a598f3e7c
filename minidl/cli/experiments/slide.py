"""What the pictures of all experiments share: a slide with a title, its drawings, and the verdicts at its foot.

Size, inks and colours are those of `minidl compare`: Okabe & Ito's, told apart in every common kind of colour
blindness; and no two lines differ in colour alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from minidl.cli.complexity_plots import BLUE, GREEN, GREY, INK, LINE, VERMILION
from minidl.cli.experiments.verdict import OPEN, OPPOSITE, SHOWS, Verdict, standard_error

ANSWERS = {SHOWS: (GREEN, "✓"), OPPOSITE: (VERMILION, "✗"), OPEN: (GREY, "–")}
POINTS = "Small points: each seed; large ones: their mean with its standard error."
MARKERS = "osD^vPX"
SENTENCES = 0.255  # where they begin, to the right of the longest answer
NOTE_WIDTH = 165  # characters


def slide(title: str, subtitle: str, verdicts: Sequence[Verdict], note: str) -> tuple[Figure, float]:
    """The slide without its drawings, and where their lower edge may be (0 is the foot, 1 the top).

    A verdict has two lines: the answer and the claim, and in small the numbers.
    """
    figure = Figure(figsize=(12, 7.5), dpi=160, facecolor="white")
    figure.text(0.05, 0.945, title, fontsize=20, fontweight="bold", color=INK)
    figure.text(0.05, 0.91, subtitle, fontsize=12.5, color=GREY)
    lines = textwrap.wrap(note, NOTE_WIDTH)
    figure.text(0.05, 0.018, "\n".join(lines), fontsize=9, color=GREY, va="bottom", linespacing=1.3)
    height = 0.03 + 0.022 * len(lines)
    for verdict in reversed(verdicts):
        colour, sign = ANSWERS[verdict.answer]
        if verdict.numbers:
            figure.text(SENTENCES, height, verdict.numbers, fontsize=10.5, color=GREY, va="bottom")
            height += 0.023
        figure.text(SENTENCES, height, verdict.claim.text, fontsize=12.5, color=INK, va="bottom")
        answer = f"{sign}  {verdict.answer}"
        figure.text(0.05, height, answer, fontsize=12.5, fontweight="bold", color=colour, va="bottom")
        height += 0.037
    return figure, height + 0.012


def panels(figure: Figure, bottom: float, widths: Sequence[float], *, gap: float = 0.075) -> list[Axes]:
    """Axes side by side, above `bottom`, of these widths in relation to each other."""
    left, right, top = 0.085, 0.975, 0.845
    bottom += 0.075  # the labels of the axis
    unit = (right - left - gap * (len(widths) - 1)) / sum(widths)
    axes = []
    for width in widths:
        axes.append(figure.add_axes((left, bottom, width * unit, top - bottom)))
        left += width * unit + gap
    return axes


def dress(axes: Axes, title: str, across: str = "", up: str = "") -> None:
    """Title, labels, grid: what every drawing has."""
    axes.set_title(title, fontsize=13.5, color=INK, loc="left", pad=9, fontweight="bold")
    axes.set_xlabel(across, fontsize=12.5, color=INK)
    axes.set_ylabel(up, fontsize=12.5, color=INK)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=12, colors=GREY, length=0)
    axes.spines[:].set_visible(False)


def percent_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))


def points(axes: Axes, x: float, values: Sequence[float], colour: str, marker: str = "o") -> None:
    """Every seed as a small point, and their mean with its standard error. Also those on the edge are whole."""
    axes.plot([x] * len(values), values, marker, color=colour, alpha=0.35, markersize=6, linewidth=0, clip_on=False)
    mean = sum(values) / len(values)
    error = standard_error(values) if len(values) > 1 else 0.0
    look: Any = {"marker": marker, "markersize": 10, "capsize": 6, "linewidth": 2, "capthick": 2, "clip_on": False}
    axes.errorbar(x, mean, error, color=colour, **look)


def line_with_points(
    axes: Axes,
    xs: Sequence[float],
    values: Sequence[Sequence[float]],
    colour: str,
    marker: str,
    label: str,
    **style: Any,
) -> None:
    """The means as a line, and at each place its points."""
    means = [sum(each) / len(each) for each in values]
    axes.plot(xs, means, color=colour, linewidth=2.5, label=label, marker=marker, markersize=10, **style)
    for x, each in zip(xs, values, strict=True):
        points(axes, x, each, colour, marker)


def bars(
    axes: Axes, labels: Sequence[str], values: Sequence[float], colours: Sequence[str], words: Sequence[str]
) -> None:
    """A bar for each exact number, which stands above it."""
    axes.bar(range(len(values)), values, 0.6, color=colours)
    for place, (value, word) in enumerate(zip(values, words, strict=True)):
        axes.annotate(word, (place, value), (0, 5), textcoords="offset points", ha="center", fontsize=13, color=INK,
                      fontweight="bold")  # fmt: skip
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", labelsize=12, labelcolor=INK)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_ylim(0, 1.15 * max(values))
    axes.grid(visible=False)
    axes.set_yticks([])


def columns(axes: Axes, labels: Sequence[str], values: Sequence[Sequence[float]], colours: Sequence[str]) -> None:
    """The points of each variant above its name."""
    for place, (each, colour) in enumerate(zip(values, colours, strict=True)):
        points(axes, place, each, colour, MARKERS[place % len(MARKERS)])
        mean = sum(each) / len(each)
        axes.annotate(f"{mean:.1f}", (place, mean), (13, 0), textcoords="offset points", fontsize=13, color=INK,
                      fontweight="bold", va="center")  # fmt: skip
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", labelsize=12, labelcolor=INK)
    axes.tick_params(axis="x", pad=9)  # a point at 0 is on the axis, and whole
    axes.set_xlim(-0.5, len(values) - 0.4)
    axes.set_ylim(bottom=0, top=1.12 * max(max(each) for each in values) or 1)


__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "POINTS",
    "VERMILION",
    "bars",
    "columns",
    "dress",
    "line_with_points",
    "panels",
    "percent_axis",
    "points",
    "slide",
]

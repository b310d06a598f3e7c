"""The pictures: ratios as bars that start at 1, to the left where minidl needs less; and times as straight lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from minidl.cli.complexity_plots import BLUE, GREY, INK, LINE, ORANGE
from tests.benchmarks.scaling import Line

COLOURS = (BLUE, ORANGE)
ROOM = 0.3  # each side of 1 is at least this part of the other, for its words: "minidl needs more"
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)


class Bars(NamedTuple):
    """A line of the picture: minidl / PyTorch for each series, None where there is none."""

    label: str
    ratios: Sequence[float | None]


def ratio_figure(lines: Sequence[Bars], series: Sequence[str], title: str, less: str, more: str, note: str) -> Figure:
    """Bars on a logarithmic axis.

    less, more   what a ratio below and above 1 means: "minidl is faster", "minidl is slower"
    """
    row, top, bottom = 0.24 * len(series) + 0.16, 1.4, 1.0  # inches
    height = row * len(lines) + top + bottom
    figure = Figure(figsize=(12, height), dpi=130, facecolor="white")
    figure.text(0.03, 1 - 0.4 / height, title, fontsize=18, fontweight="bold", color=INK, va="center")
    figure.text(0.03, 0.2 / height, textwrap.fill(note, 150), fontsize=9.5, color=GREY, va="bottom", linespacing=1.4)
    axes = figure.add_axes((0.35, bottom / height, 0.62, row * len(lines) / height))
    ratios = [ratio for line in lines for ratio in line.ratios if ratio is not None]
    low, high = min([*ratios, 0.9]), max([*ratios, 1.1])
    margin = (high / low) ** 0.1  # for the numbers at the ends of the bars
    low, high = low / margin, high * margin
    high = max(high, low**-ROOM)  # the words on both sides of 1 have room
    low = min(low, high**-ROOM)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    thick = 0.8 / len(series)
    for place, line in enumerate(lines):
        for number, ratio in enumerate(line.ratios):
            if ratio is None:
                continue
            y = place + (number - (len(series) - 1) / 2) * thick
            axes.barh(y, ratio - 1, thick * 0.88, left=1, color=COLOURS[number])
            side = 1 if ratio >= 1 else -1
            axes.annotate(
                f"{ratio:.2f}",
                (ratio, y),
                (5 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=9.5,
                color=INK,
            )
    axes.axvline(1, color=INK, linewidth=1.2)
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    axes.tick_params(axis="y", labelsize=11, labelcolor=INK, length=0)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    if high / low > 20:  # the ones between would touch
        ticks = [tick for tick in ticks if tick not in (0.3, 0.7, 1.5, 3)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.tick_params(axis="x", labelsize=11, colors=GREY, length=0)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    _legend(figure, series, 0.03, 1 - 0.8 / height)
    for words, apart, across in ((f"← {less}", -8, "right"), (f"{more} →", 8, "left")):
        axes.annotate(
            words,
            (1, 1),
            (apart, 7),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha=across,
            va="bottom",
            fontsize=11,
            color=GREY,
        )
    return figure


def scaling_figure(lines: Sequence[Line], note: str) -> Figure:
    """A panel for each line: the measured times as points, and the straight lines fitted to them."""
    figure = Figure(figsize=(12, 6.4), dpi=130, facecolor="white")
    title = "Time of a train step against batch and depth"
    figure.text(0.03, 0.93, title, fontsize=18, fontweight="bold", color=INK, va="center")
    figure.text(0.03, 0.03, textwrap.fill(note, 150), fontsize=9.5, color=GREY, va="bottom", linespacing=1.4)
    for number, line in enumerate(lines):
        axes = figure.add_axes((0.08 + 0.49 * number, 0.22, 0.41, 0.59))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        for library, name in enumerate(("minidl", "PyTorch")):
            slope, fixed = line.fit(library)
            ends = (0, max(line.places) * 1.05)
            milliseconds = [1e3 * (fixed + slope * end) for end in ends]
            axes.plot(ends, milliseconds, color=COLOURS[library], linewidth=1.5, alpha=0.6)
            times = [1e3 * seconds for seconds in line.seconds(library)]
            label = f"{name}: time ~ n$^{{{line.exponent(library):.2f}}}$"
            axes.plot(line.places, times, "o", color=COLOURS[library], markersize=8, label=label)
        axes.set_title(line.title, fontsize=13, color=INK, loc="left", pad=12)
        axes.set_xlim(0, max(line.places) * 1.05)
        axes.set_ylim(0)
        axes.set_xticks(line.places)
        axes.set_xlabel(line.axis, fontsize=12, color=INK)
        axes.set_ylabel("ms a train step" if number == 0 else "", fontsize=12, color=INK)
        axes.tick_params(labelsize=11, colors=GREY, length=0)
        axes.grid(color=LINE, linewidth=0.8)
        axes.spines[:].set_visible(False)
        axes.legend(fontsize=12, frameon=False, loc="upper left", labelcolor=INK)
    return figure


def _legend(figure: Figure, series: Sequence[str], x: float, y: float) -> None:
    for number, name in enumerate(series):
        figure.text(x + 0.17 * number, y, "■", fontsize=13, color=COLOURS[number], va="center")
        figure.text(x + 0.17 * number + 0.018, y, name, fontsize=12, color=INK, va="center")

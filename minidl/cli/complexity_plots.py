"""The lecture's figures on complexity: accuracy against operations, and the error of each year's winner with its depth.

The colours are those of Okabe & Ito, which are told apart in every common kind of colour blindness, and every point is
labelled, so that no colour has to be told at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter

BLACK, ORANGE, SKY, GREEN = "#333333", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PINK = "#0072B2", "#D55E00", "#CC79A7"
INK, GREY, LINE = "#222222", "#666666", "#DDDDDD"

POINTS_PER_MILLION = 24.0  # area of a circle, in square points, for a million parameters


class Point(NamedTuple):
    """A network: where its circle stands, and where its label does, in points from the circle's centre."""

    label: str
    multiply_adds: int
    parameters: int
    accuracy: float  # top-1, in percent
    colour: str
    offset: tuple[float, float]


class Bar(NamedTuple):
    """A winner of the challenge: its top-5 error in percent, and its layers, None where it is not a neural network."""

    label: str
    year: int
    error: float
    depth: int | None


def complexity_figure(points: Sequence[Point], title: str, note: str) -> Figure:
    """Top-1 accuracy against multiply-adds; the area of a circle is the number of parameters."""
    figure = _canvas(title, note)
    axes = figure.add_axes((0.07, 0.195, 0.9, 0.71))
    axes.set_xlim(0, 22)
    axes.set_ylim(54, 83)
    axes.xaxis.set_major_locator(MultipleLocator(5))
    axes.set_xlabel("Multiply-adds of one forward pass (billions)", fontsize=13, color=INK, labelpad=6)
    axes.set_ylabel("Top-1 accuracy on ImageNet", fontsize=13, color=INK)
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=12, colors=GREY, length=0)
    axes.spines[:].set_visible(False)
    for point in sorted(points, key=lambda point: -point.parameters):  # the small ones on top
        where = point.multiply_adds / 1e9, point.accuracy
        area = POINTS_PER_MILLION * point.parameters / 1e6
        axes.scatter(*where, s=area, color=point.colour, alpha=0.45, linewidths=0)
        axes.scatter(*where, s=area, facecolors="none", edgecolors=point.colour, linewidths=1.4)
        axes.scatter(*where, s=9, color=INK, zorder=3, linewidths=0)
    for point in points:
        _label(axes, point)
    _size_legend(axes)
    return figure


def winners_figure(bars: Sequence[Bar], title: str, note: str) -> Figure:
    """The errors as bars, and above each the number of layers."""
    figure = _canvas(title, note)
    _draw_depths(figure.add_axes((0.07, 0.66, 0.9, 0.25)), bars)
    _draw_errors(figure.add_axes((0.07, 0.2, 0.9, 0.43)), bars)
    for axes in figure.axes:
        axes.set_xlim(-0.6, len(bars) - 0.4)
        axes.spines[:].set_visible(False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the figure; the ending of the name says as what. The same figure gives the same bytes."""
    with matplotlib.rc_context({"svg.hashsalt": "minidl"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _canvas(title: str, note: str) -> Figure:
    """An empty slide with its title and the note at its foot."""
    figure = Figure(figsize=(12, 7.5), dpi=160, facecolor="white")
    figure.text(0.07, 0.945, title, fontsize=18, fontweight="bold", color=INK)
    figure.text(0.07, 0.025, note, fontsize=9.5, color=GREY, va="bottom", linespacing=1.4)
    return figure


def _draw_depths(axes: Axes, bars: Sequence[Bar]) -> None:
    deep = [(place, bar.depth) for place, bar in enumerate(bars) if bar.depth is not None]
    axes.plot(*zip(*deep, strict=True), color=VERMILION, linewidth=2.5, marker="o", markersize=9)
    for place, layers in deep:
        words = f"{layers} layers"
        axes.annotate(words, (place, layers), (8, 11), textcoords="offset points", **_text(13, VERMILION, "right"))
    shallow = [place for place, bar in enumerate(bars) if bar.depth is None]
    if shallow:
        axes.text(sum(shallow) / len(shallow), 8, "hand-made features", **_text(13, GREY, "center"))
    axes.set_yscale("log", base=2)
    axes.set_ylim(5, 420)
    axes.yaxis.set_major_locator(NullLocator())  # each point says its number
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks([])
    axes.set_ylabel("Depth (log scale)", fontsize=13, color=VERMILION)


def _draw_errors(axes: Axes, bars: Sequence[Bar]) -> None:
    colours = [BLUE if bar.depth is not None else "#AAAAAA" for bar in bars]
    axes.bar(range(len(bars)), [bar.error for bar in bars], 0.62, color=colours)
    for place, bar in enumerate(bars):
        words = f"{bar.error:g} %"
        axes.annotate(words, (place, bar.error), (0, 5), textcoords="offset points", **_text(14, INK, "center", "bold"))
    axes.set_ylim(0, 30)
    axes.yaxis.set_major_locator(NullLocator())  # each bar says its number
    axes.set_xticks(range(len(bars)), [f"{bar.label}\n{bar.year}" for bar in bars])
    axes.tick_params(axis="x", labelsize=13, labelcolor=INK, length=0)
    axes.set_ylabel("Top-5 error", fontsize=13, color=BLUE)


def _label(axes: Axes, point: Point) -> None:
    """The name beside its circle, with a line to the centre where it stands apart."""
    dx, dy = point.offset
    radius = math.sqrt(POINTS_PER_MILLION * point.parameters / 1e6 / math.pi)
    apart = math.hypot(dx, dy) > radius + 12
    axes.annotate(
        point.label,
        (point.multiply_adds / 1e9, point.accuracy),
        point.offset,
        textcoords="offset points",
        ha="left" if dx > 0 else "right" if dx < 0 else "center",
        va="center" if dx else "bottom" if dy > 0 else "top",
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3} if apart else None,
        fontsize=11.5,
        color=INK,
        zorder=4,
    )


def _size_legend(axes: Axes) -> None:
    """Circles of known size, in the empty corner."""
    axes.text(16.0, 60.9, "Area: parameters", fontsize=11, color=GREY, ha="left")
    for x, millions in ((16.35, 5), (17.5, 25), (19.6, 100)):
        axes.scatter(x, 58, s=POINTS_PER_MILLION * millions, facecolors="none", edgecolors=GREY, linewidths=1.2)
        axes.text(x, 55.2, f"{millions} M", fontsize=11, color=GREY, ha="center")


def _text(size: float, colour: str, across: str, weight: str = "normal") -> dict[str, Any]:
    return {"fontsize": size, "color": colour, "ha": across, "fontweight": weight}

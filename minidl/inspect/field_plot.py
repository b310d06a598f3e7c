"""Receptive fields as a picture. A module of its own: measuring them does not need matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from minidl.inspect.effective_field import EffectiveField
from minidl.inspect.receptive_field import ReceptiveField
from minidl.inspect.tables import pair_text, shape_text

# Blue and orange of Okabe & Ito, which are told apart in every common kind of colour blindness.
BLUE, ORANGE = "#0072B2", "#D55E00"
INK, GREY, LINE = "#222222", "#666666", "#DDDDDD"
WEIGHT = LinearSegmentedColormap.from_list("weight", ["#FFFFFF", "#A6CDE4", BLUE, "#00263B"])

MOST_PANELS = 6
SHARE = 0.95  # of the weight: what the dashed square holds
LONG = 26  # letters that fit above a panel
SMALL = 0.15  # of the image: smaller fields are shown enlarged as well


def field_figure(title: str, theory: ReceptiveField, effective: Sequence[EffectiveField]) -> Figure:
    """A panel for each of the `effective` fields, for the last six if there are more; below, how fields grow."""
    effective = effective[-MOST_PANELS:]
    figure = Figure(figsize=(2.75 * max(len(effective), 4), 8), dpi=150, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.16)  # type: ignore[union-attr, call-arg]
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.4, 1])  # type: ignore[misc]
    upper.suptitle(title, fontsize=15, fontweight="bold", color=INK)
    for axes, field in zip(upper.subplots(1, len(effective), squeeze=False)[0], effective, strict=True):
        _draw_panel(axes, field)
    upper.legend(
        handles=[
            Line2D([], [], color=ORANGE, linewidth=2, label="theoretical receptive field"),
            Line2D([], [], color=INK, linewidth=1.5, linestyle="--", label=f"holds {SHARE:.0%} of the gradient"),
            Line2D(
                [],
                [],
                color=BLUE,
                linewidth=0,
                marker="s",
                markersize=9,
                label="gradient that reaches the image (its square root)",
            ),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=10.5,
        labelcolor=INK,
    )
    _draw_growth(lower.subplots(), theory, effective)
    return figure


def _draw_panel(axes: Axes, field: EffectiveField) -> None:
    height, width = field.weight.shape
    _draw_weight(axes, field)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    if max(field.size) < SMALL * min(height, width):
        inset = axes.inset_axes((0.61, 0.61, 0.37, 0.37))
        _draw_weight(inset, field)
        row, column = field.centre
        reach = 0.65 * max(field.size)
        inset.set_xlim(column - reach, column + reach)
        inset.set_ylim(row + reach, row - reach)
        axes.indicate_inset_zoom(inset, edgecolor=GREY)
    name = field.layer or field.type
    axes.set_title(name if len(name) <= LONG else f"…{name[1 - LONG :]}", fontsize=11, color=INK)
    note = " > image" if min(field.size) > max(height, width) else ""
    axes.set_xlabel(
        f"{field.type}: {shape_text(field.output[-2:])}, stride {pair_text(field.stride)}\n"
        f"theoretical {pair_text(field.size)}{note}\neffective {field.diameter(SHARE)}",
        fontsize=10,
        color=INK,
        linespacing=1.45,
    )


def _draw_weight(axes: Axes, field: EffectiveField) -> None:
    """The square root of the weight, which brings out what is faint, with both frames."""
    axes.imshow(numpy.sqrt(field.weight), cmap=WEIGHT, vmin=0, vmax=1, interpolation="nearest")
    row, column = field.centre
    side = field.diameter(SHARE)
    for (height, width), color, thickness, line in ((field.size, ORANGE, 2, "-"), ((side, side), INK, 1.2, "--")):
        corner = column - width / 2, row - height / 2
        axes.add_patch(Rectangle(corner, width, height, fill=False, color=color, linewidth=thickness, linestyle=line))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GREY)


def _draw_growth(axes: Axes, theory: ReceptiveField, effective: Sequence[EffectiveField]) -> None:
    """A dot for each layer that has positions, a line for the largest field so far, and the measured ones."""
    rows = [row for row in theory.rows if any(row.stride)]
    sizes = [max(row.size) for row in rows]
    numbers = range(1, len(rows) + 1)
    places = {(row.layer, row.type, row.stride): number for number, row in zip(numbers, rows, strict=True)}
    measured = sorted((places[field.layer, field.type, field.stride], field.diameter(SHARE)) for field in effective)

    axes.axhline(max(theory.input[-2:]), color=GREY, linewidth=1, linestyle=":", label="size of the image")
    axes.step(numbers, numpy.maximum.accumulate(sizes), where="mid", color=ORANGE, linewidth=2, label="theoretical")
    axes.plot(numbers, sizes, color=ORANGE, marker="o", markersize=3, linewidth=0)
    axes.plot(*zip(*measured, strict=True), color=INK, marker="D", markersize=5.5, linestyle="--", label="effective")
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.set_ylim(0, 1.08 * max(*sizes, *theory.input[-2:]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer, in the order of the run", fontsize=11, color=INK)
    axes.set_ylabel("receptive field, pixels", fontsize=11, color=INK)
    axes.legend(loc="upper left", fontsize=11, labelcolor=INK, edgecolor="none", framealpha=1)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10.5, colors=GREY, length=0)
    axes.spines[:].set_visible(False)

"""The picture of a batch of grades: how the points lie, how each task went, the hardest checks.

Nobody's name is in it, so it can be shown in the lecture.
"""

from __future__ import annotations

import textwrap
from statistics import mean, median

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minidl.cli.report import BLUE, GREY, INK, LINE, ORANGE
from minidl.course.overview import Overview

HARDEST = 8
WIDE = 52  # letters in a line of a label
PALE_BLUE, PALE_ORANGE = "#8CC0DE", "#EBB58A"


def overview_figure(view: Overview) -> Figure:
    """Three panels; the tasks in their order, the checks by how few pass them."""
    rows = max(len(view.tasks), min(HARDEST, len(view.hardest)), 3)
    height = 0.42 * rows + 0.8
    figure = Figure(figsize=(14, 3.6 + height), dpi=120, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.14)  # type: ignore[union-attr, call-arg]
    graded = f", {len(view.points)} graded" if view.problems else ""
    figure.suptitle(
        f"{view.assignment.name} {view.assignment.title}: {len(view.points) + len(view.problems)} submissions{graded}",
        fontsize=15,
        fontweight="bold",
        color=INK,
    )
    axes = figure.subplot_mosaic([["points", "points"], ["tasks", "checks"]], height_ratios=[2.4, height])
    for one in axes.values():
        one.tick_params(labelsize=9.5, labelcolor=INK, length=0)
        one.spines[:].set_visible(False)
        one.set_axisbelow(True)
    if view.points:
        _points(axes["points"], view)
        _tasks(axes["tasks"], view)
        _checks(axes["checks"], view)
    return figure


def _points(axes: Axes, view: Overview) -> None:
    of = view.assignment.points
    bins = numpy.arange(of + 2) - 0.5 if of <= 80 else numpy.linspace(-0.5, of + 0.5, 41)
    axes.hist(view.points, bins=bins.tolist(), color=BLUE, rwidth=0.85)
    axes.set_xlim(-0.5, of + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=20, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.axvline(mean(view.points), color=ORANGE, linewidth=2)
    axes.axvline(median(view.points), color=ORANGE, linewidth=2, linestyle=(0, (2, 2)))
    handles = axes.get_lines()
    axes.legend(
        handles,
        [f"mean {mean(view.points):.1f}", f"median {median(view.points):g}"],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        borderaxespad=0.2,
    )
    _title(axes, f"Submissions by their points, of {of}")


def _tasks(axes: Axes, view: Overview) -> None:
    """A bar for each task, of all submissions, in four parts."""
    parts = [
        ("all points", BLUE, [task.all for task in view.tasks]),
        ("some", PALE_BLUE, [task.some for task in view.tasks]),
        ("none", PALE_ORANGE, [task.none for task in view.tasks]),
        ("left out", "#EEEEEE", [task.out for task in view.tasks]),
    ]
    places = range(len(view.tasks))
    left = numpy.zeros(len(view.tasks))
    for name, colour, counts in parts:
        shares = numpy.array(counts) / len(view.points)
        axes.barh(places, shares, left=left, color=colour, height=0.72, label=name, edgecolor="white", linewidth=0.8)
        for place, start, share in zip(places, left, shares, strict=True):
            if share >= 0.07:
                ink = "white" if colour == BLUE else INK
                axes.text(start + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=9, color=ink)
        left = left + shares
    _rows(axes, [f"{task.task.id}  {task.task.title}" for task in view.tasks])
    axes.set_xlim(0, 1)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=4,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        handlelength=1,
        columnspacing=1.2,
    )
    axes.set_xticks([])
    _title(axes, "Tasks: how many have all points, some, none")


def _checks(axes: Axes, view: Overview) -> None:
    hardest = view.hardest[:HARDEST]
    _title(axes, "The hardest checks: how many pass" if hardest else "Everybody passes every check")
    if not hardest:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    places = range(len(hardest))
    axes.barh(places, [1] * len(hardest), color="#F4F4F4", height=0.72)
    axes.barh(places, [share for _, share in hardest], color=ORANGE, height=0.72)
    for place, (_, share) in zip(places, hardest, strict=True):
        axes.text(share + 0.015, place, f"{share:.0%}", va="center", fontsize=9.5, color=INK)
    _rows(axes, [_two_lines(f"{check.task}  {check.sentence}{_hidden(check.hidden)}") for check, _ in hardest])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(axis="x", labelcolor=GREY)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))


def _hidden(hidden: bool) -> str:
    return " (hidden)" if hidden else ""


def _two_lines(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDE, max_lines=2, placeholder=" …"))


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=12, color=INK, loc="left", pad=8)

"""The picture of a batch of grades, for staff: how the points lie, how far each task was solved, the hardest checks."""

from __future__ import annotations

from statistics import mean

import numpy
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minidl.cli.report import BLUE, GREY, INK, LINE, ORANGE
from minidl.course.overview import Overview

HARDEST = 8
LONGEST = 46  # letters of a label


def overview_figure(view: Overview) -> Figure:
    """Three panels; the tasks in their order, the checks by how few pass them."""
    tasks, checks = view.assignment.tasks, view.checks[:HARDEST]
    height = max(3.2, 0.32 * max(len(tasks), len(checks)) + 1.2)
    figure = Figure(figsize=(13, 3 + height), dpi=120, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)  # type: ignore[union-attr, call-arg]
    of = view.assignment.points
    figure.suptitle(
        f"{view.assignment.name} {view.assignment.title}: {len(view.points)} submissions, "
        f"mean {mean(view.points):.1f} of {of} points",
        fontsize=14,
        fontweight="bold",
        color=INK,
    )
    axes = figure.subplot_mosaic([["points", "points"], ["tasks", "checks"]], height_ratios=[2.6, height])

    bins = numpy.arange(of + 2) - 0.5 if of <= 60 else numpy.linspace(-0.5, of + 0.5, 41)
    axes["points"].hist(view.points, bins=bins.tolist(), color=BLUE, rwidth=0.88)
    axes["points"].set_xlim(-0.5, of + 0.5)
    axes["points"].yaxis.set_major_locator(MaxNLocator(integer=True))
    axes["points"].grid(axis="y", color=LINE, linewidth=0.8)
    axes["points"].set_title("Submissions by their points", fontsize=12, color=INK, loc="left")

    _bars(
        axes["tasks"],
        [f"{task.id} {task.title}" for task in tasks],
        [view.tasks.get(task.id, 0) for task in tasks],
        BLUE,
    )
    axes["tasks"].set_title("Tasks: mean share of the points", fontsize=12, color=INK, loc="left")
    labels = [f"{check.task} {check.sentence}{' (hidden)' if check.hidden else ''}" for check, _ in checks]
    _bars(axes["checks"], labels, [share for _, share in checks], ORANGE)
    axes["checks"].set_title("The hardest checks: share that passes", fontsize=12, color=INK, loc="left")
    for one in axes.values():
        one.tick_params(labelsize=9.5, colors=GREY, length=0)
        one.spines[:].set_visible(False)
        one.set_axisbelow(True)
    return figure


def _bars(axes, labels, shares, colour) -> None:
    places = range(len(labels))
    axes.barh(places, shares, color=colour, height=0.7)
    for place, share in zip(places, shares, strict=True):
        axes.text(share + 0.01, place, f"{share:.0%}", va="center", fontsize=9, color=INK)
    axes.set_yticks(places, [label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…" for label in labels])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.grid(axis="x", color=LINE, linewidth=0.8)

"""The picture at the end of assignment 4: cost against accuracy, for ResNet and for every network that was completed.

Each network is trained in three widths, so it is a line and not a point. Networks whose blanks are left are left out;
with three of them it takes about half a minute, with all seven a minute and a half.
"""

import os

from matplotlib.figure import Figure

from assignments.a4_beyond.compare import SMALL, frontier, measured

WIDTHS, EPOCHS = (4, 8, 16), 12
if os.environ.get("MINIDL_COURSE_QUICK"):  # only to see that it runs
    WIDTHS, EPOCHS = (2, 4), 1
INK, FAINT = "#222222", "#BBBBBB"
STYLES = {  # colours that colour-blind readers tell apart, and a mark for each
    "ResNet": ("#222222", "o"),
    "pre-activation": ("#0072B2", "s"),
    "wide": ("#D55E00", "D"),
    "ResNeXt": ("#009E73", "^"),
    "stochastic depth": ("#CC79A7", "v"),
    "FractalNet": ("#E69F00", "P"),
    "DenseNet": ("#56B4E9", "X"),
    "SqueezeNet": ("#8B5E3C", "h"),
}


def picture(folder):
    """Train what is there, and draw a4.png into `folder`; returns its path."""
    found = {}
    for name in SMALL:
        try:
            found[name] = [measured(name, width, epochs=EPOCHS) for width in WIDTHS]
        except NotImplementedError as error:
            print(f"{name}: left out ({str(error).partition(',')[0]})")
        else:
            print(f"{name}: {', '.join(f'{error:.1f} %' for _, _, error in found[name])} wrong, narrow to broad")
    figure = draw(found)
    path = folder / "a4.png"
    figure.savefig(path)
    return path


def draw(found):
    """The figure for {name: [(multiply-adds, parameters, error), ...]}."""
    points = {(name, i): (cost, error) for name, row in found.items() for i, (cost, _, error) in enumerate(row)}
    best = frontier(points)
    figure = Figure(figsize=(11, 6.4), dpi=130, facecolor="white")
    figure.text(0.038, 0.935, "What accuracy costs", fontsize=20, weight="bold", color=INK)
    figure.text(
        0.038,
        0.885,
        f"Small editions of {len(found)} networks in {len(WIDTHS)} widths each, "
        f"after {EPOCHS} epochs on 400 handwritten digits",
        fontsize=12,
        color=INK,
    )
    axes = figure.add_axes((0.075, 0.165, 0.72, 0.645))
    steps = [points[key] for key in best]
    axes.plot(
        *zip(*steps, strict=True),
        color="#E4E4E4",
        linewidth=11,
        solid_joinstyle="round",
        solid_capstyle="round",
        zorder=1,
    )
    for name, row in found.items():
        colour, mark = STYLES[name]
        costs, sizes, errors = zip(*row, strict=True)
        axes.plot(costs, errors, color=colour, linewidth=1.8, alpha=0.75, zorder=2)
        areas = [45 + size / 1200 for size in sizes]
        axes.scatter(costs, errors, s=areas, color=colour, marker=mark, edgecolor="white", linewidth=0.8, zorder=3)
    label(axes, found)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [tick for tick in (5, 7, 10, 15, 20, 30, 40, 50, 70) if min(e for _, e in points.values()) * 0.8 < tick]
    axes.set_yticks(ticks, [f"{tick} %" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.87 * min(e for _, e in points.values()), 1.12 * max(e for _, e in points.values()))
    axes.set_xticks([3e4, 1e5, 3e5, 1e6, 3e6], ["30 k", "100 k", "300 k", "1 M", "3 M"])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.8 * min(c for c, _ in points.values()), 1.25 * max(c for c, _ in points.values()))
    axes.set_xlabel("Multiply-adds for an image", fontsize=11.5, color=INK, loc="left")
    axes.set_title("Error on 1,037 unseen digits", fontsize=11.5, color=INK, loc="left", pad=10)
    axes.text(
        0.0,
        -0.125,
        "Grey: the frontier, what no other network beats. The area of a mark grows with the parameters.\n"
        "One training each, so differences of two points may be chance.",
        transform=axes.transAxes,
        fontsize=10,
        color="#666666",
        va="top",
        linespacing=1.5,
    )
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=10.5)
    return figure


def label(axes, found):
    """The names at the right edge, in the order of their last errors, with the mark of each."""
    order = sorted(found, key=lambda name: found[name][-1][2])
    for line, name in enumerate(reversed(order)):
        colour, mark = STYLES[name]
        height = 0.93 - 0.085 * line
        axes.plot([1.045], [height], mark, color=colour, markersize=9, transform=axes.transAxes, clip_on=False)
        axes.text(1.07, height, name, transform=axes.transAxes, va="center", fontsize=12, color=colour, weight="bold")
        error = found[name][-1][2]
        axes.text(
            1.07,
            height - 0.037,
            f"{error:.1f} % at its broadest",
            transform=axes.transAxes,
            va="center",
            fontsize=9,
            color="#666666",
        )

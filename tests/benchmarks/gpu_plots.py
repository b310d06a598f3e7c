"""The pictures of gpu.py: ratios to PyTorch, and the roofline of the convolutions.

python -m tests.benchmarks.gpu_plots out/benchmarks/gpu.json        draws gpu.png and roofline.png beside it
"""

import json
import sys
import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from minidl.cli.complexity_plots import BLUE, GREY, INK, LINE, ORANGE
from tests.benchmarks.plots import Bars, ratio_figure

SERIES = {"minidl, auto": "minidl: im2col", "minidl, cudnn": "minidl: cuDNN"}
MARKS = {"minidl, auto": (BLUE, "o"), "minidl, cudnn": (ORANGE, "s"), "PyTorch": (GREY, "D")}


def ratios(results):
    lines = [
        Bars(f"{row['title']} images, {row['precision']}", [row["ratios"][name] for name in SERIES])
        for row in results["networks"]
    ]
    title = "Train step on a GPU: minidl / PyTorch with cuDNN"
    return ratio_figure(lines, list(SERIES.values()), title, "minidl is faster", "minidl is slower", results["machine"])


def roofline(results):
    """A panel for each precision: what a convolution with its gradients reaches, below what the GPU can at most."""
    figure = Figure(figsize=(13, 7.2), dpi=130, facecolor="white")
    figure.text(0.03, 0.945, "Convolutions and their gradients on a GPU", fontsize=18, fontweight="bold", color=INK)
    note = f"{results['machine']} Roof: a copy of 4 GB, and PyTorch's product of "
    note += "8192 x 8192 matrices. Above it: cuDNN has ways that need fewer products than the definition (Winograd's)."
    figure.text(0.03, 0.03, textwrap.fill(note, 170), fontsize=9.5, color=GREY, linespacing=1.4)
    peaks = results["peaks"]
    precisions = [name for name in peaks if name != "bytes/s"]
    for number, precision in enumerate(precisions):
        points = [point for point in results["roofline"] if point["precision"] == precision]
        axes = figure.add_axes((0.07 + 0.48 * number, 0.24, 0.43, 0.56))
        places = [2 ** (0.1 * i) for i in range(30, 112)]
        roof = [min(peaks[precision], peaks["bytes/s"] * place) / 1e12 for place in places]
        axes.plot(places, roof, color=INK, linewidth=1.8)
        for name, (colour, mark) in MARKS.items():
            rates = [point["operations"] / point[name] / 1e12 for point in points]
            x = [point["operations"] / point["bytes"] for point in points]
            axes.plot(x, rates, mark, color=colour, markersize=7, alpha=0.85, label=SERIES.get(name, name), linewidth=0)
        for letter, point in enumerate(points):
            best = max(point["operations"] / point[name] / 1e12 for name in MARKS)
            at = (point["operations"] / point["bytes"], best)
            axes.annotate(
                "abcdefghijkl"[letter], at, (0, 7), textcoords="offset points", ha="center", fontsize=10, color=INK
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(12, 2000)
        top = peaks[precision] / 1e12
        axes.set_ylim(top / 40, top * 2.2)
        _ticks(axes.xaxis, (20, 50, 100, 200, 500, 1000))
        _ticks(axes.yaxis, [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if top / 40 <= tick <= top * 2.2])
        axes.set_title(f"{precision}: at most {top:.0f} TFLOP/s", fontsize=13, color=INK, loc="left", pad=10)
        axes.set_xlabel("operations for each byte that must be moved", fontsize=11, color=INK)
        axes.set_ylabel("TFLOP/s" if number == 0 else "", fontsize=11, color=INK)
        axes.tick_params(labelsize=10.5, colors=GREY, length=0)
        axes.grid(color=LINE, linewidth=0.8)
        axes.spines[:].set_visible(False)
        if number == 0:
            figure.legend(
                *axes.get_legend_handles_labels(), ncols=3, frameon=False, fontsize=11, loc=(0.06, 0.87), labelcolor=INK
            )
    names = [point["title"] for point in results["roofline"] if point["precision"] == precisions[0]]
    words = "   ".join(f"{'abcdefghijkl'[letter]} {name}".replace(" ", "\u00a0") for letter, name in enumerate(names))
    figure.text(0.03, 0.11, textwrap.fill(words, 150), fontsize=10, color=INK, linespacing=1.5)
    return figure


def _ticks(axis, ticks):
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_ticklabels([f"{tick:g}" for tick in ticks])


def draw(results, folder):
    """The pictures that these results are enough for."""
    if "networks" in results:
        ratios(results).savefig(Path(folder) / "gpu.png")
    if "roofline" in results:
        roofline(results).savefig(Path(folder) / "roofline.png")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    draw(json.loads(path.read_text()), path.parent)

"""The picture at the end of assignment 2, drawn by your own convolution, pooling, LeNet-5 and counting.

python -m minidl course picture             (or: make picture)
"""

from __future__ import annotations

from pathlib import Path

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

import minidl
from assignments.a2_convolution.counting import ALEXNET, Row, count, totals, vgg16
from assignments.a2_convolution.train import answers, digits, train
from minidl import nn
from minidl.data import Digits

# Of Okabe & Ito, told apart in every common kind of colour blindness.
BLUE, ORANGE, INK, GREY, LINE = "#0072B2", "#D55E00", "#222222", "#666666", "#DDDDDD"
HEAT = LinearSegmentedColormap.from_list("heat", ["#FFFFFF", "#A6CDE4", BLUE, "#00263B"])


def picture(folder: Path) -> Path:
    """Train, look, count, draw: `convolution.png` in `folder`."""
    net, losses = train(*digits(training=True))
    images, truth = digits(training=False)
    right = int((answers(net, images) == truth).sum())
    rows = {"AlexNet": count(ALEXNET, (3, 227, 227)), "VGG-16": count(vgg16(), (3, 224, 224))}

    figure = Figure(figsize=(14, 9.6), dpi=150, facecolor="white")
    figure.text(0.04, 0.948, "A digit on its way through your LeNet-5", fontsize=20, fontweight="bold", color=INK)
    words = f"{right} of {len(truth)} unseen digits right ({right / len(truth):.1%}), after {len(losses)} steps of SGD"
    figure.text(0.04, 0.916, words, fontsize=12.5, color=GREY)
    draw_way(figure, net, images, truth)
    draw_costs(figure, rows["VGG-16"])
    draw_fields(figure.add_axes((0.665, 0.075, 0.305, 0.3)), rows)
    path = Path(folder) / "convolution.png"
    figure.savefig(path)
    return path


def draw_way(figure: Figure, net: nn.Module, images: numpy.ndarray, truth: numpy.ndarray) -> None:
    """Three digits: the image, the maps of both convolutions and poolings, the probabilities."""
    heads = (
        (0.04, "image", "1 x 32 x 32"),
        (0.135, "conv1, ReLU", "6 x 28 x 28"),
        (0.267, "max pool", "6 x 14 x 14"),
        (0.399, "conv2, ReLU", "16 x 10 x 10"),
        (0.741, "max pool", "16 x 5 x 5"),
        (0.845, "what it says", "softmax of 10 scores"),
    )
    for left, head, shape in heads:
        figure.text(left, 0.872, head, fontsize=12, color=INK, fontweight="bold")
        figure.text(left, 0.852, shape, fontsize=10, color=GREY)
    pictures = Digits(train=False).denormalize(images[:, 0])
    for place, digit in enumerate((3, 5, 8)):
        i = int(numpy.flatnonzero(truth == digit)[4])
        maps = way(net, images[i : i + 1])
        bottom = 0.72 - place * 0.134
        show(figure.add_axes((0.04, bottom, 0.08, 0.1167)), pictures[i], "gray_r", 1)
        tile(figure, maps["conv1"], (0.135, bottom), 0.0567, 3)
        tile(figure, maps["pool1"], (0.267, bottom), 0.0567, 3)
        tile(figure, maps["conv2"], (0.399, bottom), 0.0567, 8)
        tile(figure, maps["pool2"], (0.741, bottom), 0.0267, 4)
        draw_answer(figure.add_axes((0.845, bottom + 0.012, 0.13, 0.098)), maps["scores"][0], digit)


def way(net: nn.Module, image: numpy.ndarray) -> dict[str, numpy.ndarray]:
    """What comes out of the layers of LeNet-5 for one image, (1, 1, 32, 32)."""
    with minidl.no_grad():
        conv1 = net.relu(net.conv1(minidl.Tensor(image)))
        pool1 = net.pool(conv1)
        conv2 = net.relu(net.conv2(pool1))
        pool2 = net.pool(conv2)
        scores = net(minidl.Tensor(image))
    found = {"conv1": conv1, "pool1": pool1, "conv2": conv2, "pool2": pool2, "scores": scores}
    return {name: tensor.data for name, tensor in found.items()}


def tile(figure: Figure, maps: numpy.ndarray, corner: tuple[float, float], height: float, columns: int) -> None:
    """The maps (1, C, H, W) side by side, from the upper left; the root of each value, all on one scale."""
    gap, width = 0.0033, height * 9.6 / 14
    rows = len(maps[0]) // columns
    for c, values in enumerate(maps[0]):
        left = corner[0] + c % columns * (width + gap * 9.6 / 14)
        bottom = corner[1] + (rows - 1 - c // columns) * (height + gap)
        show(figure.add_axes((left, bottom, width, height)), numpy.sqrt(values), HEAT, float(maps.max()) ** 0.5)


def show(axes: Axes, image: numpy.ndarray, colours: str | LinearSegmentedColormap, most: float) -> None:
    axes.imshow(image, cmap=colours, vmin=0, vmax=most, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(LINE)


def draw_answer(axes: Axes, scores: numpy.ndarray, digit: int) -> None:
    """The probabilities of the ten digits as bars."""
    p = numpy.exp(scores.astype(float) - scores.max())
    p /= p.sum()
    said = int(p.argmax())
    colours = [(BLUE if said == digit else ORANGE) if c == said else "#BBBBBB" for c in range(10)]
    axes.bar(range(10), p, color=colours, width=0.75)
    axes.text(said, p[said] + 0.04, f"{p[said]:.0%}", ha="center", fontsize=10, color=colours[said], fontweight="bold")
    axes.set_ylim(0, 1.2)
    axes.set_xticks(range(10), labels=[str(c) for c in range(10)])
    axes.set_yticks([])
    axes.tick_params(labelsize=10, colors=GREY, length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def draw_costs(figure: Figure, rows: list[Row]) -> None:
    """VGG-16, layer by layer: the memory of the outputs to the left, the parameters to the right."""
    parameters, numbers, size = totals(rows)
    figure.text(0.04, 0.388, "VGG-16: memory early, weights late", fontsize=13.5, color=INK, fontweight="bold")
    left = figure.add_axes((0.115, 0.075, 0.225, 0.268))
    right = figure.add_axes((0.35, 0.075, 0.225, 0.268))
    places = range(len(rows), 0, -1)
    left.barh(places, [row.memory / 1e6 for row in rows], color=BLUE, height=0.78)
    right.barh(places, [(row.weights + row.biases) / 1e6 for row in rows], color=ORANGE, height=0.78)
    for axes, head in (
        (left, f"outputs: {numbers / 1e6:.1f} M numbers, {size / 1e6:.0f} MB"),
        (right, f"parameters: {parameters / 1e6:.1f} M"),
    ):
        axes.set_title(head, fontsize=11.5, color=BLUE if axes is left else ORANGE, loc="left", pad=5)
        axes.set_ylim(0.3, len(rows) + 0.7)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} M"))
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9.5, colors=GREY, length=0)
        axes.spines[:].set_visible(False)
    left.set_yticks(list(places), labels=[row.name for row in rows])
    left.tick_params(axis="y", labelsize=8)


def draw_fields(axes: Axes, rows: dict[str, list[Row]]) -> None:
    """How many pixels of the image a unit sees, after each convolution and pooling."""
    for (name, counted), colour, style, marker in zip(
        rows.items(), (ORANGE, BLUE), ("--", "-"), ("s", "o"), strict=True
    ):
        shown = [row for row in counted if not row.name.startswith(("fc", "norm"))]
        fields = [row.field for row in shown]
        axes.plot(range(len(fields)), fields, style, color=colour, marker=marker, markersize=4.5, linewidth=1.9)
        end = len(fields) - 1
        axes.annotate(
            f"{name}: {fields[-1]}",
            (end, fields[-1]),
            (-9, 4),
            textcoords="offset points",
            ha="right",
            color=colour,
            fontsize=11.5,
            fontweight="bold",
        )
    axes.set_title("What a unit sees of the image", fontsize=13.5, color=INK, loc="left", pad=9, fontweight="bold")
    axes.set_xlabel("convolutions and poolings passed", fontsize=11, color=INK)
    axes.set_ylabel("receptive field in pixels", fontsize=11, color=INK)
    axes.set_ylim(0, 235)
    axes.xaxis.set_major_locator(MultipleLocator(3))
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10, colors=GREY, length=0)
    axes.spines[:].set_visible(False)

"""The picture at the end of assignment 1, drawn by your own checker, engine, loss, optimizer and network.

python -m minidl course picture             (or: make picture)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import minidl
from assignments.a1_autograd.checker import numerical_gradient
from assignments.a1_autograd.train import TwoLayerNet, answers, digits, train
from minidl.data import Digits

# Of Okabe & Ito, told apart in every common kind of colour blindness.
BLUE, ORANGE, INK, GREY, LINE = "#0072B2", "#D55E00", "#222222", "#666666", "#DDDDDD"
SIGNED = LinearSegmentedColormap.from_list("signed", ["#00263B", BLUE, "#FFFFFF", ORANGE, "#4A1F00"])


def picture(folder: Path) -> Path:
    """Train, look, draw: `autograd.png` in `folder`."""
    images, labels = digits(training=True)
    unseen, truth = digits(training=False)
    net, losses = train(images, labels)
    said = answers(net, unseen)

    figure = Figure(figsize=(13, 8.6), dpi=150, facecolor="white")
    figure.text(
        0.05, 0.945, "A network of two layers, from your own gradients up", fontsize=20, fontweight="bold", color=INK
    )
    right = int((said == truth).sum())
    summary = (
        f"{right} of {len(truth)} unseen digits right ({right / len(truth):.1%}), after {len(losses)} steps of SGD"
    )
    figure.text(0.05, 0.908, summary, fontsize=12.5, color=GREY)
    draw_differences(figure.add_axes((0.075, 0.545, 0.4, 0.29)))
    draw_losses(figure.add_axes((0.565, 0.545, 0.4, 0.29)), losses)
    draw_filters(figure, net)
    draw_mistakes(figure, net, unseen, truth)
    path = Path(folder) / "autograd.png"
    figure.savefig(path)
    return path


def draw_differences(axes: Axes) -> None:
    """How far off a difference is, for every size of its step: from one side, and from both."""
    rng = numpy.random.default_rng(0)
    x, dy = rng.uniform(0.5, 1.5, 20), rng.standard_normal(20)
    exact = dy * numpy.cos(x)
    steps = 10.0 ** numpy.arange(-13, 0.01, 0.5)

    def error(of: Any) -> list[float]:
        return [float(abs(of(eps) - exact).max() / abs(exact).max()) for eps in steps]

    one_sided = error(lambda eps: dy * (numpy.sin(x + eps) - numpy.sin(x)) / eps)
    central = error(lambda eps: numerical_gradient(numpy.sin, x, dy, eps))
    axes.loglog(steps, one_sided, "s--", color=ORANGE, markersize=5, linewidth=1.6)
    axes.loglog(steps, central, "o-", color=BLUE, markersize=5, linewidth=2)
    axes.annotate("from one side", (steps[19], one_sided[19]), (-14, 10), color=ORANGE, ha="right", **POINTS)
    axes.annotate("central (yours)", (steps[18], central[18]), (12, -16), color=BLUE, ha="left", **POINTS)
    axes.axvline(1e-6, color=GREY, linewidth=1, linestyle=":")
    axes.text(8e-7, 3e-1, "eps = 1e-6", color=GREY, fontsize=10, ha="right")
    axes.set_ylim(1e-12, 3)
    dress(axes, "How wrong a difference of sin is", "eps", "relative error")


POINTS: dict[str, Any] = {"textcoords": "offset points", "fontsize": 11.5, "fontweight": "bold"}


def draw_losses(axes: Axes, losses: list[float]) -> None:
    """The loss of every step, and its mean over an epoch."""
    epoch = 44
    means = numpy.convolve(losses, numpy.ones(epoch) / epoch, "valid")
    axes.semilogy(range(1, len(losses) + 1), losses, color=BLUE, alpha=0.28, linewidth=0.9)
    axes.semilogy(range(epoch, len(losses) + 1), means, color=BLUE, linewidth=2.2)
    axes.axhline(numpy.log(10), color=GREY, linewidth=1, linestyle=":")
    axes.text(len(losses), numpy.log(10) * 1.15, "ln 10: guessing", color=GREY, fontsize=10, ha="right")
    axes.set_ylim(bottom=min(means) / 6, top=7)
    dress(axes, "Down the loss", "step", "cross-entropy of a batch")


def dress(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=13.5, color=INK, loc="left", pad=9, fontweight="bold")
    axes.set_xlabel(across, fontsize=11.5, color=INK)
    axes.set_ylabel(up, fontsize=11.5, color=INK)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=10.5, colors=GREY, length=0)
    axes.spines[:].set_visible(False)


def draw_filters(figure: Figure, net: TwoLayerNet) -> None:
    """For each digit the two hidden units that speak for it most: their 64 weights, as an image."""
    figure.text(0.05, 0.41, "What the hidden units look for", fontsize=13.5, color=INK, fontweight="bold")
    figure.text(
        0.05,
        0.384,
        "for each digit the two that speak for it most; orange: ink wanted, blue: paper wanted",
        fontsize=10.5,
        color=GREY,
    )
    first, second = net.fc1.weight.data, net.fc2.weight.data  # (64, 64), (10, 64)
    for digit in range(10):
        for row, unit in enumerate(numpy.argsort(-second[digit] * numpy.linalg.norm(first, axis=1))[:2]):
            axes = figure.add_axes((0.05 + digit * 0.0585, 0.235 - row * 0.115, 0.055, 0.083 * 1.02))
            weights = first[unit].reshape(8, 8)
            axes.imshow(
                weights, cmap=SIGNED, vmin=-abs(weights).max(), vmax=abs(weights).max(), interpolation="nearest"
            )
            frame(axes, LINE)
            if not row:
                axes.set_title(str(digit), fontsize=12.5, color=INK, pad=5)


def draw_mistakes(figure: Figure, net: TwoLayerNet, unseen: numpy.ndarray, truth: numpy.ndarray) -> None:
    """The digits that the network has wrong, the surest first; then those it has right with the least margin."""
    with minidl.no_grad():
        scores = net(minidl.Tensor(unseen)).data.astype(float)
    p = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    said = p.argmax(axis=1)
    wrong = said != truth
    order = numpy.argsort(numpy.where(wrong, -1 - p.max(axis=1), p.max(axis=1)))[:10]
    figure.text(0.69, 0.41, "Where it errs, and where it wavers", fontsize=13.5, color=INK, fontweight="bold")
    figure.text(0.69, 0.384, "what it said (and what it is), how surely", fontsize=10.5, color=GREY)
    pictures = Digits(train=False, size=8).denormalize(unseen.reshape(-1, 8, 8))
    for place, i in enumerate(order):
        axes = figure.add_axes((0.69 + place % 5 * 0.0575, 0.262 - place // 5 * 0.152, 0.05, 0.0766))
        axes.imshow(pictures[i], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        colour = ORANGE if wrong[i] else BLUE
        frame(axes, colour)
        answer = f"{said[i]} (is {truth[i]})" if wrong[i] else f"{said[i]}"
        axes.set_xlabel(f"{answer}\n{p[i].max():.0%}", fontsize=9.5, color=colour, labelpad=3, linespacing=1.1)


def frame(axes: Axes, colour: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(colour)

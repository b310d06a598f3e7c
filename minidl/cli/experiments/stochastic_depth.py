"""`minidl experiment stochastic-depth`: a residual net whose blocks are left out at random while it learns.

The lecture: deep networks with stochastic depth train shorter networks, and use the whole one at test time.
Huang et al., ECCV 2016, arXiv:1603.09382: less time for training, a lower test error.
"""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from architectures.stochastic_depth import StochasticResNet
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.options import Option, Settings, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import BLUE, POINTS, VERMILION, columns, dress, panels, percent_axis
from minidl.cli.experiments.training import train
from minidl.cli.experiments.verdict import Claim

DESCRIPTION = """residual blocks left out at random: time, test error

Two residual nets that differ in one number: the last block survives with probability 0.5 or 1, those before it more
often, in a straight line from 1. What a block adds is scaled at test time by how often it was there."""

NOTE = POINTS
TITLE = "Stochastic depth: blocks left out at random while it learns"

OPTIONS = (
    *training_options(size=8, images=500, test_images=1200, epochs=30, lr=0.1, seeds=5),
    Option("depth", "layers, 6n + 2", 32, 8),
    Option("width", "channels of the first stage", 8, 4),
)

COLUMNS = (
    Column("train_error", "training/error", "%"),
    Column("test_error", "test/error", "%"),
    Column("seconds", "training/time", "s", 1),
)

CONSTANT, STOCHASTIC = "constant", "stochastic"
SURVIVAL = {CONSTANT: 1.0, STOCHASTIC: 0.5}  # of the last block


def variants(settings: Settings) -> list[Variant]:
    """CommandError: a depth that is none of these networks."""
    if settings.depth % 6 != 2 or settings.depth < 8:
        raise CommandError(f"--depth is one of 8, 14, 20, ... 6n + 2, got {settings.depth}")
    return [
        Variant(name, f"{name} depth, {settings.depth} layers", {"last_survival": survival})
        for name, survival in SURVIVAL.items()
    ]


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    n = (settings.depth - 2) // 6
    model = StochasticResNet(n, variant.details["last_survival"], len(images.classes), images.shape[0], settings.width)
    trained = train(model, images, settings, seed)
    return {**trained.measures, "curve": trained.learning_errors}


def claims(results: Results) -> list[Claim]:
    constant, stochastic = results.values(CONSTANT, "seconds"), results.values(STOCHASTIC, "seconds")
    return [
        results.compared(
            "stochastic depth makes the test error lower",
            "test error, constant minus stochastic",
            "test_error",
            CONSTANT,
            STOCHASTIC,
        ),
        Claim(
            "it saves time in training",
            "saved of the time of constant depth",
            tuple(100 * (1 - short / long) for short, long in zip(stochastic, constant, strict=True)),
            "%",
        ),
    ]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    left, middle, right = panels(figure, bottom, (1.4, 1, 1), gap=0.07)
    names, colours = (CONSTANT, STOCHASTIC), (VERMILION, BLUE)
    for name, colour, style in zip(names, colours, ("--", "-"), strict=True):
        for number, curve in enumerate(results.values(name, "curve")):
            marker = "" if len(curve) > 1 else "o"
            label = f"{name} depth" if number == 0 else None
            left.plot(range(1, len(curve) + 1), curve, style, color=colour, linewidth=1.6, marker=marker, label=label)
    dress(left, "Training error while it learns", "Epoch")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_xlim(0.5, len(curve) + 0.5)
    left.legend(frameon=False, fontsize=13)
    left.set_ylim(bottom=0)
    percent_axis(left)
    dress(middle, "Test error")
    columns(middle, names, [results.values(name, "test_error") for name in names], colours)
    percent_axis(middle)
    dress(right, "Seconds for training")
    columns(right, names, [results.values(name, "seconds") for name in names], colours)

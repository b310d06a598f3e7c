"""`minidl experiment inception`: Inception modules as they were thought of first, and with bottlenecks.

The lecture: filters of several sizes side by side are very expensive, and the depth can only grow, since the pooling
keeps its channels; 1x1 convolutions before the large filters and behind the pooling cut both.
Szegedy et al., CVPR 2015, arXiv:1409.4842, fig. 2.
"""

from __future__ import annotations

from itertools import pairwise

from matplotlib.figure import Figure

import minidl
from architectures.googlenet import Inception, InceptionNaive
from minidl import nn
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.nets import cost, he_initialization
from minidl.cli.experiments.options import Option, Settings, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import BLUE, INK, POINTS, VERMILION, bars, columns, dress, panels, percent_axis
from minidl.cli.experiments.training import train
from minidl.cli.experiments.verdict import Claim
from minidl.nn import Module

DESCRIPTION = """naive against bottleneck modules: cost, accuracy

A convolution and a pooling, then Inception modules with a pooling after each second, the mean of each channel, a linear
layer. The parallel filters (1x1, 3x3, 5x5) are the same in both nets; the one has 1x1 convolutions before the large
ones and behind the pooling. Multiply-adds are counted as the operations run."""

NOTE = POINTS
TITLE = "Inception modules: naive, and with 1x1 bottlenecks"

OPTIONS = (
    *training_options(size=16, images=600, test_images=1000, epochs=40, lr=0.03, batch_size=32, seeds=5),
    Option("modules", "Inception modules, one behind the other", 4, 2),
    Option("width", "filters of the first convolution, and of each 1x1 and 3x3 in the modules", 12, 4),
)

COLUMNS = (
    Column("train_error", "training/error", "%"),
    Column("test_error", "test/error", "%"),
    Column("channels", "channels/at the end", digits=0, exact=True),
    Column("parameters", "parameters", digits=0, exact=True),
    Column("multiply_adds", "multiply-adds", digits=0, exact=True),
    Column("seconds", "training/time", "s", 1),
)

NAIVE, BOTTLENECK = "naive", "bottleneck"
SLACK = 1.0  # points


def variants(settings: Settings) -> list[Variant]:
    return [Variant(NAIVE, "naive"), Variant(BOTTLENECK, "with bottlenecks")]


def network(name: str, in_channels: int, width: int, modules: int, classes: int) -> tuple[Module, list[int]]:
    """The net, and its channels behind the first convolution and behind each module."""
    layers: list[Module] = [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    depths = [width]
    for number in range(modules):
        channels = depths[-1]
        if name == NAIVE:
            layers.append(InceptionNaive(channels, width, width, width // 2))
            depths.append(channels + 2 * width + width // 2)  # the pooling keeps its channels
        else:
            module = Inception(channels, width, width // 2, width, width // 2, width // 2, width // 2)
            layers.append(module)
            depths.append(module.out_channels)
        if number % 2 and number + 1 < modules:
            layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(depths[-1], classes))
    he_initialization(model)
    return model, depths


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    minidl.manual_seed(seed)
    model, depths = network(variant.name, images.shape[0], settings.width, settings.modules, len(images.classes))
    trained = train(model, images, settings, seed)
    return {
        **trained.measures,
        "channels": depths[-1],
        "channels_by_module": depths,
        **cost(model, images.shape),
    }


def claims(results: Results) -> list[Claim]:
    naive, reduced = results.any_run(NAIVE), results.any_run(BOTTLENECK)
    times = naive["multiply_adds"] / reduced["multiply_adds"]
    depths = naive["channels_by_module"]
    growth = [after - before for before, after in pairwise(depths)]
    return [
        Claim(
            f"naive modules cost more: {times:.1f} times the multiply-adds of those with bottlenecks",
            "",
            (times,),
            threshold=1.0,
            exact=True,
        ),
        Claim(
            f"behind each naive module there are more channels, {depths[0]} to {depths[-1]} in the end "
            f"(with bottlenecks {reduced['channels']})",
            "",
            (float(min(growth)),),
            exact=True,
        ),
        results.compared(
            f"bottlenecks cost less than {SLACK:g} point of accuracy",
            "test error, naive minus bottleneck",
            "test_error",
            NAIVE,
            BOTTLENECK,
            threshold=-SLACK,
        ),
        results.compared(
            "and they save time in training", "naive minus bottleneck", "seconds", NAIVE, BOTTLENECK, unit="s"
        ),
    ]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    left, middle, right = panels(figure, bottom, (1, 1.25, 1), gap=0.07)
    names, labels, colours = (NAIVE, BOTTLENECK), ["naive", "with\nbottlenecks"], (VERMILION, BLUE)
    counts = [results.any_run(name)["multiply_adds"] / 1e6 for name in names]
    dress(left, "Multiply-adds for an image")
    bars(left, labels, counts, colours, [f"{count:.3g} M" for count in counts])
    for name, colour, marker, style in zip(names, colours, "so", ("--", "-"), strict=True):
        depths = results.any_run(name)["channels_by_module"]
        label = "naive" if name == NAIVE else "with bottlenecks"
        middle.plot(
            range(len(depths)), depths, style, color=colour, marker=marker, markersize=9, linewidth=2.5, label=label
        )
    dress(middle, "Channels", "Behind module", "")
    middle.set_xticks(range(results.settings.modules + 1))
    middle.set_ylim(bottom=0)
    middle.legend(frameon=False, fontsize=13, labelcolor=INK)
    dress(right, "Test error")
    columns(right, labels, [results.values(name, "test_error") for name in names], colours)
    percent_axis(right)

"""`minidl experiment smaller-filters`: a stack of three 3x3 convolutions against one of 7x7.

The lecture: the same effective receptive field, but deeper, more non-linearities, and fewer parameters:
3 (3^2 C^2) against 7^2 C^2. Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556, sec. 2.3.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from minidl import nn
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.nets import cost, field_of, he_initialization
from minidl.cli.experiments.options import Option, Settings, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import BLUE, GREEN, POINTS, VERMILION, bars, columns, dress, panels, percent_axis
from minidl.cli.experiments.training import train
from minidl.cli.experiments.verdict import Claim
from minidl.nn import Module

DESCRIPTION = """three 3x3 against one 7x7: parameters, accuracy

Two stacks in a small VGG: a convolution to C channels, a stack, a pooling, another stack, the mean of each channel, a
linear layer; batch norm behind each convolution. A stack is one 7x7 convolution, or three of 3x3, which see as much; a
third variant has no ReLU between its three, so that it is no more non-linear than the 7x7."""

NOTE = POINTS
TITLE = "Smaller filters: three 3x3 convolutions against one 7x7"

OPTIONS = (
    *training_options(size=16, images=400, test_images=1000, epochs=15, lr=0.05, batch_size=32, seeds=5),
    Option("channels", "C, of every convolution", 12, 4),
)

COLUMNS = (
    Column("train_error", "training/error", "%"),
    Column("test_error", "test/error", "%"),
    Column("field", "field of/a stack", digits=0, exact=True),
    Column("stack_weights", "weights of/a stack", digits=0, exact=True),
    Column("parameters", "parameters", digits=0, exact=True),
    Column("multiply_adds", "multiply-adds", digits=0, exact=True),
)

ONE, THREE, LINEAR = "one-7x7", "three-3x3", "three-3x3-linear"
SLACK = 1.0  # points


def variants(settings: Settings) -> list[Variant]:
    return [
        Variant(ONE, "one 7x7"),
        Variant(THREE, "three 3x3"),
        Variant(LINEAR, "three 3x3, no ReLU between"),
    ]


def stack(name: str, channels: int) -> Module:
    """C channels in, C out; a ReLU at the end. Batch norm behind a convolution is linear once it has learnt."""
    kernel, count = (7, 1) if name == ONE else (3, 3)
    layers: list[Module] = []
    for number in range(count):
        layers += [nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(channels)]
        if name != LINEAR or number == count - 1:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def network(name: str, in_channels: int, channels: int, classes: int) -> Module:
    model = nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        stack(name, channels),
        nn.MaxPool2d(2),
        stack(name, channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )
    he_initialization(model)
    return model


def stack_weights(one_stack: Module) -> int:
    """Of its convolutions, as the lecture counts."""
    return sum(layer.weight.numel() for layer in one_stack.modules() if isinstance(layer, nn.Conv2d))


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    channels = settings.channels
    model = network(variant.name, images.shape[0], channels, len(images.classes))
    one_stack = stack(variant.name, channels)
    trained = train(model, images, settings, seed)
    return {
        **trained.measures,
        "field": field_of(one_stack, (channels, 16, 16)),
        "stack_weights": stack_weights(one_stack),
        **cost(model, images.shape),
    }


def claims(results: Results) -> list[Claim]:
    one, three = results.any_run(ONE), results.any_run(THREE)
    weights = one["stack_weights"], three["stack_weights"]
    return [
        Claim(
            f"three 3x3 see {three['field']} pixels, as one 7x7 sees {one['field']}, with fewer weights: "
            f"{weights[1]:,} for {weights[0]:,}",
            "",
            (float(weights[0] - weights[1]),),
            exact=True,
        ),
        results.compared(
            f"their test error is lower, or higher by less than {SLACK:g} point",
            "test error, 7x7 minus 3x3",
            "test_error",
            ONE,
            THREE,
            threshold=-SLACK,
        ),
        results.compared("their test error is lower", "test error, 7x7 minus 3x3", "test_error", ONE, THREE),
        results.compared("the ReLUs between them help", "test error, without minus with", "test_error", LINEAR, THREE),
    ]


def draw(figure: Figure, bottom: float, results: Results) -> None:
    left, middle, right = panels(figure, bottom, (1, 1.2, 1.2), gap=0.07)
    names = [ONE, THREE, LINEAR]
    weights = [results.any_run(name)["stack_weights"] for name in names[:2]]
    dress(left, "Weights in a stack")
    bars(left, ["one 7x7", "three 3x3"], weights, (VERMILION, BLUE), [f"{count:,}" for count in weights])
    labels = ["one\n7x7", "three\n3x3", "three 3x3,\nno ReLUs"]
    for axes, measure, title in ((middle, "train_error", "Training error"), (right, "test_error", "Test error")):
        dress(axes, title)
        columns(axes, labels, [results.values(name, measure) for name in names], (VERMILION, BLUE, GREEN))
        percent_axis(axes)

"""`minidl compare`: draws the lecture's "Comparing complexity", and the chart of the ImageNet challenge's winners."""

from __future__ import annotations

import argparse
from pathlib import Path

from architectures.catalog import NETWORKS, TORCHVISION, WINNERS
from minidl.cli.arguments import CommandError, writable_folder
from minidl.cli.complexity_plots import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    Bar,
    Point,
    complexity_figure,
    save,
    winners_figure,
)
from minidl.cli.nets import Counted, count

DESCRIPTION = """draw accuracy against operations, and the winners' error and depth by year

Writes complexity and winners, each as PNG and SVG. complexity is the figure of Canziani, Paszke & Culurciello,
arXiv:1605.07678, made anew: multiply-adds and parameters are counted on minidl's networks, and all accuracies follow
one protocol, one centre crop of 224x224 with torchvision's first weights (IMAGENET1K_V1). Networks for which there are
only errors of other protocols are left out. winners has the test errors of the challenge's entries, mostly ensembles.
"""

COMPLEXITY_NOTE = """\
Top-1 accuracy on ILSVRC-2012's validation images: for every network one centre crop of 224x224, torchvision's weights IMAGENET1K_V1.
Operations and parameters: counted by minidl, at test time. GoogLeNet's accuracy is that of torchvision's variant (batch norm, 3x3 for 5x5).
After Canziani, Paszke & Culurciello, "An Analysis of Deep Neural Network Models for Practical Applications", arXiv:1605.07678."""  # noqa: E501

WINNERS_NOTE = """\
The winners of ILSVRC classification, and VGG, second in 2014. Top-5 error on the test images, trained without additional images; from 2012
on of several networks together. In 2013, 8 layers is the depth of ZFNet; the entry was that of Clarifai, the company of ZFNet's first author.
Sources: Russakovsky et al., arXiv:1409.0575, and the papers of the networks. After a chart by Kaiming He."""  # noqa: E501

# Their labels, colours by family, and where the labels stand: points to the right of and above the circle's centre.
DRAWN = {
    "alexnet_owt": ("AlexNet", BLACK, (26, -2)),
    "vgg16": ("VGG-16", VERMILION, (0, -37)),
    "vgg19": ("VGG-19", VERMILION, (0, -38)),
    "googlenet": ("GoogLeNet", GREEN, (0, 10)),
    "resnet18": ("ResNet-18", BLUE, (14, -2)),
    "resnet34": ("ResNet-34", BLUE, (17, -1)),
    "resnet50": ("ResNet-50", BLUE, (19, -8)),
    "resnet101": ("ResNet-101", BLUE, (0, 24)),
    "resnet152": ("ResNet-152", BLUE, (0, -27)),
    "wide_resnet50_2": ("WRN-50-2", PINK, (0, 27)),
    "resnext50_32x4d": ("ResNeXt-50", PINK, (0, 18)),
    "resnext101_32x8d": ("ResNeXt-101 32x8d", PINK, (0, 30)),
    "densenet121": ("DenseNet-121", ORANGE, (-11, -2)),
    "densenet169": ("DenseNet-169", ORANGE, (-14, 3)),
    "densenet201": ("DenseNet-201", ORANGE, (17, 3)),
    "densenet161": ("DenseNet-161", ORANGE, (6, -24)),
    "squeezenet1_0": ("SqueezeNet 1.0", SKY, (9, 4)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where the figures go (out)")


def run(arguments: argparse.Namespace) -> int:
    folder = writable_folder(arguments.out)
    points = [point(counted) for counted in count(NETWORKS[name] for name in DRAWN)]
    bars = [Bar(winner.entry, winner.year, winner.top5, winner.depth) for winner in WINNERS]
    figures = {
        "complexity": complexity_figure(points, "What accuracy costs: operations and parameters", COMPLEXITY_NOTE),
        "winners": winners_figure(bars, "The ImageNet challenge: errors fall as networks grow deeper", WINNERS_NOTE),
    }
    for name, figure in figures.items():
        for ending in ("png", "svg"):
            path = folder / f"{name}.{ending}"
            try:
                save(figure, path)
            except OSError as error:
                raise CommandError(f"cannot write {path}: {error.strerror}") from None
            print(path)
    return 0


def point(counted: Counted) -> Point:
    """A circle for a network: its size at test time, its accuracy by torchvision's protocol."""
    errors = counted.network.published
    (top1,) = [error.top1 for error in errors if error.source == TORCHVISION and error.top1 is not None]
    label, colour, offset = DRAWN[counted.network.name]
    parameters = counted.parameters - counted.training_only
    return Point(label, counted.multiply_adds, parameters, 100 - top1, colour, offset)

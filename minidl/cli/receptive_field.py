"""`minidl receptive-field`: what part of the image the units of a network see, in theory and measured."""

from __future__ import annotations

import argparse
from pathlib import Path

import minidl
from minidl.cli.arguments import CommandError, positive_int, seed, writable_folder
from minidl.cli.networks import add_network_arguments, build, chosen, explained
from minidl.inspect.effective_field import effective_fields
from minidl.inspect.field_plot import SHARE, field_figure
from minidl.inspect.receptive_field import receptive_field
from minidl.inspect.tables import pair_text, text_table

DESCRIPTION = """show the receptive field of every layer, and draw what a unit really uses of it

Prints the theoretical field of every layer, its stride and the centre of the first unit's. Then the gradient of the
unit in the middle is sent back to the image, on random images and with fresh weights, for the last layer of each
stride, and drawn: the effective receptive field of Luo et al. 2016 (arXiv:1701.04128)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network_arguments(parser)
    parser.add_argument("--samples", type=positive_int, default=4, metavar="N", help="random images to average (4)")
    parser.add_argument("--seed", type=seed, default=0, help="of the weights and of the images (0)")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="the picture (out/receptive-field-NET.png)")


def run(arguments: argparse.Namespace) -> int:
    network, shape = chosen(arguments)
    path = arguments.out or Path("out") / f"receptive-field-{network.name}.png"
    writable_folder(path.parent)  # before the measurement, not after it
    minidl.manual_seed(arguments.seed)
    model = build(network, shape).eval()
    with explained(network, shape):
        theory = receptive_field(model, shape)
        print(theory)
        effective = effective_fields(model, shape, arguments.samples, arguments.seed)

    measured = [
        [field.layer, field.type, pair_text(field.stride), pair_text(field.size), str(field.diameter(SHARE))]
        for field in effective
    ]
    print(f"\nThe square that holds {SHARE:.0%} of the gradient, in the middle of the map:\n")
    print(text_table(["layer", "type", "stride", "theoretical", "effective"], measured, left=2))

    size = "x".join(map(str, shape))
    figure = field_figure(f"{network.name}: what a unit sees of an image of {size}", theory, effective)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    print(f"\nPicture: {path}")
    return 0

"""`minidl graph`: a network as a picture, in which every layer, block and shape can be seen."""

from __future__ import annotations

import argparse
from pathlib import Path

from minidl.cli.arguments import CommandError, positive_int, writable_folder
from minidl.cli.blank import undrawn
from minidl.cli.networks import add_network_arguments, build, chosen, explained
from minidl.inspect.graph import graph

DESCRIPTION = """draw a network as an SVG: layers, blocks, residual and concat edges, shapes

The network runs once on one image, and what happens is drawn: layers as boxes with their parameters, blocks as frames,
the shape of each tensor (C×H×W) where it leaves its box. Equal blocks in a row are drawn once, with "× n"; large
networks are folded so that the picture can be read. Point at a box to see all of a layer's settings."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network_arguments(parser)
    parser.add_argument("--depth", type=positive_int, metavar="N", help="draw modules nested N deep as one box each")
    parser.add_argument("--unroll", action="store_true", help="draw equal blocks in a row one by one")
    parser.add_argument("--training", action="store_true", help="run it as in training: auxiliary outputs, dropout")
    parser.add_argument("--out", type=Path, metavar="FILE.svg", help="the picture (out/graph-NET.svg)")


def run(arguments: argparse.Namespace) -> int:
    network, shape = chosen(arguments)
    path = arguments.out or Path("out") / f"graph-{network.name}.svg"
    writable_folder(path.parent)
    with undrawn():
        model = build(network, shape).train(arguments.training)
    with explained(network, shape):
        result = graph(model, shape, arguments.depth, arguments.unroll, title=network.name)
    try:
        path.write_text(result.to_svg(), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    print(f"{network.name}: {result.facts}\nPicture: {path}")
    return 0

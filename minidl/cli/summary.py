"""`minidl summary`: what each layer of a network is, costs and sees."""

from __future__ import annotations

import argparse

from minidl.cli.arguments import positive_int
from minidl.cli.blank import undrawn
from minidl.cli.networks import add_network_arguments, build, chosen, explained
from minidl.inspect.summary import Summary, summary

DESCRIPTION = """show a network layer by layer: shapes, parameters, multiply-adds, memory

The network runs once on one image, and every operation counts. Memory forward is that of the outputs, kept for backward
is what the graph holds; each piece of memory is counted once. The receptive field is the theoretical one."""

FORMATS = {"table": Summary.__str__, "markdown": Summary.to_markdown, "csv": Summary.to_csv, "json": Summary.to_json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network_arguments(parser)
    parser.add_argument("--depth", type=positive_int, metavar="N", help="show modules nested N deep as one row each")
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print it (table)")
    parser.add_argument("--training", action="store_true", help="run it as in training: auxiliary outputs, dropout")


def run(arguments: argparse.Namespace) -> int:
    network, shape = chosen(arguments)
    with undrawn():
        model = build(network, shape).train(arguments.training)
    with explained(network, shape):
        result = summary(model, shape, arguments.depth)
    print(FORMATS[arguments.format](result).rstrip("\n"))
    return 0

"""The networks by name, and built for an image: what the commands that show one of them share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from architectures.catalog import NETWORKS, Network
from minidl.cli.arguments import CommandError
from minidl.nn import CrossEntropyLoss, Module
from minidl.training.auxiliary import AuxiliaryLoss

Shape = tuple[int, int, int]


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """NET and --input, for `chosen`."""
    parser.add_argument("network", metavar="NET", help="its name: vgg16, resnet50, ... (`minidl nets` lists them)")
    parser.add_argument("--input", type=image_shape, metavar="C,H,W", help="shape of the image (the network's own)")


def chosen(arguments: argparse.Namespace) -> tuple[Network, Shape]:
    """What the user asked for. CommandError for an unknown name, with the nearest ones."""
    network = network_named(arguments.network)
    return network, arguments.input or network.input_shape


def network_named(name: str) -> Network:
    """The network of this name. CommandError for an unknown one, with the nearest ones."""
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=4, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "`minidl nets` lists all names"
        raise CommandError(f"there is no network {name!r}; {hint}")
    return NETWORKS[name]


def build(network: Network, shape: Shape) -> Module:
    """The network, for images of this shape."""
    channels = shape[0]
    return network.build() if channels == network.input_shape[0] else network.build(in_channels=channels)


def loss_function(network: Network) -> Module:
    """What the network is trained with: cross-entropy, of GoogLeNet that of its auxiliary classifiers as well."""
    return AuxiliaryLoss(0.3) if network.name == "googlenet" else CrossEntropyLoss()


@contextmanager
def explained(network: Network, shape: Shape) -> Iterator[None]:
    """What goes wrong inside is the fault of the shape: CommandError, in one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        size = "x".join(map(str, shape))
        raise CommandError(f"{network.name} cannot read an image of {size}: {str(error).splitlines()[0]}") from None


def image_shape(text: str) -> Shape:
    """Three ints of at least 1: 3,224,224."""
    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"must be three ints C,H,W such as 3,224,224, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width

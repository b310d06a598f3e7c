"""`minidl debug`: a training step of a network, operation by operation, forward, backward and back in time."""

from __future__ import annotations

import argparse

import minidl
from minidl import optim
from minidl.cli.arguments import CommandError, positive_float, positive_int, seed
from minidl.cli.networks import Shape, build, image_shape, loss_function, network_named
from minidl.cli.training_step import training_step
from minidl.data import Digits
from minidl.debug.prompt import Pdb
from minidl.debug.tutorial import Guide
from minidl.debug.watch import step
from minidl.tensor import Tensor

DESCRIPTION = """step through a training step on a real digit, forward, backward and back

A prompt stands before the first operation: s goes on to the next event, rs back to the one before, h lists all
commands. The digits are scikit-learn's, enlarged to what the network reads; the weights are as they are before any
training. --tutorial shows a newcomer around in five minutes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", nargs="?", default="lenet5", metavar="NET", help="its name (lenet5); `minidl nets` lists them")
    add("--input", type=image_shape, metavar="C,H,W", help="shape of the image, H = W (the network's own)")
    add("--batch-size", type=positive_int, metavar="N", help="digits in the step (2; 1 in the tutorial)")
    add("--lr", type=positive_float, default=0.01, metavar="X", help="the learning rate (0.01)")
    add("--seed", type=seed, default=0, metavar="N", help="of the weights, and which digits (0)")
    add("--tutorial", action="store_true", help="be shown around")


def run(arguments: argparse.Namespace) -> int:
    network = network_named(arguments.network)
    shape = arguments.input or network.input_shape
    minidl.manual_seed(arguments.seed)
    images, labels = digits(shape, arguments.batch_size or (1 if arguments.tutorial else 2), arguments.seed)
    model = build(network, shape)
    optimizer = optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
    answers = " ".join(str(label) for label in labels.tolist())
    print(
        f"{network.name}: one training step on the digits {answers}, images {tuple(images.shape)}. h: help, q: leave\n"
    )
    try:
        with step(model, prompt=Guide if arguments.tutorial else Pdb):
            training_step(model, images, labels, loss_function(network), optimizer)
    except (RuntimeError, ValueError) as error:  # it was shown
        raise CommandError(f"the step ended with an error: {str(error).splitlines()[0]}") from None
    return 0


def digits(shape: Shape, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` digits for the training of a network, in this shape, and what they are."""
    channels, height, width = shape
    if height != width or height < 8:
        raise CommandError(f"the digits are square, and at least 8x8; {height}x{width} cannot be made of them")
    try:
        data = Digits(train=True, size=height)
    except ImportError as error:
        raise CommandError(str(error)) from None
    rows = [(seed + i) % len(data) for i in range(count)]
    images, labels = data.tensors
    return images[rows].repeat(1, channels, 1, 1), labels[rows]

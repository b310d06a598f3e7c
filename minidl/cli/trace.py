"""`minidl trace`: one step of a training as a web page, operation by operation, forward, backward and the update."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy

import minidl
from architectures.catalog import Network
from minidl import optim
from minidl.cli.arguments import CommandError, not_negative_int, positive_float, positive_int, seed, writable_folder
from minidl.cli.networks import explained, loss_function, network_named
from minidl.cli.training_step import training_step
from minidl.cli.weights import add_weights_arguments, with_weights
from minidl.data.named import NAMES, Description, described, split
from minidl.debug import Tape
from minidl.debug import trace as record
from minidl.debug.page import html
from minidl.debug.page.network import operations
from minidl.functional.resize import interpolate
from minidl.inspect.tables import bytes_text, shape_text
from minidl.nn import Module
from minidl.tensor import Tensor

DESCRIPTION = """write one training step of a network as a web page to step through

The network is given a few images, and everything is recorded: each operation with the tensors that it takes and gives,
their statistics, histograms and pictures, then backward with all gradients, then the update. The page is one file that
needs no network: open it in a browser. In it, a click on a tensor shows where it came from, a click on a pixel of what
a convolution gives the sum that it is, and a click on a weight in the update what the optimizer did. --after 30 trains
for 30 steps first, so that there is more to see than random filters.

    minidl trace resnet20 --html out.html"""

BUDGET = 4 << 30  # bytes of tensors: VGG-16's parameters are half a GiB, and there are their gradients and changes too


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", metavar="NET", help="its name: lenet5, resnet20, ... (`minidl nets` lists them)")
    add("--html", type=Path, metavar="FILE", help="the page (out/trace-NET.html)")
    add("--data", default="digits", metavar="D", help=f"where the images are from: {', '.join(NAMES)} (digits)")
    add("--root", type=Path, metavar="DIR", help="the folder of the data set (where `minidl train` looks)")
    add("--batch-size", type=positive_int, default=8, metavar="N", help="images in the step (8)")
    add("--after", type=not_negative_int, default=0, metavar="N", help="train for N steps first (0)")
    add("--lr", type=positive_float, default=0.05, metavar="X", help="the learning rate, with momentum 0.9 (0.05)")
    add("--seed", type=seed, default=0, metavar="N", help="of the weights and the choice of the images (0)")
    add_weights_arguments(parser, required=False)


def run(arguments: argparse.Namespace) -> int:
    network = network_named(arguments.network)
    path = arguments.html or Path("out") / f"trace-{network.name}.html"
    writable_folder(path.parent)
    batches = Batches(arguments, network)
    minidl.manual_seed(arguments.seed)
    model = _model(network, arguments, batches)
    optimizer = optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
    loss_fn = loss_function(network)
    model.train()
    with explained(network, batches.shape):
        for _ in range(arguments.after):
            training_step(model, *batches.next(), loss_fn, optimizer)
            optimizer.zero_grad()
        images, labels = batches.next()
        tape = record(lambda: training_step(model, images, labels, loss_fn, optimizer), model, budget=BUDGET)
    loss = tape.result.item()
    page = html(tape, network.name, _facts(model, arguments, images, loss))
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    print(f"{network.name}: {_counted(tape)}, loss {loss:.4f}")
    print(f"Page: {path}, {bytes_text(len(page.encode()))}")
    return 0


class Batches:
    """Images of a data set, normalised and as large as the network wants them, in random order."""

    def __init__(self, arguments: argparse.Namespace, network: Network):
        try:
            self.images = split(arguments.data, True, arguments.root)
            self.about: Description = described(arguments.data)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise CommandError(str(error).removeprefix("split(): ").removeprefix("named(): ")) from None
        self.shape = (self.about.image_shape[0], *network.input_shape[1:])
        self.size = arguments.batch_size
        self.random = numpy.random.default_rng(arguments.seed)

    def next(self) -> tuple[Tensor, Tensor]:
        """The next images, with their labels."""
        chosen = self.random.choice(len(self.images), self.size, replace=self.size > len(self.images))
        images, labels = [], []
        for i in chosen:
            image, label = self.images[int(i)]
            images.append(interpolate(image.unsqueeze(0), self.shape[1:], mode="bilinear").data[0])
            labels.append(int(label))
        mean, std = (numpy.array(each).reshape(-1, 1, 1) for each in (self.about.mean, self.about.std))
        return Tensor(((numpy.stack(images) - mean) / std).astype("float32")), Tensor(numpy.array(labels))


def _model(network: Network, arguments: argparse.Namespace, batches: Batches) -> Module:
    options = {"num_classes": len(batches.about.classes), "in_channels": batches.shape[0]}
    return with_weights(network, arguments, **options) if arguments.weights else network.build(**options)


def _facts(model: Module, arguments: argparse.Namespace, images: Tensor, loss: float) -> list[tuple[str, str]]:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = [
        ("input", f"{shape_text(images.shape).replace('x', '×')} of {arguments.data}"),
        ("parameters", f"{parameters:,}"),
        ("loss", f"{loss:.4f}"),
    ]
    if arguments.weights:
        facts.append(("weights", arguments.weights.name))
    return [*facts, ("trained", f"{arguments.after} steps")] if arguments.after else facts


def _counted(tape: Tape) -> str:
    backward = sum((event.phase, event.kind, event.within) == ("backward", "after", None) for event in tape)
    return f"{len(operations(tape))} operations forward, {backward} backward"

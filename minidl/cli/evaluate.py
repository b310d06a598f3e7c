"""`minidl evaluate`: how many images of a data set a network with given weights names right."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy
from tqdm import tqdm

import minidl
from architectures.catalog import Network
from minidl.backend import device
from minidl.cli.arguments import CommandError, positive_int
from minidl.cli.networks import Shape, network_named
from minidl.cli.preprocessing import (
    add_normalization_arguments,
    by,
    finished,
    fitted,
    normalization,
    photograph,
    ten_crops,
)
from minidl.cli.weights import add_weights_arguments, with_weights
from minidl.data import DataError, DataLoader
from minidl.data.images import ArrayDataset
from minidl.data.named import NAMES, described, split
from minidl.grad_mode import no_grad
from minidl.nn import Module

DESCRIPTION = """test a network with the weights of a file: top-1 and top-5 accuracy, on one crop or on ten

Published weights want the mean and deviation that they were trained with (--mean, --std), which may be others than the
data set's. Photographs of a folder are scaled, and their middle is cut out: 224 of 256 pixels for most networks. Images
of another size than the network reads are taken as they are if it can read them; else smaller ones get a border of
zeros, and with --resize all are scaled.

--ten-crop takes the mean of the probabilities on the four corners, the middle, and the same mirrored (AlexNet, sec.
4.1): of photographs scaled to 256 pixels for 224, of small images with a border of 4.

    minidl evaluate resnet20 --weights resnet20-12fca82f.th --data cifar10 \\
        --mean .485,.456,.406 --std .229,.224,.225"""

TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", metavar="NET", help="its name: vgg16, resnet50, ... (`minidl nets` lists them)")
    add_weights_arguments(parser)
    add("--data", metavar="D", required=True, help=f"what to test on: {', '.join(NAMES)}")
    add("--data-dir", "--root", dest="root", type=Path, metavar="DIR", help="where the data lies, or is downloaded to")
    add("--partial", action="store_true", help="take what there is of cifar10 or cifar100")
    add_normalization_arguments(parser)
    add("--ten-crop", action="store_true", help="the mean of ten crops")
    add("--resize", action="store_true", help="scale images to the size that the network reads")
    add("--batch-size", type=positive_int, default=100, metavar="N", help="images at once (100)")
    add("--device", metavar="D", help="cpu or cuda (cuda where there is one)")


def run(arguments: argparse.Namespace) -> int:
    network = network_named(arguments.network)
    if not arguments.weights.is_file():  # before a data set is downloaded for nothing
        raise CommandError(f"cannot read {arguments.weights}: No such file or directory")
    try:
        test = split(arguments.data, train=False, root=arguments.root, partial=arguments.partial)
        about = described(arguments.data)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise CommandError(str(error).removeprefix("named(): ")) from None
    if not len(test):
        raise CommandError(f"there are no test images in {arguments.data}")
    channels = about.image_shape[0]
    mean, std = normalization(arguments, about.mean, about.std, channels)
    model = with_weights(network, arguments, num_classes=len(about.classes), in_channels=channels)
    try:
        model.to(device(arguments.device or ("cuda" if minidl.cuda.is_available() else "cpu")))
    except RuntimeError as error:
        raise CommandError(str(error).splitlines()[0]) from None

    steps, remark = _steps(network, model, about.image_shape, isinstance(test, ArrayDataset), arguments)
    images = test.with_transform(finished(steps, mean, std))
    per_image = 10 if arguments.ten_crop else 1
    loader = DataLoader(images, max(1, arguments.batch_size // per_image), num_workers=1)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{network.name}, {parameters:,} parameters, weights of {arguments.weights.name}")
    print(f"{len(images):,} test images of {arguments.data}, {len(about.classes)} classes{remark}")
    print(f"mean {_listed(mean)}, std {_listed(std)}\n")

    start = perf_counter()
    try:
        ranks = label_ranks(model, loader, len(images))
    except DataError as error:  # an image of a folder is damaged
        raise CommandError(str(error)) from None
    seconds = perf_counter() - start
    for top in (1, TOP):
        if top < len(about.classes):
            print(_accuracy(top, int((ranks < top).sum()), len(ranks)))
    print(f"\n{seconds:.1f} s, {len(ranks) / seconds:,.0f} images/s")
    return 0


@no_grad()
def label_ranks(model: Module, loader: DataLoader, count: int) -> numpy.ndarray:
    """For each image how many classes have a higher probability than its own: 0 is top-1, below 5 is top-5.

    Of several crops (N, K, C, H, W) the mean of the probabilities counts. Equal ones count as higher if their class
    comes first, as argmax takes the first.
    """
    place = next(model.parameters()).device
    ranks = []
    with tqdm(total=count, unit="image", leave=False, file=sys.stderr, disable=None) as bar:
        for images, labels in loader:
            crops = images.shape[1] if images.ndim == 5 else 1
            scores = model(images.reshape(-1, *images.shape[-3:]).to(place))
            probabilities = scores.softmax(dim=1).reshape(len(labels), crops, -1).mean(1).cpu().numpy()
            order = numpy.argsort(-probabilities, axis=1, kind="stable")
            ranks.append((order == labels.numpy()[:, None]).argmax(axis=1))
            bar.update(len(labels))
    return numpy.concatenate(ranks)


def _steps(
    network: Network, model: Module, shape: Shape, of_one_size: bool, arguments: argparse.Namespace
) -> tuple[list[Callable], str]:
    """What brings an image to the network, and a remark on it."""
    if of_one_size and not (arguments.resize and arguments.ten_crop):
        steps, size, remark = fitted(network, model, shape, arguments.resize)
        if not arguments.ten_crop:
            return steps, remark
        crops, words = ten_crops(size, size)
        return [*steps, *crops], f"{remark}, ten crops of {by(size)} from {words}"
    wanted = network.input_shape[1:]
    if not arguments.ten_crop:
        return photograph(wanted), f", the middle {by(wanted)} pixels of each"
    crops, words = ten_crops(None, wanted)
    return crops, f", ten crops of {by(wanted)} from {words}"


def _accuracy(top: int, right: int, count: int) -> str:
    """With the standard error of a fraction: what another sample of so many images would differ by."""
    fraction = right / count
    error = math.sqrt(fraction * (1 - fraction) / count)
    return f"top-{top}   {fraction:7.2%} right ± {100 * error:.2f}   {right:,} of {count:,}   error {1 - fraction:.2%}"


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

"""`minidl classify`: what a network with given weights sees in an image, and where it looks for that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from tqdm import tqdm

from architectures.catalog import Network
from minidl.cli.answer_figure import Answer, answer_figure, percent
from minidl.cli.arguments import CommandError, output_folder, positive_int
from minidl.cli.networks import add_network_arguments, chosen, explained
from minidl.cli.preprocessing import add_normalization_arguments, finished, fitted, normalization, photograph
from minidl.cli.weights import add_weights_arguments, trained_on, with_weights
from minidl.data import CIFAR10, CIFAR100, DataError
from minidl.data.folder import imagenet_words, read_image
from minidl.data.named import NAMES, PHOTOGRAPH, Description, described
from minidl.data.transforms.color import gray
from minidl.grad_mode import no_grad
from minidl.inspect.attribution import occlusion, saliency, square_count
from minidl.nn import Module
from minidl.tensor import Tensor

DESCRIPTION = """name what is in images: the five most probable classes, and maps of where the network looks

For each image a picture in DIR: the part of the image that the network reads, the five classes, the saliency map (how
fast the score changes with each pixel: Simonyan et al. 2013) and the occlusion map (how much of the probability goes
where a square hides the pixels: Zeiler & Fergus 2013).

--data says what the network was trained on, and gives the names of the classes, the mean and the deviation. The
model.safetensors of `minidl train` says it by itself. Without either, a network of 1000 classes is taken for one of
ImageNet's, and one that was made for the images of CIFAR for one of CIFAR's.

    minidl classify resnet20 --weights resnet20-12fca82f.th --data cifar10 \\
        --mean .485,.456,.406 --std .229,.224,.225 cat.png"""

TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_network_arguments(parser)
    add_weights_arguments(parser)
    add("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG, ...")
    add("--data", metavar="D", help=f"what the network was trained on: {', '.join(NAMES)}")
    add("--classes", type=Path, metavar="FILE", help="a text file with the name of a class on each line")
    add_normalization_arguments(parser)
    add("--patch", type=positive_int, metavar="N", help="side of the hiding square in pixels (a quarter of the image)")
    add("--stride", type=positive_int, metavar="N", help="pixels from one square to the next (a quarter of its side)")
    add("--no-maps", action="store_true", help="only name the classes, and draw nothing")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="where the pictures go (out)")


def run(arguments: argparse.Namespace) -> int:
    network, shape = chosen(arguments)
    about = _trained_on(arguments)
    classes = _classes(arguments, about)
    if about is not None and arguments.input is None:
        shape = (about.image_shape[0], *shape[1:])
    channels = shape[0]
    mean, std = normalization(arguments, about.mean if about else None, about.std if about else None, channels)
    images = [(path, _read(path, channels)) for path in arguments.images]  # all of them, before anything is computed
    options: dict[str, Any] = {} if channels == network.input_shape[0] else {"in_channels": channels}
    if classes is not None:
        options["num_classes"] = len(classes)
    model = with_weights(network, arguments, **options)
    steps = photograph(shape[1:])
    if about is not None and arguments.input is None and about.image_shape != PHOTOGRAPH:
        # As large as the images of the data set, and then to the network as `minidl evaluate` brings those.
        steps = [*photograph(about.image_shape[1:]), *fitted(network, model, about.image_shape)[0]]
    seen = finished(steps, (0.0,) * channels, (1.0,) * channels)  # as the network sees it, for drawing
    fed = finished(steps, mean, std)
    if arguments.no_maps:
        for path, image in images:
            _name(network, model, path, fed(image), classes)
        return 0
    with output_folder(arguments.out) as folder:
        for number, (path, image) in enumerate(images, start=1):
            answers = _name(network, model, path, fed(image), classes)
            maps = _maps(model, fed(image), answers[0].label, arguments)
            figure = answer_figure(path.name, network.name, seen(image).numpy(), answers, *maps)
            _draw(figure, folder / _picture_name(path, number, arguments.images))
    return 0


def _name(network: Network, model: Module, path: Path, image: Tensor, classes: Sequence[str] | None) -> list[Answer]:
    """The most probable classes, printed."""
    with no_grad(), explained(network, image.shape):  # type: ignore[arg-type]
        probabilities = model(image.unsqueeze(0)).softmax(dim=1).numpy()[0]
    order = numpy.argsort(-probabilities, kind="stable")[:TOP]
    names = [(classes or _names(network, len(probabilities)))[i] for i in order]
    print(path)
    for i, name in zip(order, names, strict=True):
        print(f"  {percent(probabilities[i], 2):>7}  {name}")
    return [Answer(int(i), name, float(probabilities[i])) for i, name in zip(order, names, strict=True)]


def _maps(
    model: Module, image: Tensor, label: int, arguments: argparse.Namespace
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Saliency and occlusion of the first answer."""
    height, width = image.shape[1:]
    patch = min(arguments.patch or max(1, min(height, width) // 4), height, width)
    stride = min(arguments.stride or max(1, patch // 4), patch)
    count = square_count(height, width, patch, stride)
    with tqdm(total=count, unit="square", leave=False, file=sys.stderr, disable=None) as bar:
        hidden = occlusion(model, image, label, patch, stride, progress=bar.update)
    return saliency(model, image, label), hidden


def _trained_on(arguments: argparse.Namespace) -> Description | None:
    """What --data says, else the file of the weights."""
    try:
        return trained_on(arguments.weights) if arguments.data is None else described(arguments.data)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise CommandError(str(error).removeprefix("named(): ")) from None


def _classes(arguments: argparse.Namespace, about: Description | None) -> Sequence[str] | None:
    """The names of --classes, else those of --data, else none."""
    if arguments.classes is None:
        return None if about is None else about.classes
    try:
        lines = arguments.classes.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {arguments.classes}: {getattr(error, 'strerror', error)}") from None
    classes = [line.strip() for line in lines if line.strip()]
    if not classes:
        raise CommandError(f"{arguments.classes} has no names in it")
    return classes


def _names(network: Network, count: int) -> Sequence[str]:
    """The names of `count` classes in the data set that the network was made for; numbers, where none has so many."""
    made_for = [CIFAR10.classes, CIFAR100.classes] if network.input_shape == (3, 32, 32) else []
    known = [*made_for, list(imagenet_words().values())]
    return next((names for names in known if len(names) == count), [f"class {i}" for i in range(count)])


def _read(path: Path, channels: int) -> Tensor:
    """(C, H, W), uint8, in the number of channels that the network reads."""
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    try:
        image = read_image(path)
    except DataError as error:
        raise CommandError(str(error).removeprefix("read_image(): ")) from None
    if channels == 3:
        return Tensor(image)
    if channels != 1:
        raise CommandError(f"an image has 1 or 3 channels, and the network reads {channels}")
    return Tensor(numpy.rint(gray(image[None])[0]).astype("uint8"))


def _picture_name(path: Path, number: int, paths: list[Path]) -> str:
    """classify-cat.png; with a number where two images have one name."""
    twice = sum(other.stem == path.stem for other in paths) > 1
    return f"classify-{path.stem}-{number}.png" if twice else f"classify-{path.stem}.png"


def _draw(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    print(f"  picture: {path}")

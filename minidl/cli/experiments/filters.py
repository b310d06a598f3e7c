"""`minidl experiment filters`: what the first layer looks for, and what it finds in an image.

Filters of a trained first layer look like edges and blobs, as in AlexNet's well-known picture; those of a net that has
learnt nothing look like noise. A number says so: the correlation of neighbouring weights.
Krizhevsky et al., NIPS 2012, fig. 3; Zeiler & Fergus, ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy
from matplotlib.figure import Figure

import minidl
from architectures.catalog import NETWORKS
from minidl import nn
from minidl.cli.arguments import CommandError
from minidl.cli.experiments.images import Images, draw_images
from minidl.cli.experiments.nets import he_initialization
from minidl.cli.experiments.options import Option, Settings, training_options
from minidl.cli.experiments.results import Column, Measures, Results, Variant
from minidl.cli.experiments.slide import INK
from minidl.cli.experiments.training import train
from minidl.cli.experiments.verdict import Claim
from minidl.cli.networks import network_named
from minidl.cli.weights import with_weights
from minidl.nn import Module
from minidl.nn.eval_mode import eval_mode
from minidl.tensor import Tensor

DESCRIPTION = """first-layer filters and feature maps as pictures

Trains a small net, and shows the filters of its first layer before and after, and what two of its layers make of an
image. Or shows those of a network of `minidl nets` with weights of a file: --net resnet20 --weights FILE. In a picture
of a filter, grey is 0; each is scaled to its own largest weight. The weights begin as AlexNet's, N(0, 0.01)."""

NOTE = "In a filter grey is 0, and in a map black; each is scaled to its own largest value."

TITLE = "Filters: what the first layer looks for, and what it finds"

OPTIONS = (
    *training_options(size=28, images=1437, test_images=360, epochs=8, lr=0.02, batch_size=32, seeds=3),
    Option("filters", "filters of the first layer", 8, 4),
    Option("kernel", "their size; odd", 7, 3),
    Option("net", "a network of `minidl nets` instead, with --weights", "", "", str, "NET"),
    Option("weights", "its weights: .pth, .pt, .th, .safetensors, .npz or .caffemodel", "", "", str, "F"),
)

COLUMNS = (
    Column("smoothness_before", "correlation of neighbours/before learning"),
    Column("smoothness", "correlation of neighbours/after"),
    Column("test_error", "test/error", "%"),  # of the net that was trained: one that learnt nothing has dull filters
)

SHOWN = 8  # filters and maps in the picture; of more, the strongest
TRAINED = "filters"


def variants(settings: Settings) -> list[Variant]:
    """CommandError: options that do not go together."""
    if bool(settings.net) != bool(settings.weights):
        raise CommandError("--net and --weights go together: a network, and the file of its weights")
    if settings.net:
        network_named(settings.net)
        if not Path(settings.weights).is_file():
            raise CommandError(f"there is no file {settings.weights}")
        return [Variant(TRAINED, f"{settings.net} with {Path(settings.weights).name}")]
    if settings.kernel % 2 == 0:
        raise CommandError(f"--kernel must be odd, got {settings.kernel}")
    return [Variant(TRAINED, f"{settings.filters} filters of {settings.kernel}x{settings.kernel}")]


def run(variant: Variant, seed: int, settings: Settings) -> Measures:
    images = draw_images(settings, seed)
    errors: dict[str, float] = {}
    if settings.net:
        network = NETWORKS[settings.net]
        before = _first_layer(network.build())
        arguments = argparse.Namespace(weights=Path(settings.weights), rename=[])
        model = with_weights(network, arguments)
        shape = network.input_shape
    else:
        model, shape = _network(images, settings), images.shape
        before = _first_layer(model)
        errors = {"test_error": train(model, images, settings, seed).test_error}
    after = _first_layer(model)
    image = _as_wanted(images.test.data[0], shape)
    normalized = (image - numpy.reshape(images.mean, (-1, 1, 1))) / numpy.reshape(images.std, (-1, 1, 1))
    strongest = numpy.sort(_strongest(after))
    first, later = _maps(model, normalized)
    return {
        "smoothness_before": smoothness(before),
        "smoothness": smoothness(after),
        **errors,
        "pictures": {
            "before": _listed(before[strongest]),
            "after": _listed(after[strongest]),
            "image": _listed(image),
            "maps": [_listed(first[strongest]), _listed(later[_strongest(later)])],
        },
    }


def _network(images: Images, settings: Settings) -> Module:
    count, kernel = settings.filters, settings.kernel
    model = nn.Sequential(
        nn.Conv2d(images.shape[0], count, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(count, 2 * count, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * count * (settings.size // 4) ** 2, len(images.classes)),
    )
    he_initialization(model)
    nn.init.normal_(model[0].weight, 0.0, 0.01)  # AlexNet, sec. 5: small, so that what is learnt stands out
    return model


def _convolutions(model: Module) -> list[nn.Conv2d]:
    """CommandError: there is none."""
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise CommandError("the network has no convolution to show")
    return found


def _first_layer(model: Module) -> numpy.ndarray:
    """Its weights (F, C, K, K)."""
    return _convolutions(model)[0].weight.detach().cpu().numpy().copy()


def _maps(model: Module, image: numpy.ndarray) -> list[numpy.ndarray]:
    """What the first convolution and one half-way down make of the image, as a ReLU leaves it: (F, H, W) each."""
    convolutions = _convolutions(model)
    shown = [convolutions[0], convolutions[len(convolutions) // 2]]
    found: dict[int, numpy.ndarray] = {}

    def keep(module: Module, inputs: Any, output: Tensor) -> None:
        found[id(module)] = output.detach().cpu().numpy()[0]

    hooks = [module.register_forward_hook(keep) for module in shown]
    device = next(model.parameters()).device
    with eval_mode(model), minidl.no_grad():
        model(Tensor(image[None].astype(numpy.float32)).to(device))
    for hook in hooks:
        hook.remove()
    return [numpy.maximum(found[id(module)], 0) for module in shown]


def _strongest(each: numpy.ndarray) -> numpy.ndarray:
    """Which of the filters or maps are the largest, the largest first."""
    norms = (each**2).reshape(len(each), -1).sum(axis=1)
    return numpy.argsort(-norms, kind="stable")[:SHOWN]


def _as_wanted(image: numpy.ndarray, shape: tuple[int, int, int]) -> numpy.ndarray:
    """(C, H, W) for a network that reads `shape`: grey in all of its channels. CommandError: colour for a grey one."""
    if image.shape[0] not in (1, shape[0]):
        raise CommandError(f"the network reads images of {shape[0]} channel, and these have {image.shape[0]}")
    if image.shape[1:] != shape[1:]:
        raise CommandError(f"the network reads images of {shape[1]}x{shape[2]}: give --size {shape[1]}")
    return numpy.repeat(image, shape[0] // image.shape[0], axis=0)


def smoothness(filters: numpy.ndarray) -> float:
    """The correlation of weights that lie side by side, in filters (F, C, K, K) without their means; 0 for noise."""
    centred = filters - filters.mean(axis=(2, 3), keepdims=True)
    pairs = [(centred[..., 1:, :], centred[..., :-1, :]), (centred[..., :, 1:], centred[..., :, :-1])]
    above = math.fsum(float((a * b).sum()) for a, b in pairs)
    below = math.fsum(float((a**2).sum() + (b**2).sum()) / 2 for a, b in pairs)
    return above / below if below else 0.0


def _listed(array: numpy.ndarray) -> list:
    """For JSON, with as many digits as an eye sees: three of the largest value."""
    largest = float(numpy.abs(array).max()) or 1.0
    return numpy.round(array, max(0, 3 - math.floor(math.log10(largest)))).tolist()


def claims(results: Results) -> list[Claim]:
    return [
        Claim(
            "the filters that were learnt are smooth, and not noise as they were before",
            "correlation of neighbouring weights, after minus before",
            tuple(
                after - before
                for after, before in zip(
                    results.values(TRAINED, "smoothness"), results.values(TRAINED, "smoothness_before"), strict=True
                )
            ),
            unit="",
        )
    ]


# --------------------------------------------------------------------------------------------------- the pictures


def draw(figure: Figure, bottom: float, results: Results) -> None:
    """A column for each filter: as it was, as it is, what it finds in an image. Below, the maps of a later layer."""
    pictures = results.any_run(TRAINED)["pictures"]
    before, after = ([_filter_tile(numpy.array(each)) for each in pictures[name]] for name in ("before", "after"))
    first, later = ([_map_tile(numpy.array(each)) for each in maps] for maps in pictures["maps"])
    image = numpy.array(pictures["image"]).transpose(1, 2, 0)
    image = numpy.repeat(image, 3 // image.shape[-1], axis=-1)

    pitch = (0.87 - bottom) / 4
    size = 0.9 * min(pitch, 0.7 / SHOWN * figure.get_figwidth() / figure.get_figheight())  # 0.1 lies between tiles
    middle = 0.87 - pitch / 2  # of the first row
    learnt = results.settings.net or "after\nlearning"
    rows = (
        ("random\nweights", before),
        (learnt, after),
        ("found in\nthe image", first),
        ("found by a\nlater layer", later),
    )
    for number, (words, tiles) in enumerate(rows):
        low = middle - number * pitch - size / 2
        figure.text(0.05, low + size / 2, words, fontsize=13.5, fontweight="bold", color=INK, va="center")
        for place, tile in enumerate(tiles):
            _show(figure, 0.28 + place * 0.7 / SHOWN, low, size, tile)
    _show(figure, 0.165, middle - 2 * pitch - size / 2, size, image)


def _show(figure: Figure, left: float, bottom: float, size: float, tile: numpy.ndarray) -> None:
    """A tile (H, W, 3), `size` of the slide's height high."""
    axes = figure.add_axes((left, bottom, size * figure.get_figheight() / figure.get_figwidth(), size))
    axes.imshow(tile, interpolation="nearest", vmin=0, vmax=1)
    axes.set_axis_off()


def _filter_tile(filter: numpy.ndarray) -> numpy.ndarray:
    """A filter (C, K, K) as a picture: in colour where it reads three channels, else its mean over them. 0 is grey."""
    shown = filter if len(filter) == 3 else filter.mean(axis=0, keepdims=True)
    scaled = 0.5 + 0.5 * shown / (numpy.abs(shown).max() or 1.0)
    return numpy.repeat(scaled.transpose(1, 2, 0), 3 // len(shown), axis=-1)


def _map_tile(values: numpy.ndarray) -> numpy.ndarray:
    """A feature map (H, W), black where the ReLU lets nothing through."""
    scaled = values / (values.max() or 1.0)
    return numpy.repeat(scaled[..., None], 3, axis=-1)

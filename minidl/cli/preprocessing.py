"""How images come to the size and the values that a network was trained with: what the commands share for that."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import minidl
from architectures.catalog import Network
from minidl.cli.arguments import CommandError
from minidl.cli.networks import Shape
from minidl.data.folder import ImageNet
from minidl.data.transforms import CenterCrop, Compose, Normalize, Pad, Resize, TenCrop, ToTensor
from minidl.grad_mode import no_grad
from minidl.nn import Module

Size = tuple[int, int]

PHOTOGRAPH = 100  # networks that read images of at least so many pixels see the middle 7/8 of them, 224 of 256


def add_normalization_arguments(parser: argparse.ArgumentParser) -> None:
    """--mean and --std, for `normalization`."""
    words = "one number, or one for each channel, of images with values 0..1"
    parser.add_argument("--mean", type=numbers, metavar="M,M,M", help=f"what is subtracted from an image: {words}")
    parser.add_argument(
        "--std", type=numbers, metavar="S,S,S", help="what it is divided by (both: those of the data set)"
    )


def numbers(text: str) -> tuple[float, ...]:
    """.485,.456,.406"""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers with commas between them, got {text!r}") from None


def normalization(
    arguments: argparse.Namespace, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Those of the command line, else the given ones, else ImageNet's. CommandError: not as many as channels, or 0."""
    default_mean, default_std = (ImageNet.mean, ImageNet.std) if channels == 3 else ((0.0,), (1.0,))
    mean = arguments.mean or mean or default_mean
    std = arguments.std or std or default_std
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise CommandError(f"--{name} has {len(values)} numbers, and the images have {channels} channels")
    if min(std) <= 0:
        raise CommandError(f"--std must be above 0, got {min(std):g}")
    return mean * (channels // len(mean)), std * (channels // len(std))


def photograph(wanted: Size) -> list[Callable]:
    """For images of any size: the shorter side scaled, and the middle cut out."""
    return [Resize(scaled(wanted)), CenterCrop(wanted)]


def scaled(wanted: Size) -> int:
    """What the shorter side is scaled to: 256 for 224 and 227, as the recipes of all ImageNet networks do."""
    side = min(wanted)
    return 16 * round(side * 8 / 7 / 16) if side >= PHOTOGRAPH else side


def ten_crops(size: Size | None, wanted: Size, border: int = 4) -> tuple[list[Callable], str]:
    """The crops, and in words what they are of: a scaled photograph (`size` None), or an image with a border."""
    if size is None:
        side = max(scaled(wanted), min(wanted) + 2 * border)
        return [Resize(side), TenCrop(wanted)], f"images scaled to {side} pixels"
    return [Pad(border), TenCrop(wanted)], f"images with a border of {border}"


def fitted(network: Network, model: Module, shape: Shape, resize: bool = False) -> tuple[list[Callable], Size, str]:
    """For images that are all of one shape: steps, the size that comes out, and a remark on what is done.

    They go in as they are where the network can read them, else with a border of zeros; with `resize`, scaled as
    photographs are.
    CommandError: they are larger than the network reads, and nobody said --resize.
    """
    size, wanted = shape[1:], network.input_shape[1:]
    if size == wanted:
        return [], size, ""
    if resize:
        cut = f", the middle {by(wanted)}" if scaled(wanted) != min(wanted) else ""
        return photograph(wanted), wanted, f", scaled from {by(size)} to {by((scaled(wanted),) * 2)}{cut}"
    try:
        with no_grad():
            model(minidl.zeros(1, *shape).to(next(model.parameters()).device))
        return [], size, f", {by(size)} pixels"
    except (RuntimeError, ValueError):
        if not all(mine <= theirs for mine, theirs in zip(size, wanted, strict=True)):
            raise CommandError(
                f"{network.name} cannot read images of {by(size)}; --resize scales them to {by(wanted)}"
            ) from None
    height, width = wanted[0] - size[0], wanted[1] - size[1]
    border = Pad((width // 2, height // 2, width - width // 2, height - height // 2))
    return [border], wanted, f", with a border from {by(size)} to {by(wanted)}"


def by(size: Size) -> str:
    """32x32"""
    return "x".join(map(str, size))


def finished(steps: list[Callable], mean: tuple[float, ...], std: tuple[float, ...]) -> Compose:
    """The steps, and what comes last in all of them."""
    return Compose([*steps, ToTensor(), Normalize(mean, std)])

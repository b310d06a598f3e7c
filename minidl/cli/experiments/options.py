"""What an experiment can be asked for: its options as data, and the settings that come out of a command line.

An Option has two defaults: one that shows the lesson within minutes, and one for `--quick`, which only shows that
everything runs. What the user gives goes before both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from minidl.cli.arguments import positive_float, positive_int

Settings = SimpleNamespace  # the values of the options by name: plain ones, that JSON can hold


@dataclass(frozen=True)
class Option:
    """One option of an experiment.

    of_a_run    the result of a run depends on it; else it only decides which runs there are (`seeds`, `depths`)
    """

    name: str
    help: str
    default: Any
    quick: Any
    kind: Callable[[str], Any] = positive_int
    metavar: str = "N"
    of_a_run: bool = True

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def training_options(
    *,
    data: str = "digits",
    size: int,
    images: int,
    test_images: int,
    epochs: int,
    lr: float,
    batch_size: int = 64,
    seeds: int = 5,
) -> tuple[Option, ...]:
    """The options of every experiment that trains, with the defaults of this one."""
    return (
        Option(
            "data",
            "digits, or with files in $MINIDL_DATA mnist, fashion-mnist, cifar10, cifar100",
            data,
            data,
            str,
            "D",
        ),
        Option("partial", "make do with the files of cifar10 or cifar100 that are there", False, False, bool),
        Option("size", "the images are scaled to N x N", size, 8),
        Option("images", "to train on; another choice for each seed", images, 40),
        Option(
            "test_images",
            "to test on; where there are too few, also training images that are not drawn",
            test_images,
            60,
        ),
        Option("epochs", "times through the images", epochs, 1),
        Option("batch_size", "images in a step", batch_size, 20),
        Option("lr", "the learning rate to begin with; it falls to 0 as a cosine", lr, lr, positive_float, "X"),
        Option("seeds", "how often all of it is done, with other weights and images", seeds, 2, of_a_run=False),
    )


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Each as an option whose value is None where it is not given."""
    for option in options:
        if option.kind is bool:
            parser.add_argument(option.flag, action="store_true", default=None, help=option.help)
            continue
        shown = ",".join(map(str, option.default)) if isinstance(option.default, tuple) else option.default
        parser.add_argument(
            option.flag, type=option.kind, metavar=option.metavar, help=f"{option.help} ({shown})".replace("%", "%%")
        )


def chosen_settings(arguments: argparse.Namespace, options: Sequence[Option]) -> Settings:
    """What the user gave, else the defaults, or those of --quick."""
    settings = Settings()
    for option in options:
        given = getattr(arguments, option.name)
        value = given if given is not None else option.quick if arguments.quick else option.default
        setattr(settings, option.name, list(value) if isinstance(value, tuple) else value)
    return settings


def positive_ints(text: str) -> tuple[int, ...]:
    """Different ints of at least 1, with commas between them, the smallest first: 8,20,32."""
    try:
        values = tuple(sorted({positive_int(part) for part in text.split(",")}))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be ints of at least 1 such as 8,20,32, got {text!r}") from None
    return values

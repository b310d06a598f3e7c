"""A network with the weights of a file: what the commands share that use one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

import minidl
from architectures.catalog import Network
from minidl.cli.arguments import CommandError
from minidl.cli.blank import undrawn
from minidl.data.named import Description
from minidl.nn import Module
from minidl.nn.state_names import common_prefix, renamed
from minidl.serialization import LoadError
from minidl.tensor import Tensor

INSIDE = ("state_dict", "model_state_dict", "model", "net", "weights")  # where checkpoints keep the weights
TRAINED_ON = "minidl.trained_on"  # in the header of a file that `minidl train` wrote: a Description, as JSON
OURS, NOT_OURS = "model.", "optimizer."  # the two kinds of names in a checkpoint of `minidl train`


def add_weights_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """--weights and --rename, for `with_weights`."""
    add = parser.add_argument
    file = ".pth, .pt, .th, .safetensors, .npz or .caffemodel"
    add("--weights", type=Path, metavar="F", required=required, help=f"the file of the weights: {file}")
    add(
        "--rename",
        type=_rule,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="names that begin with OLD begin with NEW instead; may be given several times",
    )


def _rule(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be OLD=NEW such as module.=, got {text!r}")
    return old, new


def with_weights(network: Network, arguments: argparse.Namespace, **options: Any) -> Module:
    """The network, built with these options, with the weights of the file, in eval mode. What was done is printed.

    CommandError: no such file, a file that is no weights, weights of another network.
    """
    path = arguments.weights
    state = _state_dict(path)
    if path.suffix == ".caffemodel":
        print("Networks of Caffe's mostly read blue, green, red, from 0 to 255; here they are given red, green, blue")
    with undrawn():
        model = network.build(**options)
    rules = dict(arguments.rename)
    prefix = common_prefix(state, model.state_dict())
    if not rules and prefix:
        rules = {prefix: ""}
        print(f'All names in {path.name} begin with "{prefix}", which is left away')
    try:
        model.load_state_dict(state, rename=rules)
    except (RuntimeError, ValueError) as error:
        why = _other_ends(network, model.state_dict(), state, rules) or _shortened(str(error))
        raise CommandError(f"{path} does not fit {network.name}: {why}") from None
    return model.eval()


def trained_on_header(about: Description) -> dict[str, str]:
    """For a safetensors file of weights: what `trained_on` reads."""
    fields = ("classes", "mean", "std", "image_shape")
    return {TRAINED_ON: json.dumps({name: list(getattr(about, name)) for name in fields})}


def trained_on(path: Path) -> Description | None:
    """What the weights were trained on, where the file says so: as `minidl train` writes it."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            fields = json.loads((file.metadata() or {})[TRAINED_ON])
        return Description(**{name: tuple(values) for name, values in fields.items()})
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, TypeError, AttributeError):
        return None  # other files say nothing, and damaged ones are explained when they are loaded


def _other_ends(
    network: Network, own: Mapping[str, Tensor], state: Mapping[str, Tensor], rules: Mapping[str, str]
) -> str | None:
    """In words, where the weights are those of the network for other images or other classes; else None."""
    try:
        given = renamed(state, rules)
    except ValueError:
        return None
    if any(not name.endswith("num_batches_tracked") for name in own.keys() ^ given.keys()):  # files of 2018 lack it
        return None
    pairs = [(mine.shape, given[name].shape) for name, mine in own.items() if name in given]
    channels, classes = set(), set()
    for mine, theirs in pairs:
        if mine == theirs:
            continue
        if mine[1:] == theirs[1:]:
            classes.add((mine[0], theirs[0]))
        elif len(mine) == len(theirs) == 4 and mine[0] == theirs[0] and mine[2:] == theirs[2:]:
            channels.add((mine[1], theirs[1]))
        else:
            return None
    if len(channels) > 1 or len(classes) > 1:
        return None
    words = [f"images of {theirs} channels, not {mine}" for mine, theirs in channels]
    words += [f"{theirs:,} classes, not {mine:,}" for mine, theirs in classes]
    return f"its weights are for {' and for '.join(words)}"


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The weights in the file, also where they are a part of a checkpoint."""
    try:
        content = minidl.load(path)
    except LoadError as error:
        raise CommandError(str(error).removeprefix("load(): ")) from None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    if _is_state_dict(content):
        if all(name.startswith((OURS, NOT_OURS)) for name in content):
            return {name: value for name, value in content.items() if name.startswith(OURS)}
        return content
    for key in INSIDE:
        if isinstance(content, Mapping) and _is_state_dict(content.get(key)):
            return content[key]
    what = f"has the entries {', '.join(map(str, content))}" if isinstance(content, Mapping) else "is no dictionary"
    raise CommandError(f"{path} {what}, and no weights by name")


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())
    )


def _shortened(text: str, most: int = 160) -> str:
    """Of each line that lists names, the beginning: there may be hundreds."""
    lines = [line.strip() for line in text.splitlines()[1:]] or [text]
    shown = [line if len(line) <= most else line[:most].rsplit(" ", 1)[0] + " ..." for line in lines]
    return "; ".join(shown[:3] + [line for line in shown[3:] if line.startswith("help")])

"""`minidl nets`: the table of all networks, counted as they run, beside the errors that were published for them."""

from __future__ import annotations

import argparse
import csv
import fnmatch
import io
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches

from tqdm import tqdm

from architectures.catalog import NETWORKS, Network, Published
from minidl.cli.arguments import CommandError
from minidl.cli.blank import undrawn
from minidl.inspect.summary import summary
from minidl.inspect.tables import bytes_text, markdown_table, shape_text, text_table

DESCRIPTION = """list the networks: year, depth, parameters, multiply-adds, memory, published error

Each network is built and run on one image, and its operations count. Multiply-adds are those of the forward pass at
test time, memory that of its activations in float32 if ReLU and dropout work in place. The error is the first that its
paper gives, in percent (top-1 / top-5), for its own protocol: errors of different protocols must not be compared.
--format json has all that were published."""

HEADINGS = ("network", "input", "year", "depth", "parameters", "multiply-adds", "activations")
MANY = 8  # networks that one waits for
LEFT = 2  # columns of words; the others are numbers


@dataclass(frozen=True)
class Counted:
    """A network, run on one image at test time."""

    network: Network
    parameters: int
    training_only: int  # parameters that take no part at test time
    multiply_adds: int
    activation_bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="these networks only; vgg* for all that begin so")
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print them (table)")


def run(arguments: argparse.Namespace) -> int:
    networks = sorted(select(arguments.names), key=lambda network: network.year)
    print(FORMATS[arguments.format](list(count(networks))))
    return 0


def select(patterns: Iterable[str]) -> list[Network]:
    """The networks whose names match, each once, in the catalog's order; all of them without patterns."""
    patterns = list(patterns) or ["*"]
    for pattern in patterns:
        if not fnmatch.filter(NETWORKS, pattern):
            near = get_close_matches(pattern, NETWORKS)
            hint = f"did you mean {' or '.join(near)}?" if near else "`minidl nets` lists them"
            raise CommandError(f"there is no network {pattern!r}; {hint}")
    return [
        network for name, network in NETWORKS.items() if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]


def count(networks: Iterable[Network]) -> Iterator[Counted]:
    """Build and run them one after the other, so that only one is in memory."""
    networks = list(networks)
    if len(networks) > MANY and not sys.stderr.isatty():  # no bar there
        print(f"counting {len(networks)} networks: some seconds", file=sys.stderr, flush=True)
    with tqdm(networks, unit="net", leave=False, file=sys.stderr, disable=None) as bar:
        for network in bar:
            bar.set_description(network.name)
            with undrawn():
                model = network.build().eval()
            totals = summary(model, network.input_shape).totals
            del model
            activations = totals.forward - totals.in_place
            yield Counted(network, totals.parameters, totals.unused, totals.multiply_adds, activations)


# ----------------------------------------------------------------------------------------------------------- formats


def as_table(counted: list[Counted]) -> str:
    """For the terminal."""
    errors = [_error_text(first_error(each.network)) for each in counted]
    width = max(map(len, errors))
    headings = [*HEADINGS, "published error".ljust(width)]
    rows = [[*_cells(each), error.ljust(width)] for each, error in zip(counted, errors, strict=True)]
    return "\n".join([text_table(headings, rows, LEFT), *_notes(counted)])


def as_markdown(counted: list[Counted]) -> str:
    """The same for Markdown."""
    rows = []
    for each in counted:
        error = first_error(each.network)
        rows.append([*_cells(each), error.dataset, _percents(error), error.protocol])
    headings = [*HEADINGS, "error on", "top-1, top-5", "protocol"]
    return "\n".join([markdown_table(headings, rows, LEFT), *_notes(counted)])


def as_csv(counted: list[Counted]) -> str:
    """A line for each network, with exact numbers; the error is the first that was published."""
    text = io.StringIO()
    records = [_record(each) | asdict(first_error(each.network)) for each in counted]
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().rstrip("\n")


def as_json(counted: list[Counted]) -> str:
    """Everything, with exact numbers."""
    records = [_record(each) | {"published": [asdict(error) for error in each.network.published]} for each in counted]
    return json.dumps(records, indent=2, ensure_ascii=False)


FORMATS = {"table": as_table, "markdown": as_markdown, "csv": as_csv, "json": as_json}

NO_ERROR = Published("", None, None, "", "")


def first_error(network: Network) -> Published:
    return network.published[0] if network.published else NO_ERROR


def _record(counted: Counted) -> dict[str, object]:
    network = counted.network
    return {
        "name": network.name,
        "year": network.year,
        "depth": network.depth,
        "input": shape_text(network.input_shape),
        "parameters": counted.parameters,
        "training_only": counted.training_only,
        "multiply_adds": counted.multiply_adds,
        "activation_bytes": counted.activation_bytes,
        "paper": network.paper,
    }


def _cells(counted: Counted) -> list[str]:
    network = counted.network
    words = [network.name, shape_text(network.input_shape), str(network.year), str(network.depth)]
    return [*words, f"{counted.parameters:,}", f"{counted.multiply_adds:,}", bytes_text(counted.activation_bytes)]


def _percents(error: Published) -> str:
    """40.7 / 18.2, or 6.43 where nobody gives a top-5 error: there are ten classes."""
    percents = (error.top1, error.top5) if error.dataset == "ImageNet" else (error.top1,)
    return " / ".join("-" if percent is None else str(float(percent)) for percent in percents) if error.dataset else ""


def _error_text(error: Published) -> str:
    return f"{error.dataset:<8}  {_percents(error):<14}  {error.protocol}" if error.dataset else "-"


def _notes(counted: list[Counted]) -> list[str]:
    notes = [
        f"{each.network.name}: {each.training_only:,} of its parameters serve in training only; "
        f"{each.parameters - each.training_only:,} remain at test time."
        for each in counted
        if each.training_only
    ]
    return ["", *notes] if notes else []

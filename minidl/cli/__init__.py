"""The command `minidl`: reads the command line and runs one of the commands, a module each.

A command has `add_arguments(parser)` and `run(arguments)`, which returns the exit code. A failure that the user can do
something about is a CommandError: mostly one line, exit code 1. argparse answers wrong options itself, with code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import minidl
from minidl.cli import (
    classify,
    compare,
    course,
    debug,
    demo,
    evaluate,
    experiment,
    export,
    graph,
    lecture,
    nets,
    receptive_field,
    summary,
    trace,
    train,
)
from minidl.cli.arguments import CommandError

COMMANDS = {
    "demo": demo,
    "train": train,
    "nets": nets,
    "summary": summary,
    "receptive-field": receptive_field,
    "graph": graph,
    "trace": trace,
    "debug": debug,
    "evaluate": evaluate,
    "classify": classify,
    "export": export,
    "lecture": lecture,
    "compare": compare,
    "experiment": experiment,
    "course": course,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process if None). Returns the exit code."""
    parser = argparse.ArgumentParser("minidl", description="A deep-learning framework to read in a weekend.")
    parser.add_argument("--version", action="version", version=f"minidl {minidl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name, module in COMMANDS.items():
        summary, _, details = module.DESCRIPTION.partition("\n\n")
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary}\n\n{details}".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    arguments = parser.parse_args(argv)
    try:
        return COMMANDS[arguments.command].run(arguments)
    except CommandError as error:
        lines = str(error).splitlines()
        text = "; ".join(line.strip() for line in lines) if len(lines) <= 3 else "\n".join(lines)  # a list of files
        print(f"minidl {arguments.command}: error: {text}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough: minidl nets | head
        sys.stdout = None  # type: ignore[assignment]  # Python would try to flush it once more
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # what shells use for Ctrl-C

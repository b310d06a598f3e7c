"""`minidl lecture`: the lecture's numbers, each beside the one that minidl computes, and a verdict."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import textwrap

from tqdm import tqdm

from minidl.cli.lecture_statements import statements
from minidl.cli.statement import VERDICTS, Statement, tally
from minidl.inspect.tables import markdown_table

DESCRIPTION = """check every number of the lecture "CNN Architectures" against the networks themselves

Builds and runs the networks that the lecture is about, and sets beside each number of its slides the one that comes
out; errors and recipes are compared with what was published. The verdict is a rule, not an opinion: exact where the
number is the printed one, rounded where it differs by no more than half of the last printed digit (zeros at the end of
a whole number are not digits), else wrong, and then the reason is given."""

COLOURS = {"exact": "32", "rounded": "36", "wrong": "1;31"}  # green, cyan, bold red


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print them (table)")
    parser.add_argument("--only", choices=VERDICTS, help="the statements with this verdict")


def run(arguments: argparse.Namespace) -> int:
    found = list(tqdm(statements(), desc="running the networks", unit="", leave=False, file=sys.stderr, disable=None))
    shown = [each for each in found if arguments.only in (None, each.verdict)]
    print(FORMATS[arguments.format](shown, found))
    return 0


def as_table(shown: list[Statement], found: list[Statement]) -> str:
    """For the terminal: a block for each topic, remarks below their statements."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    blocks = [_block(topic, list(group), colour) for topic, group in itertools.groupby(shown, key=_topic)]
    return "\n\n".join([*blocks, in_words(found)])


def _block(topic: str, group: list[Statement], colour: bool) -> str:
    rows = [(each.verdict, each.claim, each.stated, each.computed_text, each.how) for each in group]
    rows = [("", topic, "the lecture", "minidl", "from"), *rows]
    claim, stated, computed = (max(len(row[i]) for row in rows) for i in (1, 2, 3))
    lines = []
    for row, remark in zip(rows, ["", *(each.remark for each in group)], strict=True):
        mark = f"{row[0]:7}"
        if colour:
            mark = f"\033[{COLOURS[row[0]]}m{mark}\033[0m" if row[0] else mark
        lines.append(f"{mark}  {row[1]:{claim}}  {row[2]:>{stated}}  {row[3]:>{computed}}  {row[4]}")
        margin = " " * 11
        lines += textwrap.wrap(remark, 110, initial_indent=margin, subsequent_indent=margin)
    return "\n".join([lines[0], "-" * max(map(len, lines[:1])), *lines[1:]])


def as_markdown(shown: list[Statement], found: list[Statement]) -> str:
    """A table for each topic."""
    lines = [f"**{in_words(found)}**"]
    for topic, group in itertools.groupby(shown, key=_topic):
        rows = [
            [
                _strong(each.verdict),
                each.claim,
                each.stated,
                each.computed_text,
                " ".join([each.how + ".", each.remark]),
            ]
            for each in group
        ]
        headings = ("verdict", "of what", "the lecture", "minidl", "from")
        lines += ["", f"### {topic}", "", markdown_table(headings, rows, left=len(headings))]
    return "\n".join(lines)


def as_json(shown: list[Statement], found: list[Statement]) -> str:
    """Everything: computed numbers are exact, in units of one (bytes, percent, numbers)."""
    records = [
        {
            "topic": each.topic,
            "claim": each.claim,
            "stated": each.stated,
            "computed": each.computed,
            "verdict": each.verdict,
            "from": each.how,
            "remark": each.remark,
        }
        for each in shown
    ]
    return json.dumps({"summary": tally(found), "statements": records}, indent=2, ensure_ascii=False)


FORMATS = {"table": as_table, "markdown": as_markdown, "json": as_json}


def in_words(found: list[Statement]) -> str:
    """140 statements: 105 exact, 25 rounded, 10 wrong."""
    return f"{len(found)} statements: " + ", ".join(f"{count} {verdict}" for verdict, count in tally(found).items())


def _topic(statement: Statement) -> str:
    return statement.topic


def _strong(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "wrong" else verdict

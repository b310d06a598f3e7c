"""The page as one file: the template with the style, the script and the document in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import Any

from minidl.debug.page.data import document
from minidl.debug.page.network import operations
from minidl.debug.tape import Tape
from minidl.errors import explain
from minidl.inspect.graph_svg import COLOURS

FRAME = 'style="width: 100%; height: 46rem; border: 1px solid #8885; border-radius: 6px"'
SCRIPTS = (
    "common.js",
    "pictures.js",
    "graph.js",
    "cards.js",
    "window.js",
    "update.js",
    "page.js",
)  # one script, in this order


def html(
    tape: Tape, title: str = "A traced computation", facts: Iterable[tuple[str, str]] = (), at: int | None = None
) -> str:
    """A page that steps through a tape: self-contained, for any browser of 2024 or later.

    facts   (name, value) pairs that stand beside the title
    at      the number of an event: the page opens at its operation, or at the last one before it

    ValueError: no operation is on the tape.
    """
    if not operations(tape):
        raise ValueError(
            explain("html", "no operation ran while the tape was written: there is nothing to step through")
        )
    return assemble(document(tape, title, facts, at))


def frame(tape: Tape, at: int | None = None, title: str = "") -> str:
    """The page in a frame, for a notebook: a `_repr_html_`."""
    if not operations(tape):
        return "<p>No operation has run yet.</p>"
    page = html(tape, title or (type(tape.model).__name__ if tape.model is not None else "Tape"), at=at)
    return f'<iframe srcdoc="{escape(page)}" title="A computation, step by step" {FRAME}></iframe>'


def assemble(document: dict[str, Any]) -> str:
    """The page of a document; its format: data.py."""
    # "<" is written so that no text in the document can end the script element that holds it.
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": escape(document["title"]),
        "css": _read("page.css") + _kinds(),
        "script": "\n".join(map(_read, SCRIPTS)),
        "document": text,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _kinds() -> str:
    """The colours of the boxes: those that `minidl graph` draws with."""
    return "\n".join(
        f".node.{kind} .shape {{ fill: light-dark({light}, {dark}); stroke: light-dark({edge}, {dark_edge}); }}"
        for kind, (light, edge, dark, dark_edge) in COLOURS.items()
    )

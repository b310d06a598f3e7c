"""A notebook from a percent-format script: the same file runs as Python, and opens as cells.

# %% [markdown]             the following comment lines are text
# %%                        the following lines are code
"""

from __future__ import annotations

import json
from typing import Any

MARK = "# %%"


def cells(script: str) -> list[tuple[str, str]]:
    """The cells of a percent-format script: ("markdown" or "code", its text). Empty ones are left out."""
    found: list[tuple[str, list[str]]] = [("code", [])]
    for line in script.replace("\r\n", "\n").split("\n"):
        if line.startswith(MARK):
            found.append(("markdown" if "[markdown]" in line else "code", []))
        else:
            found[-1][1].append(line)
    result = []
    for kind, lines in found:
        if kind == "markdown":
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        text = "\n".join(lines).strip("\n")
        if text.strip():
            result.append((kind, text))
    return result


def to_notebook(script: str) -> str:
    """The text of an .ipynb file (nbformat 4.5), without outputs."""
    made: list[dict[str, Any]] = []
    for number, (kind, text) in enumerate(cells(script)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        cell["source"] = text.splitlines(keepends=True)
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"

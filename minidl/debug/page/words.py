"""Operations in words: the equations of a docstring, and the settings of a call."""

from __future__ import annotations

import inspect
from typing import Any


def formula(type: type | None) -> dict[str, str]:
    """The docstring of an operation or optimizer: its first paragraph and what is indented are equations.

    {"formula": ..., "note": the rest}
    """
    text = inspect.cleandoc((type.__doc__ if type else None) or "")
    first, *others = text.split("\n\n") if text else [""]
    equations = [first, *(each for each in others if each.startswith("  "))]
    notes = [each for each in others if not each.startswith("  ")]
    return {"formula": "\n\n".join(equations), "note": "\n\n".join(notes)}


def settings(options: dict[str, Any], longest: int = 160) -> str:
    """stride 2, padding 1 for stride=(2, 2), padding=((1, 1), (1, 1))"""
    text = ", ".join(f"{name} {_short(value)!r}" for name, value in options.items())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _short(value: Any) -> Any:
    """One number for several that are equal."""
    if isinstance(value, tuple) and value:
        parts = [_short(each) for each in value]
        if all(each == parts[0] for each in parts):
            return parts[0]
        return tuple(parts)
    return value

"""Operations in words: the equations of a docstring, and the settings of a call."""

from __future__ import annotations

from typing import Any

from minidl.backend import is_array
from minidl.debug.formula import docstring


def formula(type: type | None) -> dict[str, str]:
    """The docstring of an operation or optimizer: its first paragraph and what is indented are equations.

    {"formula": ..., "note": the rest}
    """
    first, *others = docstring(type).split("\n\n")
    equations = [first, *(each for each in others if each.startswith("  "))]
    notes = [each for each in others if not each.startswith("  ")]
    return {"formula": "\n\n".join(equations), "note": "\n\n".join(notes)}


def settings(options: dict[str, Any], longest: int = 160) -> str:
    """stride 2, padding 1 for stride=(2, 2), padding=((1, 1), (1, 1)); key [:, ::2] for a tuple with slices"""
    text = ", ".join(f"{name} {_words(value)}" for name, value in options.items())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _words(value: Any) -> str:
    if isinstance(value, slice):
        start, stop, step = ("" if part is None else str(part) for part in (value.start, value.stop, value.step))
        return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple) and value:
        parts = [_words(each) for each in value]
        if any(isinstance(each, slice) or each is Ellipsis for each in value):
            return f"[{', '.join(parts)}]"
        return parts[0] if len(set(parts)) == 1 else f"({', '.join(parts)})"  # one number for several that are equal
    if is_array(value):
        return f"array of {'×'.join(map(str, value.shape))}"
    return repr(value)

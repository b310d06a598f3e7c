"""The formula of an operation, from its docstring: `y = max(x, 0)` forward, `dx = dy [x > 0]` backward."""

from __future__ import annotations

import inspect
import re

GRADIENT = re.compile(r"(?:^|\s{2,}|;\s+)(d\w+(?:\[[^]]*\])? = .*)$|\s{2,}(dx: .*)$")


def docstring(kind: type | None) -> str:
    """What a class says of itself: its own docstring, cleaned; "" where it has none."""
    own = None if kind is None else kind.__doc__
    return inspect.cleandoc(own) if own else ""


def forward_formula(kind: type | None) -> str:
    """The formula in the first line."""
    first = docstring(kind).partition("\n")[0]
    return re.sub(r"\s{2,}", "   ", GRADIENT.sub("", first).strip())


def first_block(kind: type | None) -> str:
    """All lines up to the first empty one: the formulae of an optimizer."""
    return docstring(kind).partition("\n\n")[0]


def backward_formula(kind: type | None) -> str:
    """The formulae of the gradients, each in its line; where there are none, that of forward."""
    found = []
    for line in docstring(kind).splitlines():
        match = GRADIENT.search(line.rstrip())
        if match:
            found.append(next(filter(None, match.groups())).strip())
        elif found and not line.startswith(" "):
            break
    return "\n".join(found) or forward_formula(kind)

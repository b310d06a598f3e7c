"""Who listens to operations as they run: summaries count with it, and a debugger can.

    with listening(lambda node, inputs, outputs: print(node, outputs)):
        model(x)

Backward has its own events: engine.walk is a generator of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# The Function that ran (its settings are in node.options), its inputs, its output or tuple of outputs.
Listener = Callable[[Any, tuple, Any], None]

listeners: list[Listener] = []  # apply() looks here after each forward


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(node, inputs, outputs)` after each operation that runs inside."""
    listeners.append(listener)
    try:
        yield
    finally:
        listeners.remove(listener)

"""Which algorithm the operations use, where there is more than one: use_algorithm.

minidl.use_algorithm("im2col")              from here on
with minidl.use_algorithm("im2col"):        inside only
"""

from __future__ import annotations

from typing import Any

from minidl.backend import on_cpu
from minidl.errors import explain

ALGORITHMS = {
    "auto": "the fastest there is for the shape and the device",
    "im2col": "the plain formulae as they stand in minidl/ops: all columns at once, then one matrix product",
}

_current = "auto"


class use_algorithm:
    """Compute with `name`: "auto", the fastest way, or "im2col", literally what forward and backward show.

    Conv2d and BatchNorm have both ways; the other operations run as they stand in either. The results differ by
    rounding only. An operation keeps for backward the algorithm that its forward had. The setting holds for all
    threads. Used as a context manager, the setting before comes back at the end. ValueError for another name.
    """

    def __init__(self, name: str):
        global _current
        if name not in ALGORITHMS:
            known = ", ".join(f'"{known}" ({what})' for known, what in ALGORITHMS.items())
            raise ValueError(explain("use_algorithm", f"unknown algorithm {name!r}", help=f"there are {known}"))
        self._name, self._before, _current = name, _current, name

    def __enter__(self) -> None:
        global _current
        if _current != self._name:  # another call came in between
            self._before, _current = _current, self._name

    def __exit__(self, *exception: Any) -> None:
        global _current
        _current = self._before


def in_blocks(*arrays: Any) -> bool:
    """True where an operation shall run in blocks on all cores: in the host's memory, unless told otherwise."""
    return _current == "auto" and all(on_cpu(array) for array in arrays)

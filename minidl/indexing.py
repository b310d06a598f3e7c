"""Indices: `x[1, ..., None, ::2]`, `x[mask]`, `x[rows, columns]` as the array module takes them, checked beforehand.

The check matters most on a GPU, where CuPy lets an integer index that is out of range wrap around silently.
"""

from __future__ import annotations

from typing import Any

import numpy

from minidl.backend import int64, is_array, on_device_of
from minidl.errors import describe, explain


def index_key(where: str, array: Any, parts: tuple) -> tuple:
    """The index `parts` of `array`: lists as arrays, ... as the slices it stands for. IndexError where it does not fit.

    An ellipsis that stands for nothing must not remain: two arrays with it in between count as apart from each other.
    """
    parts = tuple(_plain(where, part) for part in parts)
    if sum(map(_dims_taken, parts)) > array.ndim:
        raise IndexError(explain(where, f"too many indices for tensor of dimension {array.ndim}", {"tensor": array}))
    places = [position for position, part in enumerate(parts) if part is Ellipsis]
    if len(places) > 1:
        raise IndexError(explain(where, "an index can only have a single ellipsis ('...')", {"tensor": array}))
    for place in places:
        rest = (slice(None),) * (array.ndim - sum(map(_dims_taken, parts)))
        parts = parts[:place] + rest + parts[place + 1 :]
    dim = 0
    for part in parts:
        if _is_mask(part):
            if part.shape != array.shape[dim : dim + part.ndim]:
                raise IndexError(
                    explain(where, "a mask has the shape of what it selects from", {"tensor": array, "mask": part})
                )
        elif isinstance(part, int) and not isinstance(part, bool):
            _check_range(where, array, dim, part, part)
        elif is_array(part) and part.size:
            with on_device_of((part,)):
                lowest, highest = int(part.min()), int(part.max())
            _check_range(where, array, dim, lowest, highest)
        dim += _dims_taken(part)
    return parts


def _check_range(where: str, array: Any, dim: int, lowest: int, highest: int) -> None:
    size = array.shape[dim]
    if lowest < -size or highest >= size:
        wrong = lowest if lowest < -size else highest
        raise IndexError(
            explain(where, f"index {wrong} is out of bounds for dimension {dim} with size {size}", {"tensor": array})
        )


def _is_mask(part: Any) -> bool:
    return is_array(part) and part.dtype.kind == "b"


def _dims_taken(part: Any) -> int:
    """How many dimensions of the array one part of an index uses up."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    return part.ndim if _is_mask(part) else 1


def _plain(where: str, part: Any) -> Any:
    if isinstance(part, numpy.integer):
        return int(part)
    if isinstance(part, (list, range)):
        part = numpy.asarray(part)
        part = part if part.size else part.astype(int64)
    if part is None or part is Ellipsis or isinstance(part, (bool, int, slice)):
        return part
    if is_array(part) and part.dtype.kind == "u":  # PyTorch took bytes for a mask once; nobody should have to guess
        with on_device_of((part,)):
            return part.astype(int64)
    if is_array(part) and part.dtype.kind in "ib":
        return part
    raise IndexError(
        explain(where, f"an index is an int, a slice, None, ..., or a tensor of ints or bools, got {describe(part)}")
    )

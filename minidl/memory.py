"""Which memory was changed in place, and when: so that backward refuses values that are no longer what they were.

Time is counted in recorded calls (`next_sequence`). An operation saved its arrays at its own sequence number; if their
memory was changed later than that, its gradient would be wrong. Only memory that was ever changed or shared has an
entry, and the entry goes with the memory: without changes in place all of this costs nothing.
"""

from __future__ import annotations

import itertools
import weakref
from contextlib import suppress
from typing import Any

next_sequence = itertools.count(1).__next__  # the next number in the order of recorded calls and changes in place


class _Entry:
    changed = 0  # the sequence number of the last change
    shared = False  # two tensors with a history of their own lie in this memory
    reference: weakref.ref | None = None


entries: dict[int, _Entry] = {}  # by the id() of the object that owns the memory


def owner(array: Any) -> Any:
    """The object that owns the memory of `array`: itself, or what it is a view of."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def _entry(array: Any) -> _Entry:
    memory = owner(array)
    key = id(memory)
    entry = entries.get(key)
    if entry is None:
        entry = entries[key] = _Entry()
        with suppress(TypeError):  # bytes cannot be referenced weakly; an entry that stays does no harm, it is old
            entry.reference = weakref.ref(memory, lambda _: entries.pop(key, None))
    return entry


def mark_changed(array: Any) -> None:
    """Note that `array` was changed in place just now."""
    _entry(array).changed = next_sequence()


def mark_shared(array: Any) -> None:
    """Note that a second tensor now lies in the memory of `array`."""
    _entry(array).shared = True


def changed_since(sequence: int, arrays: tuple) -> Any:
    """The first of `arrays` (None is passed over) whose memory was changed after call number `sequence`, or None."""
    for array in arrays:
        entry = entries.get(id(owner(array)))
        if entry is not None and entry.changed > sequence:
            return array
    return None


def is_shared(array: Any) -> bool:
    """True where two tensors lie in the memory of `array`."""
    entry = entries.get(id(owner(array)))
    return entry is not None and entry.shared

"""Which memory was changed in place, and when: so that backward refuses values that are no longer what they were.

Time is counted in recorded calls (`next_sequence`). An operation saved its arrays at its own sequence number; if their
memory was changed later than that, its gradient would be wrong. Only memory that was ever changed or shared has an
entry, and the entry goes with the memory: without changes in place all of this costs nothing.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from minidl.buffers import Lease
from minidl.events import observers

next_sequence = itertools.count(1).__next__  # the next number in the order of recorded calls and changes in place


class _Entry:
    """What is known of one piece of memory."""

    def __init__(self, memory: Any, forget: Callable[[Any], Any]):
        self.changed = 0  # the sequence number of the last change
        self.tensors: list[weakref.ref] = []  # those that were seen to lie in it together
        try:
            self.memory: Any = weakref.ref(memory, forget)
        except TypeError:  # a bytearray, say: held, so that its id() is not given to another object
            self.memory = memory


last_change = 0  # the sequence number of the latest one, in whatever memory: nothing saved after it needs a look
entries: dict[int, _Entry] = {}  # by the id() of the object that owns the memory


def owner(array: Any) -> Any:
    """The object that owns the memory of `array`: itself, or what it is a view of."""
    while type(array) is not Lease and (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def _entry(array: Any) -> _Entry:
    memory = owner(array)
    key = id(memory)
    if key not in entries:
        entries[key] = _Entry(memory, lambda _: entries.pop(key, None))
    return entries[key]


def before_change(array: Any) -> None:
    """Say that `array` is written to next: who keeps it as it was, to show it later, copies it now."""
    for observer in observers:
        observer.before_change(array)


def mark_changed(array: Any) -> None:
    """Note that `array` was changed in place just now."""
    global last_change
    _entry(array).changed = last_change = next_sequence()


def changed_since(sequence: int, arrays: tuple) -> Any:
    """The first of `arrays` (None is passed over) whose memory was changed after call number `sequence`, or None."""
    for array in arrays:
        entry = entries.get(id(owner(array)))
        if entry is not None and entry.changed > sequence:
            return array
    return None


def mark_shared(array: Any, *tensors: Any) -> None:
    """Note that these tensors lie in the memory of `array`."""
    entry = _entry(array)
    known = [reference for reference in entry.tensors if reference() is not None]
    entry.tensors = known + [weakref.ref(tensor) for tensor in tensors]


def is_shared(array: Any, tensor: Any) -> bool:
    """True where a tensor other than `tensor`, with a history or waiting for a gradient, lies in the same memory."""
    entry = entries.get(id(owner(array)))
    others = [] if entry is None else [reference() for reference in entry.tensors]
    return any(other is not None and other is not tensor and other.requires_grad for other in others)

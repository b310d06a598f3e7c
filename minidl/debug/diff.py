"""Where two runs part that should be the same: a student's and the reference's, NumPy's and CuPy's, two seeds'."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy

from minidl.backend import CPU, float64, transfer
from minidl.debug.lines import kind, tensor_lines, title
from minidl.debug.tape import Event, Tape, Value
from minidl.errors import explain

TRANSFER = "Transfer"  # the operation


@dataclass(frozen=True, repr=False)
class Difference:
    """The first event where two tapes part, on each of them (None where that tape has ended), and how."""

    left: Event | None
    right: Event | None
    reason: str
    left_tape: Tape
    right_tape: Tape

    def __repr__(self) -> str:
        lines = [f"the runs part here: {self.reason}"]
        for side, event, tape in (("this", self.left, self.left_tape), ("that", self.right, self.right_tape)):
            if event is None:
                lines.append(f"{side}: it has ended")
                continue
            lines.append(f"{side}: [{event.number}] {title(event, tape)}")
            lines += [f"      {line}" for line in tensor_lines(_compared(event, tape))]
            if event.source is not None:
                lines.append(f"    > {event.source.name}  {event.source.text}")
        return "\n".join(lines)


def diff(left: Tape, right: Tape, rtol: float = 1e-4, atol: float = 1e-6) -> Difference | None:
    """The first event where the two tapes part; None if they do not.

    They part where another operation runs, in another module or on another shape, and where a tensor that comes in
    from outside or is made differs by more than atol + rtol * its largest absolute value. Tensors that were not kept
    are compared by their statistics; with record="meta" there is nothing to compare but the shapes. Transfers to a GPU
    and back are passed over: a run on the host has none. TypeError for what is no tape.
    """
    for tape in (left, right):
        if not isinstance(tape, Tape):
            raise TypeError(explain("diff", "expected two tapes", {"got": tape}, help="trace(fn) makes one"))
    for mine, theirs in zip_longest(_on_one_device(left), _on_one_device(right)):
        reason = _reason(mine, theirs, left, right, rtol, atol)
        if reason:
            return Difference(mine, theirs, reason, left, right)
    return None


def _on_one_device(tape: Tape) -> Iterator[Event]:
    return (event for event in tape if event.operation != TRANSFER)


def _reason(mine: Event | None, theirs: Event | None, left: Tape, right: Tape, rtol: float, atol: float) -> str:
    if mine is None or theirs is None:
        return "one of them goes on"
    for what in ("phase", "kind", "operation", "path", "parameter"):
        if getattr(mine, what) != getattr(theirs, what):
            a, b = (getattr(event, what) or "none" for event in (mine, theirs))
            return f"another {what}, {a} and {b}"
    ours, others = _compared(mine, left), _compared(theirs, right)
    if set(ours) != set(others):
        return f"other tensors, {', '.join(ours) or 'none'} and {', '.join(others) or 'none'}"
    for name, value in ours.items():
        if words := _difference(value, others[name], rtol, atol):
            return f"{name} {words}"
    return ""


def _compared(event: Event, tape: Tape) -> dict[str, Value]:
    """What the event brings: its results, and inputs that come from outside of the tape."""
    made = {id(value) for value in event.made}
    begins = event.kind in ("before", "enter")

    def is_from_outside(value: Value) -> bool:
        maker = tape.producer(value)
        return maker is None or maker.operation == TRANSFER

    return {
        name: value
        for name, value in event.values.items()
        if id(value) in made or (begins and not name.startswith("saved") and is_from_outside(value))
    }


def _difference(mine: Value, theirs: Value, rtol: float, atol: float) -> str:
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return f"is {kind(mine)} and {kind(theirs)}"
    if mine.array is not None and theirs.array is not None:
        return _of_arrays(transfer(mine.array, CPU), transfer(theirs.array, CPU), rtol, atol)
    ours, others = mine.statistics, theirs.statistics
    if ours is None or others is None:
        return ""
    if (ours.nans, ours.infs) != (others.nans, others.infs):
        return f"has {ours.nans} and {others.nans} NaN, {ours.infs} and {others.infs} infinite"
    bound = atol + rtol * max(abs(ours.min), abs(ours.max), abs(others.min), abs(others.max))
    for name in ("min", "max", "mean", "std"):
        a, b = getattr(ours, name), getattr(others, name)
        if not (abs(a - b) <= bound or (math.isnan(a) and math.isnan(b))):
            return f"has another {name}: {a:.6g} and {b:.6g}"
    return ""


def _of_arrays(mine: Any, theirs: Any, rtol: float, atol: float) -> str:
    if not mine.size:
        return ""
    a, b = (mine.astype(float64), theirs.astype(float64))
    with numpy.errstate(invalid="ignore"):
        apart = numpy.where((a == b) | (numpy.isnan(a) & numpy.isnan(b)), 0.0, numpy.abs(a - b))
    finite = numpy.abs(b[numpy.isfinite(b)])
    bound = atol + rtol * float(finite.max(initial=0.0))
    wrong = ~(apart <= bound)
    if not wrong.any():
        return ""
    worst = numpy.unravel_index(int(numpy.where(numpy.isnan(apart), numpy.inf, apart).argmax()), apart.shape)
    place = f"[{','.join(map(str, worst))}]" if worst else ""
    return f"differs in {int(wrong.sum())} of {wrong.size} elements, most at {place}: {a[worst]:.6g} and {b[worst]:.6g}"

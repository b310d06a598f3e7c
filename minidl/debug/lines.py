"""Tensors, events and stops as lines of text.

gy f32[64,16,28,28] 3.1MiB [-1.2e-2 ▁▁▃█▃▁ 1.5e-2] mean -1e-6 std 7e-4 zero 48% nan 0
"""

from __future__ import annotations

import math
from typing import Any

from minidl.debug.formula import backward_formula, first_block, forward_formula
from minidl.debug.statistics import BINS, Statistics
from minidl.debug.tape import Event, Tape, Value

BARS, ASCII_BARS = " ▁▂▃▄▅▆▇█", " .,:-=+*#"
DTYPES = {"float16": "f16", "float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "uint8": "u8"}
COLUMNS = 8  # of a sparkline


def number(x: float, digits: int = 2) -> str:
    """Few characters: 0, 12, 0.25, -1.2e-2, 3.1e6, nan."""
    if not math.isfinite(x):
        return str(x)
    if x == 0 or 0.1 <= abs(x) < 1000:
        return f"{x:.{digits + 1}g}"
    mantissa, _, exponent = f"{x:.{digits - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def size(bytes: int) -> str:
    """600B, 3.1MiB."""
    amount = float(bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f}{unit}" if amount >= 10 or unit == "B" else f"{amount:.1f}{unit}"


def kind(value: Any) -> str:
    """dtype and shape: f32[64,16,28,28]."""
    dtype = str(value.dtype)
    return f"{DTYPES.get(dtype, dtype)}[{','.join(map(str, value.shape))}]"


def sparkline(histogram: tuple[int, ...], bars: str, columns: int = COLUMNS) -> str:
    """A histogram in a few characters; whatever is not empty can be seen."""
    parts = [sum(histogram[i * BINS // columns : (i + 1) * BINS // columns]) for i in range(columns)]
    most = max(parts) or 1
    top = len(bars) - 1
    return "".join(bars[math.ceil(part / most * top)] for part in parts)


def tensor_line(name: str, value: Value, bars: str = BARS, width: int = 0) -> str:
    """One line about a tensor."""
    words = [f"{name:{width}}", kind(value), size(value.nbytes)]
    known = value.statistics
    if known is not None:
        words += [f"= {number(known.min, 4)}"] if known.size == 1 and known.is_finite else _range(known, bars)
    elif value.nbytes:
        words.append("(not kept)")
    if value.device != "cpu":
        words.append(f"on {value.device}")
    if value.name and value.name.rpartition(".")[2] != name.strip():
        words.append(f"({value.name})")
    if value.overwritten:
        words.append(f"(overwritten in {value.overwritten})")
    return " ".join(words)


def _range(known: Statistics, bars: str) -> list[str]:
    words = []
    if not math.isnan(known.min):
        words = [f"[{number(known.min)} {sparkline(known.histogram, bars)} {number(known.max)}]"]
        words.append(f"mean {number(known.mean)} std {number(known.std)}")
    if known.zeros:
        words.append(f"zero {_percent(known.zero_share)}")
    words.append(f"nan {known.nans}")
    if known.infs:
        words.append(f"inf {known.infs}")
    return words


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def title(event: Event, tape: Tape) -> str:
    """Phase, kind and module path: `forward   before Conv2d   in features.3 (AlexNet)`."""
    what = event.operation
    if event.kind == "accumulate":
        what = f"into {event.parameter or 'a leaf'}"
    elif event.phase == "update" and event.parameter:
        what += f" of {event.parameter}"
    model = type(tape.model).__name__ if tape.model is not None else ""
    outermost = event
    while outermost.within is not None:
        outermost = tape[outermost.within]
    inside = event.path or (model if model and outermost.level and event.phase != "update" else "")
    if event.kind in ("enter", "leave") and event.phase == "forward" and event.path not in ("", what):
        return f"{event.phase:8}  {event.kind} {event.path} ({what})"
    if event.kind in ("enter", "leave"):
        return f"{event.phase:8}  {event.kind} {what}"
    if event.within is not None and event.phase != "update":  # an autograd.Function is made of others
        outer = tape[event.within]
        inside += (
            f", inside of the {outer.phase} of {outer.operation}" if inside else f"{outer.phase} of {outer.operation}"
        )
    return f"{event.phase:8}  {event.kind} {what}" + (f"   in {inside}" if inside else "")


def formula(event: Event) -> str:
    """The one of forward or of the gradients."""
    if event.kind == "accumulate":
        return "grad = grad + gy"
    if event.phase == "update":
        return first_block(event.type) if event.kind in ("before", "enter") else ""
    if event.kind == "leave":
        return ""
    return (backward_formula if event.phase == "backward" else forward_formula)(event.type)


def shown(event: Event) -> dict[str, Value]:
    """The tensors that a stop shows: what goes in before an operation, and what came out as well after it."""
    values = event.values
    if event.phase == "backward":
        unused = [value for value, arrived in zip(event.incoming, event.arrived, strict=True) if arrived is None]
        wanted = [*(n for n in values if n.startswith("g")), *(n for n in values if n == "leaf")]
        return {name: values[name] for name in wanted if values[name] not in unused}
    return {name: value for name, value in values.items() if not name.startswith(("saved", "g")) or name == "grad"}


def tensor_lines(values: dict[str, Value], bars: str = BARS) -> list[str]:
    """One line each, the names in one column."""
    width = max((len(name) for name in values), default=0)
    return [tensor_line(name, value, bars, width) for name, value in values.items()]


def stop_lines(event: Event, tape: Tape, bars: str = BARS) -> list[str]:
    """What a stop shows."""
    took = f"   {event.seconds * 1e3:.2f} ms" if event.kind in ("after", "leave") else ""
    lines = [f"[{event.number}] {title(event, tape)}{took}"]
    lines += [f"    {line}" for line in formula(event).splitlines()]
    lines += [f"    {line}" for line in tensor_lines(shown(event), bars)]
    if event.source is not None:
        lines.append(f"  > {event.source.name}  {event.source.text}")
        inner = event.stack[0]
        if inner is not event.source:
            lines.append(f"    {inner.name}  {inner.text}")
    return lines

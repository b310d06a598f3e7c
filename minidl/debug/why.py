"""why: the numbers that one number came from.

    tape = minidl.debug.trace(lambda: loss_fn(model(x), labels).backward())
    print(minidl.debug.why(y, (0, 3, 5, 7), tape))                         the window, the weights, and their sum
    print(minidl.debug.why(model.conv1.weight.grad, (3, 0, 1, 2), tape))   every operation that added to it, and how

A value is explained by the operation that made it: Conv2d, Linear, MatMul and pooling by their sums, any other one by
the inputs it depends on and the derivative with respect to each.

A gradient is a sum over all operations that used the tensor, and over all their outputs y_j that depend on the number
x: dL/dx = sum of dL/dy_j * dy_j/dx. The table has a line for each term, the largest first; dy_j/dx is what the
operation's backward makes of a gradient that is 1 at y_j and 0 elsewhere.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from minidl import ops
from minidl.backend import float64, transfer
from minidl.debug.alone import Alone
from minidl.debug.check import kept_arrays
from minidl.debug.tape import Event, Tape, Value
from minidl.elementwise import sum_to_shape
from minidl.errors import explain
from minidl.function import Function
from minidl.inspect.tables import text_table
from minidl.ops.pooling import adaptive_windows
from minidl.tensor import Tensor

Index = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One summand: `factor` times `value`.

    of, by     what the two are called: 'x[0,2,5,6]', 'weight[3,2,1,1]'
    """

    of: str
    value: float
    by: str
    factor: float
    place: str = ""

    @property
    def product(self) -> float:
        return self.value * self.factor if self.factor else 0.0  # nothing of an infinity is nothing


@dataclass(frozen=True)
class Why:
    """What `why` found; `str()` is the table.

    what       the number: 'y[0,3,5,7]', 'the gradient of conv1.weight[3,0,1,2]'
    value      as it was computed
    terms      its summands
    adds_up    False where the value is no sum of the terms: of a nonlinear operation they are its inputs
    rest       how many smaller summands are not among the terms, and their sum
    notes, warnings   lines above and below the table
    """

    what: str
    value: float
    headings: tuple[str, ...]
    terms: tuple[Term, ...]
    adds_up: bool
    rest: tuple[int, float] = (0, 0.0)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    limit: int = 12

    @property
    def sum(self) -> float:
        return math.fsum([*(term.product for term in self.terms), self.rest[1]])

    def __str__(self) -> str:
        shown, count, sum_of_rest = self._shown()
        with_place = any(term.place for term in shown)
        rows = []
        for term in shown:
            cells = [term.of, _number(term.value), term.by, _number(term.factor), _number(term.product)]
            cells = cells if self.adds_up else [term.of, _number(term.value), _number(term.factor)]
            rows.append(([term.place] if with_place else []) + cells)
        headings = list(self.headings if with_place else self.headings[1:])
        footer = None
        if self.adds_up:
            blank = [""] * (len(headings) - 2)
            if count:
                rows.append([f"{count:,} more, smaller or 0", *blank, _number(sum_of_rest)])
            footer = ["sum", *blank, _number(self.sum)]
        elif count:
            rows.append([f"{count:,} more, with smaller derivatives", *[""] * (len(headings) - 1)])
        table = text_table(headings, rows, 1, footer) if rows else "no derivative leads from it to an input"
        lines = [f"{self.what} = {_number(self.value)}", *self.notes, "", table, *self.warnings]
        return "\n".join(lines)

    def _shown(self) -> tuple[list[Term], int, float]:
        """The terms of the table, the largest first if there are too many; the number of the others, and their sum."""
        count, total = self.rest
        if len(self.terms) <= self.limit:
            return list(self.terms), count, total
        ordered = sorted(self.terms, key=lambda term: -abs(term.product if self.adds_up else term.factor))
        others = [term.product for term in ordered[self.limit :]]
        return ordered[: self.limit], count + len(others), math.fsum([*others, total])


def why(what: Value | Tensor, index: Any, tape: Tape, *, gradient: bool = False, limit: int = 12) -> Why:
    """Where one number comes from: that of a result, or that of a gradient.

    what      a result of an operation, or a gradient: a Value of the tape, or a Tensor that lies in the memory of one
    index     the place in it: as many ints as it has dimensions, counted from the end where negative
    tape      what was recorded, with record="full"
    gradient  True explains the gradient of `what` at that place: for results, whose gradients no `.grad` keeps
    limit     the lines of the table; if there are more, the largest are shown

    ValueError: `what` is not on the tape, or came from outside; no gradient has arrived; the arrays were not kept.
    TypeError for anything but a Value or Tensor and ints, IndexError outside the shape.
    """
    value = _on_tape(what, tape)
    place = _place(value.shape, index)
    if gradient:
        return _why_gradient(tape, value, place, limit)
    for event in reversed(tape.events):  # is it a gradient? The last event knows best: it may have been a part of it
        if event.phase == "backward" and event.kind != "after":
            if event.kind == "accumulate" and (value in event.produced or value in event.incoming):
                return _why_gradient(tape, event.inputs[0], place, limit, event)
            if value in event.incoming:
                return _why_gradient(tape, event.outputs[event.incoming.index(value)], place, limit, event)
    maker = tape.producer(value)
    if maker is None:
        rule = "no operation on the tape made this tensor: it came from outside"
        help = "of its gradient: why(x.grad, index, tape) after backward, or why(x, index, tape, gradient=True)"
        raise ValueError(explain("why", rule, {"tensor": value}, help))
    if maker.phase == "backward":  # one that went nowhere, or whose sum with others is the gradient
        position = maker.produced.index(value)
        through = _through(tape, maker, position, place, limit)
        return replace(through, notes=(f"  what {_title(maker)} adds to it",))
    if maker.phase == "update":
        raise ValueError(explain("why", f"{maker.operation} made this by its update: see its formula", {"is": value}))
    return _why_value(maker, maker.outputs.index(value), place, limit)


def _on_tape(what: Any, tape: Tape) -> Value:
    """The latest Value with the array of a Tensor."""
    if isinstance(what, Value):
        return what
    if not isinstance(what, Tensor):
        raise TypeError(explain("why", "expected a Tensor, or a Value of the tape", {"got": what}))
    for value in reversed(tape.values):
        if value.array is what.data:
            return value
    rule = "this tensor is not on the tape"
    help = 'keep what is computed inside of trace(fn, record="full"); an array changed since is another one'
    raise ValueError(explain("why", rule, {"tensor": what}, help))


def _place(shape: Index, index: Any) -> Index:
    """A full index, each number in 0..size-1."""
    given = index if isinstance(index, (tuple, list)) else (index,)
    try:
        numbers = tuple(operator.index(i) for i in given)
    except TypeError:
        raise TypeError(explain("why", f"the index must be ints, one for each dimension, got {index!r}")) from None
    if len(numbers) != len(shape) or not all(-size <= i < size for i, size in zip(numbers, shape, strict=True)):
        raise IndexError(
            explain("why", f"{list(numbers)} names no number of shape {shape}: one int for each dimension")
        )
    return tuple(i % size for i, size in zip(numbers, shape, strict=True))


# -------------------------------------------------------------------------------------------------------- a value


def _why_value(event: Event, number: int, place: Index, limit: int) -> Why:
    """What output `number` of an operation is made of, at `place`. `event`: any one from after its forward on."""
    call = _Call(event)
    y = float(call.outputs[number][place])
    what = f"{call.output(number)}{_at(place)}"
    where = f"  the result of {_title(event)}" + (f", {event.source.name}: {event.source.text}" if event.source else "")
    summands = _summands(event.type)
    if summands is not None and number == 0:
        terms, note = summands(call, place)
        headings = ("tap", "input", "value", "times", "factor", "product")
        found = Why(what, y, headings, terms, True, notes=(where, note), limit=limit)
        if abs(found.sum - y) > 1e-3 * math.fsum(abs(term.product) for term in terms):
            return replace(found, warnings=("the operation computed another number: an input was changed since?",))
        return found
    terms = _by_derivatives(call, number, place)
    return Why(
        what,
        y,
        ("tap", "input", "value", "derivative"),
        terms,
        False,
        notes=(where, "  the numbers that it depends on"),
        limit=limit,
    )


class _Call:
    """The arrays of one call of an operation, and what they are called: a parameter by its dotted name."""

    def __init__(self, event: Event):
        if event.node is None:
            raise ValueError(explain("why", "the operation is not kept on the tape", help='trace(fn, record="full")'))
        self.node, self.options = event.node, event.options
        self.inputs, self.outputs = kept_arrays(self.node, event.inputs), kept_arrays(self.node, event.outputs)
        self.names = [
            x.name if isinstance(x, Value) and x.name else name
            for x, name in zip(event.inputs, event.names, strict=True)
        ]

    def output(self, number: int) -> str:
        return "y" if len(self.outputs) == 1 else f"y{number}"

    def alone(self) -> Alone:
        return Alone(self.node, self.inputs, self.options)


def _summands(kind: Any) -> Callable[[_Call, Index], tuple[tuple[Term, ...], str]] | None:
    """The formula of a kind of operation, also of a subclass that has another backward only."""
    return next((SUMS[base] for base in kind.__mro__ if base in SUMS and base.forward is kind.forward), None)


def _by_derivatives(call: _Call, number: int, place: Index) -> tuple[Term, ...]:
    """Of any operation: the inputs that the output depends on, each with the derivative with respect to it."""
    alone = call.alone()
    rows = alone.gradients(number, place)
    terms = []
    for position, row in zip(alone.positions, rows, strict=True):
        x = call.inputs[position]
        for at in map(tuple, numpy.argwhere(row)):
            terms.append(Term(f"{call.names[position]}{_at(at)}", float(x[at]), "", float(row[at])))
    return tuple(terms)


def _convolution(call: _Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[n,f,oh,ow]: the window of x that filter f meets there, tap by tap. See ops.Conv2d."""
    names = call.names
    x, weight, bias = call.inputs
    stride, padding, dilation = (call.options[name] for name in ("stride", "padding", "dilation"))
    n, f, oh, ow = place
    (_, _, H, W), (F, channels, KH, KW) = x.shape, weight.shape
    first = f // (F // call.options["groups"]) * channels  # the first channel that this filter sees
    top, left = oh * stride[0] - padding[0][0], ow * stride[1] - padding[1][0]
    terms, outside = [], 0
    for c in range(channels):
        for kh in range(KH):
            for kw in range(KW):
                h, w = top + kh * dilation[0], left + kw * dilation[1]
                if not (0 <= h < H and 0 <= w < W):
                    outside += 1
                    continue
                seen, tap = (n, first + c, h, w), (f, c, kh, kw)
                terms.append(_term(names, x, seen, weight, tap, f"c={c} kh={kh} kw={kw}"))
    rows = f"{top}..{top + (KH - 1) * dilation[0]}"
    columns = f"{left}..{left + (KW - 1) * dilation[1]}"
    note = f"  the window of {names[0]}: image {n}, rows {rows}, columns {columns}; the filter {names[1]}[{f}]"
    note += f"; {outside} of its taps lie in the padding, which is 0" if outside else ""
    return tuple(terms + _bias(names, bias, f)), note


def _linear(call: _Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., f]: a row of x times row f of the weight."""
    names = call.names
    x, weight, bias = call.inputs
    *front, f = place
    terms = [_term(names, x, (*front, k), weight, (f, k)) for k in range(x.shape[-1])]
    return tuple(
        terms + _bias(names, bias, f)
    ), f"  the row {names[0]}{_at(front, ':')} times the row {names[1]}[{f},:]"


def _product(call: _Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., m, p] of a matrix product: row m of a times column p of b."""
    names = call.names
    a, b = call.inputs
    front = place[: len(place) - (a.ndim > 1) - (b.ndim > 1)]
    rest = list(place[len(front) :])
    row = [rest.pop(0)] if a.ndim > 1 else []
    column = [rest.pop(0)] if b.ndim > 1 else []
    terms = []
    for k in range(a.shape[-1]):
        left = (*_broadcast(front, a.shape[:-2]), *row, k)
        right = (*_broadcast(front, b.shape[:-2]), k, *column)
        terms.append(_term(names, a, left, b, right))
    return tuple(terms), f"  a row of {names[0]} times a column of {names[1]}"


def _broadcast(front: Index, shape: Index) -> Index:
    """The index into dimensions of `shape` that broadcast to those that `front` counts."""
    kept = front[len(front) - len(shape) :] if shape else ()
    return tuple(0 if size == 1 else i for i, size in zip(kept, shape, strict=True))


def _average(call: _Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., oh, ow] of average pooling: each pixel of the window over the number of them."""
    names = call.names
    x = call.inputs[0]
    seen, window = _pooled(call, place)
    count = call.options.get("divisor_override")
    if count is None:
        count = _divisor(call, place, len(seen))
    terms = tuple(Term(f"{names[0]}{_at(at)}", float(x[at]), f"1 / {count}", 1 / count) for at in seen)
    return terms, f"  {window}; the mean of its pixels"


def _divisor(call: _Call, place: Index, pixels: int) -> int:
    """What average pooling divides by: the pixels of the image, or those of the padding too. See ops.AvgPool2d."""
    if not call.options.get("count_include_pad"):
        return pixels
    spans = []
    for i in range(2):
        kernel, stride, (before, after) = (call.options[name][i] for name in ("kernel_size", "stride", "padding"))
        start = place[-2 + i] * stride - before
        spans.append(min(start + kernel, call.inputs[0].shape[-2 + i] + after) - max(start, -before))
    return math.prod(spans)


def _maximum(call: _Call, place: Index) -> tuple[tuple[Term, ...], str]:
    """y[..., oh, ow] of max pooling: every pixel of the window, times 1 for the first of the largest, else times 0."""
    names = call.names
    x = call.inputs[0]
    seen, window = _pooled(call, place)
    values = [float(x[at]) for at in seen]
    nan = [i for i, value in enumerate(values) if value != value]
    winner = nan[0] if nan else values.index(max(values))
    terms = tuple(
        Term(f"{names[0]}{_at(at)}", value, "the largest" if i == winner else "", float(i == winner))
        for i, (at, value) in enumerate(zip(seen, values, strict=True))
    )
    return terms, f"  {window}; the largest of its pixels"


def _pooled(call: _Call, place: Index) -> tuple[list[Index], str]:
    """The pixels that a window of pooling sees, and the window in words."""
    *front, oh, ow = place
    H, W = call.inputs[0].shape[-2:]
    if "output_size" in call.options:
        windows = adaptive_windows((H, W), call.options["output_size"])
        rows, columns = next((range(H)[r], range(W)[c]) for i, j, r, c in windows if (i, j) == (oh, ow))
    else:
        rows, columns = _span(call, 0, oh, H), _span(call, 1, ow, W)
    seen = [(*front, h, w) for h in rows for w in columns]
    return seen, f"the window: rows {_range(rows)}, columns {_range(columns)}"


def _span(call: _Call, i: int, window: int, size: int) -> range:
    """The rows (i = 0) or columns that a window sees in the image."""
    step = call.options["dilation"][i] if "dilation" in call.options else 1
    start = window * call.options["stride"][i] - call.options["padding"][i][0]
    seen = range(start, start + step * call.options["kernel_size"][i], step)
    inside = [place for place in seen if 0 <= place < size]
    return range(inside[0], inside[-1] + 1, step) if inside else range(0)


def _range(numbers: range) -> str:
    return f"{numbers[0]}..{numbers[-1]}" if len(numbers) > 1 else str(numbers[0]) if numbers else "none"


def _term(names: list[str], x: Any, seen: Index, weight: Any, tap: Index, place: str = "") -> Term:
    return Term(f"{names[0]}{_at(seen)}", float(x[seen]), f"{names[1]}{_at(tap)}", float(weight[tap]), place)


def _bias(names: list[str], bias: Any, f: int) -> list[Term]:
    return [] if bias is None else [Term(f"{names[2]}[{f}]", float(bias[f]), "1", 1.0)]


SUMS: dict[type[Function], Callable[[_Call, Index], tuple[tuple[Term, ...], str]]] = {
    ops.Conv2d: _convolution,
    ops.Linear: _linear,
    ops.MatMul: _product,
    ops.AvgPool2d: _average,
    ops.AdaptiveAvgPool2d: _average,
    ops.MaxPool2d: _maximum,
    ops.AdaptiveMaxPool2d: _maximum,
}


# ----------------------------------------------------------------------------------------------------- a gradient


def _why_gradient(tape: Tape, value: Value, place: Index, limit: int, at: Event | None = None) -> Why:
    """The terms that were summed into the gradient of `value`, up to the event `at` in which it was complete."""
    at = _arrival(tape, value) if at is None else at
    gradient = at.incoming[0] if at.kind == "accumulate" else at.incoming[at.outputs.index(value)]
    arrived = float(kept_arrays(at.node, [gradient])[0][place])  # type: ignore[arg-type]
    terms: list[Term] = []
    warnings: list[str] = []
    count, rest = 0, 0.0
    for user in {event.call: event for event in tape.consumers(value) if event.phase == "forward"}.values():
        after = tape.other(user, "backward", "after")
        if after is None or after.number > at.number:
            continue  # the gradient did not come this way
        for position, x in enumerate(after.inputs):
            if x is value and after.produced[position] is not None:
                through = _through(tape, after, position, place, limit)
                terms += through.terms
                warnings += through.warnings
                count, rest = count + through.rest[0], rest + through.rest[1]
    terms.sort(key=lambda term: -abs(term.product))
    results = count + len(terms)
    notes = [f"  summed over the {results:,} results that it went into" if results > 1 else "  it went into one result"]
    if at.kind == "accumulate" and (now := float(kept_arrays(at.node, at.produced)[0][place])) != arrived:  # type: ignore[arg-type]
        notes.append(f"  .grad is {_number(now)} now: it held {_number(now - arrived)} before")
    name = value.name or ("a leaf" if value.producer is None else f"{_title(at)}'s result y")
    headings = ("used by", "result", "its gradient", "times", "derivative", "product")
    what = f"the gradient of {name}{_at(place)}"
    return Why(what, arrived, headings, tuple(terms), True, (count, rest), tuple(notes), tuple(warnings), limit)


def _arrival(tape: Tape, value: Value) -> Event:
    """The event in which the gradient of `value` was complete: before the backward of what made it, or at the leaf."""
    for event in reversed(tape.events):
        if event.kind == "accumulate" and value in event.inputs:
            return event
        if (event.phase, event.kind) == ("backward", "before") and value in event.outputs:
            return event
    rule = "no gradient has arrived here on this tape"
    raise ValueError(explain("why", rule, {"tensor": value}, help="call backward inside of trace as well"))


def _through(tape: Tape, event: Event, position: int, place: Index, limit: int) -> Why:
    """What came through one operation to the number at `place` of its input `position`. `event`: after its backward."""
    call = _Call(event)
    alone = call.alone()
    x = f"{call.names[position]}{_at(place)}"
    used_by = _title(event)
    incoming = [transfer(array, "cpu").astype(float64) for array in kept_arrays(call.node, event.incoming)]
    gradient = kept_arrays(call.node, event.produced)[position]
    if call.node.broadcasts:
        gradient = sum_to_shape(gradient, call.inputs[position].shape)
    returned = float(gradient[place])
    found: list[tuple[float, int, Index]] = []  # the largest products: their size, which output, the place in it
    count, low_sum, high_sum, total = 0, 0.0, 0.0, 0.0
    for number, (low, high) in enumerate(alone.slopes(position, place)):
        products = low * incoming[number], high * incoming[number]
        low_sum += float(numpy.minimum(*products).sum())
        high_sum += float(numpy.maximum(*products).sum())
        sizes = numpy.maximum(abs(products[0]), abs(products[1]))
        total += float(sizes.sum())
        depends = numpy.flatnonzero((low != 0) | (high != 0))
        count += len(depends)
        depends = depends[sizes.reshape(-1)[depends] > 0]  # those that brought something
        for flat in depends[numpy.argsort(-sizes.reshape(-1)[depends], kind="stable")[:limit]]:
            at = tuple(map(int, numpy.unravel_index(flat, low.shape)))
            found.append((float(sizes[at]), number, at))
    terms = []
    for _, number, at in sorted(found, key=lambda one: -one[0])[:limit]:
        # The derivative is what backward makes of a single 1, also where that is wrong.
        derivative = float(alone.gradients(number, at)[alone.positions.index(position)][place])
        by = _factor(event.type, call, number, at, x) or f"d/d{event.names[position]}"
        terms.append(Term(f"{call.output(number)}{_at(at)}", float(incoming[number][at]), by, derivative, used_by))
    rest = 0.0
    if total > (1 + 1e-9) * math.fsum(abs(term.product) for term in terms):
        rest = returned - math.fsum(term.product for term in terms)
    warnings = []
    slack = 1e-3 * total
    if not low_sum - slack <= returned <= high_sum + slack:
        warnings.append(
            f"{used_by}: the differences of its forward give {_number((low_sum + high_sum) / 2)}, its backward "
            f"returned {_number(returned)}: minidl.debug.check says more"
        )
    headings = ("used by", "result", "its gradient", "times", "derivative", "product")
    rests = (count - len(terms), rest)
    return Why(f"the gradient of {x}", returned, headings, tuple(terms), True, rests, (), tuple(warnings), limit)


def _factor(kind: Any, call: _Call, number: int, at: Index, x: str) -> str:
    """The local derivative as the other factor of a product, 'weight[3,0,1,2]'; '' for other operations."""
    summands = _summands(kind)
    if summands in (_convolution, _linear, _product) and number == 0:
        for term in summands(call, at)[0]:  # type: ignore[misc]
            if x in (term.of, term.by):
                return term.by if term.of == x else term.of
    return ""


# -------------------------------------------------------------------------------------------------------- in words


def _title(event: Event) -> str:
    """Conv2d (features.0)"""
    return f"{event.operation} ({event.path})" if event.path else event.operation


def _at(index: Sequence[int], *more: str) -> str:
    return "[" + ",".join([*map(str, index), *more]) + "]" if index or more else ""


def _number(value: float) -> str:
    return f"{value + 0.0:.6g}"  # 0, not -0

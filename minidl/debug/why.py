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
from dataclasses import replace
from typing import Any

import numpy

from minidl.backend import float64, on_device_of, transfer
from minidl.debug.check import kept_arrays
from minidl.debug.sums import PRODUCTS, Call, Index, broadcast_index, summands_of
from minidl.debug.tape import Event, Tape, Value
from minidl.debug.terms import Term, Why, brackets, in_digits
from minidl.elementwise import sum_to_shape
from minidl.errors import explain
from minidl.tensor import Tensor

SUM = ("tap", "input", "value", "times", "factor", "product")  # the columns of the tables
DERIVATIVES = ("tap", "input", "value", "derivative")
GRADIENT = ("used by", "result", "its gradient", "times", "derivative", "product")


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
    with on_device_of((value.array,)), numpy.errstate(all="ignore"):  # it warned when nan and infinity came up
        return _why(value, _place(value.shape, index), tape, gradient, limit)


def _why(value: Value, place: Index, tape: Tape, gradient: bool, limit: int) -> Why:
    if gradient:
        return _why_gradient(tape, value, place, limit)
    for event in reversed(tape.events):  # is it a gradient? The last event knows best: it may have been a part of it
        if event.phase == "backward" and event.kind != "after":
            if event.kind == "accumulate" and (value in event.produced or value in event.incoming):
                return _why_gradient(tape, event.inputs[0], place, limit, event)
            if value in event.incoming:
                _require_forward(event)
                return _why_gradient(tape, event.outputs[event.incoming.index(value)], place, limit, event)
    maker = tape.producer(value)
    if maker is None:
        rule = "no operation on the tape made this tensor: it came from outside"
        help = "of its gradient: why(x.grad, index, tape) after backward, or why(x, index, tape, gradient=True)"
        raise ValueError(explain("why", rule, {"tensor": value}, help))
    if maker.phase == "backward":  # one that went nowhere, or whose sum with others is the gradient
        _require_forward(maker)
        position = maker.produced.index(value)
        x, notes = maker.inputs[position], [f"  what {_title(maker)} adds to it"]
        if value.shape != x.shape:  # a broadcasting operation returns the gradient in the shape of its result
            place = broadcast_index(place, x.shape)
            notes.append(f"  it was broadcast to {list(value.shape)}: the sum over all places that it went to")
        return replace(_through(maker, position, place, limit), notes=tuple(notes))
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


def _require_forward(event: Event) -> None:
    """ValueError for an operation that ran forward before the tape began."""
    if not event.outputs:
        rule = f"the forward of {event.operation} is not on the tape"
        raise ValueError(explain("why", rule, help="run it inside of trace, or of step, as well as backward"))


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
    call = Call(event)
    y = float(call.outputs[number][place])
    what = f"{call.output(number)}{brackets(place)}"
    where = f"  the result of {_title(event)}" + (f", {event.source.name}: {event.source.text}" if event.source else "")
    summands = summands_of(event.type)
    if summands is not None and number == 0:
        terms, note = summands(call, place)
        found = Why(what, y, SUM, terms, True, notes=(where, note), limit=limit)
        if abs(found.sum - y) > 1e-3 * sum(abs(term.product) for term in terms):
            return replace(found, warnings=("the operation computed another number: an input was changed since?",))
        return found
    notes = (where, "  the numbers that it depends on")
    return Why(what, y, DERIVATIVES, _by_derivatives(call, number, place), False, notes=notes, limit=limit)


def _by_derivatives(call: Call, number: int, place: Index) -> tuple[Term, ...]:
    """Of any operation: the inputs that the output depends on, each with the derivative with respect to it."""
    alone = call.alone()
    rows = alone.gradients(number, place)
    terms = []
    for position, row in zip(alone.positions, rows, strict=True):
        x = call.inputs[position]
        for at in map(tuple, numpy.argwhere(row)):
            terms.append(Term(f"{call.names[position]}{brackets(at)}", float(x[at]), "", float(row[at])))
    return tuple(terms)


# ----------------------------------------------------------------------------------------------------- a gradient


def _why_gradient(tape: Tape, value: Value, place: Index, limit: int, at: Event | None = None) -> Why:
    """The terms that were summed into the gradient of `value`, which was complete at the event `at`."""
    arrivals = [event for event in tape if _brings_gradient_of(value, event)]
    if not arrivals:
        rule = "no gradient has arrived here on this tape"
        raise ValueError(explain("why", rule, {"tensor": value}, help="call backward inside of trace as well"))
    at = at or arrivals[-1]
    before = max((event.number for event in arrivals if event.number < at.number), default=-1)
    gradient = at.incoming[0] if at.kind == "accumulate" else at.incoming[at.outputs.index(value)]
    arrived = _number_at(at, gradient, place)
    terms: list[Term] = []
    warnings: list[str] = []
    count, rest = 0, 0.0
    for user in dict.fromkeys(event.call for event in tape.consumers(value) if event.phase == "forward"):
        for event in tape.of_call(user):
            # Only what the same backward pass brought.
            if (event.phase, event.kind) != ("backward", "after") or not before < event.number < at.number:
                continue
            for position, x in enumerate(event.inputs):
                if x is value and event.produced[position] is not None:
                    through = _through(event, position, place, limit)
                    terms += through.terms
                    warnings += through.warnings
                    count, rest = count + through.rest[0], rest + through.rest[1]
    terms.sort(key=lambda term: -abs(term.product))
    results = count + len(terms)
    notes = [f"  summed over the {results:,} results that it went into" if results > 1 else "  it went into one result"]
    if at.kind == "accumulate" and (now := _number_at(at, at.produced[0], place)) != arrived:
        notes.append(f"  .grad is {in_digits(now)} now: it held {in_digits(now - arrived)} before")
    name = value.name or ("a leaf" if value.producer is None else f"{_title(at)}'s result y")
    what = f"the gradient of {name}{brackets(place)}"
    return Why(what, arrived, GRADIENT, tuple(terms), True, (count, rest), tuple(notes), tuple(warnings), limit)


def _brings_gradient_of(value: Value, event: Event) -> bool:
    """Whether the gradient of `value` is complete here: before the backward of what made it, or at the leaf."""
    if event.kind == "accumulate":
        return value in event.inputs
    return (event.phase, event.kind) == ("backward", "before") and value in event.outputs


def _number_at(event: Event, value: Value | None, place: Index) -> float:
    return float(kept_arrays(event.operation, [value])[0][place])


def _through(event: Event, position: int, place: Index, limit: int) -> Why:
    """What came through one operation to the number at `place` of its input `position`. `event`: after its backward."""
    call = Call(event)
    alone = call.alone()
    x = f"{call.names[position]}{brackets(place)}"
    used_by = _title(event)
    incoming = [transfer(array, "cpu").astype(float64) for array in kept_arrays(event.operation, event.incoming)]
    gradient = kept_arrays(event.operation, event.produced)[position]
    if call.node.broadcasts:
        gradient = sum_to_shape(gradient, call.inputs[position].shape)
    returned = float(gradient[place])
    found: list[tuple[float, int, Index]] = []  # the largest products: their size, which output, the place in it
    count, low_sum, high_sum, total = 0, 0.0, 0.0, 0.0
    for number, (low, high) in enumerate(alone.slopes(position, place)):
        products = low * incoming[number], high * incoming[number]
        low_sum += float(numpy.minimum(*products).sum())
        high_sum += float(numpy.maximum(*products).sum())
        sizes = numpy.nan_to_num(numpy.maximum(abs(products[0]), abs(products[1])), nan=numpy.inf)
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
        terms.append(Term(f"{call.output(number)}{brackets(at)}", float(incoming[number][at]), by, derivative, used_by))
    rest = 0.0
    if total > (1 + 1e-9) * sum(abs(term.product) for term in terms):
        rest = returned - sum(term.product for term in terms)
    warnings = []
    slack = 1e-3 * total
    if math.isfinite(total) and not low_sum - slack <= returned <= high_sum + slack:
        warnings.append(
            f"{used_by}: the differences of its forward give {in_digits((low_sum + high_sum) / 2)}, its backward "
            f"returned {in_digits(returned)}: minidl.debug.check says more"
        )
    rests = (count - len(terms), rest)
    return Why(f"the gradient of {x}", returned, GRADIENT, tuple(terms), True, rests, (), tuple(warnings), limit)


def _factor(kind: Any, call: Call, number: int, at: Index, x: str) -> str:
    """The local derivative as the other factor of a product, 'weight[3,0,1,2]'; '' for other operations."""
    summands = summands_of(kind)
    if summands in PRODUCTS and number == 0:
        for term in summands(call, at)[0]:  # type: ignore[misc]
            if x in (term.of, term.by):
                return term.by if term.of == x else term.of
    return ""


def _title(event: Event) -> str:
    """Conv2d (features.0)"""
    return f"{event.operation} ({event.path})" if event.path else event.operation

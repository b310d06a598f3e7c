"""check: is the backward of this one node right, at the point where it ran?

    tape = minidl.debug.trace(lambda: loss_fn(model(x), labels).backward())
    for event in tape:
        if (event.phase, event.kind) == ("backward", "after"):
            print(minidl.debug.check(event))

The operation of the node runs again by itself, in float64, on the inputs and with the options that it had, and
`gradcheck` compares its gradients with central differences: so an error is found in the node that makes it, and not
in all those that it spoils. Where the inputs are too large to go through them element by element, random directions
are looked at first, and then a corner of each input, to say where and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from minidl import autograd
from minidl.backend import array_module, on_device_of
from minidl.debug.alone import Alone, in_double, unobserved
from minidl.debug.tape import Event, Tape, Value
from minidl.elementwise import sum_to_shape
from minidl.errors import explain
from minidl.function import Function
from minidl.grad_mode import enable_grad
from minidl.gradcheck import GradcheckError, gradcheck
from minidl.nn.backward_hook import Boundary
from minidl.tensor import AccumulateGrad, Tensor

CALLS = 3  # of forward, for each element: two for the difference, and what goes on around them
CORNER = 200  # elements of an input that are looked at one by one where all of them would take too long


@dataclass(frozen=True, repr=False)
class Check:
    """What `check` found: true if the gradients are right; printed, it says so in words."""

    right: bool
    report: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.report


def check(
    what: Event | Function | Tensor,
    grad_outputs: Sequence[Any] | None = None,
    *,
    tape: Tape | None = None,
    inputs: Sequence[Any] | None = None,
    options: dict[str, Any] | None = None,
    seconds: float = 5.0,
) -> Check:
    """The numerical against the analytical gradient of one node.

    what          an event of a tape, an operation of the graph, or a Tensor, whose `grad_fn` is taken
    grad_outputs  the gradients that arrived at its outputs, by default those on the tape: what its backward made of
                  them is compared with the same in float64. The check draws its own: zeros would hide an error
    tape          what was recorded; of an event, nothing more is needed
    inputs        of its forward, Tensors or arrays, by default those on the tape
    options       of its forward, by default those that it ran with
    seconds       how long the differences may take, about

    ValueError: inputs are neither given nor on the tape, or not finite; none requires a gradient; the node has no
    derivative of its own. Exceptions of forward and backward pass through.
    """
    node, recorded = _found(what, tape)
    if inputs is None:
        inputs = kept_arrays(node.name(), recorded.inputs if recorded else None)
    with on_device_of([x.data if isinstance(x, Tensor) else x for x in inputs]):
        alone = Alone(node, inputs, node.options if options is None else options)
        return _checked(alone, node, recorded, grad_outputs, seconds)


def _checked(
    alone: Alone, node: Function, recorded: Event | None, grad_outputs: Sequence[Any] | None, seconds: float
) -> Check:
    _require_finite(alone)
    title = f"{node.name()}, alone and in float64"
    once = _seconds(alone)
    count = sum(x.numel() for x in alone.checked)
    every_element = CALLS * once * count <= seconds
    try:
        gradcheck(alone, alone.inputs, fast_mode=not every_element)
    except GradcheckError as error:
        report = [f"{title}: the gradient is wrong", *_indented(error)]
        if not every_element:
            report += _look_closer(alone, max(8, min(CORNER, int(seconds / (CALLS * once)))))
        return Check(False, "\n".join(report))
    how = f"each of the {count:,} elements" if every_element else f"{count:,} elements, along random directions"
    *first, last = alone.checked_names
    subject = f"gradients of {', '.join(first)} and {last} agree" if first else f"gradient of {last} agrees"
    lines = [f"{title}: right. The {subject} with central differences ({how})"]
    if grad_outputs is not None:
        lines += _this_run(node, alone, [g.data if isinstance(g, Tensor) else g for g in grad_outputs], None)
    elif recorded is not None and recorded.incoming:
        incoming, produced = (kept_arrays(node.name(), values) for values in (recorded.incoming, recorded.produced))
        lines += _this_run(node, alone, incoming, produced or None)
    return Check(True, "\n".join(lines))


def _found(what: Any, tape: Tape | None) -> tuple[Function, Event | None]:
    """The node, and the last event of its call on the tape. ValueError for what has no derivative to check."""
    event = what if isinstance(what, Event) else None
    node = what.node if event else what.grad_fn if isinstance(what, Tensor) else what
    if event is not None and node is None and event.kind in ("before", "after") and event.phase != "update":
        help = 'trace(fn, record="full"), with a larger budget'
        raise ValueError(explain("check", f"the tape has not kept this {event.operation}", help=help))
    if not isinstance(node, Function):
        rule = "expected an operation of the graph, or an event or a result of one"
        raise ValueError(
            explain("check", rule, {"got": what}, help="check(y, tape=tape), for a result y of an operation")
        )
    if isinstance(node, (AccumulateGrad, Boundary)):
        raise ValueError(
            explain("check", f"{node.name()} passes a gradient on as it is: there is no derivative to check")
        )
    if event is None and tape is not None:
        event = next((event for event in reversed(tape.events) if event.node is node), None)
    return node, event


def kept_arrays(operation: str, values: Sequence[Any] | None) -> list[Any]:
    """What the Values of a tape hold. ValueError where they hold nothing."""
    if values is None:
        help = "tape = minidl.debug.trace(step), then check(y, tape=tape); or give what its forward had: inputs=[x]"
        raise ValueError(explain("check", f"the inputs that {operation} had are not known any more", help=help))
    arrays = [value.array if isinstance(value, Value) else value for value in values]
    if any(array is None and isinstance(value, Value) for array, value in zip(arrays, values, strict=True)):
        help = 'trace(fn, record="full"), with a larger budget'
        raise ValueError(explain("check", f"the tape has not kept the tensors of {operation}", help=help))
    return arrays


def _require_finite(alone: Alone) -> None:
    """ValueError where an input holds nan or inf: differences tell nothing there."""
    for name, x in zip(alone.checked_names, alone.checked, strict=True):
        bad = int((~array_module(x.data).isfinite(x.data)).sum())
        if bad:
            raise ValueError(
                explain(
                    "check",
                    f"{name} holds {bad:,} numbers that are nan or infinite",
                    {name: x},
                    help="detect_anomaly() finds the operation where they are born; check that one",
                )
            )


def _seconds(alone: Alone) -> float:
    """How long one run of the operation takes: the second one, for the first may have to get memory."""
    alone(*alone.inputs)
    start = time.perf_counter()
    alone(*alone.inputs)
    return time.perf_counter() - start + 1e-5


def _indented(error: GradcheckError) -> list[str]:
    lines = str(error).removeprefix("gradcheck(): ").splitlines()
    return ["  " + line for line in lines]


# ------------------------------------------------------------------------------------------------- a closer look


def _look_closer(alone: Alone, elements: int) -> list[str]:
    """The first elements of every input one by one, for what random directions cannot say: where, and why."""
    lines = []
    for position, name in zip(alone.positions, alone.checked_names, strict=True):
        whole = alone.inputs[position]
        corner = _corner(whole.shape, elements)
        place = "x".join(map(str, corner))
        key = tuple(slice(0, size) for size in corner)
        start = Tensor(whole.data[key].copy(), requires_grad=True)
        inputs = [x.detach() if isinstance(x, Tensor) else x for x in alone.inputs]
        inputs[position] = start
        try:
            gradcheck(_with_corner(alone, position, whole.detach(), key), tuple(inputs))
        except GradcheckError as error:
            lines += [f"  the first {place} elements of {name}, one by one:", *_indented(error)]
        else:
            lines.append(f"  the first {place} elements of {name}, one by one: right")
    return lines


def _with_corner(alone: Alone, position: int, whole: Tensor, key: tuple[slice, ...]) -> Callable[..., Any]:
    """`alone` as a function of a corner of one input; the rest of that input is constant."""

    def function(*inputs: Any) -> Any:
        filled = whole.clone()
        filled[key] = inputs[position]
        # The other inputs require their gradients as ever, so that backward is asked for all that it is asked for.
        return alone(*alone.inputs[:position], filled, *alone.inputs[position + 1 :])

    function.__signature__ = alone.__signature__  # type: ignore[attr-defined]
    return function


def _corner(shape: tuple[int, ...], elements: int) -> tuple[int, ...]:
    """A smaller shape with about so many elements: the longest dimension is halved until it fits."""
    sizes = list(shape)
    while numpy.prod(sizes) > elements:
        longest = sizes.index(max(sizes))
        sizes[longest] = (sizes[longest] + 1) // 2
    return tuple(sizes)


# -------------------------------------------------------------------------------------------------- this very run


def _this_run(node: Function, alone: Alone, grad_outputs: Any, grad_inputs: Any) -> list[str]:
    """How far what the node's own backward made of `grad_outputs` is from the same in float64."""
    if grad_inputs is None and node.saved is None:
        return []  # what backward needs is freed
    if grad_inputs is None:
        with unobserved():
            grad_inputs = node.backward(*[g.copy() for g in grad_outputs])
        grad_inputs = grad_inputs if isinstance(grad_inputs, tuple) else (grad_inputs,)
    with enable_grad():
        outputs = alone(*alone.inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    roots = [(y, Tensor(in_double(g))) for y, g in zip(outputs, grad_outputs, strict=True) if y.requires_grad]
    with unobserved():
        expected = autograd.grad([y for y, _ in roots], alone.checked, [g for _, g in roots], allow_unused=True)
    errors, dtype = [], ""
    for position, name, right in zip(alone.positions, alone.checked_names, expected, strict=True):
        gradient = grad_inputs[position]
        if gradient is None or right is None or not right.numel():
            continue
        if node.broadcasts:
            gradient = sum_to_shape(gradient, right.shape)
        largest = float(abs(right.data).max())
        off = float(abs(gradient - right.data).max())
        dtype = str(gradient.dtype)
        errors.append(f"{name} {off / largest:.1e}" if largest else f"{name} {off:.1e} (all are 0)")
    if not errors:
        return []
    return [f"  this run, in {dtype}, was off by at most, of the largest number: {', '.join(errors)}"]

"""All that the page shows, as one JSON document: the one interface between Python and the JavaScript of the page.

    title       of the page
    facts       [[name, value], ...]: what stands beside the title
    start       the number of the step that it opens at
    phases      [{name, first, last, ms}]: forward, backward, update, as far as there are such; numbers of steps
    formulas    {operation: {formula, note}}: its docstring, the equations and the rest
    steps       [step]: forward in the order of the run, backward in its order, an update for each module
    tensors     [tensor]: each once, however many steps show it
    graph       {width, height, nodes, frames, boxes, lines, order}: see network.py

A step is an operation forward or backward, or the update of a module's parameters:

    phase       "forward", "backward" or "update"
    op          the operation: Conv2d; of an update, the optimizer
    path        the dotted name of the module, "" outside of all
    node        number of its node in the graph, null if it has none
    settings    the options of the operation, in words
    ms          how long it took, null if nobody knows
    source      {place, line}: the line that called it, in the user's code or in architectures/; null if there is none
    takes, gives    [{role, tensor}]: x, weight, ...; numbers of tensors
    window      of a convolution whose sums can be shown: the tensors x, weight, bias (or null), y, and stride, padding
                (top, left), dilation, groups; else null

A tensor, as it was at one time:

    shape, dtype, bytes
    made        the step that gave it, null if it came from outside
    used        the steps that took it
    gradient    the tensor that is its gradient, null if there is none on the tape
    of          of a gradient: the tensor that it is the gradient of, else null
    note        more about where it comes from or goes to, in words
    stats       {low, high, mean, std} of its finite numbers, {zero}: the part that is 0; {nan, inf}: how many
    histogram   {low, high, counts}; null where there is nothing to count
    value       of a tensor of one number: that number. Such a one has no data
    data        the numbers themselves, or a part of them: see pictures.py; null where there are none, and then
    left_out    says why

A number that is not finite is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from minidl import ops
from minidl.debug.page.network import Network, network, operations
from minidl.debug.page.pictures import Pictures
from minidl.debug.page.words import formula, settings
from minidl.debug.tape import Event, Tape, Value


def document(tape: Tape, title: str, facts: Iterable[tuple[str, str]] = (), at: int | None = None) -> dict[str, Any]:
    """The document of a tape, which opens at an event."""
    return _Document(tape).build(title, facts, at)


class _Document:
    """Goes through a tape once and numbers its steps and tensors."""

    def __init__(self, tape: Tape):
        self.tape = tape
        self.network: Network = network(tape)
        self.steps: list[dict[str, Any]] = []
        self.formulas: dict[str, dict[str, str]] = {}
        self.numbers: dict[Value, int] = {}  # of the tensors that steps show
        self.gradients: dict[Value, Value] = {}  # of a tensor the whole gradient
        self.of: dict[Value, Value] = {}  # of a gradient, or a part of one, the tensor
        self.added: dict[Value, list[Value]] = {}  # of a tensor the gradients that its users gave
        self.notes: dict[Value, str] = {}
        self.same: dict[Value, Value] = {}  # for a Value another one, which is the same array and is shown instead
        self.kernels: set[Value] = set()  # weights of four dimensions, and their gradients: no images
        self.exact: dict[Value, None] = {}  # those whose every number is needed, for the sums of a convolution
        self.step_of: dict[int, int] = {}  # from the number of an event

    def build(self, title: str, facts: Iterable[tuple[str, str]], at: int | None) -> dict[str, Any]:
        for event in operations(self.tape):
            self.forward(event)
        for event in self.tape:
            if event.kind == "accumulate":
                self.accumulated(event)
            elif event.kind == "after" and event.within is None and event.phase == "backward":
                self.backward(event)
        self.updates()
        pictures = Pictures(list(self.numbers), list(self.exact), self.kernels)
        for step in self.steps:  # what turned out to be too large has no sums
            window = step["window"]
            if window and not all(value is None or pictures.is_whole(value) for value in window.pop("values")):
                step["window"] = None
        return {
            "title": title,
            "facts": [[name, value] for name, value in facts],
            "start": max((k for event, k in self.step_of.items() if at is not None and event <= at), default=0),
            "phases": self.phases(),
            "formulas": self.formulas,
            "steps": self.steps,
            "tensors": [self.tensor(value, pictures) for value in self.numbers],
            "graph": self.network.document(self.steps),
        }

    # --------------------------------------------------------------------------------------------------------- steps

    def forward(self, event: Event) -> None:
        takes = self.parts(event.names, event.inputs)
        outputs = [value for value in event.outputs if isinstance(value, Value)]
        gives = self.parts(["y"] if len(outputs) == 1 else [f"y{i}" for i in range(len(outputs))], outputs)
        for value in event.inputs:
            if isinstance(value, Value) and value.name and len(value.shape) == 4:
                self.kernels.add(value)
        self.step(event, takes, gives, self.window(event))

    def backward(self, event: Event) -> None:
        forward = self.tape.other(event, "forward", "after")
        for value, gradient in zip(forward.outputs if forward else (), event.incoming, strict=False):
            if isinstance(value, Value) and gradient is not None:
                self.gradients[value] = gradient = self.same.get(gradient, gradient)
                self.of[gradient] = value
                if gradient.producer is None:
                    parts = self.added.get(value, [])
                    self.notes[gradient] = f"the sum of {len(parts)} gradients" if parts else "where backward begins"
                    self.notes |= dict.fromkeys(parts, f"one of {len(parts)} gradients that are added up")
        for value, gradient in zip(event.inputs, event.produced, strict=False):
            if isinstance(value, Value) and gradient is not None:
                gradient = self.once(gradient, (*event.incoming, *event.produced))
                self.gradients.setdefault(value, gradient)
                self.of.setdefault(gradient, value)
                self.added.setdefault(value, []).append(gradient)
                if value in self.kernels:
                    self.kernels.add(gradient)
        names = ["grad_output"] if len(event.incoming) == 1 else [f"grad_output{i}" for i in range(len(event.incoming))]
        takes = self.parts(names, event.incoming)
        takes += self.parts(event.names, self.saved_inputs(event))
        gives = self.parts([f"grad_{name}" for name in event.names], event.produced)
        self.step(event, takes, gives)

    def once(self, gradient: Value, others: Sequence[Value | None]) -> Value:
        """An operation may hand on an array that it was given, and to several inputs: that is one tensor."""
        first = next(each for each in others if each is not None and (each is gradient or _is_same(each, gradient)))
        if first is not gradient:
            self.same[gradient] = self.same.get(first, first)
        return self.same.get(gradient, gradient)

    def saved_inputs(self, event: Event) -> list[Value | None]:
        """The inputs that backward needs, where they are: others have let them go."""
        return [value if isinstance(value, Value) and value in event.saved else None for value in event.inputs]

    def accumulated(self, event: Event) -> None:
        """The gradient that an operation gave is added to that of a parameter: mostly it is all of it."""
        (arrived, *_), (total, *_) = event.incoming or (None,), event.produced or (None,)
        if arrived is None or total is None:
            return
        if event.parameter:
            self.notes[self.same.get(arrived, arrived)] = f"goes to {event.parameter}.grad"
        if arrived in self.kernels:
            self.kernels.add(total)
        if arrived.array is not None and total.array is not None and bool((arrived.array == total.array).all()):
            self.same[total] = self.same.get(arrived, arrived)

    def updates(self) -> None:
        """One step for the parameters of each module, in the order of the optimizer."""
        modules: dict[str, list[tuple[Event, Event]]] = {}
        before: dict[int, Event] = {}
        for event in self.tape:
            if event.phase == "update" and event.parameter:
                if event.kind == "before":
                    before[event.call] = event
                elif event.kind == "after" and event.call in before:
                    modules.setdefault(event.parameter.rpartition(".")[0], []).append((before[event.call], event))
        for path, pairs in modules.items():
            takes, gives = [], []
            for old, new in pairs:
                name = new.parameter.rpartition(".")[2]
                takes += self.parts([_role(name, each) for each in old.names], old.inputs)
                gives += self.parts([_role(name, each.removeprefix("new_")) for each in new.output_names], new.outputs)
                values = [value for value in (*old.inputs, *new.outputs) if isinstance(value, Value)]
                self.kernels |= {self.same.get(value, value) for value in values if len(value.shape) == 4}
                gradient = self.same.get(values[1], values[1])
                self.gradients.setdefault(values[0], gradient)
                self.of.setdefault(gradient, values[0])
            self.step(pairs[-1][1], takes, gives, path=path, ms=1000 * sum(new.seconds for _, new in pairs))

    def parts(self, names: Sequence[str], values: Sequence[Any]) -> list[dict[str, Any]]:
        """What a step takes or gives: the Values among these, numbered."""
        return [
            {"role": name, "tensor": self.numbers.setdefault(self.same.get(value, value), len(self.numbers))}
            for name, value in zip(names, values, strict=False)
            if isinstance(value, Value)
        ]

    def step(
        self,
        event: Event,
        takes: list[dict[str, Any]],
        gives: list[dict[str, Any]],
        window: dict[str, Any] | None = None,
        path: str | None = None,
        ms: float | None = None,
    ) -> None:
        if event.operation not in self.formulas:
            self.formulas[event.operation] = formula(event.type)
        source = event.stack[0] if event.stack else None
        self.step_of[event.number] = len(self.steps)
        self.steps.append(
            {
                "phase": event.phase,
                "op": event.operation,
                "path": event.path if path is None else path,
                "node": self.network.node_of(event) if path is None else self.network.layer(path),
                "settings": settings(event.options),
                "ms": round(1000 * event.seconds if ms is None else ms, 4),
                "source": {"place": source.name, "line": source.text} if source and source.text else None,
                "takes": takes,
                "gives": gives,
                "window": window,
            }
        )

    def window(self, event: Event) -> dict[str, Any] | None:
        """Of a convolution: what its sums are made of."""
        if event.type is not ops.Conv2d or len(event.inputs) < 3 or not event.outputs:
            return None
        x, weight, bias = event.inputs[:3]
        y, options = event.outputs[0], event.options
        values = [x, weight, bias, y]
        if not all(isinstance(value, Value) and value.array is not None for value in values if value is not None):
            return None
        self.exact |= dict.fromkeys(value for value in values if value is not None)
        top, left = (sides[0] for sides in options["padding"])
        return {
            **{name: None if v is None else self.numbers[v] for name, v in zip(("x", "weight", "bias", "y"), values)},  # noqa: B905 (of four)
            "stride": options["stride"],
            "padding": [top, left],
            "dilation": options["dilation"],
            "groups": options["groups"],
            "values": values,
        }

    def phases(self) -> list[dict[str, Any]]:
        phases = []
        for name in ("forward", "backward", "update"):
            numbers = [number for number, step in enumerate(self.steps) if step["phase"] == name]
            if numbers:
                ms = sum(self.steps[number]["ms"] for number in numbers)
                phases.append({"name": name, "first": numbers[0], "last": numbers[-1], "ms": round(ms, 3)})
        return phases

    # ------------------------------------------------------------------------------------------------------- tensors

    def tensor(self, value: Value, pictures: Pictures) -> dict[str, Any]:
        number = self.numbers[value]
        made = [k for k, step in enumerate(self.steps) if any(part["tensor"] == number for part in step["gives"])]
        used = [k for k, step in enumerate(self.steps) if any(part["tensor"] == number for part in step["takes"])]
        gradient = self.gradients.get(value)
        of = self.of.get(value)
        return {
            "shape": value.shape,
            "dtype": str(value.dtype),
            "bytes": value.nbytes,
            "made": made[0] if made else None,
            "used": used,
            "gradient": self.numbers.get(gradient) if gradient is not None else None,
            "of": self.numbers.get(of) if of is not None else None,
            "note": self.notes.get(value, ""),
            **pictures.of(value),
        }


def _is_same(a: Value, b: Value) -> bool:
    return a.array is not None and a.array is b.array


def _role(parameter: str, name: str) -> str:
    """weight, weight.grad, weight.momentum_buffer"""
    return parameter if name == "param" else f"{parameter}.{name}"

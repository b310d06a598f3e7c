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
    settings    the options of the operation and the numbers among its inputs, in words
    ms          how long it took, null if nobody knows
    source      {place, line}: the line that called it, in the user's code or in architectures/; null if there is none
    takes, gives    [{role, tensor}]: x, weight, ...; numbers of tensors
    window      where the numbers behind one value can be shown, what they are (window.js); else null:
                kind        "conv", "max", "mean", "adaptive"; of the gradient of the input "conv_input", "max_input",
                            "mean_input"
                x, y        the tensors that it looks at, and that the value stands in; of conv and conv_input also
                            weight, of conv also bias (or null); of the gradient of a pooling also source, its input
                stride, padding ([[top, bottom], [left, right]]), dilation, groups, kernel, count: as far as it has such
    update      of an update: {settings, parameters}; of each parameter the tensors param, grad and the state of the
                optimizer by their names, and new_param, ... after it. Else null

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
from minidl.backend import transfer
from minidl.debug.page.network import Network, network, operations
from minidl.debug.page.pictures import Pictures
from minidl.debug.page.words import formula, settings
from minidl.debug.tape import Event, Tape, Value

SETTINGS = ("kernel", "stride", "padding", "dilation", "groups", "count")  # what a window is described by


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
        self.exact: dict[Value, None] = {}  # those whose every number is needed, for the sums behind single values
        self.wished: dict[Value, None] = {}  # the same, where there is still room
        self.updated: set[Value] = set()  # whose numbers must be exact, where there are such, for those of an update
        self.places: dict[str, dict[int, list[int]]] = {"gives": {}, "takes": {}}  # of a tensor the steps
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
        pictures = Pictures(list(self.numbers), list(self.exact), list(self.wished), self.updated, self.kernels)
        for step in self.steps:  # what turned out to be too large has no sums
            window = step["window"]
            if window and not all(map(pictures.is_whole, window.pop("values"))):
                step["window"] = None
            if step["update"] and not pictures.updates:
                step["update"] = None
        for side in ("gives", "takes"):
            for number, step in enumerate(self.steps):
                for part in step[side]:
                    self.places[side].setdefault(part["tensor"], []).append(number)
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
        arrived = {f"grad_output{i}": value for i, value in enumerate(event.arrived) if value is not None}
        takes = self.parts(arrived if len(arrived) > 1 else ["grad_output"], list(arrived.values()))
        takes += self.parts(event.names, self.saved_inputs(event))
        gives = self.parts([f"grad_{name}" for name in event.names], event.produced)
        self.step(event, takes, gives, self.window_of_gradient(event))

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
        arrays = [transfer(value.array, "cpu") for value in (arrived, total) if value.array is not None]
        if len(arrays) == 2 and bool((arrays[0] == arrays[1]).all()):
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
            takes, gives, parameters = [], [], []
            for old, new in pairs:
                name = new.parameter.rpartition(".")[2]
                takes += self.parts([_role(name, each) for each in old.names], old.inputs)
                gives += self.parts([_role(name, each.removeprefix("new_")) for each in new.output_names], new.outputs)
                values = [value for value in (*old.inputs, *new.outputs) if isinstance(value, Value)]
                self.kernels |= {self.same.get(value, value) for value in values if len(value.shape) == 4}
                gradient = self.same.get(values[1], values[1])
                self.gradients.setdefault(values[0], gradient)
                self.of.setdefault(gradient, values[0])
                self.updated |= {self.same.get(value, value) for value in values}
                named = (*zip(old.names, old.inputs, strict=False), *zip(new.output_names, new.outputs, strict=False))
                parameters.append({name: self.number(value) for name, value in named})
            options = {name: value for name, value in pairs[0][1].options.items() if _is_number(value)}
            self.step(pairs[-1][1], takes, gives, path=path, ms=1000 * sum(new.seconds for _, new in pairs))
            self.steps[-1]["update"] = {"settings": options, "parameters": parameters}

    def number(self, value: Value) -> int:
        """Of a tensor in the document."""
        return self.numbers.setdefault(self.same.get(value, value), len(self.numbers))

    def parts(self, names: Iterable[str], values: Sequence[Any]) -> list[dict[str, Any]]:
        """What a step takes or gives: the Values among these, numbered; the roles of one that has several together."""
        roles: dict[int, list[str]] = {}
        for name, value in zip(names, values, strict=False):
            if isinstance(value, Value):
                roles.setdefault(self.number(value), []).append(name)
        return [{"role": ", ".join(names), "tensor": number} for number, names in roles.items()]

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
        numbers = {name: x for name, x in zip(event.names, event.inputs, strict=False) if not isinstance(x, Value)}
        told = {name: value for name, value in (numbers | event.options).items() if _is_told(event, value)}
        self.step_of[event.number] = len(self.steps)
        self.steps.append(
            {
                "phase": event.phase,
                "op": event.operation,
                "path": event.path if path is None else path,
                "node": self.network.node_of(event) if path is None else self.network.layer(path),
                "settings": settings(told),
                "ms": round(1000 * event.seconds if ms is None else ms, 4),
                "source": {"place": source.name, "line": source.text} if source and source.text else None,
                "takes": takes,
                "gives": gives,
                "window": window,
                "update": None,
            }
        )

    def window(self, event: Event) -> dict[str, Any] | None:
        """Of a convolution or pooling: what one value of its output is made of."""
        if not event.outputs or event.type not in (ops.Conv2d, ops.MaxPool2d, ops.AvgPool2d, ops.AdaptiveAvgPool2d):
            return None
        y, options = event.outputs[0], event.options
        if event.type is ops.Conv2d:
            x, weight, bias = event.inputs[:3]
            self.kernels.add(weight)  # also one that is no parameter
            return self.looking("conv", {"x": x, "weight": weight, "bias": bias, "y": y}, self.exact, options)
        tensors = {"x": event.inputs[0], "y": y}
        if event.type is ops.AdaptiveAvgPool2d:
            return self.looking("adaptive", tensors, self.exact, {})
        kind = "max" if event.type is ops.MaxPool2d else "mean"
        return self.looking(kind, tensors, self.exact, _of_pooling(options))

    def window_of_gradient(self, event: Event) -> dict[str, Any] | None:
        """Of the backward of a convolution or pooling: what one value of the gradient of its input is made of."""
        if event.type not in (ops.Conv2d, ops.MaxPool2d, ops.AvgPool2d) or event.produced[0] is None:
            return None
        tensors = {"x": event.incoming[0], "y": event.produced[0]}
        if event.type is ops.Conv2d:
            tensors["weight"] = event.inputs[1]
            return self.looking("conv_input", tensors, self.wished, event.options)
        tensors["source"] = event.inputs[0]
        kind = "max_input" if event.type is ops.MaxPool2d else "mean_input"
        return self.looking(kind, tensors, self.wished, _of_pooling(event.options))

    def looking(
        self, kind: str, tensors: dict[str, Any], wanted: dict[Value, None], options: dict[str, Any]
    ) -> dict[str, Any] | None:
        """A window on these tensors, whose numbers are wanted; None where they were not kept, or are no images."""
        values = [self.same.get(value, value) for value in tensors.values() if value is not None]
        if any(
            not isinstance(value, Value) or value.array is None or len(value.shape) not in (1, 4) for value in values
        ):
            return None
        wanted |= dict.fromkeys(values)
        settings = {name: options[name] for name in SETTINGS if name in options}
        named = {name: None if value is None else self.number(value) for name, value in tensors.items()}
        return {"kind": kind, **named, **settings, "values": values}

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
        made, used = (self.places[side].get(self.numbers[value], []) for side in ("gives", "takes"))
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


def _of_pooling(options: dict[str, Any]) -> dict[str, Any]:
    """Its settings, and what its mean is divided by: a number, "all" that the window spans, "inside" of the image."""
    count = options.get("divisor_override") or ("all" if options.get("count_include_pad") else "inside")
    return {**options, "kernel": options["kernel_size"], "count": count}


def _is_same(a: Value, b: Value) -> bool:
    return a.array is not None and a.array is b.array


def _is_number(value: Any) -> bool:
    """Also of a pair of numbers, as Adam's betas."""
    return isinstance(value, (bool, int, float)) or (isinstance(value, tuple) and all(map(_is_number, value)))


def _is_told(event: Event, value: Any) -> bool:
    """Is this setting worth a word? Not where it says that something is not done."""
    return not (value is None or value is False or (event.phase == "update" and value == 0))


def _role(parameter: str, name: str) -> str:
    """weight, weight.grad, weight.momentum_buffer"""
    return parameter if name == "param" else f"{parameter}.{name}"

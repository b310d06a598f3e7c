"""The tape: what happened in a computation, event by event, with the tensors as they were.

    tape = minidl.debug.trace(step, model)      # recorder.py
    for event in tape:
        print(event.number, event.phase, event.kind, event.operation, event.path, event.source)

The events of one call of an operation have the same `call`: before and after its forward, before and after its
backward. So have entering and leaving a module. A tensor is a Value, the same one in every event that it takes part in
as long as nobody writes into it; a change in place makes a new Value, and the old one stays as it was.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minidl import memory
from minidl.backend import array_module, copied, device_of
from minidl.debug.statistics import Statistics, statistics
from minidl.function import Function
from minidl.source import Source, users_line

PHASES = ("forward", "backward", "update")
KINDS = ("before", "after", "enter", "leave", "accumulate")


class Value:
    """A tensor (or a plain array: a gradient, something saved) at one time.

    number      which one it is on its tape
    shape, dtype, device, nbytes
    name        of a parameter or buffer its dotted name, else ""
    producer    the number of the event that made it; None for what came from outside, and for a sum of gradients
    consumers   the numbers of the events that took it as an input, or as the gradient of an output
    array       the array itself: not to be written to. None where it was not kept
    statistics  None where neither they nor the array were kept
    overwritten "" as a rule. Where the array was changed in a way that nobody is told of beforehand (x.data -= a), the
                user's line that did it, train.py:42: then array and statistics are not what they were
    """

    def __init__(self, number: int, array: Any, name: str = "", producer: int | None = None):
        self.number, self.name, self.producer = number, name, producer
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype, self.device, self.nbytes = array.dtype, str(device_of(array)), int(array.nbytes)
        self.consumers: list[int] = []
        self._array: Any = None
        self._statistics: Statistics | None = None
        self.overwritten = ""

    @property
    def array(self) -> Any:
        return self._array

    @property
    def statistics(self) -> Statistics | None:
        if self._statistics is None and self._array is not None:
            self._statistics = statistics(self._array)
        return self._statistics

    @property
    def is_filling(self) -> bool:
        """Zeros that no operation made."""
        return self.producer is None and self.statistics is not None and self.statistics.zero_share == 1

    def __repr__(self) -> str:
        return f"<Value {self.number} {self.dtype} {self.shape}{' ' + self.name if self.name else ''}>"


@dataclass(eq=False)
class Event:
    """A moment of a computation.

    number      its place on the tape
    phase       "forward", "backward" or "update" (optimizer.step and zero_grad)
    kind        "before" and "after" an operation, "enter" and "leave" a module or an optimizer's step, "accumulate":
                a gradient was added to that of a leaf
    operation   the name of the operation (Conv2d), of the module's class, of the optimizer's
    path        the dotted name of the module that it belongs to; "" for the model itself and outside of it
    level       how many modules (and operations, and steps) it stands in
    call        the same for the events of one call
    within      the number of the event that opened the innermost operation or step it stands in; None for most
    parameter   the name of the parameter, or of the leaf: of "accumulate", and of the updates of an optimizer
    inputs, outputs     what went in and out: Values, or None and numbers as they were given
    names       how forward calls the inputs: ("x", "weight", "bias"); of an update ("param", "grad", ...)
    output_names    of an update: ("new_param", ...); else empty
    saved       what backward needs, Values or whatever else (from "after" of forward on)
    incoming    the gradient of each output; of "accumulate" the one that arrived
    produced    what backward returned, for each input a Value or None; of "accumulate" the leaf's new gradient
    stack       the user's lines that called it, the innermost first; in backward, those that created the node
    seconds     how long it took ("after", "leave")
    bytes       how much memory its results take
    options     the settings of the operation: {"stride": (1, 1), ...}; of an update those of the optimizer
    """

    number: int
    phase: str
    kind: str
    operation: str
    path: str = ""
    level: int = 0
    call: int = 0
    within: int | None = None
    parameter: str = ""
    inputs: tuple[Any, ...] = ()
    outputs: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    saved: tuple[Any, ...] = ()
    incoming: tuple[Value | None, ...] = ()
    produced: tuple[Value | None, ...] = ()
    stack: tuple[Source, ...] = ()
    seconds: float = 0.0
    bytes: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    type: type | None = None  # the class of the operation, module or optimizer
    _node: Any = None  # the node itself, or a weak reference to it

    @property
    def node(self) -> Function | None:
        """The operation itself; None of a module or an optimizer, or if it is gone.

        A full tape keeps it as long as its tensors are within the budget.
        """
        return self._node() if isinstance(self._node, weakref.ref) else self._node

    def release_node(self) -> None:
        """Keep the operation no longer alive, and with it what its forward has saved."""
        if self.node is not None:
            self._node = weakref.ref(self.node)

    @property
    def source(self) -> Source | None:
        """The user's line: the nearest outside of minidl and architectures, or else the nearest outside of minidl."""
        return users_line(self.stack)

    @property
    def made(self) -> tuple[Value, ...]:
        """The Values that this event brought into the world."""
        made = self.produced if self.phase == "backward" else self.outputs
        return tuple(value for value in made if isinstance(value, Value)) if self.kind != "enter" else ()

    @property
    def arrived(self) -> tuple[Value | None, ...]:
        """`incoming` without the zeros that the engine has put in for outputs that nothing used: None for those."""
        if len(self.incoming) == 1:
            return self.incoming
        return tuple(None if value is None or value.is_filling else value for value in self.incoming)

    @property
    def values(self) -> dict[str, Value]:
        """Every Value of the event by the name that the prompt has for it: x, weight, y, gy, gx, gweight, saved0."""
        named: dict[str, Any] = dict(zip(self.names, self.inputs, strict=False))
        for letter, several in (("y", self.outputs), ("gy", self.incoming)):
            several_names = [letter] if len(several) == 1 else [f"{letter}{i}" for i in range(len(several))]
            named |= zip(self.output_names or several_names, several, strict=False)
        if self.kind == "accumulate":
            named["grad"] = self.produced[0] if self.produced else None
        else:
            named |= {f"g{name}": value for name, value in zip(self.names, self.produced, strict=False)}
        named |= {f"saved{i}": value for i, value in enumerate(self.saved)}
        return {name: value for name, value in named.items() if isinstance(value, Value)}

    def __repr__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        return f"<Event {self.number}: {self.phase}, {self.kind} {self.operation}{where}>"


class Tape:
    """The events of a computation, in the order in which they happened.

    record      "meta": shapes, lines and times. "stats": also the statistics of every tensor. "full": also the tensors
                themselves. They are not copied; what is written into is copied just before that.
    budget      bytes of memory that a full tape keeps alive, at most. Beyond it the oldest tensors are let go, with the
                operations that have saved them, and their statistics stay. Parameters do not count until an update
                changes them.
    model       the module whose parts have the dotted names; None if none was called
    result      what the traced function returned
    """

    def __init__(self, record: str = "full", budget: int = 1 << 30):
        self.record, self.budget = record, budget
        self.events: list[Event] = []
        self.values: list[Value] = []
        self.model: Any = None
        self.result: Any = None
        self.kept = 0  # bytes
        self.dropped = 0  # Values whose array was let go
        self._released = 0  # events whose operations were let go
        self._calls: dict[int, list[int]] = {}
        # For a full tape: the Values that lie in one piece of memory, by the id() of its owner, and what they count.
        # The oldest first. Their arrays are alive, so the id is not given to another object.
        self._pieces: dict[int, tuple[list[Value], int]] = {}

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __getitem__(self, number: int) -> Event:
        return self.events[number]

    def __repr__(self) -> str:
        counts = Counter(event.phase for event in self.events)
        return f"<Tape: {', '.join(f'{count} events {phase}' for phase, count in counts.items()) or 'no events'}>"

    def of_call(self, call: int) -> list[Event]:
        """The events of one call of an operation, or of a module."""
        return [self.events[number] for number in self._calls.get(call, ())]

    def other(self, event: Event, phase: str, kind: str) -> Event | None:
        """Of the same call the event of this phase and kind: other(event, "backward", "before")."""
        return next((e for e in self.of_call(event.call) if (e.phase, e.kind) == (phase, kind)), None)

    def producer(self, value: Value) -> Event | None:
        """The event that made a Value."""
        return None if value.producer is None else self.events[value.producer]

    def consumers(self, value: Value) -> list[Event]:
        """The events that took a Value as an input."""
        return [self.events[number] for number in value.consumers]

    # ------------------------------------------------------------------------------------------- for the recorder

    def add(self, event: Event) -> None:
        """Put an event at the end."""
        self.events.append(event)
        self._calls.setdefault(event.call, []).append(event.number)

    def new_value(self, array: Any, name: str = "", producer: int | None = None, same: Value | None = None) -> Value:
        """A Value of an array as it is now, kept as `record` says. `same`: an earlier one of the same numbers."""
        value = Value(len(self.values), array, name, producer)
        self.values.append(value)
        if self.record == "full":
            value._array = array
            self._keep(value, array, counts=not name)
        elif self.record == "stats":
            value._statistics = statistics(array) if same is None else same._statistics
        return value

    def _keep(self, value: Value, array: Any, counts: bool) -> None:
        owner = memory.owner(array)
        values, bytes = self._pieces.get(id(owner), ([], 0))
        values.append(value)
        if counts and not bytes:
            bytes = int(getattr(owner, "nbytes", array.nbytes))
            self.kept += bytes
        self._pieces[id(owner)] = values, bytes
        if self.kept > self.budget:
            self._let_go()

    def _let_go(self) -> None:
        """Drop the arrays of the oldest pieces of memory until the others are within the budget."""
        gone, last = [], -1
        for key, (values, bytes) in self._pieces.items():  # no copy of it: over the budget, each new tensor comes here
            if self.kept <= self.budget:
                break
            if bytes:
                for value in values:
                    value._statistics = value.statistics
                    value._array = None
                    last = max(last, -1 if value.producer is None else value.producer)
                self.dropped += len(values)
                self.kept -= bytes
                gone.append(key)
        for key in gone:
            del self._pieces[key]
        for event in self.events[self._released : last + 1]:
            event.release_node()
        self._released = max(self._released, last + 1)

    def overwritten(self, array: Any, line: str) -> list[Value]:
        """`array` was written to in this line of the user's, and nobody said so before: the Values that it spoilt."""
        values, _ = self._pieces.get(id(memory.owner(array)), ([], 0))
        spoilt = [v for v in values if array_module(array).may_share_memory(v._array, array)]
        for value in spoilt:
            value.overwritten = value.overwritten or line
        return spoilt

    def before_change(self, array: Any) -> None:
        """`array` is written to next: the Values that lie there get a copy."""
        key = id(memory.owner(array))
        if key not in self._pieces:
            return
        values, bytes = self._pieces.pop(key)
        xp = array_module(array)
        copies: dict[int, Any] = {}
        untouched = [v for v in values if not xp.may_share_memory(v._array, array)]
        touched = [v for v in values if xp.may_share_memory(v._array, array)]
        if untouched:
            self._pieces[key] = untouched, bytes
        else:
            self.kept -= bytes
        for value in touched:
            old = value._array
            if id(old) not in copies:
                copies[id(old)] = old, copied(old)  # the old one is held: its id() is not given away meanwhile
            value._array = copies[id(old)][1]
            self._keep(value, value._array, counts=True)

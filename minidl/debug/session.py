"""Stepping through a computation: where to stop next, and going back over what lies behind.

A Session is the recorder of a running computation. It decides at each event whether to stop there, and calls `stop`,
which returns when the computation is to go on. A face (stepper.py, prompt.py) says what happens in `stop`.

`position` is the event that is looked at. It may lie in the past: then going forward goes over the tape first, and the
computation runs on only when the tape has come to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.debug.recorder import Recorder
from minidl.debug.spec import Spec
from minidl.debug.tape import Event, Value

Wanted = Callable[[Event], bool]


class Breakpoint:
    """A Spec with a number; a temporary one is gone after its first hit."""

    def __init__(self, number: int, spec: Spec, temporary: bool = False):
        self.number, self.spec, self.temporary = number, spec, temporary
        self.hits = 0


class Session(Recorder):
    """See above. `wanted` is what the computation runs to; breakpoints stop it as well."""

    def __init__(self, model: Any = None, record: str = "full", budget: int = 1 << 30):
        super().__init__(model, record, budget)
        self.position = -1  # before the first event
        self.wanted: Wanted = anything
        self.breakpoints: list[Breakpoint] = []
        self.reason = ""  # why it stopped, if at a breakpoint
        self.detached = False  # True: runs to its end, whatever comes, and nothing is put on the tape
        self.is_over = False  # True: it has run to its end
        self._breakpoint_count = 0
        self._told: set[str] = set()  # lines

    # ------------------------------------------------------------------------------------------------ what a face has

    def stop(self, event: Event) -> None:
        """Show the event, and return when the computation is to go on."""
        raise NotImplementedError

    def variables(self) -> dict[str, Any]:
        """Those of the program where it stands, as far as conditions may use them."""
        return {}

    def evaluate(self, condition: Any, event: Event) -> bool:
        """The condition of a breakpoint, with the names of the event."""
        names = self.variables() | {name: value.array for name, value in event.values.items()}
        return bool(eval(condition, {**names, "event": event, "tape": self.tape}))  # the user's own words

    def let_go(self) -> None:
        """Called when the computation is to run on, with nothing to stop at."""

    def detach(self) -> None:
        """The computation runs on to its end, and nobody looks at it any more."""
        self.detached = True
        self.let_go()

    # ------------------------------------------------------------------------------------------------------- going on

    def _is_not_ours(self) -> bool:
        return self.detached or super()._is_not_ours()

    def before_change(self, array: Any) -> None:
        if not self.detached:
            super().before_change(array)

    def overwritten(self, array: Any) -> None:
        if not self.detached:
            super().overwritten(array)

    def happened(self, event: Event) -> None:
        self.position = event.number
        self.busy = True
        try:
            if self.is_stop(event, self.wanted):
                self.stop(event)
        finally:
            self.busy = False

    @property
    def current(self) -> Event | None:
        """The event that is looked at; None before the first."""
        return self.tape.events[self.position] if 0 <= self.position < len(self.tape) else None

    @property
    def is_in_the_past(self) -> bool:
        return self.position < len(self.tape) - 1

    def is_stop(self, event: Event, wanted: Wanted) -> bool:
        """Stop here? `reason` then says so where it is for a breakpoint."""
        self.reason = ""
        for point in list(self.breakpoints):
            if self._hits(point.spec, event):
                point.hits += 1
                self.reason = f"breakpoint {point.number}: {point.spec.text}"
                if point.temporary:
                    self.breakpoints.remove(point)
                return True
        return wanted(event)

    def _hits(self, spec: Spec, event: Event) -> bool:
        """Does it match, and is its condition true?"""
        if not self.holds(spec, event):
            return False
        if spec.condition is None:
            return True
        try:
            return self.evaluate(spec.condition, event)
        except Exception as error:  # stop, so that the user sees it
            self.problem(f"the condition `{spec.expression}` failed: {type(error).__name__}: {error}")
            return True

    def problem(self, message: str) -> None:
        """What went wrong in a condition, or with the tape. A face shows it."""

    def spoilt(self, values: list[Value], line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            what = next((value.name for value in values if value.name), "a tensor")
            self.problem(
                f"{line} writes into the array of {what} itself: what the tape has of it is lost\n"
                "  help: under no_grad(), p -= a keeps it, where p.data -= a does not"
            )

    def holds(self, spec: Spec, event: Event) -> bool:
        """Does `spec` match at this event of the tape?"""
        return spec.matches(event, self.tape.events[event.number - 1] if event.number else None)

    def add_breakpoint(self, spec: Spec, temporary: bool = False) -> Breakpoint:
        """Stop wherever `spec` matches."""
        self._breakpoint_count += 1
        point = Breakpoint(self._breakpoint_count, spec, temporary)
        self.breakpoints.append(point)
        return point

    def forward(self, wanted: Wanted) -> bool:
        """Go forward over the tape to the next stop: True if there was one. If not, the computation is to run on."""
        for event in self.tape.events[self.position + 1 :]:
            self.position = event.number
            if self.is_stop(event, wanted):
                return True
        self.wanted = wanted
        return False

    def backward(self, wanted: Wanted) -> bool:
        """Go back over the tape to the stop before. To the first event, and False, where there is none."""
        for event in reversed(self.tape.events[: max(self.position, 0)]):
            self.position = event.number
            if self.is_stop(event, wanted):
                return True
        self.reason = ""
        return False

    def spec(self, text: str) -> Spec:
        """A SPEC, as somebody wrote it. SpecError where it is none, or about what the model does not have."""
        spec, model = Spec(text), self.tape.model
        if model is not None:
            seen = {event.path for event in self.tape} | {event.parameter for event in self.tape}
            spec.check_names("mod", seen | {name for name, _ in model.named_modules()})
            spec.check_names("param", seen | {name for name, _ in model.named_parameters()})
        spec.check_files({source.file for event in self.tape for source in event.stack})
        return spec

    def until(self, spec: Spec) -> Wanted:
        """The events at which `spec` matches."""
        return lambda event: self._hits(spec, event)


def anything(event: Event) -> bool:
    """Every event is wanted."""
    return True


def nothing(event: Event) -> bool:
    """No event is wanted: only breakpoints stop."""
    return False


def nth(wanted: Wanted, count: int) -> Wanted:
    """Of the events that are wanted, number `count`."""
    left = count

    def test(event: Event) -> bool:
        nonlocal left
        if not wanted(event):
            return False
        left -= 1
        return left <= 0

    return test


def same_level(current: Event | None) -> Wanted:
    """The next event that is no deeper in the modules."""
    if current is None:
        return anything
    return lambda event: event.level <= current.level or event.phase != current.phase


def end_of_module(current: Event | None) -> Wanted:
    """Where the module (or the operation with others inside it, or the step) is left, at the latest with the phase."""
    if current is None:
        return nothing
    if current.kind == "enter":
        return lambda event: event.call == current.call and event.kind == "leave"
    if current.phase == "backward" and current.within is None:  # there, nothing is entered or left
        return lambda event: event.phase != "backward" or not is_in(event.path, current.path)
    return lambda event: event.level < current.level or event.phase != current.phase


def is_in(path: str, module: str) -> bool:
    """True for the path of the module itself and of those in it."""
    return not module or path == module or path.startswith(module + ".")

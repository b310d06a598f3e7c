"""Stepping through a function from a script: the function runs in a thread of its own, and waits at each stop.

with Stepper(lambda: loss_fn(model(x), labels).backward()) as stepper:
    stepper.run_until("op:Conv2d phase:bwd")
    print(stepper.current, stepper.values["gy"].statistics)
    stepper.back()
"""

from __future__ import annotations

import contextvars
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from minidl.debug.lines import stop_lines
from minidl.debug.page import frame
from minidl.debug.recorder import require_function
from minidl.debug.session import Session, anything, end_of_module, nothing, same_level
from minidl.debug.tape import Event, Tape, Value
from minidl.events import observing
from minidl.grad_mode import grad_mode
from minidl.nn import Module


class _Closed(BaseException):
    """Ends the function where it stands. No Exception, so that the function does not take it for one of its own."""


class _Run(Session):
    """The session in the thread of the function."""

    def __init__(self, fn: Callable[[], Any], model: Module | None, record: str, budget: int):
        super().__init__(model, record, budget)
        self.fn = fn
        self.go_on = threading.Semaphore(0)
        self.stopped = threading.Semaphore(0)
        self.closing = False
        self.finished = False
        self.error: BaseException | None = None
        self.messages: list[str] = []
        self.grad_enabled = grad_mode.enabled

    def run(self) -> None:
        """The body of the thread."""
        self.thread = threading.get_ident()
        self.bottom = _Run.run.__code__
        self.go_on.acquire()
        try:
            if not self.closing:
                grad_mode.enabled = self.grad_enabled  # each thread has its own
                with observing(self):
                    self.tape.result = self.fn()
        except _Closed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.finished = True
            self.stopped.release()

    def stop(self, event: Event) -> None:
        if not self.closing:
            start = time.perf_counter()
            self.stopped.release()
            self.go_on.acquire()
            self.away += time.perf_counter() - start
        if self.closing:
            raise _Closed

    def happened(self, event: Event) -> None:
        if self.closing:
            raise _Closed
        super().happened(event)

    def problem(self, message: str) -> None:
        self.messages.append(message)

    def close(self) -> None:
        self.closing = True
        self.go_on.release()


class Stepper:
    """Runs `fn()` event by event. Arguments as for `trace`.

    current     the Event that is looked at; None before the first
    position    its number
    tape        all events so far
    values      its tensors by name: x, weight, y, gy, gx, ...
    finished    True when `fn` has ended and the last event is looked at
    result      what `fn` returned

    Whatever moves returns the Event where it stopped, or None at the end. An exception of `fn` is raised by the call
    that ran into it. `close()`, or the end of a `with`, ends `fn` where it stands.

    UserWarning: the condition of a breakpoint failed, or `x.data -= a` has written into what the tape keeps.
    """

    def __init__(self, fn: Callable[[], Any], model: Module | None = None, record: str = "full", budget: int = 1 << 30):
        require_function("Stepper", fn)
        self._run = _Run(fn, model, record, budget)
        context = contextvars.copy_context()  # numpy.errstate, say
        self._thread = threading.Thread(target=context.run, args=(self._run.run,), name="minidl.Stepper", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, self._run.close)

    # ---------------------------------------------------------------------------------------------------- moving on

    def step(self, count: int = 1) -> Event | None:
        """The next event."""
        return self._repeated(lambda: self._forward(anything), count)

    def next(self, count: int = 1) -> Event | None:
        """The next event that is no deeper in the modules."""
        return self._repeated(lambda: self._forward(same_level(self.current)), count)

    def finish(self) -> Event | None:
        """The end of the module, or of the phase."""
        return self._forward(end_of_module(self.current))

    def run_until(self, spec: str) -> Event | None:
        """The next event at which `spec` matches (see spec.py), or a breakpoint. SpecError for one that is wrong."""
        return self._forward(self._run.until(self._run.spec(spec)))

    def resume(self) -> Event | None:
        """The next breakpoint."""
        return self._forward(nothing)

    def back(self, count: int = 1) -> Event | None:
        """The event before; None at the first."""
        return self._repeated(lambda: self._backward(anything), count)

    def back_next(self, count: int = 1) -> Event | None:
        """The event before that is no deeper in the modules."""
        return self._repeated(lambda: self._backward(same_level(self.current)), count)

    def back_until(self, spec: str) -> Event | None:
        """The event before at which `spec` matches, or a breakpoint; None, at the first event, if there is none."""
        return self._backward(self._run.until(self._run.spec(spec)))

    def go_to(self, number: int) -> Event:
        """An event of the tape by its number. IndexError where there is none."""
        event = self.tape.events[number]
        self._run.position = event.number
        return event

    def break_at(self, spec: str, temporary: bool = False) -> int:
        """A breakpoint; returns its number."""
        return self._run.add_breakpoint(self._run.spec(spec), temporary).number

    def clear(self, number: int | None = None) -> None:
        """Take one breakpoint away, or all."""
        self._run.breakpoints = [p for p in self._run.breakpoints if number is not None and p.number != number]

    def close(self) -> None:
        """End the function: its `finally` blocks run, nothing else does."""
        if self._finalizer.detach() is not None:
            self._run.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # ------------------------------------------------------------------------------------------------- what is seen

    @property
    def current(self) -> Event | None:
        return self._run.current

    @property
    def position(self) -> int:
        return self._run.position

    @property
    def tape(self) -> Tape:
        return self._run.tape

    @property
    def values(self) -> dict[str, Value]:
        return {} if self.current is None else self.current.values

    @property
    def reason(self) -> str:
        """The breakpoint at which it stopped; "" if it was for none."""
        return self._run.reason

    @property
    def finished(self) -> bool:
        return self._run.finished and not self._run.is_in_the_past

    @property
    def result(self) -> Any:
        return self.tape.result

    def __enter__(self) -> Stepper:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stepper at {self.current or 'nothing yet'}>"

    def __str__(self) -> str:
        """What the prompt shows at a stop."""
        if self.current is None:
            return "before the first event"
        return "\n".join(stop_lines(self.current, self.tape))

    def _repr_html_(self) -> str:
        """Notebooks look for this: the page of what has happened so far, open at the current event."""
        return frame(self.tape, self.position)

    # ----------------------------------------------------------------------------------------------------- the thread

    def _repeated(self, move: Callable[[], Event | None], count: int) -> Event | None:
        event = self.current
        for _ in range(count):
            event = move()
            if event is None:
                break
        return event

    def _forward(self, wanted: Callable[[Event], bool]) -> Event | None:
        event = self._run_on(wanted)
        self._warn()
        return event

    def _backward(self, wanted: Callable[[Event], bool]) -> Event | None:
        event = self._run.current if self._run.backward(wanted) else None
        self._warn()
        return event

    def _warn(self) -> None:
        """What the session had to say, in the caller's thread."""
        messages, self._run.messages = self._run.messages, []
        for message in messages:
            warnings.warn(message, stacklevel=4)

    def _run_on(self, wanted: Callable[[Event], bool]) -> Event | None:
        run = self._run
        if run.forward(wanted):
            return run.current
        if run.finished or run.closing:
            return None
        run.go_on.release()
        try:
            run.stopped.acquire()
        except KeyboardInterrupt:  # stop at the next event, and let the caller know
            run.wanted = anything
            run.stopped.acquire()
            raise
        if run.error is not None:
            error, run.error = run.error, None
            raise error
        return None if run.finished else run.current

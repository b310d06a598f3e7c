"""The prompt in the program's own thread: `with step():` and `set_trace()`."""

from __future__ import annotations

import bdb
import os
import pdb
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from minidl import events
from minidl.debug.prompt import Pdb
from minidl.debug.session import Session, anything, nothing
from minidl.debug.tape import Event
from minidl.nn import Module
from minidl.source import is_users, user_frames


class Watch(Session):
    """A session in the program's own thread: at a stop, the prompt."""

    def __init__(self, model: Module | None = None, budget: int = 1 << 30, prompt: type[Pdb] = Pdb):
        super().__init__(model, "full", budget)
        self.prompt = prompt(session=self)
        self.is_lasting = True  # False: it ends when nothing is left to stop at
        self._interrupted = False
        self._handler_before: Any = None

    def stop(self, event: Event) -> None:
        self._hear_ctrl_c(False)
        self.prompt.stop_at_event()
        self._hear_ctrl_c(True)
        self.prompt.begin_lines()

    def problem(self, message: str) -> None:
        self.prompt.error(message)

    def variables(self) -> dict[str, Any]:
        frames = user_frames(sys._getframe())
        return {**frames[0].f_globals, **frames[0].f_locals} if frames else {}

    def let_go(self) -> None:
        if not self.is_lasting and self in active:
            self.detached = True
            active.remove(self)
            events.observers.remove(self)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, every event comes here; at the end, and after an exception, the prompt comes once more."""
        active.append(self)
        try:
            with events.observing(self):
                self._hear_ctrl_c(True)
                yield
        except (SystemExit, bdb.BdbQuit):  # q, here or in a pdb around it; sys.exit()
            raise
        except BaseException as error:
            self._over()
            if self.detached:
                raise
            self.prompt.message("")
            for line in exception_lines(error):
                self.prompt.message(line)
            self.prompt.stop_after(error.__traceback__, "rs goes back over what happened; c and q leave")
            _keep_users_lines(error.__traceback__)
            raise
        else:
            self._over()
            if not self.detached and self.wanted is not nothing:
                count = len(self.tape)
                self.prompt.stop_after(None, f"the end: {count} events; rs goes back over them, c and q leave")
        finally:
            self._over()
            active.remove(self)

    def _over(self) -> None:
        self.is_over = True
        self._hear_ctrl_c(False)

    def _hear_ctrl_c(self, hear: bool) -> None:
        """While the computation runs, Ctrl-C stops it at the next event."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._interrupted = False
        if hear and not self.detached:
            self._handler_before = signal.signal(signal.SIGINT, self._on_ctrl_c)
        elif self._handler_before is not None:
            signal.signal(signal.SIGINT, self._handler_before)
            self._handler_before = None

    def _on_ctrl_c(self, number: int, frame: Any) -> None:
        if self._interrupted or self.busy:
            raise KeyboardInterrupt
        self._interrupted, self.wanted = True, anything
        self.prompt.message("\nstopping at the next event (Ctrl-C once more: here)")


active: list[Watch] = []  # the sessions that are under way, the innermost last


@contextmanager
def step(model: Module | None = None, budget: int = 1 << 30, prompt: type[Pdb] = Pdb) -> Iterator[None]:
    """Inside, the prompt comes before the first operation, and goes on as it is told. `h` has its commands.

    model, budget: as for `trace`. A `breakpoint()` inside, also in a backward, comes to the same prompt, unless the
    user, an IDE or pytest has made it their own.
    """
    session = Watch(model, budget, prompt)
    session.wanted = lambda event: event.kind == "before"
    hook_before = sys.breakpointhook
    if hook_before is sys.__breakpointhook__ and not os.environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = _breakpoint
    try:
        with session.watching():
            yield
    finally:
        if sys.breakpointhook is _breakpoint:
            sys.breakpointhook = hook_before


def _breakpoint(*arguments: Any, **options: Any) -> None:
    """What `breakpoint()` calls inside of `step`."""
    frame = sys._getframe().f_back
    if active and not active[-1].detached and active[-1].thread == threading.get_ident():
        _stop_at(frame)
    else:
        pdb.Pdb().set_trace(frame)


def set_trace() -> None:
    """Stop at this line, as pdb does; `event` goes on to the next event of the computation.

    PYTHONBREAKPOINT=minidl.debug.set_trace makes it what `breakpoint()` calls.
    """
    frame = sys._getframe().f_back
    if not active or active[-1].detached:
        session = Watch()
        session.wanted, session.is_lasting = nothing, False
        active.append(session)
        events.observers.append(session)
    _stop_at(frame)


def _stop_at(frame: FrameType | None) -> None:
    active[-1].prompt.users_lines_only = False
    active[-1].prompt.set_trace(frame)


def _keep_users_lines(trace: TracebackType | None) -> None:
    """Take minidl's own frames out of a traceback, that Python will print."""
    while trace is not None:
        while trace.tb_next is not None and not is_users(trace.tb_next.tb_frame.f_code.co_filename):
            trace.tb_next = trace.tb_next.tb_next
        trace = trace.tb_next


def exception_lines(error: BaseException) -> list[str]:
    """An exception with the user's lines of its traceback alone, and its notes."""
    lines = ["Traceback (your own lines):"]
    for frame in traceback.extract_tb(error.__traceback__):
        if is_users(frame.filename):
            lines += [f"  {frame.filename}:{frame.lineno}, in {frame.name}", f"    {frame.line}"]
    lines += "".join(traceback.format_exception_only(error)).rstrip().splitlines()
    return lines

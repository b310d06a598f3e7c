"""The prompt: pdb, whose commands go by the events of the computation where it stands at one.

    with minidl.debug.step():                    stops at the first event inside
        loss_fn(model(x), labels).backward()
    breakpoint()                                 inside of step(), in a backward too: this line, as pdb
    minidl.debug.set_trace()                     the same anywhere; PYTHONBREAKPOINT=minidl.debug.set_trace
    pytest --pdb --pdbcls=minidl.debug:Pdb       where a test failed

There are two kinds of stops. At an event (`(minidl)`) s, n, r and their kin move from event to event, forward and back.
At a line of Python (`(minidl line)`) they are pdb's own, and move from line to line. `line` and `event` change over.
"""

from __future__ import annotations

import bdb
import re
import sys
import time
from types import FrameType, TracebackType
from typing import Any

from minidl.debug.asking import Asking
from minidl.debug.lines import stop_lines
from minidl.debug.session import Session, Wanted, anything, end_of_module, nothing, nth, same_level
from minidl.debug.tape import Event, Value
from minidl.source import is_installed, is_users, user_frames

HELP = """At an event (the prompt is "(minidl)"):
  s [N]         the next event                       rs [N]   the event before
  n [N]         the next that is no deeper           rn [N]   the one before that is no deeper
  r             the end of the module, or phase      rc       back to a breakpoint, or to the first event
  c             on to a breakpoint, or to the end    unt SPEC the next event at which SPEC matches
  b SPEC [if EXPR]   a breakpoint; b alone lists them. tbreak SPEC: for once. cl [N]: take it, or all, away
  a             all tensors here                     gy gx saved   those gradients; what backward needs
  pt EXPR       the values of a tensor               hist EXPR     its histogram
  im EXPR [F]   a picture of it, or into the file F  in [k] out [k]   to the producer of an input; to a consumer
  w             module and user's lines              u d      up and down your lines of Python
  l             source of this forward or backward   src      around the user's line        formula   the docstring
  check         is the backward of this operation right?   why y[0,3,5,7]   the numbers it is the sum of; also of gx
  diff TAPE     where this run and another part      line     on to the next line of your Python
  g F.svg       the network as a picture             html F.html   the tape as a page for a browser
  q             leave: the program ends              detach   leave: the program runs on
  h CMD         more on a command; h pdb: pdb's own

SPEC: op:Conv2d  mod:features.3*  phase:bwd  nan  inf  zero  shape:*,64,8,8  grad>1e3  param:conv1.weight  file.py:42
Anything else is Python. The tensors of the stop are arrays in it, by their names (x, weight, y, gy, gx, ...), before
the variables of the frame; `event`, `tape` and `minidl` are there too. A line that begins with ! is always Python.

Where pdb has a command of the same name: s n r c unt b tbreak cl a w l move and look by events here. At a line of
Python ("(minidl line)") they are pdb's, and `event` goes on to the next event."""


OURS = ("minidl.debug.*", "minidl.events", "namedtuple_*")


class Pdb(Asking):
    """The prompt. Without a session (in pytest, after a failure) it is pdb, with the commands that look at tensors."""

    def __init__(self, *args: Any, session: Session | None = None, **kwargs: Any):
        super().__init__(*args, session=session, **kwargs)
        self.prompt = "(minidl line) "
        self.skip: set[str] | None = {*(self.skip or ()), *OURS}  # modules whose lines are not gone through
        self.users_lines_only = False
        self._lines_begin: FrameType | None = None  # where lines are gone through from, when the stop is left

    # --------------------------------------------------------------------------------------------------- the stops

    def stop_at_event(self, frame: FrameType | None = None) -> None:
        """Show the event that the session looks at, and read commands until the computation is to go on."""
        self._stop_tracing()
        frames = user_frames(sys._getframe()) if frame is None else [frame]
        self.at_event, self.prompt = True, "(minidl) "
        self.show()
        self._commands_in(frames[0] if frames else sys._getframe(1), None)

    def stop_after(self, trace: TracebackType | None, last: str) -> None:
        """The computation is over. Look back at it."""
        self._stop_tracing()
        self.at_event, self.prompt = True, "(minidl) "
        self.message(last)
        frames = user_frames(sys._getframe())
        self._commands_in(None if trace else frames[0] if frames else sys._getframe(1), trace)

    def interaction(self, frame: FrameType | None, *rest: Any) -> None:
        """A stop at a line: pdb's own, after a failure in the user's innermost frame."""
        self.at_event, self.prompt = False, "(minidl line) "
        super().interaction(frame, *rest)

    def setup(self, f: FrameType | None, tb: Any) -> Any:
        result = super().setup(f, tb)
        if f is None:  # after an exception: minidl's own frames lie below
            self._select_users_frame()
        return result

    def _cmdloop(self) -> None:
        """Read commands. What they compute is not for the tape, and their time not the computation's."""
        session = self.session
        if session is None:
            super()._cmdloop()  # type: ignore[misc]
            return
        busy, session.busy, start = session.busy, True, time.perf_counter()
        try:
            super()._cmdloop()  # type: ignore[misc]
        finally:
            session.busy = busy
            session.away += time.perf_counter() - start

    def _commands_in(self, frame: FrameType | None, trace: TracebackType | None) -> None:
        self.reset()
        if not self.setup(frame, trace):
            if hasattr(self, "_show_display"):  # from Python 3.13 on; before, its loop begins with that
                self._show_display()
            self._cmdloop()
        self.forget()

    def _select_users_frame(self) -> None:
        for index in range(len(self.stack) - 1, -1, -1):
            if is_users(self.stack[index][0].f_code.co_filename):
                self.curindex = index
                self.curframe = self.stack[index][0]
                self.curframe_locals = self.curframe.f_locals
                return

    def _stop_tracing(self) -> None:
        """No longer look at each line, if it did."""
        if sys.gettrace() is not None and getattr(sys.gettrace(), "__self__", None) is self:
            self.reset()
            sys.settrace(None)

    def show(self) -> None:
        """What there is at this event."""
        event = self.event
        if event is None or self.session is None:
            return
        if self.session.reason:
            self.message(self.session.reason)
        for line in stop_lines(event, self.session.tape, self.bars):
            self.message(line)
        if self.session.is_in_the_past:
            behind = len(self.session.tape) - 1 - event.number
            self.message(f"    ({behind} event{'s' if behind > 1 else ''} back)")

    def onecmd(self, line: str) -> Any:
        """A mistake in a command costs one line, and not the session."""
        try:
            return super().onecmd(line)
        except Exception as error:
            if isinstance(error, bdb.BdbQuit) or self.parseline(line)[0] in ("q", "quit", "exit", "EOF"):
                raise
            self.error(self.words_of(error))
            return None

    # ------------------------------------------------------------------------------------------------------- moving

    def do_step(self, arg: str) -> Any:
        """s(tep) [N]
        The next event, or the N-th from here. At a line: the next line, as in pdb."""
        return self._move(arg, anything) if self.at_event else super().do_step(arg)

    def do_next(self, arg: str) -> Any:
        """n(ext) [N]
        The next event that is no deeper in the modules. At a line: the next line of this function."""
        return self._move(arg, same_level(self.event)) if self.at_event else super().do_next(arg)

    def do_return(self, arg: str) -> Any:
        """r(eturn)
        The end of the module that the event belongs to, at the latest that of the phase. At a line: of the function."""
        return self._move("", end_of_module(self.event)) if self.at_event else super().do_return(arg)

    def do_continue(self, arg: str) -> Any:
        """c(ont(inue))
        On to the next breakpoint, or to the end."""
        session = self.session
        if session is not None and not session.breakpoints and not session.is_in_the_past:
            session.let_go()
        if self.at_event:
            return 1 if session is not None and session.is_over else self._move("", nothing)
        if session is not None:
            session.wanted = nothing
        return super().do_continue(arg)

    def do_until(self, arg: str) -> Any:
        """unt(il) SPEC [if EXPR]
        On to the next event at which SPEC matches (see `h b`). At a line: pdb's until."""
        if not self.at_event or self.session is None:
            return super().do_until(arg)
        return self._move("", self.session.until(self.session.spec(arg)))

    def do_rs(self, arg: str) -> Any:
        """rs [N]
        The event before, or the N-th before, with the tensors as they were. (reverse step)"""
        self._move_back(arg, anything)

    def do_rn(self, arg: str) -> Any:
        """rn [N]
        The event before that is no deeper in the modules. (reverse next)"""
        self._move_back(arg, same_level(self.event))

    def do_rc(self, arg: str) -> Any:
        """rc
        Back to the last breakpoint, or to the first event. (reverse continue)"""
        self._move_back("", nothing)

    do_s, do_n, do_r, do_unt = do_step, do_next, do_return, do_until
    do_c = do_cont = do_continue

    def do_event(self, arg: str) -> Any:
        """event
        From a line of Python: on to the next event of the computation."""
        if self.session is None:
            raise ValueError("nothing is being watched here")
        if self.at_event:
            return self._move("", anything)
        self.session.wanted = anything
        return super().do_continue("")

    def do_line(self, arg: str) -> Any:
        """line [all]
        From an event: on to the next line of your own Python, wherever that is. s, n and r then go by lines, until
        `event`. `line all` also stops at lines of minidl and of other libraries."""
        self.users_lines_only = arg.strip() != "all"
        if not self.at_event:
            return super().do_step("")
        session = self._session()
        if session.is_over:
            raise ValueError("the computation is over; rs goes back over it")
        session.position = len(session.tape) - 1  # lines run in the present
        session.wanted = nothing
        self._lines_begin = self.stack[-1][0]
        return 1

    def do_up(self, arg: str) -> None:
        """u(p) [N]
        At an event: to the line of yours that called this one, over minidl's own. At a line: pdb's, to any caller."""
        if not self.at_event:
            super().do_up(arg)
            return
        self._to_users_frame(_count(arg), range(self.curindex - 1, -1, -1), "this is the outermost of your lines")

    def do_down(self, arg: str) -> None:
        """d(own) [N]
        Back from where `up` came."""
        if not self.at_event:
            super().do_down(arg)
            return
        self._to_users_frame(
            _count(arg), range(self.curindex + 1, len(self.stack)), "this is the innermost of your lines"
        )

    do_u, do_d = do_up, do_down

    def _to_users_frame(self, count: int, indices: range, none: str) -> None:
        """The frame number `count` of the user's among these, or the last of them."""
        users = [i for i in indices if is_users(self.stack[i][0].f_code.co_filename)]
        if not users:
            raise ValueError(none)
        self._select_frame(users[min(count, len(users)) - 1])  # type: ignore[attr-defined]

    def begin_lines(self) -> None:
        """The stop is left: if `line` was the command, look at each line from here on."""
        if self._lines_begin is not None:
            frame, self._lines_begin = self._lines_begin, None
            bdb.Bdb.set_trace(self, frame)
            self.set_step()  # Python 3.13 would stop in the middle of this line

    def stop_here(self, frame: FrameType) -> bool:
        file = frame.f_code.co_filename
        if self.users_lines_only and (not is_users(file) or is_installed(file)):
            return False
        return super().stop_here(frame)

    def do_in(self, arg: str) -> None:
        """in [k]
        To the event that made input number k (or of this name); in backward, to its backward if that has run. Alone it
        lists the inputs."""
        event, tape = self._here()
        producers = [
            (name, tape.producer(value))
            for name, value in zip(event.names, event.inputs, strict=False)
            if isinstance(value, Value)
        ]
        self._walk(arg, event, [(name, made) for name, made in producers if made is not None], "no input was made here")

    def do_out(self, arg: str) -> None:
        """out [k]
        To consumer number k of what the operation returns. Alone it lists them."""
        event, tape = self._here()
        users = [user for y in event.outputs for user in tape.consumers(y) if user.phase == "forward"]
        self._walk(arg, event, [(user.operation, user) for user in users], "nothing has used it so far")

    def _walk(self, arg: str, event: Event, targets: list[tuple[str, Event]], none: str) -> None:
        if not targets:
            raise ValueError(none)
        if not arg:
            for number, (name, target) in enumerate(targets):
                self.message(f"{number}  {name}: [{target.number}] {target.operation} {target.path}")
            return
        names = [name for name, _ in targets]
        number = names.index(arg) if arg in names else int(arg) if arg.isdecimal() else -1
        if not 0 <= number < len(targets):
            raise ValueError(f"there is no {arg!r} here: 0 to {len(targets) - 1}, or {', '.join(names)}")
        target = targets[number][1]
        session = self._session()
        if event.phase == "backward":
            target = session.tape.other(target, "backward", event.kind) or target
        session.position, session.reason = target.number, ""
        self.show()

    def _move(self, arg: str, wanted: Wanted) -> Any:
        session = self._session()
        if session.forward(wanted if wanted is nothing else nth(wanted, _count(arg))):
            self.show()
            return None
        if not session.is_over:
            return 1  # the computation runs on
        self.message("the computation is over; rs goes back over it, c and q leave")
        return None

    def _move_back(self, arg: str, wanted: Wanted) -> None:
        session = self._session()
        if not self.at_event:
            self.at_event, self.prompt = True, "(minidl) "
            session.position = len(session.tape)
        if session.position <= 0:
            raise ValueError("this is the first event")
        session.backward(nth(wanted, _count(arg)))
        self.show()

    def do_quit(self, arg: str) -> Any:
        """q(uit)
        Leave: the program ends here, as after sys.exit(0). `detach` lets it run on."""
        if self.session is None:
            return super().do_quit(arg)
        self.session.detach()
        self._stop_tracing()
        raise Quit

    def do_detach(self, arg: str) -> Any:
        """detach
        Let the program run on to its end as if there were no debugger: nothing is watched, nothing stops."""
        if self.session is not None:
            self.session.detach()
        self._stop_tracing()
        return 1 if self.at_event else super().do_continue("")

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> Any:
        """EOF (Ctrl-D)
        Leave, as q does."""
        self.message("")
        return self.do_quit(arg)

    # -------------------------------------------------------------------------------------------------- breakpoints

    def do_break(self, arg: str, temporary: Any = False) -> None:
        """b(reak) [SPEC [if EXPR]]
        Stop at the events at which SPEC matches. Alone it lists the breakpoints.

        op:Conv2d          before its forward and before its backward; op:*Pool2d with wildcards
        mod:features.3*    on the way into a module, in forward and in backward
        phase:bwd          where backward begins; fwd, bwd, update
        nan  inf  zero     a tensor with a NaN was made; with an infinity; with nothing but zeros
        shape:*,64,8,8     a tensor of this shape was made
        grad>1e3           a gradient with an absolute value above it was made
        param:conv1.weight its gradient arrived, or it is updated
        file.py:42         an operation was called from this line

        Several must all hold: op:Conv2d phase:bwd. EXPR is Python: b op:ReLU if y.mean() > 1. At a line of Python,
        file.py:42, a line number and a function are pdb's breakpoints; all others are of events there, too."""
        if self.session is None or (not self.at_event and _is_pdbs(arg)):
            super().do_break(arg, temporary)
            return
        session = self.session
        if not arg:
            for point in session.breakpoints:
                once = ", once" if point.temporary else ""
                self.message(f"{point.number}  {point.spec.text}{once}  ({point.hits} hits)")
            if not session.breakpoints:
                self.message("no breakpoints; `b op:Conv2d` sets one, `h b` has all kinds")
            return
        point = session.add_breakpoint(session.spec(arg), bool(temporary))
        self.message(f"breakpoint {point.number}: {point.spec.text}")

    def do_tbreak(self, arg: str) -> None:
        """tbreak SPEC [if EXPR]
        A breakpoint that is gone after its first hit."""
        self.do_break(arg, True)

    def do_clear(self, arg: str) -> None:
        """cl(ear) [N ...]
        Take breakpoints away by their numbers, or all of them."""
        if self.session is None or (not self.at_event and not self.session.breakpoints):
            super().do_clear(arg)
            return
        known = {point.number: point for point in self.session.breakpoints}
        numbers = [int(word) if word.isdecimal() else -1 for word in arg.split()] or list(known)
        for number in numbers:
            if number not in known:
                raise ValueError(f"there is no breakpoint {arg}; b lists them")
        self.session.breakpoints = [point for n, point in known.items() if n not in numbers]
        self.message(f"{len(numbers)} breakpoint{'' if len(numbers) == 1 else 's'} gone")

    do_b, do_cl = do_break, do_clear

    def do_help(self, arg: str) -> Any:
        """h(elp) [CMD]
        All commands, or more on one; h pdb: pdb's own help."""
        if not arg:
            self.message(HELP)
            return None
        return super().do_help("" if arg == "pdb" else arg)

    do_h = do_help


class Quit(SystemExit):
    """q was typed: ends the program as sys.exit() does."""

    def __init__(self) -> None:
        super().__init__(0)


def _count(arg: str) -> int:
    if arg and (not arg.isdecimal() or int(arg) < 1):
        raise ValueError(f"expected a number of events, got {arg!r}")
    return int(arg or 1)


def _is_pdbs(arg: str) -> bool:
    """A breakpoint at a line or a function, for pdb."""
    where = arg.split(",")[0].split(" if ")[0].strip()
    is_place = re.fullmatch(r"\d+|[\w./\\]+:\d+|[A-Za-z_][\w.]*", where) is not None
    return not where or (is_place and where not in WORDS)


WORDS = ("nan", "inf", "zero")

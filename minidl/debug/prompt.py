"""The prompt: pdb, whose commands go by the events of the computation where it stands at one.

    with minidl.debug.step():                    stops at the first event inside
        loss_fn(model(x), labels).backward()
    minidl.debug.set_trace()                     stops at this line, as pdb does; PYTHONBREAKPOINT=minidl.debug.set_trace
    pytest --pdb --pdbcls=minidl.debug:Pdb       where a test failed

There are two kinds of stops. At an event (`(minidl)`) s, n, r and their kin move from event to event, forward and back.
At a line of Python (`(minidl line)`) they are pdb's own, and move from line to line. `line` and `event` change over.
"""

from __future__ import annotations

import bdb
import inspect
import linecache
import pdb
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import numpy

from minidl import events
from minidl.backend import CPU, is_array, transfer
from minidl.debug.diff import diff
from minidl.debug.formula import docstring
from minidl.debug.lines import ASCII_BARS, BARS, kind, stop_lines, tensor_lines
from minidl.debug.picture import histogram_lines, picture_lines, save_picture
from minidl.debug.session import Session, Wanted, anything, end_of_module, nothing, nth, same_level
from minidl.debug.source import Source, is_users, user_frames
from minidl.debug.spec import Spec, SpecError
from minidl.debug.tape import Event, Tape, Value
from minidl.nn import Module
from minidl.tensor import Tensor

HELP = """At an event (the prompt is "(minidl)"):
  s [N]         the next event                       rs [N]   the event before
  n [N]         the next that is no deeper           rn [N]   the one before that is no deeper
  r             the end of the module, or phase      rc       back to a breakpoint, or to the first event
  c             on to a breakpoint, or to the end    unt SPEC the next event at which SPEC matches
  b SPEC [if EXPR]   a breakpoint; b alone lists them. tbreak SPEC: for once. cl [N]: take it, or all, away
  a             all tensors here                     gy gx saved   those gradients; what backward needs
  pt EXPR       the values of a tensor               hist EXPR     its histogram
  im EXPR [F]   a picture of it, or into the file F  in [k] out [k]   to the producer of an input; to a consumer
  w             module and user's lines              u d      up and down the frames of Python
  l             source of this forward or backward   src      around the user's line        formula   the docstring
  diff TAPE     where this run and another part      line     on to the next line of your Python
  q             leave                                h CMD    more on a command; h pdb: pdb's own

SPEC: op:Conv2d  mod:features.3*  phase:bwd  nan  inf  zero  shape:*,64,8,8  grad>1e3  param:conv1.weight  file.py:42
Anything else is Python. The tensors of the stop are arrays in it, by their names (x, weight, y, gy, gx, ...), before
the variables of the frame; `event` and `tape` are there too. A line that begins with ! is always Python.

Where pdb has a command of the same name: s n r c unt rs b tbreak cl a w l move and look by events here. At a line of
Python ("(minidl line)") they are pdb's, and `event` goes on to the next event."""

# "gy.mean()", "x[0]", "n = 3" are Python, although gy, x and n are commands.
PYTHON = re.compile(r"\s*[A-Za-z_]\w*(?:[.\[(]|\s*(?:[-+*/%@&|^]|//|\*\*|<<|>>)?=(?!=)|\s*(?:==|!=|,))")

CALLED = re.compile(r"\s*(?:p|pp|pt|hist|im|whatis)\(")  # "p(x)", as many write it in pdb


class Pdb(pdb.Pdb):
    """The prompt. Without a session (in pytest, after a failure) it is pdb, with the commands that look at tensors."""

    def __init__(self, *args: Any, session: Session | None = None, **kwargs: Any):
        kwargs["skip"] = [*(kwargs.get("skip") or ()), "minidl.debug.*", "minidl.events"]
        super().__init__(*args, **kwargs)
        self.session = session
        self.at_event = False  # else at a line
        self.leaving = False  # q was typed
        self.bars = _bars(self.stdout)
        self.prompt = "(minidl line) "

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

    @property
    def event(self) -> Event | None:
        """The event of the stop; None at a line of Python."""
        return self.session.current if self.session is not None and self.at_event else None

    # ------------------------------------------------------------------------------------------------ Python, names

    def parseline(self, line: str) -> tuple[str | None, str | None, str]:
        if PYTHON.match(line) and not CALLED.match(line):
            return None, None, line
        return super().parseline(line)

    def default(self, line: str) -> None:
        """Python. Assignments go into the frame."""
        line = line.removeprefix("!")
        try:
            try:
                code = compile(line, "<stdin>", "eval")
            except SyntaxError:
                exec(compile(line, "<stdin>", "single"), *self._scopes())
                return
            result = eval(code, self._names())
        except Exception as error:
            self.error(_words(error))
        else:
            if result is not None:
                self.message(repr(result))

    def evaluate(self, expression: str) -> Any:
        """An expression with the names of the stop and the frame."""
        return eval(compile(expression.strip(), "<stdin>", "eval"), self._names())

    def _names(self) -> dict[str, Any]:
        """For an expression: one dictionary, so that what stands in a comprehension finds them too."""
        outer, inner = self._scopes()
        return {**outer, **inner, **self._names_here()}

    def _scopes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The frame's globals (with the names of the stop) and locals."""
        frame = self.curframe
        locals = getattr(self, "curframe_locals", None)
        return {**frame.f_globals, **self._names_here()}, frame.f_locals if locals is None else locals

    def _names_here(self) -> dict[str, Any]:
        event = self.event
        if event is None or self.session is None:
            return {} if self.session is None else {"tape": self.session.tape}
        arrays = {name: _read_only(value.array) for name, value in event.values.items()}
        return {"event": event, "tape": self.session.tape, **arrays}

    def _getval(self, arg: str) -> Any:  # p, pp, whatis and their kin
        try:
            return self.evaluate(arg)
        except Exception as error:
            self.error(_words(error))
            raise

    def array(self, text: str) -> Any:
        """The array, in the host's memory, that an expression stands for. ValueError for what is none."""
        value = self.evaluate(text)
        value = value.data if isinstance(value, Tensor) else value.array if isinstance(value, Value) else value
        if value is None:
            raise ValueError(f"{text} was not kept: the tape is over its budget of memory")
        if not is_array(value) and not isinstance(value, (int, float, bool, list, tuple)):
            raise ValueError(f"{text} is no tensor but a {type(value).__name__}")
        return transfer(value, CPU) if is_array(value) else numpy.asarray(value)

    def onecmd(self, line: str) -> Any:
        """A mistake in a command costs one line, and not the session."""
        try:
            return super().onecmd(line)
        except (KeyboardInterrupt, SystemExit, bdb.BdbQuit):
            raise
        except Exception as error:
            self.error(_words(error))
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
        if self.at_event or self.session is None:
            return self._move("", nothing) if self.at_event else super().do_continue(arg)
        self.session.wanted = nothing
        return super().do_continue(arg)

    def do_until(self, arg: str) -> Any:
        """unt(il) SPEC [if EXPR]
        On to the next event at which SPEC matches (see `h b`). At a line: pdb's until."""
        if not self.at_event or self.session is None:
            return super().do_until(arg)
        session, spec = self.session, Spec(arg)
        return self._move("", session.until(spec))

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
        """line
        From an event: on to the next line of your own Python, wherever that is. s, n and r then go by lines, until
        `event`. `line all` also stops in minidl's own files."""
        if not self.at_event:
            return super().do_step(arg)
        if self.session is None or self.session.is_over:
            raise ValueError("the computation is over; rs goes back over it")
        self.session.position = len(self.session.tape) - 1  # the present is where lines run
        self.session.wanted = nothing
        self.skip = {"minidl.debug.*", "minidl.events"} if arg.strip() == "all" else {"minidl.*", "minidl", "numpy.*"}
        bdb.Bdb.set_trace(self, sys._getframe())
        return 1

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
        if session.forward(nth(wanted, _count(arg))):
            self.show()
            return None
        if not session.is_over:
            return 1  # the computation runs on
        self.message("the computation is over; rs goes back over it, q leaves")
        return 1 if wanted is nothing else None

    def _move_back(self, arg: str, wanted: Wanted) -> None:
        session = self._session()
        if not self.at_event:
            self.at_event, self.prompt = True, "(minidl) "
            session.position = len(session.tape)
        if session.position <= 0:
            raise ValueError("this is the first event")
        session.backward(nth(wanted, _count(arg)))
        self.show()

    def _session(self) -> Session:
        if self.session is None:
            raise ValueError("no computation is being watched: that is for `with minidl.debug.step():`")
        return self.session

    def _here(self) -> tuple[Event, Tape]:
        event = self.event
        if event is None:
            raise ValueError("this is a line of Python, no event; `event` goes on to the next one, rs to the last")
        return event, self._session().tape

    def do_quit(self, arg: str) -> Any:
        """q(uit)
        Leave: the program ends here."""
        if self.session is None:
            return super().do_quit(arg)
        self.leaving = True
        self.session.detached = True
        self._stop_tracing()
        raise Quit

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
            return super().do_break(arg, temporary)
        session = self.session
        if not arg:
            for point in session.breakpoints:
                once = ", once" if point.temporary else ""
                self.message(f"{point.number}  {point.spec.text}{once}  ({point.hits} hits)")
            if not session.breakpoints:
                self.message("no breakpoints; `b op:Conv2d` sets one, `h b` has all kinds")
            return None
        point = session.add_breakpoint(Spec(arg), bool(temporary))
        self.message(f"breakpoint {point.number}: {point.spec.text}")
        return None

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

    # ------------------------------------------------------------------------------------------------------ looking

    def do_args(self, arg: str) -> None:
        """a(rgs)
        All tensors of the event, one line each. At a line: the arguments of the function."""
        if not self.at_event:
            super().do_args(arg)
            return
        event, _ = self._here()
        self._lines(event.values, "there are no tensors here")
        for name, value in zip(event.names, event.inputs, strict=False):
            if not isinstance(value, Value):
                self.message(f"{name} = {value!r}")
        for name, value in event.options.items():
            if name not in ("context", "values"):
                self.message(f"{name} = {value!r}")

    do_a = do_args

    def do_gy(self, arg: str) -> None:
        """gy
        The gradients that arrived here: of the outputs."""
        event, _ = self._here()
        values = {name: value for name, value in event.values.items() if name.startswith("gy")}
        self._lines(values, "no gradient has arrived here; backward brings it (unt phase:bwd)")

    def do_gx(self, arg: str) -> None:
        """gx
        The gradients that backward returned: of the inputs."""
        event, _ = self._here()
        values = {
            name: value for name, value in event.values.items() if name in ("grad", *(f"g{n}" for n in event.names))
        }
        self._lines(values, "backward has not run here; s runs it" if event.incoming else "this is not backward")

    def do_saved(self, arg: str) -> None:
        """saved
        What forward kept for backward."""
        event, _ = self._here()
        values = {name: value for name, value in event.values.items() if name.startswith("saved")}
        self._lines(values, "nothing is saved here")

    def do_pt(self, arg: str) -> None:
        """pt EXPR
        The values of a tensor: pt x[0,:,3:5]"""
        array = self.array(arg or self._first_name())
        self.message(f"{kind(array)}")
        self.message(numpy.array2string(array, precision=4, threshold=1000, edgeitems=3, suppress_small=True))

    def do_hist(self, arg: str) -> None:
        """hist EXPR
        The histogram of a tensor."""
        for line in histogram_lines(self.array(arg or self._first_name()), self.bars):
            self.message(line)

    def do_im(self, arg: str) -> None:
        """im EXPR [FILE.png]
        Feature maps, or an image, as a picture of characters; with a file, as a picture there."""
        text, _, path = arg.rpartition(" ") if arg.endswith(".png") else (arg, "", "")
        array = self.array(text or self._first_name())
        if path:
            save_picture(array, path)
            self.message(f"picture: {path}")
            return
        for line in picture_lines(array, ascii_only=self.bars is ASCII_BARS):
            self.message(line)

    def _first_name(self) -> str:
        """Of what the event made, or was given."""
        event, _ = self._here()
        values = event.values
        made = [name for name, value in values.items() if value in event.made]
        names = made or list(values)
        if not names:
            raise ValueError("there are no tensors here")
        return names[0]

    def _lines(self, values: dict[str, Value], none: str) -> None:
        for line in tensor_lines(values, self.bars) or [none]:
            self.message(line)

    def do_where(self, arg: str) -> None:
        """w(here)
        The module path, and the user's lines that called the operation. At a line: the stack."""
        if not self.at_event:
            super().do_where(arg)
            return
        event, tape = self._here()
        parts = event.path.split(".") if event.path else []
        if tape.model is not None:
            self.message(f"{type(tape.model).__name__}{' > ' if parts else ''}{' > '.join(parts)}  {event.operation}")
        for source in reversed(event.stack):
            self.message(f"{'>' if source is event.source else ' '} {source.name} in {source.function}")
            self.message(f"      {source.text}")

    do_w = do_where

    def do_list(self, arg: str) -> None:
        """l(ist)
        The source of the forward, backward or update that this event is about. At a line: the lines around it."""
        if not self.at_event:
            super().do_list(arg)
            return
        event, _ = self._here()
        name = "update" if event.phase == "update" else "backward" if event.phase == "backward" else "forward"
        method = getattr(event.node if event.kind == "accumulate" else event.type, name, None)
        if method is None:
            raise ValueError(f"{event.operation} has no {name}")
        lines, first = inspect.getsourcelines(method)
        self.message(f"{inspect.getsourcefile(method)}:{first}")
        for number, line in enumerate(lines, first):
            self.message(f"{number:4}  {line.rstrip()}")

    do_l = do_list

    def do_src(self, arg: str) -> None:
        """src
        The user's line that called the operation, and those around it."""
        event, _ = self._here()
        for source in dict.fromkeys(filter(None, (event.source, *event.stack[:1]))):
            self._source(source)

    def _source(self, source: Source) -> None:
        self.message(f"{source.file}, {source.function}")
        for number in range(max(source.line - 3, 1), source.line + 4):
            if line := linecache.getline(source.file, number):
                self.message(f"{number:4} {'->' if number == source.line else '  '} {line.rstrip()}")

    def do_formula(self, arg: str) -> None:
        """formula
        What the operation computes, forward and backward: its docstring."""
        event, _ = self._here()
        self.message(docstring(event.type) or f"{event.operation} has no docstring")

    def do_diff(self, arg: str) -> None:
        """diff TAPE
        The first event where this run and another (a Tape, or a Stepper's) part."""
        other = self.evaluate(arg)
        other = getattr(other, "tape", other)
        if not isinstance(other, Tape):
            raise ValueError(f"{arg} is no Tape; minidl.debug.trace(fn) makes one")
        self.message(str(diff(self._session().tape, other) or "the two runs do not part"))

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


class Watch(Session):
    """A session in the program's own thread: at a stop, the prompt."""

    def __init__(self, model: Module | None = None, budget: int = 1 << 30, prompt: type[Pdb] = Pdb):
        super().__init__(model, "full", budget)
        self.prompt = prompt(session=self)
        self._interrupted = False
        self._handler_before: Any = None

    def stop(self, event: Event) -> None:
        self._hear_ctrl_c(False)
        self.prompt.stop_at_event()
        self._hear_ctrl_c(True)

    def problem(self, message: str) -> None:
        self.prompt.error(message)

    def evaluate(self, condition: Any, event: Event) -> bool:
        frames = user_frames(sys._getframe())
        names = {**frames[0].f_globals, **frames[0].f_locals} if frames else {}
        names |= {name: value.array for name, value in event.values.items()}
        return bool(eval(condition, {**names, "event": event, "tape": self.tape}))  # the user's own words

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, every event comes here; at the end, and after an exception, the prompt comes once more."""
        active.append(self)
        try:
            with events.observing(self):
                self._hear_ctrl_c(True)
                yield
        except Quit:
            raise
        except BaseException as error:
            self._over()
            self.prompt.message("")
            for line in exception_lines(error):
                self.prompt.message(line)
            if not self.detached:
                self.prompt.stop_after(error.__traceback__, "rs goes back over what happened; c and q leave")
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
def step(model: Module | None = None, budget: int = 1 << 30) -> Iterator[None]:
    """Inside, the prompt comes at the first event of a computation, and goes on as it is told. `h` has its commands.

    model, budget: as for `trace`.
    """
    with Watch(model, budget).watching():
        yield


def set_trace() -> None:
    """Stop at this line, as pdb does; `event` goes on to the next event of the computation.

    PYTHONBREAKPOINT=minidl.debug.set_trace makes it what `breakpoint()` calls.
    """
    frame = sys._getframe().f_back
    if not active:
        session = Watch()
        session.wanted = nothing
        active.append(session)
        events.observers.append(session)
    active[-1].prompt.set_trace(frame)


def exception_lines(error: BaseException) -> list[str]:
    """An exception with the user's lines of its traceback alone, and its notes."""
    lines = ["Traceback (your own lines):"]
    for frame in traceback.extract_tb(error.__traceback__):
        if is_users(frame.filename):
            lines += [f"  {frame.filename}:{frame.lineno}, in {frame.name}", f"    {frame.line}"]
    lines += "".join(traceback.format_exception_only(error)).rstrip().splitlines()
    return lines


def _count(arg: str) -> int:
    if arg and (not arg.isdecimal() or int(arg) < 1):
        raise ValueError(f"expected a number of events, got {arg!r}")
    return int(arg or 1)


def _words(error: BaseException) -> str:
    """One line about an error; of one of our own the message says it all."""
    text = str(error).partition("\n")[0]
    return text if type(error) is ValueError or isinstance(error, SpecError) else f"{type(error).__name__}: {text}"


def _is_pdbs(arg: str) -> bool:
    """A breakpoint at a line or a function, for pdb."""
    where = arg.split(",")[0].split(" if ")[0].strip()
    return not where or bool(re.fullmatch(r"\d+|[\w./\\]+:\d+|[A-Za-z_][\w.]*", where)) and where not in WORDS


WORDS = ("nan", "inf", "zero")


def _read_only(array: Any) -> Any:
    """A view that cannot be written to: the tape's tensors stay what they were."""
    if isinstance(array, numpy.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array


def _bars(stream: Any) -> str:
    """What sparklines are made of, as far as the terminal can show it."""
    try:
        BARS.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_BARS
    return BARS

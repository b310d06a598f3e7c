"""What the prompt shows: the half of it that looks at a stop, and changes nothing."""

from __future__ import annotations

import inspect
import linecache
import pdb
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy

from minidl.backend import CPU, is_array, transfer
from minidl.debug.diff import diff
from minidl.debug.formula import docstring
from minidl.debug.lines import ASCII_BARS, BARS, kind, tensor_lines
from minidl.debug.page import html
from minidl.debug.picture import histogram_lines, picture_lines, save_picture
from minidl.debug.session import Session
from minidl.debug.spec import SpecError
from minidl.debug.tape import Event, Tape, Value
from minidl.inspect.graph import graph
from minidl.source import Source
from minidl.tensor import Tensor

# "gy.mean()", "x[0]", "n = 3" are Python, although gy, x and n are commands.
PYTHON = re.compile(r"\s*[A-Za-z_]\w*(?:[.\[(]|\s*(?:[-+*/%@&|^]|//|\*\*|<<|>>)?=(?!=)|\s*(?:==|!=|,))")
CALLED = re.compile(r"\s*(p|pp|pt|hist|im|whatis)(?=\()")  # "p(x)", as many write it in pdb


class Looking(pdb.Pdb):
    """Commands that look, and expressions with the names of the stop.

    session     the computation that is stepped through; None where nothing is (in pytest, after a failure)
    at_event    True at an event, False at a line of Python
    """

    def __init__(self, *args: Any, session: Session | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.session = session
        self.at_event = False
        self.bars = _bars(self.stdout)

    @property
    def event(self) -> Event | None:
        """The event of the stop; None at a line of Python."""
        return self.session.current if self.session is not None and self.at_event else None

    def _session(self) -> Session:
        if self.session is None:
            raise ValueError("no computation is being watched: that is for `with minidl.debug.step():`")
        return self.session

    def _here(self) -> tuple[Event, Tape]:
        event, tape = self.event, self._session().tape
        if event is None:
            raise ValueError("this is a line of Python, no event; `event` goes on to the next one, rs to the last")
        return event, tape

    # ------------------------------------------------------------------------------------------------ Python, names

    def parseline(self, line: str) -> tuple[str | None, str | None, str]:
        if called := CALLED.match(line):
            return called[1], line[called.end() :], line
        if PYTHON.match(line):
            return None, None, line
        return super().parseline(line)

    def default(self, line: str) -> None:
        """Python. Assignments go into the frame."""
        line = line.removeprefix("!")
        try:
            try:
                code = compile(line, "<stdin>", "eval")
            except SyntaxError:
                self._execute(compile(line + "\n", "<stdin>", "single"))  # the end of `for ...: ...` in one line
                return
            result = eval(code, self._names())
        except Exception as error:
            self.error(self.words_of(error))
        else:
            if result is not None:
                self.message(repr(result))

    def _execute(self, code: Any) -> None:
        """A statement. What it assigns becomes a variable of the frame."""
        outer, inner = self._scopes()
        names = {**inner, **self._names_here()}
        before = dict(names)
        exec(code, outer, names)
        inner.update({name: value for name, value in names.items() if name not in before or before[name] is not value})

    def evaluate(self, expression: str) -> Any:
        """An expression with the names of the stop and the frame."""
        return eval(compile(expression.strip(), "<stdin>", "eval"), self._names())

    def _names(self) -> dict[str, Any]:
        """For an expression: one dictionary, so that what stands in a comprehension finds them too."""
        outer, inner = self._scopes()
        return {**outer, **inner, **self._names_here()}

    def _scopes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The frame's globals (with `minidl` and the names of the stop) and locals."""
        frame: Any = self.curframe
        locals = getattr(self, "curframe_locals", None)
        package = sys.modules["minidl"]  # loaded before all of its parts
        outer = {"minidl": package, **frame.f_globals, **self._names_here()}
        return outer, frame.f_locals if locals is None else locals

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
            self.error(self.words_of(error))
            raise

    def _getval_except(self, arg: str, frame: Any = None) -> Any:
        """For `display`: in words where it is a tensor, for pdb then asks whether it is still equal to what it was."""
        if frame is not None or not self.at_event:
            value = super()._getval_except(arg, frame)  # type: ignore[misc]
        else:
            try:
                value = self.evaluate(arg)
            except Exception as error:
                return _Words(f"** raised {self.words_of(error)} **")
        return _Words(repr(value)) if isinstance(value, Tensor) or is_array(value) else value

    def words_of(self, error: BaseException) -> str:
        """One line about an error, and its help; of a name that there is not, those of the tensors that there are."""
        words, event = words_of(error), self.event
        if isinstance(error, NameError) and event is not None and event.values:
            name = error.name or ""
            near = [other for other in event.values if name and other.startswith(name)]  # y, of y0 and y1
            near = near or get_close_matches(name, event.values, 1)
            if event.phase == "forward" and name in ("gy", *(f"g{given}" for given in event.names)):
                words += "; backward brings gradients: unt phase:bwd"
            else:
                words += f"; did you mean {near[0]}?" if near else f"; the tensors here are {', '.join(event.values)}"
        return words

    def array(self, text: str) -> Any:
        """The array, in the host's memory, that an expression stands for. ValueError for what is none."""
        value = self.evaluate(text)
        value = value.data if isinstance(value, Tensor) else value.array if isinstance(value, Value) else value
        if value is None:
            raise ValueError(f"{text} was not kept: the tape is over its budget of memory")
        if not is_array(value) and not isinstance(value, (int, float, bool, list, tuple)):
            raise ValueError(f"{text} is no tensor but a {type(value).__name__}")
        return transfer(value, CPU) if is_array(value) else numpy.asarray(value)

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
        if not arg:
            raise ValueError("with which run? diff TAPE; minidl.debug.trace(fn) makes one")
        other = self.evaluate(arg)
        other = getattr(other, "tape", other)
        if not isinstance(other, Tape):
            raise ValueError(f"{arg} is no Tape; minidl.debug.trace(fn) makes one")
        session = self._session()
        parted = diff(session.tape, other)
        if parted is not None and parted.left is None and not session.is_over:
            self.message("the two runs do not part so far")
            return
        self.message(str(parted or "the two runs do not part"))

    # ---------------------------------------------------------------------------------------------------- into files

    def do_html(self, arg: str) -> None:
        """html FILE.html
        All that has happened so far as a page for a browser, open at this event."""
        session = self._session()
        path = _path(arg, ".html")
        model = session.tape.model
        title = type(model).__name__ if model is not None else "A computation"
        path.write_text(html(session.tape, title, at=session.position), encoding="utf-8")
        self.message(f"page: {path}")

    def do_g(self, arg: str) -> None:
        """g FILE.svg
        The network as a picture. It runs once more for that, and is left as it was."""
        tape = self._session().tape
        path = _path(arg, ".svg")
        called = next((e for e in tape if e.kind == "enter" and not e.path and e.inputs), None)
        if tape.model is None or called is None:
            raise ValueError("no network with parameters has been called here")
        if called.inputs[0].array is None:
            raise ValueError("the input of the network was not kept: the tape is over its budget of memory")
        path.write_text(graph(tape.model, Tensor(called.inputs[0].array.copy())).to_svg(), encoding="utf-8")
        self.message(f"picture: {path}")


class _Words(str):
    """Words that stand without quotation marks."""

    __repr__ = str.__str__


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


def words_of(error: BaseException) -> str:
    """One line about an error, and one of help where it has that; of one of our own the message says it all."""
    text, *more = str(error).splitlines() or [""]
    if type(error) is not ValueError and not isinstance(error, SpecError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return "\n".join([text, *(line for line in more if line.startswith("  help: "))])


def _path(arg: str, suffix: str) -> Path:
    """The file that was named. ValueError without a name, or with that of another kind of file."""
    path = Path(arg.strip()).expanduser()
    if not arg.strip() or path.suffix != suffix:
        raise ValueError(f"name the file to write: out{suffix}")
    return path

"""Where to stop: a SPEC, as the commands b, tbreak and unt take it.

    op:Conv2d          before its forward and before its backward        op:*Pool2d     with wildcards
    mod:features.3*    on the way into a module, in forward and in backward
    phase:bwd          where backward begins                             fwd, bwd, update
    nan  inf  zero     an event made a tensor with a NaN; with an infinity; of nothing but zeros
    shape:*,64,8,8     an event made a tensor of this shape; * is any size
    grad>1e3           an event made a gradient with an absolute value above 1000; also grad<1e-9
    param:conv1.weight its gradient arrived, or it is updated; with wildcards
    file.py:42         an operation was called from this line

Several in one SPEC must all hold: `op:Conv2d phase:bwd`. At the end there may be `if EXPR`, Python with the names of
the stop (event, x, y, gy, gx, ...).
"""

from __future__ import annotations

import linecache
import operator
import re
import sys
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any

from minidl import autograd
from minidl.debug.tape import Event, Value
from minidl.function import Function

Test = Callable[[Event], bool]

PHASES = {"fwd": "forward", "bwd": "backward", "upd": "update", "forward": "forward", "backward": "backward"}
PHASES |= {"update": "update"}
KINDS = {"mod": "module", "param": "parameter"}
FORMS = "op:Conv2d mod:features.3* phase:bwd nan inf zero shape:*,64,8,8 grad>1e3 param:conv1.weight file.py:42"


class SpecError(ValueError):
    """A SPEC that cannot be read; the message is one line."""


class Spec:
    """A SPEC, read. SpecError where it makes no sense.

    text        as it was written
    condition   what stood after `if`, compiled; None without it. Who asks evaluates it
    """

    def __init__(self, text: str):
        self.text = " ".join(text.split())
        where, self.expression = _split_condition(self.text)
        if self.text.endswith(" if"):
            raise SpecError(f"nothing stands after {self.text!r}; for example {self.text} event.number > 9")
        if not where:
            raise SpecError(f"a SPEC is one of {FORMS}")
        self.condition = None
        if self.expression:
            try:
                self.condition = compile(self.expression, "<condition>", "eval")
            except SyntaxError as error:
                raise SpecError(f"the condition `{self.expression}` is no expression: {error.msg}") from None
        terms = [_term(word) for word in where.split()]
        self._words = where.split()
        self._tests = [test for test, _ in terms]
        self._is_region = all(region for _, region in terms)

    def matches(self, event: Event, previous: Event | None) -> bool:
        """Does it hold here? Where it names a region (a module, a line): is this the first event of its phase in it?"""
        if not all(test(event) for test in self._tests):
            return False
        if not self._is_region or previous is None or previous.phase != event.phase:
            return True
        return not all(test(previous) for test in self._tests)

    def check_names(self, key: str, names: Collection[str]) -> None:
        """SpecError where it is about a module (key "mod") or parameter ("param") that has none of these names."""
        for word in self._words:
            of, _, pattern = word.partition(":")
            if of == key and not any(fnmatchcase(name, pattern) for name in names):
                near = get_close_matches(pattern, names, 1, cutoff=0.4)
                hint = f"; did you mean {key}:{near[0]}?" if near else ""
                raise SpecError(f"there is no {KINDS[key]} {pattern!r} in the model{hint}")

    def check_files(self, seen: Collection[str]) -> None:
        """SpecError where it is about a line of a file that was neither seen nor loaded, nor can be imported."""
        for word in self._words:
            file, line = _file_and_line(word)
            if not line:
                continue
            loaded = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
            files = {*seen, *loaded, *linecache.cache}
            wanted = PurePath(file).parts
            if any(PurePath(each).parts[-len(wanted) :] == wanted for each in files):
                continue
            if not any(Path(folder, file).is_file() for folder in ("", *sys.path)):
                near = get_close_matches(PurePath(file).name, {PurePath(each).name for each in seen or files}, 1)
                hint = f"; did you mean {near[0]}:{line}?" if near else ""
                raise SpecError(f"there is no file {file!r} here{hint}")

    def __repr__(self) -> str:
        return f"Spec({self.text!r})"


def _split_condition(text: str) -> tuple[str, str]:
    where, _, expression = f" {text} ".partition(" if ")
    return where.strip(), expression.strip()


def _term(word: str) -> tuple[Test, bool]:
    """The test of one word, and whether it names a region."""
    if word in ("nan", "inf", "zero"):
        return _found(word), False
    if match := re.fullmatch(r"grad(<=|>=|<|>)(.+)", word):
        return _gradient(*match.groups()), False
    key, colon, rest = word.partition(":")
    if colon and not rest:
        raise SpecError(f"nothing stands after {word!r}; for example {_example(key)}")
    if key == "op" and colon:
        return _operation(rest), False
    if key == "mod" and colon:
        return lambda event: event.phase != "update" and _is_inside(event.path, rest), True
    if key == "phase" and colon:
        if rest not in PHASES:
            raise SpecError(f"there is no phase {rest!r}: fwd, bwd or update")
        return lambda event: event.phase == PHASES[rest], True
    if key == "shape" and colon:
        return _shape(rest), False
    if key == "param" and colon:
        return _parameter(rest), False
    file, line = _file_and_line(word)
    if line:
        return _line(file, line), True
    near = get_close_matches(key, ["op", "mod", "phase", "nan", "inf", "zero", "shape", "grad", "param"], 1)
    operation = _like_an_operation(word)
    hint = f"did you mean {_example(near[0])}? " if near else f"did you mean {operation}? " if operation else ""
    raise SpecError(f"{word!r} is no SPEC; {hint}there are {FORMS}")


def _file_and_line(word: str) -> tuple[str, int]:
    """train.py:42 in two; ("", 0) for what is none."""
    file, _, line = word.rpartition(":")
    is_line = line.isdecimal() and (file.endswith(".py") or file.startswith("<"))
    return (file, int(line)) if is_line else ("", 0)


def _example(key: str) -> str:
    return next((form for form in FORMS.split() if form.startswith(key)), FORMS)


def _operation(pattern: str) -> Test:
    if not any(fnmatchcase(name, pattern) for name in _operations()):
        near = _like_an_operation(pattern)
        hint = f"did you mean {near}?" if near else "the stops show what runs"
        raise SpecError(f"there is no operation {pattern!r}; {hint}")
    return lambda event: event.kind == "before" and event.phase != "update" and fnmatchcase(event.operation, pattern)


def _operations() -> list[str]:
    """The names of all operations, minidl's and the user's."""
    return [kind.__name__ for base in (Function, autograd.Function) for kind in _subclasses(base)]


def _like_an_operation(word: str) -> str:
    """op:Conv2d for conv, Conv2D, ...; "" where nothing is like it."""
    names = {name.lower(): name for name in _operations()}
    begun = sorted((name for name in names if name.startswith(word.lower())), key=len)
    near = begun or get_close_matches(word.lower(), names, 1)
    return f"op:{names[near[0]]}" if near else ""


def _subclasses(base: Any) -> Iterator[type]:
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _is_inside(path: str, pattern: str) -> bool:
    """The module at `path`, or one around it, has a name like `pattern`."""
    parts = path.split(".")
    return any(fnmatchcase(".".join(parts[:count]), pattern) for count in range(1, len(parts) + 1)) and bool(path)


def _found(word: str) -> Test:
    def test(event: Event) -> bool:
        for value in _new(event):
            known = value.statistics
            if known is not None and known.size:
                if word == "zero" and known.zeros == known.size and value.dtype.kind == "f":
                    return True
                if (word == "nan" and known.nans) or (word == "inf" and known.infs):
                    return True
        return False

    return test


def _new(event: Event) -> Iterator[Value]:
    """What the event made; before an operation, what came into it from nowhere on the tape."""
    yield from event.made
    if event.kind == "before" and event.phase == "forward":
        for value in event.inputs:
            if isinstance(value, Value) and value.producer is None and value.consumers[:1] == [event.number]:
                yield value


def _shape(text: str) -> Test:
    sizes = text.split(",")
    if not all(size == "*" or size.isdecimal() for size in sizes):
        raise SpecError(f"a shape is numbers and * with commas between them, as in shape:*,64,8,8, not {text!r}")

    def test(event: Event) -> bool:
        return any(
            len(value.shape) == len(sizes)
            and all(wanted in ("*", str(size)) for wanted, size in zip(sizes, value.shape, strict=True))
            for value in event.made
        )

    return test


def _gradient(sign: str, text: str) -> Test:
    try:
        bound = float(text)
    except ValueError:
        raise SpecError(f"{text!r} is no number, as in grad>1e3") from None
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign]

    def test(event: Event) -> bool:
        made = event.made if event.phase == "backward" else ()
        return any(value.statistics is not None and compare(value.statistics.largest, bound) for value in made)

    return test


def _parameter(pattern: str) -> Test:
    return lambda event: (
        event.kind in ("accumulate", "before") and bool(event.parameter) and fnmatchcase(event.parameter, pattern)
    )


def _line(file: str, line: int) -> Test:
    wanted = PurePath(file).parts

    def test(event: Event) -> bool:
        return any(
            source.line == line and PurePath(source.file).parts[-len(wanted) :] == wanted for source in event.stack
        )

    return test

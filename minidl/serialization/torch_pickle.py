"""The pickle in PyTorch's files, interpreted here: nothing in it is ever executed.

A pickle is a program for a small stack machine. Python's own machine looks up any function that the file names, and
calls it: a file that names os.system runs a command as soon as it is loaded. The machine here

  * has no instruction that looks anything up: a name must be one of the few that `read_pickle` is given,
    and what such a name stands for is a function of ours, never the one that the file means;
  * knows only the instructions that PyTorch's files need; all others are refused, among them those that make
    objects of classes, set attributes, or use Python's registry of extensions;
  * gives numbers, texts, bytes, lists, tuples, dictionaries with plain keys, and what the functions make.

Its memory grows with the length of the pickle, not with a number that stands in it. The instructions themselves are
taken apart by the standard library's pickletools, which executes none.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_NESTED = 100  # containers in containers; a checkpoint has about five

KEYS = (str, int, float, bool, bytes, type(None))


class PickleError(Exception):
    """The pickle is damaged."""


class Refused(PickleError):
    """It asks for what is not allowed."""


@dataclass(frozen=True, eq=False)
class Name:
    """A name of the closed list that stands on the stack: `make` is called where the file calls it."""

    text: str
    make: Callable[..., Any] | None  # None: it may be mentioned, not called
    value: Any = None  # what stands in its place in the result


Names = Mapping[tuple[str, str], Name]

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
EMPTY: dict[str, type] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}

MARK = object()  # on the stack, where a list of arguments begins


def read_pickle(stream: Any, names: Names, load_persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of the pickle that begins here in `stream`; afterwards the stream stands behind it.

    stream              lies in memory (BytesIO, mmap): asked for more bytes than there are, it takes no memory for them
    names               (module, name) -> what may stand in the file under this name
    load_persistent     called for what the file keeps elsewhere, with its description

    PickleError for anything else than a well-formed pickle of that kind.
    """
    machine = _Machine(names, load_persistent)
    try:
        for instruction, argument, position in pickletools.genops(stream):
            if instruction.name == "STOP":
                value = machine.result()
                _check_nesting(value)
                return value
            machine.run(instruction.name, argument, position)
    except PickleError:
        raise
    except (ValueError, OverflowError, UnicodeError, IndexError) as error:  # from pickletools
        raise PickleError(f"it is damaged: {error}") from None
    raise PickleError("it does not end")


class _Machine:
    """The stack, and the memo of values that are used again."""

    def __init__(self, names: Names, load_persistent: Callable[[Any], Any] | None):
        self.names = names
        self.load_persistent = load_persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, instruction: str, argument: Any, position: int | None) -> None:
        if instruction in LITERALS:
            self.stack.append(argument)
        elif instruction in CONSTANTS:
            self.stack.append(CONSTANTS[instruction])
        elif instruction in EMPTY:
            self.stack.append(EMPTY[instruction]())
        elif instruction in PUTS:
            self.memo[len(self.memo) if instruction == "MEMOIZE" else argument] = self.top()
        elif instruction in GETS:
            if argument not in self.memo:
                raise PickleError(f"it is damaged: value {argument} is used before it is defined")
            self.stack.append(self.memo[argument])
        elif instruction in TUPLES:
            self.stack.append(self.take(TUPLES[instruction]))
        elif hasattr(self, f"do_{instruction.lower()}"):
            getattr(self, f"do_{instruction.lower()}")(argument)
        else:
            raise Refused(f"the instruction {instruction} (at byte {position}) has no place in a file of weights")

    def result(self) -> Any:
        value = self.pop()
        if self.stack:
            raise PickleError("it is damaged: values are left over at its end")
        return value

    # ------------------------------------------------------------------------------------------------- the stack

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise PickleError("it is damaged: a value is missing")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def take(self, count: int) -> tuple[Any, ...]:
        """The last `count` values, in their order."""
        values = tuple(self.pop() for _ in range(count))
        return values[::-1]

    def take_to_mark(self) -> list[Any]:
        """What was put on the stack since the last mark, which is taken away too."""
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is MARK:
                return values[::-1]
            values.append(value)
        raise PickleError("it is damaged: a list of arguments has no beginning")

    # ---------------------------------------------------------------------------------------------- instructions

    def do_proto(self, version: int) -> None:
        if version > 5:
            raise PickleError(f"it is written in protocol {version}, and 5 is the latest that is known here")

    def do_frame(self, length: int) -> None:
        """A hint for reading ahead."""

    def do_mark(self, _: None) -> None:
        self.stack.append(MARK)

    def do_pop(self, _: None) -> None:
        if not self.stack:
            raise PickleError("it is damaged: a value is missing")
        self.stack.pop()

    def do_pop_mark(self, _: None) -> None:
        self.take_to_mark()

    def do_tuple(self, _: None) -> None:
        self.stack.append(tuple(self.take_to_mark()))

    def do_list(self, _: None) -> None:
        self.stack.append(self.take_to_mark())

    def do_append(self, _: None) -> None:
        value = self.pop()
        self.container(list).append(value)

    def do_appends(self, _: None) -> None:
        values = self.take_to_mark()
        self.container(list).extend(values)

    def do_dict(self, _: None) -> None:
        values = self.take_to_mark()
        self.stack.append({})
        self.set_items(values)

    def do_setitem(self, _: None) -> None:
        self.set_items(list(self.take(2)))

    def do_setitems(self, _: None) -> None:
        self.set_items(self.take_to_mark())

    def set_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise PickleError("it is damaged: a key has no value")
        target = self.container(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, KEYS):  # the hash of a tuple, say, would walk all that is nested in it
                raise PickleError(f"a key of a dictionary must be a text or a number, not a {type(key).__name__}")
            target[key] = value

    def container(self, kind: type) -> Any:
        target = self.top()
        if not isinstance(target, kind):
            raise PickleError(f"it puts something into a {type(target).__name__} that only a {kind.__name__} takes")
        return target

    def do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self.look_up(module, name))

    def do_stack_global(self, _: None) -> None:
        module, name = self.take(2)
        self.stack.append(self.look_up(module, name))

    def look_up(self, module: Any, name: Any) -> Any:
        known = self.names.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            raise Refused(f"it names {_short(module)}.{_short(name)}, which is not on the list of allowed names")
        return known if known.value is None else known.value

    def do_reduce(self, _: None) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, Name) or function.make is None or not isinstance(arguments, tuple):
            what = function.text if isinstance(function, Name) else f"a {type(function).__name__}"
            raise Refused(f"it calls {what}, which cannot be called")
        try:
            self.stack.append(function.make(*arguments))
        except (TypeError, ValueError, OverflowError) as error:
            raise PickleError(f"{function.text} has wrong arguments: {error}") from None

    def do_build(self, _: None) -> None:
        """The attributes of an OrderedDict: PyTorch keeps the versions of modules there. They are left out."""
        state = self.pop()
        if not isinstance(self.top(), OrderedDict) or not isinstance(state, dict):
            raise Refused(f"it sets attributes of a {type(self.top()).__name__}, which is not allowed")

    def do_binpersid(self, _: None) -> None:
        description = self.pop()
        if self.load_persistent is None:
            raise PickleError("it refers to something outside of it")
        self.stack.append(self.load_persistent(description))


def ordered_dict(items: Any = ()) -> OrderedDict:
    """What collections.OrderedDict stands for: without arguments, or (Python 2) with a list of pairs."""
    made: OrderedDict = OrderedDict()
    if not isinstance(items, (list, tuple)):
        raise TypeError("an OrderedDict is made of pairs")
    for pair in items:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], KEYS):
            raise TypeError("an OrderedDict is made of pairs of a plain key and a value")
        made[pair[0]] = pair[1]
    return made


def _check_nesting(value: Any) -> None:
    """Level by level, each container once, so that a value which contains itself ends as well."""
    level, seen = [value], set()
    for _ in range(MOST_NESTED):
        inner: list[Any] = []
        for container in level:
            if isinstance(container, Name):
                raise PickleError(f"it holds {container.text} itself, which is no value")
            if isinstance(container, (dict, list, tuple)) and id(container) not in seen:
                seen.add(id(container))
                inner += container.values() if isinstance(container, dict) else container
        if not inner:
            return
        level = inner
    raise PickleError(f"it is nested more than {MOST_NESTED} levels deep")


def _short(text: Any) -> str:
    return text[:60] if isinstance(text, str) else f"<{type(text).__name__}>"

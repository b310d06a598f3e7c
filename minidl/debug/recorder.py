"""The observer that writes a tape, and `trace`, which runs a function under it."""

from __future__ import annotations

import inspect
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import CodeType, FrameType
from typing import Any

from minidl import memory
from minidl.backend import is_array
from minidl.debug.tape import Event, Tape, Value
from minidl.errors import explain
from minidl.events import Observer, observing
from minidl.function import Function
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.source import Source, user_stack, users_line
from minidl.tensor import Tensor

RECORDS = ("meta", "stats", "full")


def trace(fn: Callable[[], Any], model: Module | None = None, record: str = "full", budget: int = 1 << 30) -> Tape:
    """Call `fn()` and write down all that happens in it; what it returns is the tape's `result`.

    model       whose parts give the events their paths; if it is not given, the first module with parameters that is
                called from outside of modules
    record      "meta", "stats" or "full", budget: see Tape

    An exception of `fn` passes through, and has the tape of what happened before it as its attribute `tape`.
    ValueError: there is no such record. TypeError: `fn` is no function, `model` no module.
    """
    require_function("trace", fn)
    recorder = Recorder(model, record, budget)
    recorder.bottom = trace.__code__
    with observing(recorder):
        try:
            recorder.tape.result = fn()
        except Exception as error:
            error.tape = recorder.tape  # type: ignore[attr-defined]
            raise
    return recorder.tape


@dataclass
class _Call:
    """What the events of one call of an operation have in common, from before its forward to after its backward."""

    number: int
    operation: str
    type: type
    path: str = ""
    level: int = 0
    stack: tuple[Source, ...] = ()
    names: tuple[str, ...] = ()
    inputs: tuple = ()
    outputs: tuple = ()
    saved: tuple = ()
    incoming: tuple = ()


@dataclass
class _Running:
    """An operation, a module or a step that has begun and not ended."""

    what: Any
    call: _Call
    opened: int  # the number of the event with which it began
    is_operation: bool
    caller: FrameType  # whoever runs it: `apply`, say
    start: float = 0.0


class Recorder(Observer):
    """Writes what it is told in its own thread onto a tape. A debugger is one that does more in `happened`.

    model       as for `trace`
    bottom      the code of a function: the stacks of the events end at a call of it
    """

    bottom: CodeType | None = None

    def __init__(self, model: Module | None = None, record: str = "full", budget: int = 1 << 30):
        if record not in RECORDS:
            raise ValueError(explain("trace", f"there is no record {record!r}", help='"meta", "stats" or "full"'))
        if model is not None and not isinstance(model, Module):
            raise TypeError(explain("minidl.debug", "the model is a module, or is left out", {"got": model}))
        self.tape = Tape(record, budget)
        self.thread = threading.get_ident()
        self.away = 0.0  # seconds that somebody looked at the computation instead of going on with it
        self.busy = False  # True while the debugger itself computes: that is not for the tape
        self._known: dict[int, tuple[Callable[[], Any], Value]] = {}  # of an array, by its id(): how to reach it, Value
        self._lying_in: dict[int, list[int]] = {}  # which of them lie in one piece of memory, by the id() of its owner
        self._calls: weakref.WeakKeyDictionary[Function, _Call] = weakref.WeakKeyDictionary()
        self._running: list[_Running] = []  # the innermost last
        self._models: list[Module] = []  # held, so that the ids in what follows stay theirs
        self._paths: dict[int, str] = {}  # of their modules
        self._names: dict[int, str] = {}  # of their parameters and buffers
        self._settings: dict[int, dict[str, Any]] = {}  # of the optimizer whose step runs, by the id() of a parameter
        self._call_count = 0
        if model is not None:
            self._learn_names(model, "")

    def happened(self, event: Event) -> None:
        """Called with each event, when it is on the tape."""

    def name_of(self, tensor: Any) -> str:
        """The dotted name of a parameter or buffer; "" for other tensors."""
        return self._names.get(id(tensor), "")

    # ------------------------------------------------------------------------------------------------- operations

    def before_forward(self, node: Function, inputs: tuple, options: dict[str, Any]) -> None:
        if self._is_not_ours():
            return
        call = self._new_call(node)
        call.stack = user_stack(self.bottom)
        call.path = self._running[-1].call.path if self._running else ""
        call.inputs = tuple(self._given(x, len(self.tape)) for x in inputs)
        call.names = input_names(call.type, len(inputs))
        self._event("forward", "before", call, node, options=options, opens=True)

    def after_forward(self, node: Function, inputs: tuple, outputs: Any) -> None:
        if self._is_not_ours() or (call := self._calls.get(node)) is None:
            return
        seconds, number = self._end(node), len(self.tape)
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        call.outputs = tuple(self._made(y.data, number) for y in made)
        call.saved = tuple(self._seen(array) if is_array(array) else array for array in node.saved or ())
        self._event("forward", "after", call, node, options=node.options, seconds=seconds, bytes=_bytes(call.outputs))

    def before_backward(self, node: Function, grad_outputs: Sequence) -> None:
        if self._is_not_ours():
            return
        call = self._calls.get(node)
        if call is None:  # its forward ran before anybody looked
            call = self._new_call(node)
            call.names = input_names(call.type, len(node.edges))
        call.incoming = tuple(self._seen(gradient, len(self.tape)) for gradient in grad_outputs)
        if node.keeps_gradient:  # one event is enough: "accumulate"
            self._begin(node, call, opened=len(self.tape))
        else:
            self._event("backward", "before", call, node, options=node.options, opens=True)

    def after_backward(self, node: Function, grad_inputs: Sequence) -> None:
        if self._is_not_ours() or (call := self._calls.get(node)) is None:
            return
        seconds, number = self._end(node), len(self.tape)
        if not node.keeps_gradient:
            produced = tuple(self._made(gradient, number) if is_array(gradient) else None for gradient in grad_inputs)
            self._event(
                "backward",
                "after",
                call,
                node,
                produced=produced,
                options=node.options,
                seconds=seconds,
                bytes=_bytes(produced),
            )
            return
        leaf = node.variable  # type: ignore[attr-defined]
        if leaf is not None and leaf.requires_grad:
            name = self.name_of(leaf)
            call.path, call.names = name.rpartition(".")[0], ("leaf",)
            call.level = name.count(".") + 1 if name else call.level  # that of the operations of its module
            call.inputs = (self._given(leaf),)
            source = self.tape.producer(call.incoming[0]) or (self.tape.events[-1] if self.tape.events else None)
            call.stack = source.stack if source is not None else ()  # of the operation that used the leaf
            produced = (self._made(leaf.grad.data, number),)
            self._event("backward", "accumulate", call, node, produced=produced, seconds=seconds, parameter=name)

    def _new_call(self, node: Function) -> _Call:
        kind = type(node.options["context"]) if "context" in node.options else type(node)  # an autograd.Function's
        call = self._calls[node] = _Call(self._next_call(), node.name(), kind, level=self._level())
        return call

    # ---------------------------------------------------------------------------------------------------- modules

    def enter_module(self, module: Module, inputs: tuple) -> None:
        if self._is_not_ours():
            return
        kind: Any = type(module)
        call = _Call(self._next_call(), kind.__name__, kind, self._path(module), self._level())
        call.stack = user_stack(self.bottom)
        call.inputs = tuple(self._given(x) for x in inputs)
        call.names = input_names(kind, len(inputs))
        self._event("forward", "enter", call, module, opens=True)

    def leave_module(self, module: Module, output: Any) -> None:
        if self._is_not_ours() or not any(each.what is module for each in self._running):
            return
        while self._running[-1].what is not module:  # an exception came from there
            self._running.pop()
        call = self._running[-1].call
        seconds = self._end(module)
        outputs = output if isinstance(output, tuple) else (output,)
        call.outputs = tuple(self._seen(y.data) for y in outputs if isinstance(y, Tensor))
        self._event("forward", "leave", call, module, seconds=seconds)

    def _path(self, module: Module) -> str:
        if id(module) not in self._paths:
            name = type(module).__name__
            if self._running:  # not registered as a part of the model
                self._learn_names(module, ".".join(filter(None, (self._running[-1].call.path, name))))
            else:
                is_model = self.tape.model is None and next(module.parameters(), None) is not None
                self._learn_names(module, "" if is_model else name)
        return self._paths[id(module)]

    def _learn_names(self, module: Module, path: str) -> None:
        self._models.append(module)
        if not path:
            self.tape.model = module
        for name, part in module.named_modules(prefix=path):
            self._paths.setdefault(id(part), name)
        for name, tensor in (*module.named_parameters(prefix=path), *module.named_buffers(prefix=path)):
            self._names.setdefault(id(tensor), name)

    # ---------------------------------------------------------------------------------------------------- updates

    def before_step(self, optimizer: Optimizer) -> None:
        if not self._is_not_ours():
            call = self._call_of(optimizer)
            self._settings = {}
            for group in optimizer.param_groups:
                settings = {name: value for name, value in group.items() if name != "params"}
                self._settings |= {id(param): settings for param in group["params"]}
            self._event("update", "enter", call, optimizer, opens=True)

    def before_update(self, optimizer: Optimizer, param: Tensor) -> None:
        if not self._is_not_ours():
            call = self._call_of(optimizer)
            state = {key: tensor for key, tensor in optimizer.state[param].items() if isinstance(tensor, Tensor)}
            call.names = ("param", "grad", *state)
            call.inputs = tuple(self._given(tensor, len(self.tape)) for tensor in (param, param.grad, *state.values()))
            call.path = self.name_of(param).rpartition(".")[0]
            options = self._settings.get(id(param), {})
            self._event("update", "before", call, param, parameter=self.name_of(param), options=options, opens=True)

    def after_update(self, optimizer: Optimizer, param: Tensor) -> None:
        if self._is_not_ours() or not self._running or self._running[-1].what is not param:
            return
        call, number = self._running[-1].call, len(self.tape)
        seconds = self._end(param)
        state = {key: tensor for key, tensor in optimizer.state[param].items() if isinstance(tensor, Tensor)}
        call.outputs = tuple(
            self._made(tensor.data, number, self.name_of(tensor)) for tensor in (param, *state.values())
        )
        options = dict(self._settings.get(id(param), {}))
        if "step" in optimizer.state[param]:
            options["step"] = optimizer.state[param]["step"]
        self._event(
            "update",
            "after",
            call,
            param,
            seconds=seconds,
            parameter=self.name_of(param),
            output_names=tuple(f"new_{name}" for name in ("param", *state)),
            options=options,
        )

    def after_step(self, optimizer: Optimizer) -> None:
        if self._is_not_ours() or not any(each.what is optimizer for each in self._running):
            return
        while self._running[-1].what is not optimizer:
            self._running.pop()
        call = self._running[-1].call
        self._event("update", "leave", call, optimizer, seconds=self._end(optimizer))

    def after_zero_grad(self, owner: Any) -> None:
        if not self._is_not_ours():
            call = self._call_of(owner)
            call.operation = "zero_grad"
            self._event("update", "after", call, owner)

    def _call_of(self, owner: Any) -> _Call:
        call = _Call(self._next_call(), type(owner).__name__, type(owner), level=self._level())
        call.stack = user_stack(self.bottom)
        return call

    # ----------------------------------------------------------------------------------------------------- values

    def before_change(self, array: Any) -> None:
        self.tape.before_change(array)
        self._forget(array)

    def overwritten(self, array: Any) -> None:
        source = users_line(user_stack(self.bottom))
        line = source.name if source else "minidl"
        if spoilt := self.tape.overwritten(array, line):
            self.spoilt(spoilt, line)
        self._forget(array)

    def spoilt(self, values: list[Value], line: str) -> None:
        """Called when `x.data -= a` in this line has written into tensors of the tape: they are not what they were."""

    def _forget(self, array: Any) -> None:
        """What lies in its memory next is another Value."""
        owner = memory.owner(array)
        for key in self._lying_in.pop(id(owner), ()):
            found = self._known.get(key)
            if found is not None and memory.owner(found[0]()) is owner:  # not others that have got its id()
                del self._known[key]

    def _given(self, x: Any, consumer: int | None = None) -> Any:
        """The Value of an input; what is no tensor stays as it is."""
        if isinstance(x, Tensor):
            return self._seen(x.data, consumer, self.name_of(x))
        return self._seen(x, consumer) if is_array(x) else x

    def _seen(self, array: Any, consumer: int | None = None, name: str = "") -> Value:
        """The Value of an array: the one that it has, or a new one."""
        found = self._known.get(id(array))
        value = found[1] if found is not None and found[0]() is array else self._made(array, None, name)
        if consumer is not None and value.consumers[-1:] != [consumer]:
            value.consumers.append(consumer)
        return value

    def _made(self, array: Any, producer: int | None, name: str = "") -> Value:
        """A new Value: `array` was made, or written, by the event number `producer`."""
        found = self._known.get(id(array))
        same = found[1] if found is not None and found[0]() is array else None  # handed on as it is
        value = self.tape.new_value(array, name, producer, same)
        reach: Callable[[], Any] = lambda: array  # noqa: E731
        with suppress(TypeError):  # a kind of array that has no weak references
            reach = weakref.ref(array)
        self._known[id(array)] = reach, value
        self._lying_in.setdefault(id(memory.owner(array)), []).append(id(array))
        return value

    # ----------------------------------------------------------------------------------------------------- events

    def _is_not_ours(self) -> bool:
        return self.busy or threading.get_ident() != self.thread

    def _level(self) -> int:
        self._forget_what_failed()
        return self._running[-1].call.level + 1 if self._running else 0

    def _next_call(self) -> int:
        self._call_count += 1
        return self._call_count

    def _begin(self, what: Any, call: _Call, opened: int) -> None:
        caller: Any = sys._getframe(1)
        while caller.f_code.co_filename == __file__:
            caller = caller.f_back
        start = time.perf_counter() - self.away
        self._running.append(_Running(what, call, opened, not isinstance(what, Module), caller, start))

    def _forget_what_failed(self) -> None:
        """An operation or a step that raises an exception ends without a word: who called it is no longer there."""
        while self._running and self._running[-1].is_operation and not _is_on_stack(self._running[-1].caller):
            self._running.pop()

    def _end(self, what: Any) -> float:
        """How long it took."""
        now = time.perf_counter() - self.away
        while self._running:
            running = self._running.pop()
            if running.what is what:
                return now - running.start
        return 0.0

    def _event(self, phase: str, kind: str, call: _Call, what: Any, opens: bool = False, **known: Any) -> None:
        """Put an event on the tape, and let the debugger have it."""
        self._forget_what_failed()
        number = len(self.tape)
        within = next((each.opened for each in reversed(self._running) if each.is_operation), None)
        node = what if isinstance(what, Function) else None
        event = Event(
            number=number,
            phase=phase,
            kind=kind,
            operation=call.operation,
            path=call.path,
            level=call.level,
            call=call.number,
            within=within,
            inputs=call.inputs,
            outputs=call.outputs,
            names=call.names,
            saved=call.saved,
            incoming=call.incoming,
            stack=call.stack,
            type=call.type,
            _node=node if node is None or self.tape.record == "full" else weakref.ref(node),
            **known,
        )
        self.tape.add(event)
        if opens:
            self._begin(what, call, number)
        self.happened(event)
        if opens:
            self._running[-1].start = time.perf_counter() - self.away


def require_function(name: str, fn: Any) -> None:
    """TypeError for what has run already: trace(loss.backward()) for trace(loss.backward)."""
    if not callable(fn):
        help = f"{name}(lambda: loss_fn(model(x), labels).backward())"
        raise TypeError(explain(name, "expected a function, which is called here", {"got": fn}, help=help))


@cache
def input_names(kind: Any, count: int) -> tuple[str, ...]:
    """How the forward of an operation or a module calls its inputs; x0, x1, ... where it takes any number."""
    parameters = list(inspect.signature(kind.forward).parameters.values())
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"x{i}" for i in range(len(names), count)]
        elif parameter.kind is not parameter.KEYWORD_ONLY and parameter.name not in ("self", "ctx", "context"):
            names.append(parameter.name)
    return tuple(names[:count])


def _is_on_stack(wanted: FrameType) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not wanted:
        frame = frame.f_back
    return frame is not None


def _bytes(values: tuple) -> int:
    return sum(value.nbytes for value in values if value is not None)

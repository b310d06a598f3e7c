"""detect_anomaly: stop at the operation where a NaN is born, forward, backward or in the optimizer's step.

    with minidl.autograd.detect_anomaly():
        loss = loss_fn(model(x), labels)
        loss.backward()
        optimizer.step()

The name and check_nan are PyTorch's; PyTorch looks at the gradients that backward returns, and at nothing else. Here
the results of every operation are looked at as soon as they are there: the first NaN is found in the operation that
made it, and a NaN loss does not get as far as backward, not even one whose forward ran outside of the context. The
exception says where: module, shapes, ranges, the first place and what stood there, and in a note the lines of code that
called the operation.

Infinities are let through, since they may be meant: -inf masks a score, and the maximum of no pixels is -inf. If one of
them turns into a NaN later (inf - inf, 0 * inf), the exception also says where that infinity came from. With
check_inf=True they are stopped as well.

Each result is read once more, which takes about as long as a ReLU.
"""

from __future__ import annotations

import inspect
import sys
import threading
import warnings
import weakref
from collections.abc import Sequence
from contextlib import suppress
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Any

import numpy

from minidl.backend import array_module, is_array, on_device_of, transfer
from minidl.errors import describe, explain
from minidl.events import Observer, observers
from minidl.function import Function
from minidl.source import Source, user_stack
from minidl.tensor import Tensor

# Why a NaN (or an infinity) usually arises in an operation: forward, backward.
CAUSES = {
    "Log": ("the logarithm of a negative number is nan, of 0 -inf: log(x + eps), log_softmax", "0 / 0 where x is 0"),
    "Sqrt": (
        "the root of a negative number is nan",
        "the slope of a root is infinite at 0, and times a gradient of 0 it is nan: sqrt(x + eps)",
    ),
    "Pow": (
        "a power of a negative number with a fraction in the exponent is nan",
        "for an exponent below 1 the slope is infinite at 0: (x + eps) ** p",
    ),
    "Div": ("0 / 0 and inf / inf are nan: divide by y + eps", "where y is 0, x / y has no slope: divide by y + eps"),
    "Exp": ("e^x is infinite from x = 89 on in float32", "0 * inf"),
    "Softmax": ("a line that is -inf everywhere, or holds inf, has no softmax", ""),
    "LogSoftmax": ("a line that is -inf everywhere, or holds inf, has no softmax", ""),
    "Std": ("of a single number there is no deviation (n - 1 is 0): correction=0", ""),
    "Var": ("of a single number there is no variance (n - 1 is 0): correction=0", ""),
    "Mean": ("the mean of no numbers is nan", ""),
}


class AnomalyError(RuntimeError):
    """A NaN, or with check_inf an infinity, was born. Raised inside of `detect_anomaly`."""


class detect_anomaly:
    """A context manager in which no NaN passes.

    check_nan   False lets NaN pass, and only notes, of an exception in a backward, where its operation was called
    check_inf   stop at infinities as well

    AnomalyError, with what is known of the operation, or of the loss. UserWarning where backward comes to operations
    whose forward was not in the context: their results were not looked at. Only the thread that enters the context is
    watched.
    """

    def __init__(self, check_nan: bool = True, *, check_inf: bool = False):
        self.check_nan, self.check_inf = check_nan, check_inf
        self._watch: _Watch | None = None
        self._errors: numpy.errstate | None = None

    def __enter__(self) -> None:
        self._watch = _Watch(self.check_nan, self.check_inf)
        outside = sys._getframe(1).f_back
        self._watch.until = None if outside is None else outside.f_code
        observers.append(self._watch)
        self._errors = numpy.errstate(divide="ignore", invalid="ignore", over="ignore")  # the exception says more
        self._errors.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        assert self._watch is not None
        assert self._errors is not None
        observers.remove(self._watch)
        self._errors.__exit__(None, None, None)
        if error is not None and not isinstance(error, AnomalyError) and self._watch.in_backward is not None:
            node, walk = self._watch.in_backward
            if any(frame is walk for frame, _ in walk_tb(error.__traceback__)):  # not after one that was caught
                error.add_note(self._watch.called_in(node))
        self._watch = self._errors = None


class set_detect_anomaly:
    """Turn the detection on or off at once; used as a context manager, the old setting comes back at the end."""

    def __init__(self, mode: bool, check_nan: bool = True, *, check_inf: bool = False):
        self._before = _settings[-1:]
        self._set([detect_anomaly(check_nan, check_inf=check_inf)] if mode else [])

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        self._set(self._before)

    def _set(self, new: list[detect_anomaly]) -> None:
        if _settings:
            _settings.pop().__exit__(None, None, None)
        for setting in new:
            setting.__enter__()
            _settings.append(setting)


_settings: list[detect_anomaly] = []  # what set_detect_anomaly has turned on: one or none
DEEPEST = 20  # lines of a stack


class _Watch(Observer):
    """Looks at every result, every gradient, and every parameter after its update."""

    def __init__(self, check_nan: bool, check_inf: bool):
        self.check_nan, self.check_inf = check_nan, check_inf
        self.thread = threading.get_ident()
        self.until: CodeType | None = None  # who called the function that entered the context: there stacks end
        # The node whose backward runs, or has raised an exception, and the frame of the walk that runs it.
        self.in_backward: tuple[Function, FrameType] | None = None
        self._modules: list[Any] = []  # those that run, the innermost last
        self._names: dict[Any, str] = {}  # of all modules in the outermost one
        # Of each node that ran here: its module, and the user's lines that called it.
        self._calls: weakref.WeakKeyDictionary[Function, tuple[str, tuple[Source, ...]]] = weakref.WeakKeyDictionary()
        self._infinite: dict[int, tuple[Any, str]] = {}  # of an array, by its id(): a reference to it, where inf began
        self._given: dict[str, Any] = {}  # to the backward that runs: what its forward saved, and the gradients
        self._told = False

    # ---------------------------------------------------------------------------------------------------- forward

    def enter_module(self, module: Any, inputs: tuple) -> None:
        if self._is_ours():
            if not self._modules:
                self._names = {below: name for name, below in module.named_modules()}
            self._modules.append(module)

    def leave_module(self, module: Any, output: Any) -> None:
        if self._is_ours() and self._modules:
            self._modules.pop()

    def before_forward(self, node: Function, inputs: tuple, options: dict[str, Any]) -> None:
        if self._is_ours():
            self._calls[node] = self._path(), user_stack(self.until)[:DEEPEST]

    def after_forward(self, node: Function, inputs: tuple, outputs: Any) -> None:
        if not self._is_ours():
            return
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for index, output in enumerate(outputs):
            what, counted = self._found(output.data)
            if not counted:
                continue
            arrays = {self._name(node, i, x): x.data for i, x in enumerate(inputs) if isinstance(x, Tensor)}
            name = _numbered("output", index, outputs)
            if what:
                brought = [given for given, x in arrays.items() if self._found(x)[0]]
                words = f"{what} in the result of {self._title(node)}"
                if brought:
                    words += f": it came in with {brought[0]}, which was made outside"
                else:
                    words += f", which was born here: {counted}"
                cause = "" if brought else CAUSES.get(node.name(), ("", ""))[0]
                raise self._error(words, node, {**arrays, name: output.data}, name, cause)
            origin = next((self._infinite[id(x)][1] for x in arrays.values() if self._knows(x)), None)
            _, stack = self._calls.get(node, ("", ()))
            line = f"{stack[0].name}: {stack[0].text}" if stack else "called from minidl"
            self._note_infinity(output.data, origin or f"{self._title(node)}, {line}")

    # --------------------------------------------------------------------------------------------------- backward

    def start_backward(self, tensor: Tensor, gradient: Any) -> None:
        """A loss whose forward ran before anybody looked."""
        if not self._is_ours():
            return
        what, counted = self._found(tensor.data)
        if what:
            words = f"{what} in the tensor that backward was called on: {counted}"
            help = "run forward inside of detect_anomaly as well: it then stops in the operation that makes it"
            error = AnomalyError(
                explain("detect_anomaly", "\n".join([words, *_in_words({"loss": tensor.data})]), help=help)
            )
            if tensor.grad_fn is not None:
                error.add_note(self.called_in(tensor.grad_fn))
            raise error

    def before_backward(self, node: Function, grad_outputs: Sequence) -> None:
        if not self._is_ours():
            return
        self.in_backward = node, sys._getframe(1)
        self._given = {f"saved {i}": array for i, array in enumerate(node.saved or ()) if is_array(array)}
        self._given |= {_numbered("grad_output", i, grad_outputs): g for i, g in enumerate(grad_outputs)}
        if node not in self._calls and not node.keeps_gradient and not self._told:
            self._told = True
            warnings.warn(
                f"detect_anomaly: no forward pass information available. The forward of {node.name()} ran outside of "
                "detect_anomaly: neither its results nor the loss were looked at, nor is it known where it was called",
                stacklevel=2,
            )
        for index, gradient in enumerate(grad_outputs):
            what, counted = self._found(gradient)
            if what:
                name = _numbered("grad_output", index, grad_outputs)
                raise self._error(
                    f"{what} in the gradient that arrives at {self._title(node)}, although no backward returned it: "
                    f"{counted}",
                    node,
                    {name: gradient},
                    name,
                    "it was given to backward(), a hook returned it, or gradients were added: inf - inf",
                )
        leaf = getattr(node, "variable", None) if node.keeps_gradient else None
        if leaf is not None and self._found(leaf.data)[0]:
            raise self._error(
                "the leaf that a gradient arrives at is not finite itself", node, {"leaf": leaf.data}, "leaf", ""
            )

    def after_backward(self, node: Function, grad_inputs: Sequence) -> None:
        if not self._is_ours():
            return
        self.in_backward = None
        leaf = getattr(node, "variable", None) if node.keeps_gradient else None
        if leaf is not None and leaf.grad is not None:
            self._check_gradient(node, "its .grad", leaf.grad.data, "{} after a gradient was added to .grad")
        else:
            for index, gradient in enumerate(grad_inputs):
                if is_array(gradient):
                    words = f"Function '{node.name()}' returned {{}} values in its {index}th output, a gradient"
                    self._check_gradient(node, f"grad of {self._name(node, index, None)}", gradient, words)
        self._given = {}

    def _check_gradient(self, node: Function, name: str, gradient: Any, words: str) -> None:
        what, counted = self._found(gradient)
        if what:
            words = f"{words.format(what)}, in the backward of {self._title(node)}: {counted}"
            raise self._error(words, node, {**self._given, name: gradient}, name, CAUSES.get(node.name(), ("", ""))[1])

    # ----------------------------------------------------------------------------------------------------- update

    def after_update(self, optimizer: Any, param: Tensor) -> None:
        if not self._is_ours():
            return
        what, counted = self._found(param.data)
        if counted and not what:  # let through, and remembered for what becomes of it
            stack = user_stack(self.until)
            line = f", {stack[0].name}: {stack[0].text}" if stack else ""
            self._note_infinity(param.data, f"{type(optimizer).__name__}.step{line}")
        elif what:
            words = f"{type(optimizer).__name__}.step made a parameter that is not finite"
            help = "the gradient was infinite, or the learning rate is far too large"
            arrays = {"parameter": param.data, "gradient": param.grad.data if param.grad is not None else None}
            lines = _in_words({name: array for name, array in arrays.items() if array is not None})
            raise AnomalyError(explain("detect_anomaly", "\n".join([words, *lines]), help=help))

    # --------------------------------------------------------------------------------------------------- in words

    def _is_ours(self) -> bool:
        return threading.get_ident() == self.thread

    def _path(self) -> str:
        """The dotted name of the module that runs; of one that the outermost does not know, its class."""
        if not self._modules:
            return ""
        module = self._modules[-1]
        return self._names.get(module, type(module).__name__)

    def _title(self, node: Function) -> str:
        path, _ = self._calls.get(node, ("", []))
        return f"{node.name()} ({path})" if path else node.name()

    def _name(self, node: Function, index: int, x: Tensor | None) -> str:
        """What an input is called: a parameter of the running modules by its dotted name, others as in forward."""
        for module in self._modules[:1] if x is not None and x.is_leaf else ():
            for name, parameter in module.named_parameters():
                if parameter is x:
                    return name
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
        parameters = [p.name for p in inspect.signature(node.forward).parameters.values() if p.kind in kinds]
        return parameters[index] if index < len(parameters) else f"input {index}"

    def _found(self, array: Any) -> tuple[str, str]:
        """What an array is stopped for, "nan", "inf" or "", and how many of both it holds in words, "" for none."""
        nans, infs = _bad(array)
        if not nans and not infs:
            return "", ""
        what = "nan" if nans and self.check_nan else "inf" if infs and self.check_inf else ""
        parts = [f"{count:,} {word}" for count, word in ((nans, "nan"), (infs, "inf")) if count]
        return what, f"{' and '.join(parts)} among {array.size:,} numbers"

    def _error(self, words: str, node: Function, arrays: dict[str, Any], bad: str, cause: str) -> AnomalyError:
        """The exception: every array in a line, the first bad place and what stands there in those of one shape."""
        lines = [words, *_in_words(arrays)]
        array = arrays[bad]
        numbers = transfer(array, "cpu")
        wrong = ~numpy.isfinite(numbers)
        if self.check_nan and numpy.isnan(numbers).any():
            wrong = numpy.isnan(numbers)
        place = tuple(map(int, numpy.argwhere(wrong)[0]))
        stands_there = {name: _at(place, other, array.shape, node.broadcasts) for name, other in arrays.items()}
        there = [f"{name} is {value:.6g}" for name, value in stands_there.items() if value is not None]
        lines.append(f"  first at {list(place)}, where {', '.join(there)}" if place else f"  there {', '.join(there)}")
        for name, other in arrays.items():
            if self._knows(other):
                lines.append(f"  the infinity in {name} came from {self._infinite[id(other)][1]}")
        error = AnomalyError(explain("detect_anomaly", "\n".join(lines), help=cause or None))
        error.add_note(self.called_in(node))
        return error

    def called_in(self, node: Function) -> str:
        """The user's lines that called an operation, the innermost last, as in a traceback."""
        _, stack = self._calls.get(node, ("", ()))
        if not stack:
            return f"{node.name()} was called outside of detect_anomaly: put forward into the context as well"
        lines = [f"{self._title(node)} was called here (most recent call last):"]
        for source in reversed(stack):
            lines.append(f'  File "{source.file}", line {source.line}, in {source.function}')
            if source.text:
                lines.append(f"    {source.text}")
        return "\n".join(lines)

    def _note_infinity(self, array: Any, origin: str) -> None:
        key = id(array)
        with suppress(TypeError):  # a kind of array that has no weak references
            self._infinite[key] = weakref.ref(array, lambda _: self._infinite.pop(key, None)), origin

    def _knows(self, array: Any) -> bool:
        """Whether it is known where the infinity in this array came from."""
        reference, _ = self._infinite.get(id(array), (lambda: None, ""))
        return reference() is array


def _at(place: tuple[int, ...], array: Any, shape: tuple[int, ...], broadcasts: bool) -> float | None:
    """The number that stands at a place of an array of that shape in another one; None where that has another shape."""
    expected = shape[len(shape) - array.ndim :]
    fits = array.ndim <= len(shape) and all(n in (1, m) for n, m in zip(array.shape, expected, strict=True))
    if array.shape != shape and not (broadcasts and fits):
        return None
    inner = place[len(place) - array.ndim :]
    return float(array[tuple(0 if n == 1 else i for i, n in zip(inner, array.shape, strict=True))])


def _numbered(name: str, index: int, among: Sequence) -> str:
    return name if len(among) == 1 else f"{name} {index}"


def _bad(array: Any) -> tuple[int, int]:
    """How many numbers are nan, and how many infinite."""
    if array is None or array.dtype.kind != "f" or not array.size:
        return 0, 0
    xp = array_module(array)
    with on_device_of((array,)), numpy.errstate(all="ignore"):
        if bool(xp.isfinite(array.sum())):  # a nan or an infinity would have stayed in the sum
            return 0, 0
        return int(xp.isnan(array).sum()), int(xp.isinf(array).sum())


def _in_words(arrays: dict[str, Any]) -> list[str]:
    """Each array in a line: dtype, shape, range and mean of its finite numbers, how many are not."""
    width = max(len(name) for name in arrays) + 1
    return [f"  {name + ':':{width}} {describe(array)}{_statistics(array)}" for name, array in arrays.items()]


def _statistics(array: Any) -> str:
    if not array.size:
        return ""
    values = transfer(array, "cpu").astype("float64").ravel()
    finite = values[numpy.isfinite(values)]
    if array.size == 1 and finite.size:
        return f", {finite[0]:.6g}"
    words = f", {finite.min():.4g} .. {finite.max():.4g}, mean {finite.mean():.4g}" if finite.size else ""
    counts = {"0": finite.size - numpy.count_nonzero(finite), "nan": int(numpy.isnan(values).sum())}
    counts["inf"] = values.size - finite.size - counts["nan"]
    return words + "".join(f", {count:,} {what}" for what, count in counts.items() if count)

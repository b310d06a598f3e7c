"""Whether operations are recorded: no_grad, enable_grad, set_grad_enabled, inference_mode.

Each is a context manager and a decorator, and each thread has its own mode, as in PyTorch.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from minidl.errors import explain

F = TypeVar("F", bound=Callable)


class _GradMode(threading.local):
    enabled = True


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """True where operations on tensors that require a gradient are recorded."""
    return grad_mode.enabled


class _Mode:
    """Sets the mode on entry and puts the old one back on exit; as a decorator, around every call."""

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self._previous: list[bool] = []  # a stack: one object may be entered again inside itself

    def __enter__(self) -> None:
        self._previous.append(grad_mode.enabled)
        grad_mode.enabled = self.enabled

    def __exit__(self, *exception: Any) -> None:
        grad_mode.enabled = self._previous.pop()

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):  # its body runs later, when the mode is no longer set
            raise TypeError(
                explain(
                    type(self).__name__,
                    f"{function.__name__} is a generator function, which cannot be decorated",
                    help=f"write `with minidl.{type(self).__name__}():` in its body, between the yields",
                )
            )

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with _Mode(self.enabled):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]


class no_grad(_Mode):
    """Nothing is recorded inside: `with no_grad():`, `@no_grad()` or `@no_grad`."""

    def __new__(cls, function: Callable | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable | None = None):
        super().__init__(False)


class inference_mode(_Mode):
    """The same as no_grad. (PyTorch's also drops version counters; minidl's cost nothing until they are used.)"""

    def __new__(cls, mode: Callable | bool = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: Callable | bool = True):
        super().__init__(not mode)


class enable_grad(_Mode):
    """Operations are recorded inside, also within no_grad: `with enable_grad():`, `@enable_grad()`, `@enable_grad`."""

    def __new__(cls, function: Callable | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable | None = None):
        super().__init__(True)


class set_grad_enabled(_Mode):
    """Set the mode at once; used as a context manager, the old mode comes back at the end."""

    def __init__(self, mode: bool):
        super().__init__(bool(mode))
        self._before = grad_mode.enabled
        grad_mode.enabled = self.enabled

    def __enter__(self) -> None:
        self._previous.append(self._before)
        grad_mode.enabled = self.enabled

    def __call__(self, function: F) -> F:
        grad_mode.enabled = self._before  # as a decorator it must not change the mode where it stands
        return super().__call__(function)

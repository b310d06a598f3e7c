"""Who watches a computation: Observers, told of each operation, module and update before and after it runs.

    class Names(Observer):
        def after_forward(self, node, inputs, outputs):
            print(node.name(), outputs)

    with observing(Names()):
        loss_fn(model(x), labels).backward()
        optimizer.step()

Without an observer each of these places costs one test of an empty list. Arrays and tensors are handed out as they
are, without a copy: an observer looks, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Observer:
    """Told of what happens, in the thread in which it happens. Its methods do nothing; a subclass has those it needs.

    An exception that a method raises goes up through the computation, as if the operation had raised it. What raises
    an exception itself has a "before" and no "after"; only `leave_module` always comes.
    """

    def before_forward(self, node: Any, inputs: tuple, options: dict[str, Any]) -> None:
        """The Function `node` runs forward next, on `inputs`: Tensors, numbers and None, as `apply` was given them."""

    def after_forward(self, node: Any, inputs: tuple, outputs: Any) -> None:
        """Forward has run; `outputs` is a Tensor or a tuple of Tensors. Its settings are in node.options."""

    def start_backward(self, tensor: Any, gradient: Any) -> None:
        """backward() or grad() was called on `tensor`, with the array `gradient` as its gradient; the walk begins next.

        Where it was called on several tensors, this comes for each of them.
        """

    def before_backward(self, node: Any, grad_outputs: Sequence) -> None:
        """The gradient of each output of `node` has arrived; its backward runs next.

        At the end of the graph `node.keeps_gradient` is True: its backward adds the gradient to that of the leaf
        `node.variable`.
        """

    def after_backward(self, node: Any, grad_inputs: Sequence) -> None:
        """Backward has returned `grad_inputs`, one for each input; node.saved may be freed by now."""

    def enter_module(self, module: Any, inputs: tuple) -> None:
        """`module` was called."""

    def leave_module(self, module: Any, output: Any) -> None:
        """`module` returns `output`; None where it raises an exception."""

    def before_step(self, optimizer: Any) -> None:
        """optimizer.step() was called."""

    def after_step(self, optimizer: Any) -> None:
        """optimizer.step() returns."""

    def before_update(self, optimizer: Any, param: Any) -> None:
        """In a step, `param` is changed next, by its gradient."""

    def after_update(self, optimizer: Any, param: Any) -> None:
        """In a step, `param` was changed."""

    def before_zero_grad(self, owner: Any) -> None:
        """zero_grad() of an optimizer or a module was called."""

    def after_zero_grad(self, owner: Any) -> None:
        """zero_grad() returns."""

    def before_change(self, array: Any) -> None:
        """`array` is written to next. Who needs the old values copies them now.

        `x.data -= a` comes without this word (see `overwritten`), as does what is written into a NumPy array itself.
        """

    def overwritten(self, array: Any) -> None:
        """`x.data -= a` has written into `array`. Python runs it in that order: nobody could be told before."""


observers: list[Observer] = []  # whoever has something to tell looks here: `if observers: ...`


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Inside, `observer` is told."""
    observers.append(observer)
    try:
        yield
    finally:
        observers.remove(observer)


class _Listener(Observer):
    """Passes on what ran forward."""

    def __init__(self, listener: Callable[[Any, tuple, Any], None]):
        self.listener = listener

    def after_forward(self, node: Any, inputs: tuple, outputs: Any) -> None:
        self.listener(node, inputs, outputs)


@contextmanager
def listening(listener: Callable[[Any, tuple, Any], None]) -> Iterator[None]:
    """Call `listener(node, inputs, outputs)` after each operation that runs forward inside."""
    with observing(_Listener(listener)):
        yield

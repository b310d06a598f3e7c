"""One differentiable operation: the base class of every op, on plain arrays.

    class Square(Function):
        '''y = x^2                          dx = dy * 2x'''

        def forward(self, x):
            self.save_for_backward(x)
            return x * x

        def backward(self, grad_output):
            (x,) = self.saved_tensors
            return grad_output * 2 * x

    y = minidl.apply(Square, x)             # Tensors in and out; y.grad_fn is the Square object

`apply` (tensor.py) makes a fresh object for each call, and that object is the node of the graph: what backward
needs is on `self`, where a debugger shows it. The engine (engine.py) calls `backward`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from minidl import memory
from minidl.errors import describe


class Function:
    """Base class of operations. A subclass defines forward and backward.

    forward(*arrays, **options) -> array or tuple of arrays
        `arrays` are the inputs (a Tensor's array, or None or a number as it was given), `options` the settings.
    backward(*grad_outputs) -> array, None, or a tuple with one of these for each input
        One grad_output for each output, in its shape and dtype; None for an input that needs no gradient.

    Arrays that backward needs go through `save_for_backward`: they are freed as the engine passes, and a change
    in place before that is an error. Everything else (strides, shapes) may be set on `self`.
    """

    # Set by apply(); the class attributes are what a node without inputs has.
    needs_input_grad: tuple[bool, ...] = ()
    edges: Sequence[tuple[Function | None, int, tuple[int, ...], Any]] = ()  # for each input: see engine.Edge
    output_count = 1
    output_meta: tuple[tuple[tuple[int, ...], Any], ...] = ()  # for each of several outputs: shape, dtype
    sequence = 0  # grows with each recorded call: an input's node always has a lower number than its user; 0: none
    non_differentiable: tuple[Any, ...] = ()  # outputs that forward marked
    saved: tuple[Any, ...] | None = ()  # what backward needs; None once the engine has freed it
    hooks: dict[int, list] | None = None  # for each output: functions of its gradient, see Tensor.register_hook
    keepers: dict[int, Callable] = {}  # noqa: RUF012 (never changed, only replaced)  # see Tensor.retain_grad; after the hooks
    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)  # that forward was called with; set where somebody listens
    broadcasts = False  # True where inputs are broadcast together: the engine sums each one's gradient to its shape
    multiply_adds = 0  # that forward took; the operations with a matrix product set it
    keeps_gradient = False  # True for the end of the graph at a leaf, which stores the array that it is given
    gives_gradients_away = False  # True: backward returns new arrays that nothing else holds; a leaf need not copy them

    def forward(self, *arrays: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.forward is not defined")

    def backward(self, *grad_outputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.backward is not defined")

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep `arrays` (or None) for backward, which reads them from `saved_tensors`. Call it once, in forward."""
        self.saved = arrays

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Say in forward that these outputs (indices, masks) have no gradient. Integer outputs never have one."""
        self.non_differentiable = outputs

    def is_marked(self, output: Any) -> bool:
        """True for an output that `mark_non_differentiable` named."""
        return any(output is marked for marked in self.non_differentiable)

    @property
    def next_functions(self) -> tuple[tuple[Function | None, int], ...]:
        """For each input the node that it came from, and which of its outputs it was; (None, 0) without a gradient."""
        return tuple([(node, index) for node, index, _, _ in self.edges])

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept.

        RuntimeError after the engine freed it, and where an array was changed in place in the meantime.
        """
        if self.saved is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or to read saved arrays after they were "
                f"freed): {self.name()} has freed what it saved.\n"
                "  help: run forward again, inside the loop; carry values over to the next step with x.detach(); "
                "or, to walk one graph twice, pass retain_graph=True to the first backward()"
            )
        changed = memory.changed_since(self.sequence, self.saved) if memory.last_change > self.sequence else None
        if changed is not None:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"{self.name()} needs {describe(changed)} as it was in forward, but it was changed since.\n"
                "  help: change a copy instead (y = x.clone()), or write y = x + 1 rather than x += 1"
            )
        return self.saved

    @classmethod
    def apply(cls, *inputs: Any) -> NoReturn:
        """An array-level Function is run by `minidl.apply(Name, x)`. TypeError, which says so."""
        raise TypeError(
            f"{cls.__name__} is a minidl.Function, which works on arrays.\n"
            f"  help: minidl.apply({cls.__name__}, x); or derive it from minidl.autograd.Function, on Tensors"
        )

    def __call__(self, *inputs: Any) -> NoReturn:
        self.apply()

    def name(self) -> str:
        """The name of the operation: its class."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{self.name()} {self.sequence}>"

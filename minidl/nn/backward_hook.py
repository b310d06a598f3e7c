"""What `Module.register_full_backward_hook` does: two boundaries in the graph, around what a module computes.

    inputs -> Boundary -> forward -> Boundary -> output

Backward passes the right one first, which notes grad_output, and the left one when all of the module is done: it
has grad_input, and calls the hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.function import Function
from minidl.tensor import Tensor, apply


class Boundary(Function):
    """y = x, for several x at once     dx = on_gradients(dy), which sees the gradients of all of them together"""

    def forward(self, *arrays, on_gradients):
        self.on_gradients = on_gradients
        return tuple(array.view() for array in arrays)

    def backward(self, *grad_outputs):
        return self.on_gradients(grad_outputs)


class BackwardWatch:
    """The backward hooks of `module` during one call of it."""

    def __init__(self, module: Any, hooks: list[Callable]):
        self.module, self.hooks = module, list(hooks)
        self.input_count = self.output_count = 0
        self.watched_inputs: list[int] = []  # the positions of those that require a gradient
        self.watched_outputs: list[int] = []
        self.grad_output: tuple = ()

    def enter(self, inputs: tuple) -> tuple:
        """The inputs, behind a boundary."""
        self.input_count, self.watched_inputs = len(inputs), _requiring_gradient(inputs)
        return _behind_boundary(inputs, self.watched_inputs, self._at_inputs)

    def leave(self, output: Any) -> Any:
        """The output (a Tensor, or a tuple of Tensors), behind a boundary."""
        outputs = output if isinstance(output, tuple) else (output,)
        self.output_count, self.watched_outputs = len(outputs), _requiring_gradient(outputs)
        outputs = _behind_boundary(outputs, self.watched_outputs, self._at_outputs)
        return outputs if isinstance(output, tuple) else outputs[0]

    def _at_outputs(self, gradients: tuple) -> tuple:
        self.grad_output = _spread(gradients, self.watched_outputs, self.output_count)
        if not self.watched_inputs:
            self._call_hooks((None,) * self.input_count)
        return gradients

    def _at_inputs(self, gradients: tuple) -> tuple:
        grad_input = self._call_hooks(_spread(gradients, self.watched_inputs, self.input_count))
        return tuple(None if grad_input[i] is None else grad_input[i].data for i in self.watched_inputs)

    def _call_hooks(self, grad_input: tuple) -> tuple:
        for hook in self.hooks:
            replaced = hook(self.module, grad_input, self.grad_output)
            if replaced is None:
                continue
            replaced = replaced if isinstance(replaced, tuple) else (replaced,)
            if len(replaced) != len(grad_input):
                raise RuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(replaced)}, "
                    f"but expected {len(grad_input)}"
                )
            grad_input = replaced
        return grad_input


def _requiring_gradient(values: tuple) -> list[int]:
    """The positions of the Tensors that require a gradient."""
    return [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]


def _behind_boundary(values: tuple, positions: list[int], on_gradients: Callable) -> tuple:
    """`values`, those at `positions` behind one boundary."""
    behind = list(values)
    if positions:
        tensors = apply(Boundary, *[values[i] for i in positions], on_gradients=on_gradients)
        for i, tensor in zip(positions, tensors, strict=True):
            behind[i] = tensor
    return tuple(behind)


def _spread(gradients: tuple, positions: list[int], count: int) -> tuple:
    """`count` entries: Tensors around the gradients at `positions`, None elsewhere."""
    entries: list = [None] * count
    for position, gradient in zip(positions, gradients, strict=True):
        entries[position] = Tensor(gradient)
    return tuple(entries)

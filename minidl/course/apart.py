"""A Function on its own, as its forward leaves it: so that a check of backward needs neither forward nor the engine.

relu = apart(ReLU, y)
grad_x = relu.backward(grad_output)
conv = apart(Conv2d, x, weight, needs=3, groups=1, geometry=(...), ...)
grad_x, grad_weight, grad_bias = conv.backward(grad_output)
y = apart(ReLU).forward(x)
"""

from __future__ import annotations

from typing import Any

from minidl import memory
from minidl.function import Function


def apart(function: type[Function], *saved: Any, needs: int | tuple[bool, ...] = 1, **attributes: Any) -> Any:
    """A `function` object whose `saved_tensors` are `saved` and that has these attributes, as forward would leave it.

    needs   for each input whether it needs a gradient (`needs_input_grad`), or how many inputs there are, which all do

    Its `forward(*arrays, **options)` and `backward(*grad_outputs)` are called on plain arrays.
    """
    node = function()
    node.needs_input_grad = (True,) * needs if isinstance(needs, int) else needs
    node.sequence = memory.next_sequence()  # newer than every change in place so far
    node.save_for_backward(*saved)
    for name, value in attributes.items():
        setattr(node, name, value)
    return node

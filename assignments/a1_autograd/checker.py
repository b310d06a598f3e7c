"""Task 1.7: is a gradient right? Ask the function itself, by central differences.

An operation is checked on plain arrays: `run` gives its output and its node, and the node's backward is the gradient
that is to be checked. In float64 a central difference with eps = 1e-6 is right to about nine digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from minidl import Function


def numerical_gradient(f: Callable[[Any], Any], x: Any, grad_output: Any, eps: float = 1e-6) -> Any:
    """dx[i] = the sum over the output of  dy (f(x + eps e_i) - f(x - eps e_i)) / (2 eps)       for each index i of x

    f: from an array in the shape of x to an array in the shape of dy; dy: `grad_output`; e_i: 1 at i, 0 elsewhere.
    x stays as it is: f gets copies. `numpy.ndindex(x.shape)` gives the indices, of any number of dimensions.
    """
    gradient = numpy.zeros_like(x)
    for index in numpy.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += eps
        below[index] -= eps
        gradient[index] = (grad_output * (f(above) - f(below))).sum() / (2 * eps)
    return gradient


def agrees(gradient: Any, numerical: Any, atol: float = 1e-7, rtol: float = 1e-5) -> bool:
    """True if the shapes are equal, and |gradient - numerical| <= atol + rtol |numerical| holds for every element.

    A NaN is never right, and neither is None: a backward that returned no gradient for this input.
    """
    if gradient is None or gradient.shape != numerical.shape:
        return False
    return bool((abs(gradient - numerical) <= atol + rtol * abs(numerical)).all())


def is_right(operation: type[Function], inputs: tuple, rng: numpy.random.Generator, **options: Any) -> bool:
    """True if the backward of `operation` agrees with central differences of its forward, for every one of `inputs`.

    operation   a subclass of Function; forward(*inputs, **options) returns one array
    inputs      float64 arrays
    rng         draws grad_output: random numbers, one for each element of the output. Ones would not do: the outputs
                of a softmax add up to 1, so with ones its gradient is 0, and a backward that returns 0 looks right
    """
    node, y = run(operation, inputs, options)
    grad_output = rng.standard_normal(y.shape)
    gradients = gradients_of(node, grad_output)
    for k, x in enumerate(inputs):

        def f(moved: Any, k: int = k) -> Any:
            return run(operation, (*inputs[:k], moved, *inputs[k + 1 :]), options)[1]

        if not agrees(gradients[k], numerical_gradient(f, x, grad_output)):
            return False
    return True


def run(operation: type[Function], inputs: tuple, options: dict[str, Any]) -> tuple[Function, Any]:
    """A new node of `operation`, and the output of its forward."""
    node = operation()
    node.needs_input_grad = (True,) * len(inputs)
    return node, node.forward(*inputs, **options)


def gradients_of(node: Function, grad_output: Any) -> tuple:
    """What the backward of `node` returns, always as a tuple: one gradient for each input."""
    returned = node.backward(grad_output.copy())
    return returned if type(returned) is tuple else (returned,)

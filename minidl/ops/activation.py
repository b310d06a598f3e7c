"""Activations, element by element, and softmax. x, y: any shape."""

from __future__ import annotations

from minidl.backend import array_module
from minidl.function import Function


class ReLU(Function):
    """y = max(x, 0)                    dx = dy [x > 0]

    At x = 0 the subgradient 0 is taken.
    Nair & Hinton, ICML 2010; AlexNet sec. 3.1 (Krizhevsky et al., NIPS 2012).
    """

    def forward(self, x):
        y = array_module(x).maximum(x, 0)
        self.save_for_backward(y)  # y > 0 exactly where x > 0; x itself can be freed
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        return grad_output * (y > 0)

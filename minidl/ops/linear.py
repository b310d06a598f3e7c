"""Matrix products: of any two arrays, and of a layer's input with its weights."""

from __future__ import annotations

import math

from minidl.elementwise import sum_to_shape
from minidl.function import Function
from minidl.products import matmul


class MatMul(Function):
    """y = a b                          da = dy b^T,  db = a^T dy

    a: (..., M, K), b: (..., K, P), y: (..., M, P); the dimensions in front broadcast, and where they did, the gradient
    is summed over them. A vector (K,) counts as one row on the left and as one column on the right.
    """

    def forward(self, a, b):
        need_a, need_b = self.needs_input_grad
        self.a_shape, self.b_shape = a.shape, b.shape
        self.save_for_backward(a if need_b else None, b if need_a else None)
        y = matmul(a, b)
        self.multiply_adds = y.size * a.shape[-1]
        return y

    def backward(self, grad_output):
        a, b = self.saved_tensors
        need_a, need_b = self.needs_input_grad
        grad_a = grad_b = None
        if len(self.b_shape) == 1:
            grad_output = grad_output[..., None]  # (..., M, 1)
        if len(self.a_shape) == 1:
            grad_output = grad_output[..., None, :]  # (..., 1, P)
        if need_a:
            b = b[:, None] if b.ndim == 1 else b
            shape = (1,) * (len(self.a_shape) == 1) + self.a_shape  # (..., M, K)
            grad_a = sum_to_shape(matmul(grad_output, b.swapaxes(-1, -2)), shape).reshape(self.a_shape)
        if need_b:
            a = a[None, :] if a.ndim == 1 else a
            shape = self.b_shape + (1,) * (len(self.b_shape) == 1)  # (..., K, P)
            grad_b = sum_to_shape(matmul(a.swapaxes(-1, -2), grad_output), shape).reshape(self.b_shape)
        return grad_a, grad_b


class Linear(Function):
    """y = x W^T + b                    dx = dy W,  dW = dy^T x,  db = sum(dy)

    x: (..., K), weight: (F, K), bias: (F,) or None, y: (..., F). The dimensions in front of K are taken as one (rows).
    """

    gives_gradients_away = True

    def forward(self, x, weight, bias):
        need_x, need_weight, _ = self.needs_input_grad
        self.save_for_backward(x if need_weight else None, weight if need_x else None)
        y = matmul(_rows(x), weight.T)
        self.multiply_adds = y.size * x.shape[-1]
        if bias is not None:
            y += bias
        return y.reshape(x.shape[:-1] + weight.shape[:1])

    def backward(self, grad_output):
        x, weight = self.saved_tensors
        need_x, need_weight, need_bias = self.needs_input_grad
        dy = _rows(grad_output)  # (rows, F)
        return (
            matmul(dy, weight).reshape(grad_output.shape[:-1] + weight.shape[1:]) if need_x else None,
            matmul(dy.T, _rows(x)) if need_weight else None,
            dy.sum(axis=0) if need_bias else None,
        )


def _rows(x):
    """(..., K) as (rows, K); a vector as one row."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

"""Reductions over a tuple of dimensions `dim` (each >= 0); `keepdim` leaves them with size 1."""

from __future__ import annotations

from minidl.backend import array_module
from minidl.function import Function


def restore_dims(array, shape, dim):
    """`array`, reduced over `dim`, with these dimensions as size 1, so that it broadcasts against `shape` again."""
    return array.reshape(tuple(1 if i in dim else size for i, size in enumerate(shape)))


class Sum(Function):
    """y = sum of x over dim            dx = dy, broadcast"""

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim = x.shape, dim
        return x.sum(axis=dim, keepdims=keepdim)

    def backward(self, grad_output):
        xp = array_module(grad_output)
        return xp.broadcast_to(restore_dims(grad_output, self.shape, self.dim), self.shape)

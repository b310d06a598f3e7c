"""Reductions over a tuple of dimensions `dim` (each >= 0); `keepdim` leaves them with size 1.

x: any shape; y: the shape of x without the dimensions `dim`. In the formulas n is the number of elements that one
element of y is made of, and m their mean.
"""

from __future__ import annotations

import math

from minidl.backend import array_module
from minidl.elementwise import masked
from minidl.function import Function


def restore_dims(array, shape, dim):
    """`array`, reduced over `dim`, with these dimensions as size 1, so that it broadcasts against `shape` again."""
    return array.reshape(tuple(1 if i in dim else size for i, size in enumerate(shape)))


def drop_dims(array, dim, keepdim):
    """`array`, whose dimensions `dim` have size 1, without them unless `keepdim`."""
    return array if keepdim else array.reshape(tuple(size for i, size in enumerate(array.shape) if i not in dim))


def count(shape, dim):
    """n, as a divisor: NaN for none at all, so that the mean of nothing is NaN without a warning."""
    return math.prod(shape[i] for i in dim) or math.nan


class Sum(Function):
    """y = sum of x over dim            dx = dy, broadcast"""

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim = x.shape, dim
        return x.sum(axis=dim, keepdims=keepdim)

    def backward(self, grad_output):
        xp = array_module(grad_output)
        return xp.broadcast_to(restore_dims(grad_output, self.shape, self.dim), self.shape)


class Mean(Function):
    """y = sum of x over dim / n        dx = dy / n, broadcast"""

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim = x.shape, dim
        return x.sum(axis=dim, keepdims=keepdim) / count(x.shape, dim)

    def backward(self, grad_output):
        xp = array_module(grad_output)
        grad_x = grad_output / count(self.shape, self.dim)
        return xp.broadcast_to(restore_dims(grad_x, self.shape, self.dim), self.shape)


class Var(Function):
    """y = sum of (x - m)^2 / (n - correction)      dx = dy 2 (x - m) / (n - correction)

    correction = 1 estimates the variance of what x was drawn from, 0 gives that of x itself. NaN where n <= correction.
    """

    def forward(self, x, *, dim, correction, keepdim):
        y, mean, self.divisor = _variance(x, dim, correction)
        self.dim = dim
        self.save_for_backward(x, mean)
        return drop_dims(y, dim, keepdim)

    def backward(self, grad_output):
        x, mean = self.saved_tensors
        return restore_dims(grad_output, x.shape, self.dim) * (2 / self.divisor) * (x - mean)


class Std(Function):
    """y = (sum of (x - m)^2 / (n - correction))^(1/2)      dx = dy (x - m) / ((n - correction) y)

    Where y = 0 the subgradient 0 is taken, as in PyTorch. NaN where n <= correction.
    """

    def forward(self, x, *, dim, correction, keepdim):
        variance, mean, self.divisor = _variance(x, dim, correction)
        y = array_module(x).sqrt(variance)
        self.dim = dim
        self.save_for_backward(x, mean, y)
        return drop_dims(y, dim, keepdim)

    def backward(self, grad_output):
        x, mean, y = self.saved_tensors
        passing = masked(restore_dims(grad_output, x.shape, self.dim), y != 0)
        return passing / (self.divisor * (y + (y == 0))) * (x - mean)


def _variance(x, dim, correction):
    """The variance and the mean over `dim`, which keep these dimensions, and the divisor n - correction."""
    n = count(x.shape, dim)
    mean = x.sum(axis=dim, keepdims=True) / n
    divisor = n - correction if n > correction else math.nan
    deviation = x - mean
    return (deviation * deviation).sum(axis=dim, keepdims=True) / divisor, mean, divisor


class Max(Function):
    """y = the largest element along dim (an int)   dx = dy where it stood, 0 elsewhere

    Outputs: y and its int64 indices along dim, the first where several are equal. NaN counts as the largest.
    """

    def forward(self, x, *, dim, keepdim):
        return _pick(self, x, array_module(x).argmax, dim, keepdim)

    def backward(self, grad_output, _):
        (indices,) = self.saved_tensors
        xp = array_module(grad_output)
        shape = self.shape or (1,)
        grad_output = grad_output.reshape(indices.shape)
        positions = xp.arange(shape[self.dim]).reshape((-1,) + (1,) * (len(shape) - 1 - self.dim))
        return xp.where(positions == indices, grad_output, 0).reshape(self.shape)


class Min(Max):
    """y = the smallest element along dim (an int)  dx = dy where it stood, 0 elsewhere

    Outputs: y and its int64 indices along dim, the first where several are equal. NaN counts as the smallest.
    """

    def forward(self, x, *, dim, keepdim):
        return _pick(self, x, array_module(x).argmin, dim, keepdim)


def _pick(node, x, argument, dim, keepdim):
    """The elements of x at the indices that `argument` (argmax or argmin) finds along `dim`, and the indices."""
    xp = array_module(x)
    node.shape, node.dim = x.shape, dim
    lines = xp.atleast_1d(x)  # a scalar counts as a line of one element
    indices = argument(lines, axis=dim, keepdims=True)
    node.save_for_backward(indices)
    y = xp.take_along_axis(lines, indices, axis=dim)
    if not x.ndim:
        return y.reshape(()), indices.reshape(())
    return drop_dims(y, (dim,), keepdim), drop_dims(indices, (dim,), keepdim)


class Amax(Function):
    """y = the largest element over dim     dx = dy, in equal shares to the elements equal to y; 0 elsewhere"""

    def forward(self, x, *, dim, keepdim):
        y = x.max(axis=dim, keepdims=True)
        self.dim = dim
        self.save_for_backward(x, y)
        return drop_dims(y, dim, keepdim)

    def backward(self, grad_output):
        x, y = self.saved_tensors
        xp = array_module(x)
        reached = (x == y) | (x != x)  # an element that is NaN makes y NaN
        shares = reached.sum(axis=self.dim, keepdims=True, dtype=x.dtype)
        return xp.where(reached, restore_dims(grad_output, x.shape, self.dim) / shares, 0)


class Amin(Amax):
    """y = the smallest element over dim    dx = dy, in equal shares to the elements equal to y; 0 elsewhere"""

    def forward(self, x, *, dim, keepdim):
        y = x.min(axis=dim, keepdims=True)
        self.dim = dim
        self.save_for_backward(x, y)
        return drop_dims(y, dim, keepdim)


class Prod(Function):
    """y = product of x over dim        dx_i = dy times the product of all other elements

    That product is computed as such, from those before i and those after i, and not as y / x_i: an element may be 0.
    """

    def forward(self, x, *, dim, keepdim):
        self.dim = dim
        self.save_for_backward(x)
        return x.prod(axis=dim, keepdims=keepdim)

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        xp = array_module(x)
        last = tuple(range(-len(self.dim), 0))
        moved = xp.moveaxis(x, self.dim, last)
        kept = moved.shape[: x.ndim - len(self.dim)]
        lines = moved.reshape(kept + (math.prod(moved.shape[len(kept) :]),))  # (..., n)
        others = _product_before(xp, lines) * _product_before(xp, lines[..., ::-1])[..., ::-1]
        grad_x = others * grad_output.reshape(kept + (1,))
        return xp.moveaxis(grad_x.reshape(moved.shape), last, self.dim)


def _product_before(xp, lines):
    """For each element the product of the elements before it in its line, 1 for the first."""
    before = xp.ones_like(lines)
    before[..., 1:] = xp.cumprod(lines[..., :-1], axis=-1)
    return before


class CumSum(Function):
    """y_i = x_0 + ... + x_i along dim (an int)     dx_i = dy_i + dy_(i+1) + ..."""

    def forward(self, x, *, dim):
        self.dim = dim
        return x.cumsum(axis=dim).reshape(x.shape)  # a scalar has come out as a line of one element

    def backward(self, grad_output):
        if not grad_output.ndim:
            return grad_output
        xp = array_module(grad_output)
        return xp.flip(xp.flip(grad_output, self.dim).cumsum(axis=self.dim), self.dim)

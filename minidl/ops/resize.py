"""Images (and signals, and volumes) in another size. x: (N, C, H, W), or with one or three dimensions behind C.

Each dimension is resized on its own, n pixels to `out` pixels. `size` holds the new sizes; where the caller gave
factors instead, `scale_factor` holds them, and the pixels of y are 1 / factor apart, otherwise n / out.
"""

from __future__ import annotations

import math

from minidl.backend import array_module, float32
from minidl.function import Function
from minidl.ops.shape import untake
from minidl.products import matmul


def _step(n, out, factor):
    """How far apart the pixels of y lie, in pixels of x."""
    return 1 / factor if factor else n / out


class InterpolateNearest(Function):
    """y[i] = x[floor(i step)]          dx[j] = sum of the dy[i] copied from it

    As in PyTorch the pixel at i covers i to i + 1 and takes the value at its start; i step is computed in float32 for
    every dtype, which decides where it comes close to a whole number; and the step is 1 or 1/2 where y has as many
    pixels as x or twice as many, whatever the factor.
    """

    def forward(self, x, *, size, scale_factor):
        xp = array_module(x)
        self.shape, self.sources = x.shape, []
        for n, out, factor in zip(x.shape[2:], size, scale_factor or (None,) * len(size), strict=True):
            step = float32.type(_step(n, out, factor if out not in (n, 2 * n) else None))
            self.sources.append([min(int(i * step), n - 1) for i in range(out)])
        for dim, source in reversed(list(enumerate(self.sources, 2))):
            x = x.take(xp.asarray(source), axis=dim)
        return x

    def backward(self, grad_output):
        for dim, source in enumerate(self.sources, 2):
            grad_output = untake(grad_output, source, self.shape[dim], dim)
        return grad_output


class InterpolateLinear(Function):
    """y = A x along each dimension     dx = A^T dy;  A: (out, n), two weights a row that add up to 1

    y[i] lies between the two pixels of x next to position p. With align_corners the centers of the first and last
    pixels of x and y coincide: p = i (n - 1) / (out - 1). Without, their outer edges do: p = (i + 1/2) step - 1/2, and
    beyond the outermost centers y is constant. A dimension that keeps its size is copied. Bilinear for two dimensions,
    trilinear for three.

    A product with a matrix that is nearly all zeros is still faster here than picking out the pixels, up to images of
    about 500 pixels, and its reverse is another one.
    """

    def forward(self, x, *, size, scale_factor, align_corners):
        xp = array_module(x)
        self.matrices = []
        for n, out, factor in zip(x.shape[2:], size, scale_factor or (None,) * len(size), strict=True):
            i = xp.arange(out)
            if align_corners:
                p = i * ((n - 1) / (out - 1) if out > 1 else 0.0)
            else:
                step = _step(n, out, factor if out != n else None)
                p = xp.maximum((i + 0.5) * step - 0.5, 0)
            lower = xp.minimum(p.astype(int), n - 1)
            upper = xp.minimum(lower + 1, n - 1)
            weights = xp.zeros((out, n))
            weights[i, lower] += 1 - (p - lower)
            weights[i, upper] += p - lower
            self.matrices.append(weights.astype(x.dtype))
        for dim, matrix in reversed(list(enumerate(self.matrices, 2))):
            x = _product(matrix, x, dim)
        return x

    def backward(self, grad_output):
        for dim, matrix in enumerate(self.matrices, 2):
            grad_output = _product(matrix.T, grad_output, dim)
        return grad_output


def _product(matrix, x, dim):
    """`matrix` times x along dimension `dim`."""
    if dim == x.ndim - 1:
        return matmul(x, matrix.T)
    lines = x.reshape((math.prod(x.shape[:dim]), x.shape[dim], math.prod(x.shape[dim + 1 :])))
    return matmul(matrix, lines).reshape(x.shape[:dim] + (len(matrix),) + x.shape[dim + 1 :])  # (N, C, ..., out, ...)

"""Dropout. The mask is drawn above (functional/dropout.py), so that the operation itself is a plain function."""

from __future__ import annotations

from minidl.function import Function


class Dropout(Function):
    """y = x m / (1 - p)                dx = dy m / (1 - p)

    m: `mask`, of bools, which broadcasts to x: False with probability p. scale: 1 / (1 - p), or 0 where p = 1.
    Srivastava et al., JMLR 2014; the "inverted" form, whose expectation is x, so that nothing is done at test time.
    AlexNet sec. 4.2 (Krizhevsky et al., NIPS 2012) does not scale in training, and multiplies by 1 - p at test time.
    """

    def forward(self, x, *, mask, scale):
        self.scale = scale
        self.save_for_backward(mask)
        y = x * mask
        y *= scale
        return y

    def backward(self, grad_output):
        (mask,) = self.saved_tensors
        grad_x = grad_output * mask
        grad_x *= self.scale
        return grad_x

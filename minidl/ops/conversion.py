"""The same values elsewhere: in new memory, in another dtype, on another device."""

from __future__ import annotations

from minidl.backend import device_of, transfer
from minidl.function import Function


class Clone(Function):
    """y = x, in memory of its own      dx = dy"""

    def forward(self, x):
        return x.copy()

    def backward(self, grad_output):
        return grad_output


class Cast(Function):
    """y = x in another dtype           dx = dy in the dtype of x"""

    def forward(self, x, *, dtype):
        self.dtype = x.dtype
        return x.astype(dtype)

    def backward(self, grad_output):
        return grad_output.astype(self.dtype)


class Transfer(Function):
    """y = x on another device          dx = dy on the device of x"""

    def forward(self, x, *, device):
        self.device = device_of(x)
        return transfer(x, device)

    def backward(self, grad_output):
        return transfer(grad_output, self.device)

"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from minidl.checks import whole_number
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import empty_parameter
from minidl.tensor import Tensor


class Linear(Module):
    """y = x W^T + b with a weight of shape (out_features, in_features). See F.linear.

    Initial weights: init.default_.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.in_features = in_features = whole_number("Linear", "in_features", in_features, minimum=0)
        self.out_features = out_features = whole_number("Linear", "out_features", out_features, minimum=0)
        self.weight = empty_parameter((out_features, in_features), device, dtype)
        self.bias = empty_parameter((out_features,), device, dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights again."""
        init.default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

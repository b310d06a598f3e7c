"""Activations: what F.relu and its kin check before the operation of the same name runs."""

from __future__ import annotations

from minidl import ops
from minidl.tensor import Tensor, apply, require_tensors


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0). See ops.ReLU."""
    require_tensors("relu", input=input)
    return input.relu_() if inplace else apply(ops.ReLU, input)

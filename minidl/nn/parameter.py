"""Parameter: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

from minidl.backend import copied
from minidl.creation import empty
from minidl.tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires a gradient, and that a Module which has it as an attribute lists in `parameters()`.

    A Tensor or array given as `data` shares its memory. RuntimeError for a gradient of ints.
    """

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data.detach() if isinstance(data, Tensor) else data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    # What deepcopy and pickle take along is the values; not the gradient, its hooks or the graph, as in PyTorch.

    def __deepcopy__(self, memo: dict) -> Parameter:
        memo[id(self)] = twin = type(self)(copied(self.data), self.requires_grad)
        return twin

    def __reduce__(self) -> tuple:
        return type(self), (self.data, self.requires_grad)


def empty_parameter(shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> Parameter:
    """A Parameter whose values the layer still has to set, see init.py."""
    return Parameter(empty(shape, device=device, dtype=dtype).data)

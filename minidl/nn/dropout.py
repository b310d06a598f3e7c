"""Dropout layers: they act in training only."""

from __future__ import annotations

from minidl.errors import explain
from minidl.nn import functional as F
from minidl.nn.module import Module, check_settings
from minidl.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        check_settings(self, p)
        if not isinstance(p, (int, float)):
            raise TypeError(explain(type(self).__name__, f"p must be a number between 0 and 1, got {p!r}"))
        if not 0 <= p <= 1:
            raise ValueError(
                explain(type(self).__name__, f"dropout probability has to be between 0 and 1, but got {p}")
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each element set to 0 with probability p, the others divided by 1 - p. See F.dropout."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Each channel of each sequence set to 0 with probability p, the others divided by 1 - p. See F.dropout1d."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Each channel of each image set to 0 with probability p, the others divided by 1 - p. See F.dropout2d."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)

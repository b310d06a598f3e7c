"""Every operation: a Function on plain arrays. No Tensor is known here, and no module but `xp` computes."""

from minidl.ops.activation import ReLU
from minidl.ops.arithmetic import (
    Abs,
    Add,
    Clamp,
    Div,
    Exp,
    Log,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Sqrt,
    Sub,
    Where,
)
from minidl.ops.conversion import Cast, Clone, Transfer
from minidl.ops.reduction import Sum

"""Activations: what F.relu and its kin check before the operation of the same name runs.

Each raises TypeError where the input is no Tensor, and (all but relu) RuntimeError where it is not floating point.
With `inplace` the result is written into the input.
"""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.checks import check_floating
from minidl.errors import explain
from minidl.function import Function
from minidl.tensor import Tensor, apply, require_tensors


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0). See ops.ReLU."""
    require_tensors("relu", input=input)
    return input.relu_() if inplace else input.relu()


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6). See ops.Hardtanh."""
    return _activate("relu6", ops.Hardtanh, input, inplace, low=0.0, high=6.0)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x. See ops.LeakyReLU."""
    return _activate("leaky_relu", ops.LeakyReLU, input, inplace, negative_slope=float(negative_slope))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1). See ops.ELU."""
    return _activate("elu", ops.ELU, input, inplace, alpha=float(alpha), scale=1.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """elu with the alpha and the scale that keep mean 0 and variance 1. See ops.ELU."""
    return _activate("selu", ops.ELU, input, inplace, alpha=ops.ELU.SELU_ALPHA, scale=ops.ELU.SELU_SCALE)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x. RuntimeError for another `approximate` than none or tanh."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(explain("gelu", f"approximate must be either 'none' or 'tanh', got {approximate!r}"))
    return _activate("gelu", ops.GELU, input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x). See ops.SiLU."""
    return _activate("silu", ops.SiLU, input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold. ValueError where beta is 0."""
    if beta == 0:
        raise ValueError(explain("softplus", "beta must not be 0: the result would be infinite"))
    return _activate("softplus", ops.Softplus, input, beta=float(beta), threshold=float(threshold))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)). See ops.Sigmoid."""
    return _activate("sigmoid", ops.Sigmoid, input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent. See ops.Tanh."""
    return _activate("tanh", ops.Tanh, input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val). ValueError where min_val > max_val. See ops.Hardtanh."""
    if min_val > max_val:
        raise ValueError(explain("hardtanh", f"min_val cannot be greater than max_val, got {min_val} and {max_val}"))
    return _activate("hardtanh", ops.Hardtanh, input, inplace, low=float(min_val), high=float(max_val))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6. See ops.Hardsigmoid."""
    return _activate("hardsigmoid", ops.Hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x). See ops.Hardswish."""
    return _activate("hardswish", ops.Hardswish, input, inplace)


def softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """exp(x) / sum of exp(x) along dim, of the input in `dtype`. TypeError without dim, IndexError outside."""
    return _normalizable("softmax", input, dim, dtype).softmax(dim)  # type: ignore[arg-type]


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """log(softmax(x)), without its underflow. TypeError without dim, IndexError outside."""
    return _normalizable("log_softmax", input, dim, dtype).log_softmax(dim)  # type: ignore[arg-type]


def _activate(where: str, operation: type[Function], input: Tensor, inplace: bool = False, **options: Any) -> Tensor:
    require_tensors(where, input=input)
    check_floating(where, input=input)
    if inplace:  # possible since none of these operations saves its input
        return input._in_place(where + "_", lambda x: apply(operation, x, **options))
    return apply(operation, input, **options)


def _normalizable(where: str, input: Tensor, dim: int | None, dtype: Any) -> Tensor:
    """`input` in `dtype`, if one is given. TypeError where `dim` is missing."""
    require_tensors(where, input=input)
    if dim is None:
        raise TypeError(
            explain(
                where,
                "missing the argument dim: PyTorch guesses one and warns",
                {"input": input},
                help="dim=1 are the classes of (N, C) and (N, C, H, W), dim=-1 is the last dimension",
            )
        )
    return input if dtype is None else input.to(dtype)

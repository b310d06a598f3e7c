"""Arithmetic and comparisons: torch.add(x, y) and its kin, each the operator or method of Tensor of the same name.

Where PyTorch takes a number for a tensor, so do these. TypeError for anything else, RuntimeError where the shapes do
not broadcast, or where float32 meets float64.
"""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.backend import array_module, bool_, on_device_of
from minidl.checks import check_broadcast, check_same, check_same_device
from minidl.errors import explain
from minidl.tensor import Number, Tensor, apply, promote, require_tensors


def add(input: Tensor | float, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """input + alpha * other"""
    _require_operands("add", input=input, other=other)
    return input + (other if alpha == 1 else alpha * other)  # type: ignore[return-value]


def sub(input: Tensor | float, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """input - alpha * other"""
    _require_operands("sub", input=input, other=other)
    return input - (other if alpha == 1 else alpha * other)  # type: ignore[return-value]


def mul(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input * other"""
    _require_operands("mul", input=input, other=other)
    return input * other  # type: ignore[return-value]


def div(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input / other; ints are divided as floats."""
    _require_operands("div", input=input, other=other)
    return input / other  # type: ignore[return-value]


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """input ** exponent"""
    _require_operands("pow", input=input, exponent=exponent)
    return input**exponent  # type: ignore[return-value]


def neg(input: Tensor) -> Tensor:
    """-input"""
    require_tensors("neg", input=input)
    return -input


def abs(input: Tensor) -> Tensor:
    """|input|"""
    require_tensors("abs", input=input)
    return input.abs()


def exp(input: Tensor) -> Tensor:
    """e ** input"""
    require_tensors("exp", input=input)
    return input.exp()


def log(input: Tensor) -> Tensor:
    """The natural logarithm."""
    require_tensors("log", input=input)
    return input.log()


def sqrt(input: Tensor) -> Tensor:
    """The square root."""
    require_tensors("sqrt", input=input)
    return input.sqrt()


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of each two elements; NaN where one of them is."""
    require_tensors("maximum", input=input, other=other)
    return input.maximum(other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of each two elements; NaN where one of them is."""
    require_tensors("minimum", input=input, other=other)
    return input.minimum(other)


def clamp(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Every element brought into min..max. RuntimeError where both are None."""
    require_tensors("clamp", input=input)
    return input.clamp(min, max)


def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """Elements of `input` where `condition` (bools) holds, of `other` elsewhere; all three broadcast.

    RuntimeError where the condition holds no bools.
    """
    require_tensors("where", condition=condition)
    if condition.dtype != bool_:
        raise RuntimeError(
            explain(
                "where",
                f"expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}",
                {"condition": condition},
                help="compare it: condition != 0",
            )
        )
    if isinstance(input, Number) and isinstance(other, Number):
        input = condition * input  # a tensor of the number's natural dtype; where the condition fails, not looked at
    _require_operands("where", input=input, other=other)
    a, b = promote(ops.Where, input, other)
    operands = {"condition": condition, "input": a, "other": b}
    tensors = {name: operand for name, operand in operands.items() if isinstance(operand, Tensor)}
    check_broadcast("where", **tensors)
    check_same_device("where", **tensors)
    return apply(ops.Where, condition, a, b)


def clone(input: Tensor) -> Tensor:
    """A copy, through which gradients flow."""
    require_tensors("clone", input=input)
    return input.clone()


def isnan(input: Tensor) -> Tensor:
    """True for each element that is not a number."""
    require_tensors("isnan", input=input)
    with on_device_of((input.data,)):
        return Tensor(array_module(input.data).isnan(input.data))


def isinf(input: Tensor) -> Tensor:
    """True for each element that is plus or minus infinity."""
    require_tensors("isinf", input=input)
    with on_device_of((input.data,)):
        return Tensor(array_module(input.data).isinf(input.data))


def isfinite(input: Tensor) -> Tensor:
    """True for each element that is neither infinite nor NaN."""
    require_tensors("isfinite", input=input)
    with on_device_of((input.data,)):
        return Tensor(array_module(input.data).isfinite(input.data))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """True where |input - other| <= atol + rtol |other| for all elements. RuntimeError for two dtypes."""
    require_tensors("allclose", input=input, other=other)
    check_same("allclose", input=input, other=other)
    check_broadcast("allclose", input=input, other=other)
    with on_device_of((input.data,)):
        return bool(array_module(input.data).allclose(input.data, other.data, rtol, atol, equal_nan))


def equal(input: Tensor, other: Tensor) -> bool:
    """True where both have the same shape and the same elements."""
    require_tensors("equal", input=input, other=other)
    with on_device_of((input.data,)):
        return bool(array_module(input.data).array_equal(input.data, other.data))


def eq(input: Tensor, other: Tensor | float) -> Tensor:
    """input == other, element by element"""
    _require_comparable("eq", input, other)
    return input == other


def ne(input: Tensor, other: Tensor | float) -> Tensor:
    """input != other, element by element"""
    _require_comparable("ne", input, other)
    return input != other


def lt(input: Tensor, other: Tensor | float) -> Tensor:
    """input < other, element by element"""
    _require_comparable("lt", input, other)
    return input < other


def le(input: Tensor, other: Tensor | float) -> Tensor:
    """input <= other, element by element"""
    _require_comparable("le", input, other)
    return input <= other


def gt(input: Tensor, other: Tensor | float) -> Tensor:
    """input > other, element by element"""
    _require_comparable("gt", input, other)
    return input > other


def ge(input: Tensor, other: Tensor | float) -> Tensor:
    """input >= other, element by element"""
    _require_comparable("ge", input, other)
    return input >= other


def _require_operands(where: str, **operands: Any) -> None:
    """Tensors or numbers, at least one of them a Tensor."""
    tensors = {name: value for name, value in operands.items() if not isinstance(value, Number)}
    require_tensors(where, **(tensors or operands))


def _require_comparable(where: str, input: Any, other: Any) -> None:
    require_tensors(where, input=input)
    _require_operands(where, input=input, other=other)

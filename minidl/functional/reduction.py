"""Reductions: the methods of Tensor of the same names, as functions. Where `dim` is left out, over all elements."""

from __future__ import annotations

from typing import Any

from minidl.tensor import Tensor, require_tensors

Dims = int | tuple[int, ...] | list[int] | None


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The sum over `dim`; of ints and bools as int64. See ops.Sum."""
    require_tensors("sum", input=input)
    return input.sum(dim, keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The mean over `dim`. See ops.Mean. RuntimeError for ints."""
    require_tensors("mean", input=input)
    return input.mean(dim, keepdim)


def var(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: int = 1
) -> Tensor:
    """The variance over `dim`, with divisor n - correction. See ops.Var. RuntimeError for ints."""
    require_tensors("var", input=input)
    return input.var(dim, unbiased, keepdim, correction=correction)


def std(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: int = 1
) -> Tensor:
    """The standard deviation over `dim`, with divisor n - correction. See ops.Std. RuntimeError for ints."""
    require_tensors("std", input=input)
    return input.std(dim, unbiased, keepdim, correction=correction)


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; along one `dim` (values, indices), see ops.Max; with a Tensor the larger of each pair."""
    require_tensors("max", input=input)
    return input.max(dim, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; along one `dim` (values, indices), see ops.Min; with a Tensor the smaller of each pair."""
    require_tensors("min", input=input)
    return input.min(dim, keepdim)


def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest element over `dim`. See ops.Amax. IndexError where there is none."""
    require_tensors("amax", input=input)
    return input.amax(dim, keepdim)


def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest element over `dim`. See ops.Amin. IndexError where there is none."""
    require_tensors("amin", input=input)
    return input.amin(dim, keepdim)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The product over `dim`; of ints and bools as int64. See ops.Prod."""
    require_tensors("prod", input=input)
    return input.prod(dim, keepdim)


def cumsum(input: Tensor, dim: int) -> Tensor:
    """The running sum along `dim`. See ops.CumSum."""
    require_tensors("cumsum", input=input)
    return input.cumsum(dim)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest element: of the flattened tensor, or along `dim`. IndexError where there is none."""
    require_tensors("argmax", input=input)
    return input.argmax(dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest element: of the flattened tensor, or along `dim`. IndexError where there is none."""
    require_tensors("argmin", input=input)
    return input.argmin(dim, keepdim)


def all(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """True where all elements are, or those along `dim`."""
    require_tensors("all", input=input)
    return input.all(dim, keepdim)


def any(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """True where any element is, or any along `dim`."""
    require_tensors("any", input=input)
    return input.any(dim, keepdim)

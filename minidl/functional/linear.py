"""Matrix products: what F.linear and torch's matmul family check before ops/linear.py runs."""

from __future__ import annotations

import math

from minidl import ops
from minidl.checks import check_same
from minidl.errors import explain
from minidl.tensor import Tensor, apply, optional_tensors, require_tensors


def _features_help(input: Tensor, in_features: int) -> str:
    for first in range(input.ndim):
        if first < input.ndim - 1 and math.prod(input.shape[first:]) == in_features:
            return f"flatten the input first: x.flatten({first})"
    return f"in_features of the layer must be {input.shape[-1]}, the last dimension of its input"


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input weight^T + bias, for an input (..., in_features). See ops.Linear.

    weight is (out_features, in_features) and bias (out_features,); with a weight (in_features,) and no bias the last
    dimension goes away. RuntimeError where shapes, dtypes or devices do not fit; TypeError for what is no Tensor.
    """
    operands = {"input": input, "weight": weight, "bias": bias}
    require_tensors("linear", input=input, weight=weight)
    optional_tensors("linear", bias=bias)
    check_same("linear", **operands)
    if not input.ndim or weight.ndim not in (1, 2):
        raise RuntimeError(
            explain(
                "linear",
                f"input needs at least 1 dimension and weight 1 or 2, got {input.ndim} and {weight.ndim}",
                operands,
            )
        )
    out_features, in_features = weight.shape if weight.ndim == 2 else (1, *weight.shape)
    if input.shape[-1] != in_features:
        mat1 = f"{math.prod(input.shape[:-1])}x{input.shape[-1]}"
        raise RuntimeError(
            explain(
                "linear",
                f"mat1 and mat2 shapes cannot be multiplied ({mat1} and {in_features}x{out_features})",
                operands,
                help=_features_help(input, in_features),
            )
        )
    if weight.ndim == 1:
        if bias is not None:
            raise RuntimeError(explain("linear", "with a bias, weight must be a matrix, got a vector", operands))
        return input.matmul(weight)
    if bias is not None and bias.shape != (out_features,):
        raise RuntimeError(
            explain(
                "linear",
                f"bias must have the shape ({out_features},), one number for each row of weight, got {bias.shape}",
                operands,
            )
        )
    return apply(ops.Linear, input, weight, bias)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product over the last two dimensions; the ones in front broadcast. See ops.MatMul."""
    require_tensors("matmul", input=input, other=other)
    return input.matmul(other)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices. RuntimeError for other numbers of dimensions."""
    require_tensors("mm", input=input, mat2=mat2)
    return input.mm(mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices. RuntimeError for other numbers of dimensions or batches."""
    require_tensors("bmm", input=input, mat2=mat2)
    return input.bmm(mat2)

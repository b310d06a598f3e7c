"""Shapes: the methods of Tensor of the same names as functions; joining, padding and indices as vectors."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from minidl import ops
from minidl.backend import array_module, int64, on_device_of
from minidl.checks import check_same, normalize_dim
from minidl.errors import explain
from minidl.tensor import Tensor, apply, require_tensors


def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The same elements in another shape; one size may be -1. RuntimeError where the numbers of elements differ."""
    require_tensors("reshape", input=input)
    return input.reshape(shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from start_dim to end_dim, both included, as one."""
    require_tensors("flatten", input=input)
    return input.flatten(start_dim, end_dim)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1: all of them, or those among `dim`."""
    require_tensors("squeeze", input=input)
    return input.squeeze(dim)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at `dim`."""
    require_tensors("unsqueeze", input=input)
    return input.unsqueeze(dim)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    require_tensors("transpose", input=input)
    return input.transpose(dim0, dim1)


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """The dimensions in another order. RuntimeError where `dims` is not an order of all of them."""
    require_tensors("permute", input=input)
    return input.permute(dims)


def t(input: Tensor) -> Tensor:
    """A matrix transposed. RuntimeError for more than two dimensions."""
    require_tensors("t", input=input)
    return input.t()


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along `dim`. See ops.Cat.

    ValueError for an empty sequence, TypeError for anything but Tensors in it. RuntimeError where their sizes differ
    in another dimension than `dim`, where dtypes or devices differ, and for a tensor without dimensions.
    """
    tensors = _tensors("cat", tensors)
    if not tensors:
        raise ValueError(explain("cat", "expected a non-empty list of Tensors"))
    first = tensors[0]
    for position, tensor in enumerate(tensors):
        if not tensor.ndim:
            raise RuntimeError(
                explain(
                    "cat",
                    f"zero-dimensional tensor (at position {position}) cannot be concatenated",
                    help="stack() joins tensors without dimensions",
                )
            )
        if tensor.ndim != first.ndim:
            raise RuntimeError(
                explain(
                    "cat",
                    f"Tensors must have same number of dimensions: got {first.ndim} and {tensor.ndim}",
                    {"tensors[0]": first, f"tensors[{position}]": tensor},
                )
            )
    index = normalize_dim("cat", dim, first.ndim)
    for position, tensor in enumerate(tensors):
        for i, (expected, got) in enumerate(zip(first.shape, tensor.shape, strict=True)):
            if i != index and got != expected:
                raise RuntimeError(
                    explain(
                        "cat",
                        f"Sizes of tensors must match except in dimension {index}. "
                        f"Expected size {expected} but got size {got} in dimension {i} for tensor number {position}",
                        {"tensors[0]": first, f"tensors[{position}]": tensor},
                    )
                )
        check_same("cat", **{"tensors[0]": first, f"tensors[{position}]": tensor})
    return apply(ops.Cat, *tensors, dim=index)


concat = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, side by side along a new dimension `dim`. See ops.Stack.

    TypeError for anything but Tensors in the sequence. RuntimeError for an empty one, and where shapes, dtypes or
    devices differ.
    """
    tensors = _tensors("stack", tensors)
    if not tensors:
        raise RuntimeError(explain("stack", "expects a non-empty list of Tensors"))
    first = tensors[0]
    index = normalize_dim("stack", dim, first.ndim + 1)
    for position, tensor in enumerate(tensors):
        if tensor.shape != first.shape:
            raise RuntimeError(
                explain(
                    "stack",
                    f"expects each tensor to be equal size, but got {first.shape} at entry 0 and {tensor.shape} "
                    f"at entry {position}",
                    {"tensors[0]": first, f"tensors[{position}]": tensor},
                    help="cat() joins tensors along a dimension that they have, where their sizes may differ",
                )
            )
        check_same("stack", **{"tensors[0]": first, f"tensors[{position}]": tensor})
    return apply(ops.Stack, *tensors, dim=index)


def _tensors(where: str, tensors: Any) -> list[Tensor]:
    """A list or tuple of Tensors as a list. TypeError for anything else."""
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            explain(where, f"argument 'tensors' must be a list or tuple of Tensors, not {type(tensors).__name__}")
        )
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                explain(where, f"expected Tensor as element {position} of 'tensors', but got {type(tensor).__name__}")
            )
    return list(tensors)


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of one size along `dim` (the last may be smaller), or of the sizes in a list. See ops.Split."""
    require_tensors("split", tensor=tensor)
    return tensor.split(split_size_or_sections, dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along `dim`; the last may be smaller. See ops.Split."""
    require_tensors("chunk", input=input)
    return input.chunk(chunks, dim)


def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor) -> Tensor:
    """A copy of `input` after `copy[indices] = values`. See ops.SetItem, and Tensor.__setitem__ for its errors."""
    require_tensors("index_put", input=input, values=values)
    result = input.clone()
    result[tuple(_tensors("index_put", indices))] = values
    return result


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """`input` with a border of `pad` = (before, after) the last dimension, then the one before it, ... See ops.Pad.

    mode: "constant" (of `value`, 0 if it is None), "reflect", "replicate", "circular". A negative width cuts off, but
    not with circular.
    TypeError where `pad` does not hold ints; NotImplementedError for an unknown mode, and for a mode other than
    constant unless it pads all dimensions but the first one or two; RuntimeError for an odd or too large number of
    widths, for widths that the mode cannot make of the input, and for a `value` with another mode than constant.
    """
    require_tensors("pad", input=input)
    if not isinstance(pad, (list, tuple)) or not all(type(width) is int for width in pad):
        raise TypeError(explain("pad", f"argument 'pad' must be a tuple of ints, not {pad!r}"))
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise NotImplementedError(
            explain("pad", f"Unrecognised padding mode {mode!r}", help="constant, reflect, replicate or circular")
        )
    count = len(pad) // 2
    if len(pad) % 2:
        raise RuntimeError(explain("pad", f"Padding length must be divisible by 2, got pad={tuple(pad)}"))
    if count > input.ndim:
        raise RuntimeError(
            explain(
                "pad",
                "Padding length should be less than or equal to two times the input dimension but got padding length "
                f"{len(pad)} and input of dimension {input.ndim}",
                {"input": input},
            )
        )
    if mode != "constant":
        if value:
            raise RuntimeError(
                explain("pad", f"Padding mode {mode!r} doesn't take in value argument, got value={value}")
            )
        if not (1 <= count <= 3 and count < input.ndim <= count + 2):
            raise NotImplementedError(
                explain(
                    "pad",
                    f"with mode {mode!r}, padding size {len(pad)} is not supported for {input.ndim}D input tensor",
                    {"input": input},
                    help="2 widths pad a 2D or 3D input, 4 widths a 3D or 4D input, 6 widths a 4D or 5D input",
                )
            )
    for i in range(count):
        dim, before, after = input.ndim - 1 - i, pad[2 * i], pad[2 * i + 1]
        _check_widths(input, dim, before, after, mode)
    return apply(ops.Pad, input, pad=tuple(pad), mode=mode, value=value or 0)


def _check_widths(input: Tensor, dim: int, before: int, after: int, mode: str) -> None:
    """What `pad` takes away must be there, and what it copies as well."""
    size, widest = input.shape[dim], max(before, after)
    if size + min(before, 0) + min(after, 0) < 0:
        rule = "cannot cut off more than there is"
    elif mode == "reflect" and widest >= size:
        rule = "Padding size should be less than the corresponding input dimension"
    elif mode == "circular" and not 0 <= min(before, after) <= widest <= size:
        rule = "Padding value causes wrapping around more than once" if widest > size else "circular cannot cut off"
    elif mode == "replicate" and not size:
        rule = "there is nothing to replicate"
    else:
        return
    raise RuntimeError(
        explain("pad", f"{rule}, but got: padding {before, after} at dimension {dim} of size {size}", {"input": input})
    )


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Labels (...) as int64 vectors (..., num_classes): 1 at the label, 0 elsewhere. -1: the largest label plus 1.

    RuntimeError for another dtype than int64, for labels outside 0..num_classes-1, and for no labels without a number.
    """
    require_tensors("one_hot", tensor=tensor)
    num_classes = operator.index(num_classes)
    if tensor.dtype != int64:
        raise RuntimeError(
            explain("one_hot", "only applicable to labels of dtype int64", {"tensor": tensor}, help="labels.long()")
        )
    labels = tensor.data
    if not labels.size and num_classes < 1:
        raise RuntimeError(
            explain("one_hot", "Can not infer total number of classes from empty tensor", {"tensor": tensor})
        )
    if labels.size:
        with on_device_of((labels,)):
            lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0:
            raise RuntimeError(
                explain("one_hot", f"Class values must be non-negative, got {lowest}", {"tensor": tensor})
            )
        if num_classes == -1:
            num_classes = highest + 1
        if highest >= num_classes:
            raise RuntimeError(
                explain(
                    "one_hot",
                    f"Class values must be smaller than num_classes, got {highest} and num_classes={num_classes}",
                    {"tensor": tensor},
                )
            )
    with on_device_of((labels,)):
        return Tensor((labels[..., None] == array_module(labels).arange(num_classes)).astype(int64))

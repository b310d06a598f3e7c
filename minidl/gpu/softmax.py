"""Softmax, its logarithm and their gradients on a GPU, over the last dimension: one launch each."""

from __future__ import annotations

from typing import Any

from minidl.backend import array_module
from minidl.gpu.launch import per_block


def of_rows(name: str, *arrays: Any) -> Any:
    """Run kernel `name` of softmax.cu on arrays (..., C) of one shape, row by row."""
    xp = array_module(arrays[0])
    arrays = tuple(xp.ascontiguousarray(array) for array in arrays)
    result = xp.empty_like(arrays[0])
    C = result.shape[-1]
    per_block("softmax." + name, (result.size // C,), (*arrays, result), C)
    return result

"""How a list of samples becomes a batch."""

from __future__ import annotations

from typing import Any

import numpy

from minidl.backend import array_module, float64, int64
from minidl.errors import explain
from minidl.tensor import Tensor


def default_collate(batch: list) -> Any:
    """One batch from a list of samples: tensors, arrays and numbers are stacked, along a new first dimension.

    Tuples and lists become a list with one batch for each position, dictionaries one with a batch for each key;
    strings stay a list. Floats become float64 and ints int64, as in PyTorch.

    TypeError: anything else. RuntimeError: samples of different shapes or lengths.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack([sample.data for sample in batch])
    if isinstance(first, (numpy.ndarray, numpy.generic)):
        return _stack([numpy.asarray(sample) for sample in batch])
    if isinstance(first, bool):
        return Tensor(numpy.array(batch))
    if isinstance(first, int):
        return Tensor(numpy.array(batch, int64))
    if isinstance(first, float):
        return Tensor(numpy.array(batch, float64))
    if isinstance(first, str):
        return batch
    if isinstance(first, dict):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        if len({len(sample) for sample in batch}) > 1:
            raise RuntimeError(explain("default_collate", "each sample should have the same number of elements"))
        parts = [default_collate(list(part)) for part in zip(*batch, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise TypeError(
        explain(
            "default_collate",
            f"batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first).__name__}",
            help="give the loader a collate_fn of your own",
        )
    )


def _stack(arrays: list) -> Tensor:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise RuntimeError(
            explain(
                "default_collate",
                f"stack expects each sample to be of equal size, but got {sorted(shapes)}",
                help="bring the samples to one size first, or give the loader a collate_fn of your own",
            )
        )
    return Tensor(array_module(arrays[0]).stack(arrays))

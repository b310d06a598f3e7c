"""Datasets: anything with a length and an item for every index; samples are tuples such as (image, label)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy

from minidl.backend import Generator, default_generator
from minidl.errors import explain
from minidl.tensor import Tensor


class Dataset:
    """Base class of datasets. A subclass defines `__getitem__(index)` and `__len__()`.

    It may also define `batch(indices)`, which returns the collated samples at once: the loader then calls that
    instead of asking for one sample after the other.
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.__getitem__ is not defined")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}.__len__ is not defined")


class TensorDataset(Dataset):
    """Tensors of one length: sample i is (tensors[0][i], tensors[1][i], ...).

    TypeError: no Tensor, or one without dimensions. AssertionError, as in PyTorch: the lengths differ.
    """

    def __init__(self, *tensors: Tensor):
        for tensor in tensors:
            if not isinstance(tensor, Tensor) or not tensor.ndim:
                raise TypeError(
                    explain("TensorDataset", "takes Tensors with at least one dimension", {"argument": tensor})
                )
        if len({len(tensor) for tensor in tensors}) != 1:
            operands = {f"tensor {number}": tensor for number, tensor in enumerate(tensors)}
            raise AssertionError(explain("TensorDataset", "Size mismatch between tensors", operands))
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batch(self, indices: Sequence[int]) -> list[Tensor]:
        """The samples at `indices` as one tensor for each part of a sample."""
        rows = numpy.asarray(indices)
        return [tensor[rows] for tensor in self.tensors]


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def batch(self) -> Callable[[Sequence[int]], Any]:
        """`batch(positions)`, where `dataset` has it: without, the attribute is missing here too."""
        batch = self.dataset.batch
        return lambda positions: batch([self.indices[position] for position in positions])


class ConcatDataset(Dataset):
    """Datasets one after the other, as one. ValueError: none of them."""

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError(explain("ConcatDataset", "takes at least one dataset"))
        self.cumulative_sizes = numpy.cumsum([len(dataset) for dataset in self.datasets]).tolist()

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(explain("ConcatDataset", f"index {index} is out of range for {len(self)} samples"))
        index %= len(self)
        part = bisect_right(self.cumulative_sizes, index)
        return self.datasets[part][index - (self.cumulative_sizes[part - 1] if part else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset]:
    """Disjoint subsets drawn at random, of these lengths, or of these fractions of the dataset if they add up to 1.

    What rounding down leaves over goes to the first ones, one each. ValueError where the lengths do not add up.
    """
    total = len(dataset)
    sizes: list[Any] = list(lengths)
    if math.isclose(sum(sizes), 1) and sum(sizes) <= 1:
        if not all(0 <= fraction <= 1 for fraction in sizes):
            raise ValueError(explain("random_split", f"fractions must be between 0 and 1, got {sizes}"))
        sizes = [math.floor(total * fraction) for fraction in sizes]
        for extra in range(total - sum(sizes)):
            sizes[extra % len(sizes)] += 1
    if sum(sizes) != total:
        raise ValueError(
            explain(
                "random_split",
                f"Sum of input lengths does not equal the length of the input dataset: {sum(sizes)} and {total}",
                help="fractions must add up to 1",
            )
        )
    order = (generator or default_generator).numpy.permutation(total).tolist()
    ends = numpy.cumsum(sizes).tolist()
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

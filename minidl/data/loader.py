"""DataLoader: a dataset in batches, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy

from minidl.backend import Generator, array_module, default_generator, float64, int64
from minidl.errors import explain
from minidl.tensor import Tensor


class DataLoader:
    """Iterates over `dataset` once for each `for`: one epoch, in batches.

    batch_size      samples in a batch; the last one has what is left over
    shuffle         a new order in each epoch, which depends on the seed and the number of the epoch only
    collate_fn      makes a batch from a list of samples: `default_collate`
    drop_last       leave out a last batch that is not full
    generator       draws the seed, once; minidl's default generator, so that `manual_seed` decides
    num_workers     0: other processes that load batches are not there yet, NotImplementedError
    pin_memory      has no effect yet

    `loader.epoch`, the number of epochs begun, may be set: so a resumed training sees the order it would have seen.

    ValueError: batch_size below 1; TypeError: a dataset without length or items.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        collate_fn: Callable[[list], Any] | None = None,
        drop_last: bool = False,
        generator: Generator | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
    ):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(explain("DataLoader", "a dataset has __len__ and __getitem__", {"dataset": dataset}))
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, numpy.integer)) or batch_size < 1:
            raise ValueError(
                explain(
                    "DataLoader", f"batch_size should be a positive integer value, but got batch_size={batch_size!r}"
                )
            )
        if num_workers != 0:
            raise NotImplementedError(
                explain(
                    "DataLoader",
                    f"loading in other processes is not there yet, but got num_workers={num_workers!r}",
                    help="leave num_workers at 0: the batches are loaded in this process",
                )
            )
        if shuffle and not len(dataset):
            raise ValueError(explain("DataLoader", "cannot shuffle a dataset without samples", {"dataset": dataset}))
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.epoch = 0
        self._seed = int((generator or default_generator).numpy.integers(2**63)) if shuffle else 0

    def __len__(self) -> int:
        """The number of batches."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        order = numpy.arange(len(self.dataset))
        if self.shuffle:
            order = numpy.random.default_rng((self._seed, self.epoch)).permutation(order)
        self.epoch += 1
        batches = (order[start : start + self.batch_size].tolist() for start in range(0, len(order), self.batch_size))
        # islice would hide it: len(self) leaves out a last batch that is to be dropped
        return (self._load(indices) for indices, _ in zip(batches, range(len(self)), strict=False))

    def _load(self, indices: list[int]) -> Any:
        if self.collate_fn is None and hasattr(self.dataset, "batch"):
            return self.dataset.batch(indices)
        return (self.collate_fn or default_collate)([self.dataset[index] for index in indices])


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

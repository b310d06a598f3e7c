"""DataLoader: a dataset in batches, in order or shuffled, loaded ahead by threads if you like."""

from __future__ import annotations

import copy
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import Any

import numpy

from minidl.backend import Generator, default_generator
from minidl.data.collate import default_collate
from minidl.data.randomness import Draws, drawing_from, sample_keys
from minidl.data.sampler import BatchSampler, RandomSampler, SequentialSampler, order_of
from minidl.errors import explain


class DataLoader:
    """Iterates over `dataset` once for each `for`: one epoch, in batches.

    batch_size      samples in a batch; the last one has what is left over
    shuffle         a new order in each epoch, which depends on the seed and the number of the epoch only
    sampler         gives the indices instead: an object of `minidl.data.sampler`, or anything to iterate over
    batch_sampler   gives lists of indices instead, a batch each
    num_workers     threads that load the next batches while you compute; 0: each is loaded when you ask for it
    collate_fn      makes a batch from a list of samples: `default_collate`
    drop_last       leave out a last batch that is not full
    timeout         seconds to wait for a batch of the workers; 0: for ever
    worker_init_fn  called in each worker with its number, before its first batch
    prefetch_factor batches that are loaded ahead for each worker
    generator       draws the seed, once; minidl's default generator, so that `manual_seed` decides
    pin_memory, persistent_workers      have no effect: the batches lie in NumPy's memory, and threads start in no time

    The workers are threads, not processes: NumPy and Pillow let others run while they copy and decode, nothing has to
    be pickled, and it is the same on every system. Pure Python in a `__getitem__` gains nothing from them.

    `loader.seed` and `loader.epoch` (the number of epochs begun) may be set, and decide everything that is random: the
    order, and what the transforms of `minidl.data.transforms` do to sample i. `num_workers` decides nothing.
    `loader.batches(epoch, start)` goes on in the middle of an epoch.

    Where a sample cannot be loaded, its error is raised here, and says which one it was. Leaving a `for` early stops
    the workers.

    ValueError: batch_size or prefetch_factor below 1, num_workers or timeout below 0, options that exclude each other;
    TypeError: a dataset without length or items.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable | None = None,
        batch_sampler: Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        *,
        prefetch_factor: int = 2,
        generator: Generator | None = None,
        persistent_workers: bool = False,
    ):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(explain("DataLoader", "a dataset has __len__ and __getitem__", {"dataset": dataset}))
        _check_int("batch_size", batch_size, 1, "a positive integer value")
        _check_int("num_workers", num_workers, 0, "an integer value of at least 0")
        _check_int("prefetch_factor", prefetch_factor, 1, "a positive integer value")
        if not timeout >= 0:
            raise ValueError(explain("DataLoader", f"timeout should be at least 0, but got timeout={timeout!r}"))
        if sampler is not None and shuffle:
            raise ValueError(explain("DataLoader", "sampler option is mutually exclusive with shuffle"))
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                explain(
                    "DataLoader",
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last",
                )
            )
        if shuffle and not len(dataset):
            raise ValueError(explain("DataLoader", "cannot shuffle a dataset without samples", {"dataset": dataset}))

        self.dataset = dataset
        self.batch_size = int(batch_size) if batch_sampler is None else None
        self.shuffle = shuffle
        self.sampler = sampler if sampler is not None else (RandomSampler if shuffle else SequentialSampler)(dataset)
        self.batch_sampler = (
            BatchSampler(self.sampler, batch_size, drop_last) if batch_sampler is None else batch_sampler
        )
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.prefetch_factor = prefetch_factor
        self.epoch = 0
        numbers = (generator or default_generator).numpy
        if not shuffle and sampler is None and batch_sampler is None:
            # Nothing random but perhaps a transform: look at the generator without moving it on, so that whether there
            # is a loader for testing changes nothing else.
            numbers = copy.deepcopy(numbers)
        self.seed = int(numbers.integers(2**63))

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        return self.batches(self.epoch - 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of epoch number `epoch`, from number `start` on; those before are not loaded.

        ValueError: epoch or start below 0, or fewer than `start` batches.
        """
        _check_int("epoch", epoch, 0, "an integer value of at least 0")
        _check_int("start", start, 0, "an integer value of at least 0")
        batches = [list(indices) for indices in order_of(self.batch_sampler, self.seed, epoch)]
        if start > len(batches):
            raise ValueError(
                explain("DataLoader.batches", f"start is {start}, but the epoch has only {len(batches)} batches")
            )
        keys = sample_keys(self.seed, epoch, list(itertools.chain.from_iterable(batches)))
        ends = numpy.cumsum([len(indices) for indices in batches], dtype=int)[:-1]
        jobs = list(zip(batches, numpy.split(keys, ends), strict=True))[start:] if batches else []
        if self.num_workers:
            return self._load_ahead(jobs)
        return (self._load(indices, keys) for indices, keys in jobs)

    # ------------------------------------------------------------------------------------------------- one batch

    def _load(self, indices: list, keys: numpy.ndarray) -> Any:
        """The batch of the samples `indices`, whose random numbers have the keys `keys`."""
        if self.collate_fn is None and hasattr(self.dataset, "batch"):
            try:
                with drawing_from(Draws(keys)):
                    return self.dataset.batch(indices)
            except Exception as error:
                self._samples(indices, keys)  # raises where one of them is to blame, with its index
                raise _with_index(error, f"the samples {_shortened(indices)}") from error
        return (self.collate_fn or default_collate)(self._samples(indices, keys))

    def _samples(self, indices: list, keys: numpy.ndarray) -> list:
        samples = []
        for row, index in enumerate(indices):
            try:
                with drawing_from(Draws(keys[row : row + 1])):
                    samples.append(self.dataset[index])
            except Exception as error:
                raise _with_index(error, f"sample {index!r}") from error
        return samples

    # -------------------------------------------------------------------------------------------------- workers

    def _load_ahead(self, jobs: list) -> Iterator[Any]:
        """The batches of `jobs` in order, while threads load those that come next."""
        worker = threading.local()
        numbers = itertools.count()

        def load(indices: list, keys: numpy.ndarray) -> Any:
            if not hasattr(worker, "number"):
                worker.number = next(numbers)
                if self.worker_init_fn is not None:
                    self.worker_init_fn(worker.number)
            return self._load(indices, keys)

        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="minidl-loader")
        ahead: deque[Future] = deque()
        waiting = iter(jobs)
        try:
            while True:
                for job in itertools.islice(waiting, self.num_workers * self.prefetch_factor - len(ahead)):
                    ahead.append(pool.submit(load, *job))
                if not ahead:
                    return
                yield self._result(ahead.popleft())
        finally:  # also where the caller leaves early: the generator is closed then
            pool.shutdown(wait=True, cancel_futures=True)

    def _result(self, future: Future) -> Any:
        """What the worker loaded. Waits in short turns, for Windows delivers Ctrl-C only between two of them."""
        deadline = monotonic() + self.timeout
        while not future.done():
            wait([future], timeout=0.2 if not self.timeout else max(0.0, min(0.2, deadline - monotonic())))
            if self.timeout and monotonic() >= deadline and not future.done():
                raise RuntimeError(
                    explain(
                        "DataLoader",
                        f"timed out after {self.timeout} seconds: no worker has finished the batch",
                        help="raise timeout, or look at what the dataset waits for with num_workers=0",
                    )
                )
        return future.result()


def _with_index(error: Exception, what: str) -> Exception:
    """An error of the same type that says what could not be loaded; RuntimeError where the type takes no text."""
    text = explain("DataLoader", f"{what} could not be loaded: {type(error).__name__}: {error}")
    try:
        renamed = type(error)(text)
        return renamed if text in str(renamed) else RuntimeError(text)
    except Exception:  # a type whose constructor wants something else
        return RuntimeError(text)


def _shortened(indices: list) -> str:
    text = ", ".join(repr(index) for index in indices[:10])
    return text if len(indices) <= 10 else f"{text}, ... ({len(indices)} of them)"


def _check_int(name: str, value: Any, least: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, numpy.integer)) or value < least:
        raise ValueError(explain("DataLoader", f"{name} should be {what}, but got {name}={value!r}"))

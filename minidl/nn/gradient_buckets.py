"""The gradients of a model in a few large messages, which leave while backward still computes the others.

A message has a fixed cost, so small gradients travel together, in a bucket. Backward makes the gradients of the last
layers first: the buckets are filled from the end of the model, and each leaves as soon as it is full.

Li et al., "PyTorch Distributed", VLDB 2020, arXiv:2006.15704, sec. 3.2: bucketing, and overlapping with backward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from minidl.backend import empty, on_device_of
from minidl.distributed.group import Group, Work
from minidl.nn.parameter import Parameter

FIRST = 1 << 20  # bytes: the first bucket is full soon, so that something is under way


class Bucket:
    """Gradients of one dtype, side by side in one array; and behind them, for each, on how many ranks there was one."""

    def __init__(self, parameters: Sequence[Parameter]):
        self.parameters = parameters
        self._places: dict[int, tuple[int, Any]] = {}  # by id: the number of a parameter, and its part of the buffer
        self.work: Work | None = None
        self.waiting: set[int] = set()  # the ids of those whose gradient is still to come
        total = sum(parameter.numel() for parameter in parameters)
        with on_device_of((parameters[0].data,)):
            self.buffer = empty(parameters[0].data, (total + len(parameters),))
            self.present = self.buffer[total:]
            start = 0
            for number, parameter in enumerate(parameters):
                part = self.buffer[start : start + parameter.numel()].reshape(parameter.shape)
                self._places[id(parameter)] = number, part
                start += parameter.numel()

    def begin(self) -> None:
        """Wait for every gradient anew."""
        self.work = None
        self.waiting = set(self._places)
        with self._on_its_device():
            self.present[...] = 1

    def take(self, parameter: Parameter) -> None:
        """Copy its gradient in; zeros where it has none."""
        number, part = self._places[id(parameter)]
        gradient = parameter.grad
        with self._on_its_device():
            part[...] = 0 if gradient is None else gradient.data
            if gradient is None:
                self.present[number] = 0
        self.waiting.discard(id(parameter))

    def send(self, group: Group) -> None:
        self.work = group.all_reduce(self.buffer, apart=True)

    def give_back(self, share: float) -> None:
        """Wait for the sums, and make each `.grad` its sum times `share`. None stays what is None on every rank."""
        assert self.work is not None
        self.work.wait()
        with self._on_its_device():
            self.buffer *= share
            for parameter in self.parameters:
                number, part = self._places[id(parameter)]
                if parameter.grad is not None:
                    parameter.grad.data[...] = part
                elif self.present[number]:  # on another rank
                    parameter.grad = parameter.detach().clone()
                    parameter.grad.data[...] = part

    def _on_its_device(self) -> AbstractContextManager:
        return on_device_of((self.buffer,))


def buckets_of(parameters: Iterable[Parameter], enough: float) -> list[Bucket]:
    """The parameters from the last to the first, in buckets that are full once they have `enough` bytes."""
    buckets: list[Bucket] = []
    filling: dict[Any, list[Parameter]] = {}  # by dtype and device
    for parameter in reversed(list(parameters)):
        kind = parameter.dtype, parameter.device
        inside = filling.setdefault(kind, [])
        inside.append(parameter)
        size = sum(each.numel() * each.element_size() for each in inside)
        if size >= (enough if buckets else min(FIRST, enough)):
            buckets.append(Bucket(filling.pop(kind)))
    return buckets + [Bucket(inside) for inside in filling.values()]

"""Tensors as the page holds them: statistics, a histogram, and as many of the numbers as there is room for.

`data` of a tensor, from which the page draws its picture:

    kind        "maps": channels of an image; "filters": kernels of a convolution; "matrix", "vector"
    type        "f4": float32, exact; "i1": bytes q from -127 to 127, a value is q / 127 * scale; -128 is not finite
    shape       of the numbers that are here: (C, H, W) of maps, (F, C, H, W) of filters, (H, W) of the others
    every       (rows, columns): every such value of the tensor is here, from the first on
    scale       the value that has the strongest colour: 99.5 % are not larger
    base64      the numbers, the last index running fastest, the lowest byte first

Of a batch, the first image is here. Exact are the tensors that sums are shown of, as far as there is room; the others
are to be looked at, and a byte is enough for that.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from typing import Any

import numpy

from minidl.backend import transfer
from minidl.debug.statistics import Statistics
from minidl.debug.tape import Value

ROOM_EXACT = 7 << 20  # bytes for all exact tensors together, before base64 makes them a third larger
ROOM = 6 << 20  # bytes for all the others
MOST_EXACT = 1 << 18  # bytes of one exact tensor
MOST, LEAST = 1 << 14, 1 << 9  # values of another one
SIDE = 48  # longest side of a channel
ROWS, COLUMNS = 64, 160  # of a matrix


class Pictures:
    """Shares the room out among all tensors of a page."""

    def __init__(self, values: list[Value], exact: Iterable[Value], kernels: set[Value]):
        self.kernels = kernels
        self.whole: set[Value] = set()
        room = ROOM_EXACT
        for value in exact:
            size = 4 * math.prod(self._seen(value))
            if size <= MOST_EXACT and size <= room:
                self.whole.add(value)
                room -= size
        others = [math.prod(self._seen(value)) for value in values if value not in self.whole]
        self.most = MOST
        while self.most > LEAST and sum(min(size, self.most) for size in others) > ROOM:
            self.most //= 2

    def is_whole(self, value: Value) -> bool:
        """True where each number of the first image is in the page."""
        return value in self.whole

    def of(self, value: Value) -> dict[str, Any]:
        """stats, histogram, and value or data or left_out."""
        found = value.statistics
        result: dict[str, Any] = {"stats": _stats(found), "histogram": _histogram(found)}
        if value.array is None:
            return result | {"data": None, "left_out": "The tape has let this tensor go: there was no room for it."}
        array = transfer(value.array, "cpu")
        if array.size == 1:
            return result | {"value": _finite(float(array.reshape(())))}
        if array.size == 0 or array.ndim > 4:
            return result | {"data": None, "left_out": "No picture: the tensor is empty, or has more than four axes."}
        return result | {"data": self._data(value, array)}

    def _seen(self, value: Value) -> tuple[int, ...]:
        """The shape without the batch."""
        return value.shape if value in self.kernels or len(value.shape) < 4 else value.shape[1:]

    def _data(self, value: Value, array: numpy.ndarray) -> dict[str, Any]:
        every = 1, 1
        if array.ndim == 4 and value in self.kernels:
            kind = "filters"
            if value not in self.whole:
                array = array[:16, :16] if array[0, 0].size * 256 <= 4 * MOST else array[:8, :8]
        elif array.ndim >= 3:
            kind, array = "maps", array[0] if array.ndim == 4 else array
            if value not in self.whole:
                array, every = _thinned(array, SIDE, SIDE)
                array = array[: max(1, self.most // max(1, array[0].size))]
        else:
            kind = "matrix" if array.ndim == 2 else "vector"
            array = array.reshape(-1, array.shape[-1])
            if value not in self.whole:
                array, every = _thinned(array, ROWS, COLUMNS)
        numbers = numpy.asarray(array, numpy.float32)
        scale = _scale(numbers)
        exact = value in self.whole
        stored = numbers.astype("<f4") if exact else _as_bytes(numbers, scale)
        return {
            "kind": kind,
            "type": "f4" if exact else "i1",
            "shape": numbers.shape,
            "every": every,
            "scale": scale,
            "base64": base64.b64encode(numpy.ascontiguousarray(stored).tobytes()).decode("ascii"),
        }


def _thinned(array: numpy.ndarray, rows: int, columns: int) -> tuple[numpy.ndarray, tuple[int, int]]:
    """Every second, third, ... row and column, so that no more are left than these."""
    every = -(-array.shape[-2] // rows), -(-array.shape[-1] // columns)
    return array[..., :: every[0], :: every[1]], every


def _scale(numbers: numpy.ndarray) -> float:
    size = numpy.abs(numbers[numpy.isfinite(numbers)])
    if not size.size or not size.any():
        return 1.0
    scale = float(numpy.quantile(size, 0.995))
    return scale or float(size.max())  # a few values among zeros


def _as_bytes(numbers: numpy.ndarray, scale: float) -> numpy.ndarray:
    is_finite = numpy.isfinite(numbers)
    steps = numpy.clip(numpy.where(is_finite, numbers, 0) * (127 / scale), -127, 127)
    return numpy.where(is_finite, numpy.rint(steps), -128).astype(numpy.int8)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _stats(found: Statistics | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "low": _finite(found.min),
        "high": _finite(found.max),
        "mean": _finite(found.mean),
        "std": _finite(found.std),
        "zero": found.zero_share,
        "nan": found.nans,
        "inf": found.infs,
    }


def _histogram(found: Statistics | None) -> dict[str, Any] | None:
    if found is None or found.size < 2 or not math.isfinite(found.min) or found.min == found.max:
        return None
    return {"low": found.min, "high": found.max, "counts": found.histogram}

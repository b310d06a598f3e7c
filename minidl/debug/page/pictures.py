"""Tensors as the page holds them: statistics, a histogram, and as many of the numbers as there is room for.

`data` of a tensor, from which the page draws its picture:

    kind        "maps": channels of an image; "filters": kernels of a convolution; "matrix", "vector"
    type        "f4": float32, exact; "i1": bytes q from -127 to 127, a value is q / 127 * scale; -128 is not finite
    shape       of the numbers that are here: (N, C, H, W) of maps, (F, C, H, W) of filters, (H, W) of the others
    every       (rows, columns): every such value of the tensor is here, from the first on
    scale       the value that has the strongest colour: 99.5 % are not larger
    base64      the numbers, the last index running fastest, the lowest byte first

Of a batch, the first images are here, four at most. Exact are the tensors that sums are shown of, as far as there is
room; the others are to be looked at, and a byte is enough for that.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy

from minidl.backend import transfer
from minidl.debug.statistics import Statistics
from minidl.debug.tape import Value

IMAGES = 4  # of a batch
LABELS = 32  # numbers that are written out
ROOM_EXACT = 8 << 20  # bytes for all exact tensors together, before base64 makes them a third larger
ROOM_UPDATES = 3 << 20  # bytes for what updates are computed from
ROOM = 4 << 20  # bytes for all the others
MOST_EXACT = 1 << 18  # bytes of one image of an exact tensor
MOST, LEAST = 1 << 14, 1 << 9  # values of one image of another one
SIDE = 48  # longest side of a channel
ROWS, COLUMNS = 64, 160  # of a matrix


class Pictures:
    """Shares the room out among all tensors of a page.

    exact       are needed whole, wished too if there is still room then
    updated     parameters, their gradients and the optimizer's state: as large as others, but exact
    kernels     those of four dimensions that are no images

    images      how many of a batch are here: as many as the exact tensors have room for
    updates     True where there is room for exact numbers of `updated`
    """

    def __init__(
        self, values: list[Value], exact: list[Value], wished: list[Value], updated: set[Value], kernels: set[Value]
    ):
        self.kernels, self.updated = kernels, updated
        self.images = next(n for n in range(IMAGES, 0, -1) if n == 1 or self._size(exact, n) <= ROOM_EXACT)
        self.whole: set[Value] = set()
        room = ROOM_EXACT
        for value in (*exact, *wished):
            size = 4 * self._count(value, self.images)
            if 4 * self._count(value, 1) <= MOST_EXACT and size <= room and value not in self.whole:
                self.whole.add(value)
                room -= size
        self.most = MOST
        others = [value for value in values if value not in self.whole]
        self.updates = 4 * self._shown([v for v in others if v in updated]) <= ROOM_UPDATES
        others = [value for value in others if not self.is_precise(value)]
        while self.most > LEAST and self._shown(others) > ROOM:
            self.most //= 2

    def is_whole(self, value: Value) -> bool:
        """True where each number of the images is in the page."""
        return value in self.whole

    def is_precise(self, value: Value) -> bool:
        """True where the numbers that are in the page are what they are in the tensor."""
        return value in self.whole or (self.updates and value in self.updated)

    def _size(self, values: list[Value], images: int) -> int:
        """Bytes of exact tensors, those too large left out."""
        return sum(4 * self._count(v, images) for v in values if 4 * self._count(v, 1) <= MOST_EXACT)

    def _shown(self, values: list[Value]) -> int:
        """How many numbers the others have in the page, at most."""
        return sum(
            min(self._count(v, 1), self.most) * self._count(v, self.images) // max(1, self._count(v, 1)) for v in values
        )

    def _count(self, value: Value, images: int) -> int:
        """Numbers in so many images of it."""
        is_batch = len(value.shape) == 4 and value not in self.kernels
        return math.prod((min(value.shape[0], images), *value.shape[1:]) if is_batch else value.shape)

    def of(self, value: Value) -> dict[str, Any]:
        """stats, histogram, and value or data or left_out; labels, where they are a few whole numbers in a row."""
        found = value.statistics
        result: dict[str, Any] = {"stats": _stats(found), "histogram": _histogram(found)}
        if value.array is None:
            return result | {"data": None, "left_out": "The tape has let this tensor go: there was no room for it."}
        array = transfer(value.array, "cpu")
        if array.size == 1:
            return result | {"value": _finite(float(array.reshape(())))}
        if array.size == 0 or array.ndim > 4:
            return result | {"data": None, "left_out": "No picture: the tensor is empty, or has more than four axes."}
        if _are_labels(array):
            result["labels"] = array.tolist()
        return result | {"data": self._data(value, array)}

    def _data(self, value: Value, array: numpy.ndarray) -> dict[str, Any]:
        every = 1, 1
        if array.ndim == 4 and value in self.kernels:
            kind = "filters"
            if value not in self.whole:
                array = array[:16, :16] if array[0, 0].size * 256 <= 4 * MOST else array[:8, :8]
        elif array.ndim >= 3:
            kind, array = "maps", array[: self.images] if array.ndim == 4 else array[None]
            if value not in self.whole:
                array, every = _thinned(array, SIDE, SIDE)
                array = array[:, : max(1, self.most // max(1, array[0, 0].size))]
        else:
            kind = "matrix" if array.ndim == 2 else "vector"
            array = array.reshape(-1, array.shape[-1])
            if value not in self.whole:
                array, every = _thinned(array, ROWS, COLUMNS)
        numbers = numpy.asarray(array, numpy.float32)
        scale = _scale(numbers)
        exact = self.is_precise(value) or _are_labels(array[0])
        stored = numbers.astype("<f4") if exact else _as_bytes(numbers, scale)
        return {
            "kind": kind,
            "type": "f4" if exact else "i1",
            "shape": numbers.shape,
            "every": every,
            "scale": scale,
            "base64": base64.b64encode(numpy.ascontiguousarray(stored).tobytes()).decode("ascii"),
        }


def _are_labels(array: numpy.ndarray) -> bool:
    """Whole numbers to be read, of which no mean is of interest."""
    return array.ndim == 1 and array.size <= LABELS and array.dtype.kind in "iu"


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

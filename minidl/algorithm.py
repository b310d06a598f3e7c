"""Which algorithm the operations use, where there is more than one: use_algorithm.

minidl.use_algorithm("im2col")              from here on
with minidl.use_algorithm("im2col"):        inside only
"""

from __future__ import annotations

from typing import Any

from minidl.backend import cudnn, on_cpu
from minidl.errors import explain

ALGORITHMS = {
    "auto": "the fastest there is for the shape and the device, of what needs no further library",
    "im2col": "the plain formulae as they stand in minidl/ops: all columns at once, then one matrix product",
    "cudnn": "on a GPU, NVIDIA's cuDNN for convolution; everything else as with auto",
}

_current = "auto"


class use_algorithm:
    """Compute with `name`: "auto", the fastest way, or "im2col", literally what forward and backward show.

    On a CPU Conv2d and BatchNorm have both ways; on a GPU also the columns of the other convolutions, pooling, local
    response normalization, softmax, ReLU, sums and products of two arrays, dropout's random numbers, and SGD. The other
    operations run as they stand in either. The results differ by rounding only. backward may run under another setting
    than forward did: an operation whose ways save different things goes on as it began. The setting holds for all
    threads. Used as a context manager, the setting before comes back at the end.

    ValueError for another name; RuntimeError for "cudnn" where the extra of that name is not installed.
    """

    def __init__(self, name: str):
        global _current
        if name not in ALGORITHMS:
            known = ", ".join(f'"{known}" ({what})' for known, what in ALGORITHMS.items())
            raise ValueError(explain("use_algorithm", f"unknown algorithm {name!r}", help=f"there are {known}"))
        if name == "cudnn":
            cudnn()
        self._name, self._before, _current = name, _current, name

    def __enter__(self) -> None:
        global _current
        if _current != self._name:  # another call came in between
            self._before, _current = _current, self._name

    def __exit__(self, *exception: Any) -> None:
        global _current
        _current = self._before


def in_blocks(*arrays: Any) -> bool:
    """True where an operation shall run in blocks on all cores: in the host's memory, unless told otherwise."""
    return _current != "im2col" and all(on_cpu(array) for array in arrays)


def with_kernels(array: Any) -> bool:
    """True where an operation shall run in kernels of minidl/gpu: on a GPU, unless told otherwise."""
    return not on_cpu(array) and _current != "im2col"


def with_cudnn(array: Any) -> bool:
    """True where an operation shall run in cuDNN: on a GPU, where it was asked for."""
    return _current == "cudnn" and not on_cpu(array)

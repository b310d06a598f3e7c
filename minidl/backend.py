"""The array backend: NumPy on the host, CuPy on a GPU. No other file imports CuPy.

array_module(x)      the module (NumPy or CuPy) whose functions take x; ops call it `xp`
device, transfer     where an array lives, and how it gets elsewhere
Generator            random numbers; always drawn on the host, so that one seed gives one result on every device
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy

from minidl import buffers
from minidl.errors import explain

# The element types, under PyTorch's names. They are NumPy's dtype objects: x.dtype == minidl.float32.
float32 = numpy.dtype("float32")
float64 = numpy.dtype("float64")
uint8 = numpy.dtype("uint8")
int8 = numpy.dtype("int8")
int16 = numpy.dtype("int16")
int32 = numpy.dtype("int32")
int64 = numpy.dtype("int64")
bool_ = numpy.dtype("bool")

DTYPES = (float32, float64, uint8, int8, int16, int32, int64, bool_)

_default_dtype = float32


def get_default_dtype() -> numpy.dtype:
    """The element type of tensors made from Python floats: float32 unless `set_default_dtype` said otherwise."""
    return _default_dtype


def set_default_dtype(dtype) -> None:
    """Make `dtype` (float32 or float64) the type of tensors made from Python floats. TypeError for any other."""
    global _default_dtype
    dtype = numpy.dtype(dtype)
    if dtype not in (float32, float64):
        raise TypeError(explain("set_default_dtype", f"only float32 and float64 can be the default, got {dtype}"))
    _default_dtype = dtype


# ---------------------------------------------------------------------------------------------- NumPy or CuPy


@cache
def _cupy() -> ModuleType | None:
    """CuPy, imported the first time it is needed; None where it is not installed."""
    return importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None


def array_module(array: Any) -> ModuleType:
    """The module whose functions take `array`: NumPy, or CuPy for an array on a GPU."""
    if type(array) is numpy.ndarray or isinstance(array, (numpy.ndarray, numpy.generic)):
        return numpy
    cupy = _cupy()
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    raise TypeError(explain("array_module", f"expected a NumPy or CuPy array, got {type(array).__name__}"))


def is_array(value: Any) -> bool:
    """True for a NumPy or CuPy array (NumPy's scalars included)."""
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return True
    # A CuPy array can only exist once CuPy has been imported; asking for its type must not import it.
    return type(value).__module__.partition(".")[0] == "cupy" and isinstance(value, _cupy().ndarray)  # type: ignore[union-attr]


def empty(like: Any, shape: tuple[int, ...], order: tuple[int, ...] | None = None) -> Any:
    """An array with anything in it, of the dtype and on the device of `like`. `order`: see buffers.empty."""
    if isinstance(like, numpy.ndarray):
        return buffers.empty(shape, like.dtype, order)
    return array_module(like).empty(shape, like.dtype)


def empty_like(like: Any, shape: tuple[int, ...] | None = None) -> Any:
    """`empty` with the dimensions in the order in which those of `like` lie in memory; another `shape` has as many."""
    shape = like.shape if shape is None else shape
    if isinstance(like, numpy.ndarray):
        return buffers.empty(shape, like.dtype, buffers.order_of(like))
    return array_module(like).empty_like(like, shape=shape)


def memory_order(array: Any) -> tuple[int, ...] | None:
    """The `order` of an array, for `empty`; None for C order, and on a GPU."""
    return buffers.order_of(array) if isinstance(array, numpy.ndarray) else None


# ------------------------------------------------------------------------------------------------------ devices


@dataclass(frozen=True)
class device:
    """Where an array lives: device("cpu"), device("cuda"), device("cuda:1") or device("cuda", 1)."""

    type: str
    index: int | None = None

    def __init__(self, type: str | device, index: int | None = None):
        name, colon, number = str(type).partition(":")
        if colon:
            if index is not None or not number.isdecimal():
                raise RuntimeError(
                    explain("device", f"invalid device string {type!r}", help='"cpu", "cuda" or "cuda:1"')
                )
            index = int(number)
        if name not in ("cpu", "cuda"):
            raise RuntimeError(explain("device", f"unknown device {name!r}", help='"cpu", "cuda" or "cuda:1"'))
        if name == "cuda" and index is None:
            index = 0
        object.__setattr__(self, "type", name)
        object.__setattr__(self, "index", index if name == "cuda" else None)

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


CPU = device("cpu")


def device_of(array: Any) -> device:
    """The device that holds `array`."""
    if isinstance(array, (numpy.ndarray, numpy.generic)):
        return CPU
    return device("cuda", array.device.id)


def transfer(array: Any, to: str | device) -> Any:
    """`array` on the device `to`: itself if it is there already, else a copy. RuntimeError without CUDA."""
    to = device(to)
    if device_of(array) == to:
        return array
    if to == CPU:
        return array.get()
    if not cuda_is_available():
        raise RuntimeError(
            explain(
                "to",
                f"cannot move an array to {to}: no CUDA device, or CuPy is not installed",
                help='install CuPy for your CUDA, in your clone of minidl: pip install ".[cuda12]" or ".[cuda13]"',
            )
        )
    cupy = _cupy()
    with cupy.cuda.Device(to.index):  # type: ignore[union-attr]
        return cupy.asarray(array)  # type: ignore[union-attr]


def on_cpu(array: Any) -> bool:
    """True for an array in the host's memory."""
    return isinstance(array, numpy.ndarray)


def cuda_is_available() -> bool:
    """True where CuPy is installed and finds at least one CUDA device."""
    return cuda_device_count() > 0


def cupy_and_nccl() -> tuple[ModuleType, ModuleType]:
    """CuPy and its cupyx.distributed, which speaks to NCCL. RuntimeError without CuPy, a CUDA device or NCCL."""
    cupy = _cupy()
    if cupy is None or not cuda_is_available():
        missing = "CuPy is not installed" if cupy is None else "CuPy finds no CUDA device"
        help = 'on a machine with a GPU, in your clone of minidl: pip install ".[cuda12]" or ".[cuda13]"'
        raise RuntimeError(explain("init_process_group", f'the backend "nccl" needs a GPU: {missing}', help=help))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that NCCL is missing: said here
        nccl = importlib.import_module("cupy.cuda.nccl")
    if not nccl.available:
        help = f"pip install nvidia-nccl-cu{cupy.cuda.runtime.runtimeGetVersion() // 1000}"
        raise RuntimeError(explain("init_process_group", "CuPy does not find NVIDIA's NCCL library", help=help))
    return cupy, importlib.import_module("cupyx.distributed")


def cuda_device_count() -> int:
    """The number of CUDA devices that CuPy can use; 0 without CuPy or without a driver."""
    cupy = _cupy()
    if cupy is None:
        return 0
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:  # CuPy without a driver
        return 0


# ----------------------------------------------------------------------------------------------- random numbers


class Generator:
    """A stream of random numbers (NumPy's PCG64). The same seed gives the same numbers on every platform."""

    def __init__(self, seed: int | None = None):
        self.numpy = numpy.random.default_rng(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream again from `seed` (an int >= 0). Returns the generator."""
        if not isinstance(seed, (int, numpy.integer)) or seed < 0:
            raise ValueError(explain("manual_seed", f"the seed must be an int >= 0, got {seed!r}"))
        self.numpy = numpy.random.default_rng(int(seed))
        return self

    def get_state(self) -> dict[str, Any]:
        """The state as a dictionary of plain values that `set_state` takes."""
        return dict(self.numpy.bit_generator.state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that `get_state` returned."""
        self.numpy.bit_generator.state = state


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, from which initial weights, dropout and shuffling draw. Returns it."""
    return default_generator.manual_seed(seed)

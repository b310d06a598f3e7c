"""The array backend: NumPy on the host, CuPy on a GPU. No other file imports CuPy.

array_module(x)      the module (NumPy or CuPy) whose functions take x; ops call it `xp`
device, transfer     where an array lives, and how it gets elsewhere
Generator            random numbers; always drawn on the host, so that one seed gives one result on every device
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
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
    if not importlib.util.find_spec("cupy"):
        return None
    cupy = importlib.import_module("cupy")
    _set_precision(cupy)
    return cupy


@cache
def cudnn() -> ModuleType:
    """The Python frontend of NVIDIA's cuDNN. RuntimeError where it is not installed."""
    if importlib.util.find_spec("cudnn") is None:
        raise RuntimeError(
            explain(
                "use_algorithm",
                "cuDNN's Python frontend is not installed",
                help='in your clone of minidl: pip install ".[cudnn]", and nvidia-cudnn-cu12 or nvidia-cudnn-cu13',
            )
        )
    return importlib.import_module("cudnn")


HostArray = numpy.ndarray  # the type of arrays in the host's memory

_modules: dict[type, ModuleType] = {numpy.ndarray: numpy}  # of the kinds of array that were seen


def array_module(array: Any) -> ModuleType:
    """The module whose functions take `array`: NumPy, or CuPy for an array on a GPU."""
    module = _modules.get(type(array))
    if module is not None:
        return module
    if isinstance(array, (numpy.ndarray, numpy.generic)):
        return numpy
    if is_array(array):
        return _cupy()  # type: ignore[return-value]
    raise TypeError(explain("array_module", f"expected a NumPy or CuPy array, got {type(array).__name__}"))


def is_array(value: Any) -> bool:
    """True for a NumPy or CuPy array (NumPy's scalars included)."""
    kind = type(value)
    if kind in _modules or isinstance(value, (numpy.ndarray, numpy.generic)):
        return True
    # A CuPy array can only exist once CuPy has been imported; asking for its type must not import it.
    if kind.__module__.partition(".")[0] == "cupy" and issubclass(kind, (cupy := _cupy()).ndarray):  # type: ignore
        _modules[kind] = cupy  # type: ignore[assignment]
        return True
    return False


def empty(like: Any, shape: tuple[int, ...], order: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
    """An array with anything in it, on the device of `like`, and of its dtype. `order`: see buffers.empty."""
    dtype = like.dtype if dtype is None else dtype
    if isinstance(like, numpy.ndarray):
        return buffers.empty(shape, dtype, order)
    xp = array_module(like)
    if order is None:
        return xp.empty(shape, dtype)
    in_order = xp.empty([shape[dimension] for dimension in order], dtype)
    return in_order.transpose([order.index(dimension) for dimension in range(len(order))])


def empty_like(like: Any, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
    """`empty` with the dimensions in the order in which those of `like` lie in memory; another `shape` has as many."""
    return empty(like, like.shape if shape is None else shape, buffers.order_of(like), dtype)


memory_order = buffers.order_of  # of an array, as `empty` takes it; None for C order


# ---------------------------------------------------------------------------- how exact products on a GPU are

PRECISIONS = {
    "highest": "float32 as it is",
    "high": "TensorFloat-32: factors rounded to 10 bits behind the point, sums in float32",
}

_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """How matrix products (and convolutions) of float32 compute on a GPU: "highest", as float32, or "high", as TF32.

    TF32 is several times as fast on NVIDIA's matrix units (since Ampere) and has the range of float32, but only 10 bits
    behind the point: three decimal digits. On a CPU nothing changes. ValueError for another name.
    """
    global _precision
    if precision not in PRECISIONS:
        known = ", ".join(f'"{known}" ({what})' for known, what in PRECISIONS.items())
        raise ValueError(
            explain("set_float32_matmul_precision", f"unknown precision {precision!r}", help=f"there are {known}")
        )
    _precision = precision
    if "cupy" in sys.modules and (cupy := _cupy()) is not None:
        _set_precision(cupy)


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` last said; "highest" at the start."""
    return _precision


def _set_precision(cupy: ModuleType) -> None:
    # The switch has no public name; the variable CUPY_TF32, which has, is read only once.
    products = importlib.import_module("cupy._core._routines_linalg")
    kind = products.COMPUTE_TYPE_TF32 if _precision == "high" else products.COMPUTE_TYPE_DEFAULT
    products.set_compute_type(float32, kind)


# ------------------------------------------------------------------------------------------------------ devices

HOW_TO_INSTALL = 'install CuPy for your CUDA, in your clone of minidl: pip install ".[cuda12]" or ".[cuda13]"'


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
    return _gpu(array.device.id)


@cache
def _gpu(index: int) -> device:
    return device("cuda", index)


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
                help=HOW_TO_INSTALL,
            )
        )
    global several_gpus
    several_gpus = several_gpus or to.index != 0
    cupy: Any = _cupy()
    with cupy.cuda.Device(to.index):
        return cupy.asarray(array) if on_cpu(array) else array.copy()  # into the current device's memory


several_gpus = False  # True once an array went to another GPU than the first: then each operation looks where it runs


def on_device_of(arrays: Iterable[Any]) -> AbstractContextManager:
    """A context in which CuPy computes on the GPU that holds the first of `arrays` that lies on one."""
    if several_gpus:
        for array in arrays:
            if hasattr(array, "device") and not on_cpu(array):
                return array.device
    return nullcontext()


def copied(array: Any) -> Any:
    """A copy of `array` on its device."""
    if on_cpu(array):
        return array.copy()
    with array.device:
        return array.copy()


def write(array: Any, values: Any) -> None:
    """array[...] = values"""
    with on_device_of((array,)):
        array[...] = values


def on_cpu(array: Any) -> bool:
    """True for an array in the host's memory (or one of NumPy's scalars)."""
    return isinstance(array, (numpy.ndarray, numpy.generic))


def gpu_module() -> Any:
    """CuPy. RuntimeError where it is not installed or finds no CUDA device."""
    if not cuda_is_available():
        raise RuntimeError(explain("cuda", "no CUDA device, or CuPy is not installed", help=HOW_TO_INSTALL))
    return _cupy()


def cuda_is_available() -> bool:
    """True where CuPy is installed and finds at least one CUDA device."""
    return cuda_device_count() > 0


def gpu_and_nccl() -> tuple[ModuleType, ModuleType]:
    """CuPy and its cupyx.distributed, which speaks to NCCL. RuntimeError without CuPy, a CUDA device or NCCL."""
    cupy = _cupy()
    if cupy is None or not cuda_is_available():
        missing = "CuPy is not installed" if cupy is None else "CuPy finds no CUDA device"
        help = f"on a machine with a GPU, {HOW_TO_INSTALL}"
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

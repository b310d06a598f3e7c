"""The kernels of this folder: CUDA C in the .cu files, compiled when they are first needed, and run.

    per_element("pooling.avg_pool", y.size, (x, y), H, W, KH=3, KW=3)     a thread for each of y.size elements
    per_block("softmax.softmax", (rows,), (x, y), C)                      a block of THREADS threads for each row

The arguments are those of the kernel: first its arrays, of which some may be None (a null pointer), then its numbers,
of which an int becomes an Index and a float a T. T is the dtype of the first array. What comes by name is a constant of
the compilation, so that each of its values has a kernel of its own. CuPy keeps what it compiled on disk.

The arrays of one kernel lie on one device, and without gaps in memory, in one order; or the kernel has their steps.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from typing import Any

import numpy

from minidl import backend
from minidl.backend import array_module, float64

THREADS = 256  # in a block
MANY = 1 << 30  # elements, from which on places are counted in 64 bits; half of what 32 bits hold, for sums of places

NULL = numpy.uintp(0)
C_NAMES = {"f": "float", "d": "double", "B": "unsigned char", "?": "bool", "i": "int", "l": "long long"}

_kernels: dict[tuple, Any] = {}


def per_element(name: str, count: int, arrays: tuple, *numbers: Any, **constants: Any) -> None:
    """Run kernel `name` ("file.function") with a thread for each of `count` elements, and some more at the end."""
    if count:
        _launch(name, (-(-count // THREADS),), arrays, numbers, constants)


def per_block(name: str, blocks: tuple[int, ...], arrays: tuple, *numbers: Any, **constants: Any) -> None:
    """Run kernel `name` ("file.function") in a grid of `blocks` blocks of THREADS threads."""
    if all(blocks):
        _launch(name, blocks, arrays, numbers, constants)


def c_name(dtype: numpy.dtype) -> str:
    """What C calls a dtype: float32 is "float"."""
    return C_NAMES[dtype.char if dtype.char != "q" else "l"]


def _launch(name: str, grid: tuple[int, ...], arrays: tuple, numbers: tuple, constants: dict[str, Any]) -> None:
    dtype = arrays[0].dtype
    wide = False
    passed: list[Any] = []
    for array in arrays:
        if array is None:
            passed.append(NULL)
        else:
            passed.append(array)
            wide = wide or array.size >= MANY
    key = (name, dtype.char, wide, *constants.values())
    kernel = _kernels.get(key)
    if kernel is None:
        file, _, function = name.partition(".")
        module = _compiled(array_module(arrays[0]), file, c_name(dtype), wide, tuple(constants.items()))
        kernel = _kernels[key] = module.get_function(function)
    index = numpy.int64 if wide else numpy.int32
    real = numpy.float64 if dtype == float64 else numpy.float32
    for number in numbers:
        passed.append(real(number) if type(number) is float else index(number))
    with arrays[0].device if backend.several_gpus else nullcontext():
        kernel(grid, (THREADS,), passed)


@cache
def _compiled(xp: Any, file: str, T: str, wide: bool, constants: tuple[tuple[str, Any], ...]) -> Any:
    folder = files(__package__)
    lines = [f"typedef {T} T;", f"typedef {'long long' if wide else 'int'} Index;", f"#define THREADS {THREADS}"]
    lines += [f"#define {name} {value}" for name, value in constants]
    sources = [folder.joinpath(part).read_text(encoding="utf-8") for part in ("common.cuh", f"{file}.cu")]
    return xp.RawModule(code="\n".join(lines + sources), options=("-std=c++17", "--device-int128"))

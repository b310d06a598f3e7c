"""The kernels of this folder: CUDA C in the .cu files, compiled when they are first needed, and run.

    per_element("pooling.avg_pool", y.size, (x, y), H, W, KH=3, KW=3)     a thread for each of y.size elements
    per_block("softmax.softmax", (rows,), (x, y), C)                      a block of THREADS threads for each row

The arguments are those of the kernel: first its arrays, of which some may be None (a null pointer), then its numbers,
of which an int becomes an Index and a float a T. T is the dtype of the first array. What comes by name is a constant of
the compilation, so that each of its values has a kernel of its own. CuPy keeps what it compiled on disk.

The arrays of one kernel lie on one device, and without gaps in memory, in one order; or the kernel has their steps.

Giving CuPy a number takes a microsecond, and starting a kernel no more than ten. So all numbers of a call travel as
one: behind each kernel a second one is written that takes them as a struct, and hands them to the first.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from threading import get_ident
from typing import Any

import numpy

from minidl import backend
from minidl.backend import array_module

THREADS = 256  # in a block
MANY = 1 << 30  # elements, from which on places are counted in 64 bits; half of what 32 bits hold, for sums of places
NULL = numpy.uintp(0)
C_NAMES = {"f": "float", "d": "double", "B": "unsigned char", "?": "bool", "i": "int", "l": "long long"}

_calls: dict[tuple, tuple] = {}  # a kernel and its numbers; the same ones come again in every step
KEEP = 1 << 12  # of them
_spaces: dict[tuple, Any] = {}


def per_element(name: str, count: int, arrays: tuple, *numbers: Any, **constants: Any) -> None:
    """Run kernel `name` ("file.function") with a thread for each of `count` elements, and some more at the end."""
    if count:
        _launch(name, (-(-count // THREADS),), arrays, numbers, constants)


def per_block(name: str, blocks: tuple[int, ...], arrays: tuple, *numbers: Any, **constants: Any) -> None:
    """Run kernel `name` ("file.function") in a grid of `blocks` blocks of THREADS threads."""
    if all(blocks):
        _launch(name, blocks, arrays, numbers, constants)


def workspace(like: Any, size: int, dtype: Any) -> Any:
    """`size` numbers of memory on the device of `like`, which the next kernel writes, and the one after it reads.

    The next call in this thread gives the same memory again: kernels run one after another.
    """
    key = (like.device.id, dtype, get_ident())
    space = _spaces.get(key)
    if space is None or space.size < size:
        space = _spaces[key] = array_module(like).empty(size, dtype)
    return space


def forget_workspaces() -> None:
    """Let go of the memory of `workspace`."""
    _spaces.clear()


def c_name(dtype: numpy.dtype) -> str:
    """What C calls a dtype: float32 is "float"."""
    return C_NAMES[dtype.char if dtype.char != "q" else "l"]


def _launch(name: str, grid: tuple[int, ...], arrays: tuple, numbers: tuple, constants: dict[str, Any]) -> None:
    first = arrays[0]
    wide = False
    passed: list[Any] = []
    for array in arrays:
        if array is None:
            passed.append(NULL)
        else:
            passed.append(array)
            wide = wide or array.size >= MANY
    key = (name, first.dtype.char, wide, numbers, *constants.values())
    call = _calls.get(key)
    if call is None:
        call = _prepared(name, first, wide, numbers, constants)
        if len(_calls) >= KEEP:
            _calls.clear()
        _calls[key] = call
    kernel, packed = call
    passed.append(packed)
    if backend.several_gpus:
        with first.device:
            kernel(grid, (THREADS,), passed)
    else:
        kernel(grid, (THREADS,), passed)


def _prepared(name: str, first: Any, wide: bool, numbers: tuple, constants: dict[str, Any]) -> tuple:
    """The kernel, and its numbers as it takes them."""
    file, _, function = name.partition(".")
    module = _compiled(array_module(first), file, c_name(first.dtype), wide, tuple(constants.items()))
    return module.get_function(f"{function}_packed"), _in_a_struct(numbers, first.dtype, wide)


def _in_a_struct(numbers: tuple, dtype: numpy.dtype, wide: bool) -> numpy.ndarray:
    """Bytes as C lays them out for a struct of these numbers."""
    real, index = (dtype if dtype.kind == "f" else numpy.float32), (numpy.int64 if wide else numpy.int32)
    fields = [(f"_{i}", real if type(number) is float else index) for i, number in enumerate(numbers)]
    packed = numpy.array([numbers], numpy.dtype(fields, align=True))
    return packed.view(numpy.uint8)  # CuPy looks into a dtype with fields at each launch, for as long as that takes


@cache
def _compiled(xp: Any, file: str, T: str, wide: bool, constants: tuple[tuple[str, Any], ...]) -> Any:
    folder = files(__package__)
    lines = [f"typedef {T} T;", f"typedef {'long long' if wide else 'int'} Index;", f"#define THREADS {THREADS}"]
    lines += [f"#define {name} {value}" for name, value in constants]
    sources = [folder.joinpath(part).read_text(encoding="utf-8") for part in ("common.cuh", f"{file}.cu")]
    code = _with_packed_numbers("\n".join(lines + sources))
    return xp.RawModule(code=code, options=("-std=c++17", "--device-int128"))


def _with_packed_numbers(code: str) -> str:
    """The code with a kernel NAME_packed for each kernel NAME, which becomes a function that it calls."""
    packed = []
    for name, parameters in re.findall(r"KERNEL (\w+)\(([^)]*)\)", code):
        parameters = [" ".join(parameter.split()) for parameter in parameters.split(",")]
        arrays = [parameter for parameter in parameters if "*" in parameter]
        numbers = [parameter for parameter in parameters if "*" not in parameter]
        passed = [array.rpartition(" ")[2] for array in arrays]
        passed += [f"numbers.{number.rpartition(' ')[2]}" for number in numbers]
        packed.append(
            f"struct {name}_numbers {{ {' '.join(f'{number};' for number in numbers)} }};\n"
            f"KERNEL {name}_packed({', '.join(arrays)}, const {name}_numbers numbers) {{\n"
            f"    {name}({', '.join(passed)});\n}}\n"
        )
    return re.sub(r"KERNEL (\w+)\(", r"__device__ void \1(", code) + "\n" + "\n".join(packed)

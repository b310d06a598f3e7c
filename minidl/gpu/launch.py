"""The kernels of this folder: CUDA C in the .cu files, compiled when they are first needed, and run.

    per_element("pooling.avg_pool", y.size, (x, y), H, W, KH=3, KW=3)     a thread for each of y.size elements
    per_block("softmax.softmax", (rows,), (x, y), C)                      a block of THREADS threads for each row

The arguments are those of the kernel: first its arrays, of which some may be None (a null pointer), then its numbers,
each an Index or a T as the kernel says. T is the dtype of the first array. What comes by name is a constant of the
compilation, so that each of its values has a kernel of its own. CuPy keeps what it compiled on disk.

The arrays of one kernel lie on one device, and without gaps in memory, in one order; or the kernel has their steps.

Giving CuPy a number takes a microsecond, and starting a kernel no more than ten. So all numbers of a call travel as
one: behind each kernel a second one is written that takes them as a struct, and hands them to the first.
"""

from __future__ import annotations

import re
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from minidl import backend
from minidl.backend import array_module, bool_, float32, float64, int32, int64, uint8

FOLDER = Path(__file__).parent
THREADS = 256  # in a block
MANY = 1 << 30  # elements, from which on places are counted in 64 bits; half of what 32 bits hold, for sums of places
NULL = numpy.uintp(0)
C_NAMES = {
    float32: "float",
    float64: "double",
    uint8: "unsigned char",
    bool_: "bool",
    int32: "int",
    int64: "long long",
}

_calls: dict[tuple, tuple] = {}  # a kernel and its numbers; the same ones come again in every step
KEEP = 1 << 12  # of them


def per_element(name: str, count: int, arrays: tuple, *numbers: Any, **constants: Any) -> None:
    """Run kernel `name` ("file.function") with a thread for each of `count` elements, and some more at the end."""
    if count:
        _launch(name, (-(-count // THREADS),), arrays, numbers, constants)


def per_block(name: str, blocks: tuple[int, ...], arrays: tuple, *numbers: Any, **constants: Any) -> None:
    """Run kernel `name` ("file.function") in a grid of `blocks` blocks of THREADS threads."""
    if all(blocks):
        _launch(name, blocks, arrays, numbers, constants)


class _Spaces:
    """The workspaces of a thread. They go with it."""

    def __init__(self) -> None:
        self.by_place: dict[tuple, Any] = {}  # by device and dtype


_here = threading.local()
_all_spaces: weakref.WeakSet[_Spaces] = weakref.WeakSet()


def workspace(like: Any, size: int, dtype: Any) -> Any:
    """`size` numbers of memory on the device of `like`, which the next kernel writes, and the one after it reads.

    The next call in this thread gives the same memory again: kernels run one after another.
    """
    spaces = getattr(_here, "spaces", None)
    if spaces is None:
        spaces = _here.spaces = _Spaces()
        _all_spaces.add(spaces)
    place = like.device.id, dtype
    space = spaces.by_place.get(place)
    if space is None or space.size < size:
        space = spaces.by_place[place] = array_module(like).empty(size, dtype)
    return space


def forget_workspaces() -> None:
    """Let go of the memory of `workspace`."""
    for spaces in list(_all_spaces):
        spaces.by_place.clear()


def c_name(dtype: numpy.dtype) -> str:
    """What C calls a dtype: float32 is "float"."""
    return C_NAMES[dtype]


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
    module, signatures = _compiled(array_module(first), file, c_name(first.dtype), wide, tuple(constants.items()))
    types = {"Index": int64 if wide else int32, "T": first.dtype}
    fields = [(number, types[kind]) for kind, number in signatures[function].numbers]
    packed = numpy.array([numbers], numpy.dtype(fields, align=True))  # as C lays out a struct of these
    # As one element without fields: CuPy would look into a dtype that has some at each launch, which takes as long as
    # the launch itself; and more elements than one it does not take.
    return module.get_function(f"{function}_packed"), packed.view(f"V{packed.itemsize}")


@cache
def _compiled(xp: Any, file: str, T: str, wide: bool, constants: tuple[tuple[str, Any], ...]) -> tuple:
    lines = [f"typedef {T} T;", f"typedef {'long long' if wide else 'int'} Index;", f"#define THREADS {THREADS}"]
    lines += [f"#define {name} {value}" for name, value in constants]
    sources = [(FOLDER / part).read_text(encoding="utf-8") for part in ("common.cuh", f"{file}.cu")]
    code = "\n".join(lines + sources)
    signatures = _signatures(code)
    code = _with_packed_numbers(code, signatures)
    return xp.RawModule(code=code, options=("-std=c++17", "--device-int128")), signatures


class Signature(NamedTuple):
    """What a kernel takes: (type, name) of its arrays, then of its numbers."""

    arrays: list[tuple[str, str]]
    numbers: list[tuple[str, str]]


def _signatures(code: str) -> dict[str, Signature]:
    """Of each kernel in the code."""
    signatures = {}
    for kernel, parameters in re.findall(r"KERNEL (\w+)\(([^)]*)\)", code):
        typed = [" ".join(parameter.split()).rpartition(" ")[::2] for parameter in parameters.split(",")]
        arrays = [(kind, array) for kind, array in typed if "*" in kind]
        signatures[kernel] = Signature(arrays, typed[len(arrays) :])
    return signatures


def _with_packed_numbers(code: str, signatures: dict[str, Signature]) -> str:
    """The code with a kernel NAME_packed for each kernel NAME, which becomes a function that it calls."""
    packed = []
    for kernel, (arrays, numbers) in signatures.items():
        fields = " ".join(f"{kind} {name};" for kind, name in numbers)
        parameters = ", ".join(f"{kind} {name}" for kind, name in arrays)
        arguments = ", ".join([*(name for _, name in arrays), *(f"numbers.{name}" for _, name in numbers)])
        packed.append(
            f"struct {kernel}_numbers {{ {fields} }};\n"
            f"KERNEL {kernel}_packed({parameters}, const {kernel}_numbers numbers) {{\n    {kernel}({arguments});\n}}\n"
        )
    return re.sub(r"KERNEL (\w+)\(", r"__device__ void \1(", code) + "\n" + "\n".join(packed)

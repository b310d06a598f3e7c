"""A GPU that is none: the part of CuPy that minidl uses, on the host, and stricter than CuPy.

Arrays are NumPy's in a shell. Whatever would wait for a GPU, copy from it unseen, or fail on it, is an error here: a
NumPy function on such an array, a NumPy array or a list in one of the module's functions, an array of another device
than the current one. `RawModule` compiles CUDA C with the machine's C++ compiler, each thread of a block as one of
OpenMP where they wait for each other, so that the kernels of minidl/gpu run, slowly, in every test run; a kernel
refuses an array of another dtype than it declares, or with gaps.

    with installed(): ...       minidl takes this for CuPy, with two GPUs
"""

import ctypes
import functools
import hashlib
import math
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar
from unittest import mock

import numpy

CREATION = {"array", "asarray", "ascontiguousarray", "full", "arange", "zeros", "ones", "empty", "eye", "linspace"}
METHODS = """all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill max mean min nonzero prod
    ravel repeat reshape round sort squeeze std sum swapaxes take trace transpose var view item tolist""".split()  # noqa: SIM905
OPERATORS = """add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul and rand
    or ror xor rxor lshift rshift eq ne lt le gt ge neg pos abs invert divmod""".split()  # noqa: SIM905
# What CuPy does from wherever it is: views, and copies into the memory of the current GPU.
VIEWS = {"copy", "transpose", "reshape", "view", "squeeze", "swapaxes", "ravel", "diagonal", "item", "tolist"}
IN_PLACE = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]


class Device:
    current = 0
    outer: ClassVar[list] = []

    def __init__(self, id=None):
        self.id = Device.current if id is None else id

    def __enter__(self):
        Device.outer.append(Device.current)
        Device.current = self.id
        return self

    def __exit__(self, *exception):
        Device.current = Device.outer.pop()

    def __eq__(self, other):
        return self.id == other.id

    def __hash__(self):
        return self.id


class ndarray:
    __hash__ = None

    def __init__(self, array, base=None, device=None):
        self._array = array
        self.base = base
        self.device = Device(device)
        self.data = SimpleNamespace(ptr=array.ctypes.data)

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    strides = property(lambda self: self._array.strides)
    itemsize = property(lambda self: self._array.itemsize)
    nbytes = property(lambda self: self._array.nbytes)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: self.transpose())

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use get()")

    def __array_ufunc__(self, function, *args, **kwargs):
        raise TypeError(f"numpy.{function.__name__} on an array of the GPU")

    def __array_function__(self, function, *args, **kwargs):
        raise TypeError(f"numpy.{function.__name__} on an array of the GPU")

    def get(self):
        return self._array.copy()

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(f"cupy.ndarray has no {name} that minidl may use")
        method = getattr(self._array, name)
        if name not in VIEWS:
            unwrap(self)

        def call(*args, **kwargs):
            result = method(*unwrap(args), **unwrap(kwargs))
            return result if name in ("item", "tolist") else wrap(result, self)

        return call

    def __getitem__(self, index):
        return wrap(self._array[unwrap(index)], self)

    def __setitem__(self, index, value):
        unwrap(self)[unwrap(index)] = unwrap(value)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self._array)

    def __float__(self):
        return float(self._array)

    def __int__(self):
        return int(self._array)

    __index__ = __int__


def _operator(name):
    def operate(self, *others):
        return wrap(getattr(unwrap(self), name)(*unwrap(others)), self)

    return operate


def _in_place(name):
    def operate(self, other):
        getattr(unwrap(self), name)(unwrap(other))
        return self

    return operate


for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in IN_PLACE:
    setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
ndarray.__module__ = "cupy"


def unwrap(value, host=False):
    """The NumPy arrays inside; with `host`, NumPy's own arrays and lists may be there too."""
    if isinstance(value, ndarray):
        if value.device.id != Device.current:
            raise RuntimeError(f"an array of GPU {value.device.id} in a computation on GPU {Device.current}")
        return value._array
    if isinstance(value, numpy.ndarray) and not host:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(item, host) for item in value)
    if isinstance(value, dict):
        return {key: unwrap(item, host) for key, item in value.items()}
    return value


def wrap(value, parent=None):
    """NumPy's arrays and scalars as arrays of the GPU."""
    if isinstance(value, (tuple, list)):
        return type(value)(wrap(item, parent) for item in value)
    if value is NotImplemented or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return value
    array = numpy.asarray(value)
    view = parent is not None and array.base is not None and numpy.may_share_memory(array, parent._array)
    if not view:
        return ndarray(array)
    return ndarray(array, base=parent if parent.base is None else parent.base, device=parent.device.id)


class Module(ModuleType):
    """`cupy` or a part of it: NumPy's functions, of such arrays alone."""

    def __init__(self, name, of=numpy):
        super().__init__(name)
        self._of = of

    def may_share_memory(self, a, b):
        """CuPy compares addresses, on whatever GPU."""
        return a.device.id == b.device.id and numpy.may_share_memory(a._array, b._array)

    def __getattr__(self, name):
        function = getattr(self._of, name)
        if not callable(function) or isinstance(function, type):
            return function

        def call(*args, **kwargs):
            host = name in CREATION
            if not host and isinstance(function, numpy.ufunc) and any(isinstance(a, list) for a in args):
                raise TypeError("Unsupported type <class 'list'>")
            out = kwargs.get("out")
            result = function(*unwrap(args, host), **unwrap(kwargs))
            parent = next(
                (a for a in (*args, *(args[0] if args and type(args[0]) is tuple else ())) if isinstance(a, ndarray)),
                None,
            )
            return out if out is not None else wrap(result, parent)

        return call


# ---------------------------------------------------------------------------------------------------- the kernels

PRELUDE = """
#include <cmath>
#include <algorithm>
#include <omp.h>
using std::min; using std::max; using std::exp; using std::log; using std::pow; using std::sqrt;
struct Three { unsigned x, y; };
static thread_local Three threadIdx;
static Three blockIdx, gridDim;
#define __global__
#define __device__ static
#define __shared__ static
#define __syncthreads() _Pragma("omp barrier")
"""

RUN = """
extern "C" void run_{name}_packed(unsigned grid_x, unsigned grid_y, {parameters}* numbers) {{
    gridDim = {{grid_x, grid_y}};
    for (unsigned by = 0; by < grid_y; by++) for (unsigned bx = 0; bx < grid_x; bx++) {{
        blockIdx = {{bx, by}};
        {threads} {{ threadIdx = {{t, 0}}; {name}_packed({arguments}, *numbers); }}
    }}
}}
"""

ONE_BY_ONE = "for (unsigned t = 0; t < THREADS; t++)"
AT_ONCE = (
    '_Pragma("omp parallel num_threads(THREADS)") for (unsigned t = omp_get_thread_num(), once = 1; once; once = 0)'
)


# Where the kernels are compiled; gone at the end (but for what Windows holds on to).
_folder = tempfile.TemporaryDirectory(prefix="minidl-kernels-", ignore_cleanup_errors=True)


def _library(compiler, code):
    """The path of the code as a library; subprocess.CalledProcessError where it does not compile."""
    name = hashlib.sha256(code.encode()).hexdigest()[:16]
    source, library = Path(_folder.name, f"{name}.cpp"), Path(_folder.name, f"{name}.so")
    source.write_text(code)
    command = [compiler, "-std=c++17", "-O1", "-fopenmp", "-shared", "-fPIC", "-w", str(source), "-o", str(library)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return library


def _compiler():
    """A C++ compiler with OpenMP, which Apple's has not; None where there is none."""
    for name in ("g++", "clang++"):
        path = shutil.which(name)
        if path is not None:
            try:
                ctypes.CDLL(str(_library(path, "#include <omp.h>\nint threads() { return omp_get_max_threads(); }")))
                return path
            except (subprocess.CalledProcessError, OSError):
                continue
    return None


COMPILER = _compiler()


@functools.cache
def _compiled(code):
    try:
        return ctypes.CDLL(str(_library(COMPILER, code)))
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr) from None


# What a kernel calls the numbers of an array.
DTYPES = {
    "float": "float32",
    "double": "float64",
    "unsigned char": "uint8",
    "bool": "bool",
    "int": "int32",
    "long long": "int64",
    "Word": "uint64",
}


class RawModule:
    def __init__(self, *, code, options=()):
        runs = []
        self.types = {}  # of the arrays of each kernel
        aliases = dict(re.findall(r"^#define (\w+) (.+)$", code, re.MULTILINE))
        aliases |= {alias: kind for kind, alias in re.findall(r"^typedef (.+) (\w+);$", code, re.MULTILINE)[:1]}
        for name, parameters in re.findall(r"KERNEL (\w+)_packed\((.*) numbers\)", code):
            (body,) = re.findall(rf"__device__ void {name}\(.*?\n\}}", code, re.DOTALL)
            waits = re.search(r"block_\w+\(|row_\w+\(", body)
            arguments = ", ".join(re.findall(r"\* ?(\w+)", parameters))
            threads = AT_ONCE if waits else ONE_BY_ONE
            runs.append(RUN.format(name=name, parameters=parameters, arguments=arguments, threads=threads))
            kinds = re.findall(r"(?:const )?(\w[\w ]*?)\*", parameters)
            self.types[f"{name}_packed"] = [DTYPES[aliases.get(kind, kind)] for kind in kinds]
        self.library = _compiled("\n".join([PRELUDE, code, *runs]))

    def get_function(self, name):
        run = getattr(self.library, f"run_{name}")
        run.restype = None

        def kernel(grid, block, arguments):
            for array, dtype in zip(unwrap(arguments[:-1]), self.types[name], strict=True):
                if isinstance(array, numpy.ndarray):
                    assert array.dtype == dtype, f"{name} takes {dtype}, and is given {array.dtype}"
                    assert name == "im2col_packed" or _fills_its_memory(array), f"{name} is given an array with gaps"
            passed = [ctypes.c_void_p(a.data.ptr if isinstance(a, ndarray) else int(a)) for a in arguments[:-1]]
            x, y = (*grid, 1)[:2]
            numbers = arguments[-1]
            if numbers.size != 1:
                raise TypeError("Only numpy.ndarrays of size one can be passed by value")
            run(ctypes.c_uint(x), ctypes.c_uint(y), *passed, ctypes.c_void_p(numbers.ctypes.data))

        return kernel


def _fills_its_memory(array):
    steps = sorted((abs(step), size) for step, size in zip(array.strides, array.shape, strict=True) if size > 1)
    return [step for step, _ in steps] == [
        array.itemsize * math.prod(size for _, size in steps[:i]) for i in range(len(steps))
    ]


def module(devices=2):
    """The stand-in for the module `cupy`."""
    cupy = Module("cupy")
    cupy.ndarray, cupy.RawModule = ndarray, RawModule
    runtime = SimpleNamespace(getDeviceCount=lambda: devices, CUDARuntimeError=OSError)
    cupy.cuda = SimpleNamespace(Device=Device, runtime=runtime)
    cupy.linalg = Module("cupy.linalg", numpy.linalg)
    return cupy


@contextmanager
def installed(devices=2):
    """minidl takes the stand-in for CuPy, and runs kernels in blocks of few threads."""
    from minidl import backend
    from minidl.gpu import launch, normalization

    cupy = module(devices)
    with (
        mock.patch.object(backend, "_cupy", lambda: cupy),
        mock.patch.object(backend, "several_gpus", False),
        mock.patch.object(launch, "THREADS", 8),
        mock.patch.object(normalization, "CHUNK", 16),
        mock.patch.dict(launch._calls, clear=True),
        mock.patch.object(launch, "_here", threading.local()),
        mock.patch.dict(backend._modules),
    ):
        launch._compiled.cache_clear()
        yield cupy
        launch._compiled.cache_clear()

"""NVIDIA's own compiler takes every kernel, without warnings: make test-nvrtc installs it, and it needs no GPU."""

import ctypes
import importlib.metadata
from types import SimpleNamespace

import pytest

from minidl.backend import float32, float64
from minidl.gpu import launch

WINDOW = (("KH", 3), ("KW", 2), ("SH", 2), ("SW", 1), ("DH", 1), ("DW", 2))
CONSTANTS = {  # of each file, what a compilation must know
    "elementwise": [(("Mask", "bool"),), (("Mask", "float"),)],
    "normalization": [()],
    "pooling": [(*WINDOW, ("Winner", winner)) for winner in ("unsigned char", "int", "long long")],
    "random": [()],
    "softmax": [()],
    "windows": [WINDOW],
}
GPUS = ("sm_75", "sm_90")  # the oldest that CUDA 13 knows, and an H100


def library():
    try:
        files = importlib.metadata.files("nvidia-cuda-nvrtc") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name.startswith(("libnvrtc.so", "nvrtc64")):
            return ctypes.CDLL(str(file.locate()))
    return None


NVRTC = library()
pytestmark = [
    pytest.mark.nvrtc,
    pytest.mark.skipif(NVRTC is None, reason="NVIDIA's compiler is not installed: make test-nvrtc"),
]


def compile_for(gpu, code, options):
    """The compiler's verdict, 0 where it is content, and its words."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert NVRTC.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None) == 0
    words = [f"--gpu-architecture={gpu}".encode(), *(option.encode() for option in options)]
    verdict = NVRTC.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
    NVRTC.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    NVRTC.nvrtcGetProgramLog(program, log)
    NVRTC.nvrtcDestroyProgram(ctypes.byref(program))
    return verdict, log.value.decode()


def test_every_file_of_kernels_is_listed_here():
    assert sorted(CONSTANTS) == sorted(path.stem for path in launch.FOLDER.glob("*.cu"))


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("file", CONSTANTS)
def test_the_kernels_compile(file, dtype, wide, gpu):
    module = SimpleNamespace(RawModule=lambda code, options: (code, options))
    for constants in CONSTANTS[file]:
        (code, options), _ = launch._compiled.__wrapped__(module, file, launch.c_name(dtype), wide, constants)
        verdict, words = compile_for(gpu, code, options)
        assert verdict == 0 and not words.strip(), words


def test_the_compiler_finds_a_mistake():
    verdict, words = compile_for("sm_90", 'extern "C" __global__ void f(float *x) { y[0] = 1; }', ())
    assert verdict != 0 and "undefined" in words

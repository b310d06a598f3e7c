"""minidl: a deep-learning framework to read in a weekend, step through line by line, and train real networks with.

This file is the public face; names and arguments are PyTorch's. Where to start reading:

    minidl/ops/activation.py     what an operation looks like
    minidl/function.py           one node of the graph
    minidl/tensor.py, engine.py  how operations are recorded, and how gradients go back
    minidl/ops/im2col.py         convolution as a matrix product
"""

import importlib as _importlib
import sys as _sys
import typing as _typing

from minidl import autograd, cuda, data, distributed, nn, onnx, optim
from minidl.algorithm import use_algorithm
from minidl.autograd import gradcheck
from minidl.backend import (
    Generator,
    default_generator,
    device,
    float32,
    float64,
    get_default_dtype,
    get_float32_matmul_precision,
    int8,
    int16,
    int32,
    int64,
    manual_seed,
    set_default_dtype,
    set_float32_matmul_precision,
    uint8,
)
from minidl.backend import bool_ as bool
from minidl.backend import float32 as float
from minidl.backend import float64 as double
from minidl.backend import int64 as long
from minidl.buffers import empty_cache
from minidl.creation import (
    arange,
    as_tensor,
    empty,
    eye,
    from_numpy,
    full,
    full_like,
    is_tensor,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from minidl.function import Function
from minidl.functional.activation import log_softmax, relu, sigmoid, softmax, tanh
from minidl.functional.arithmetic import (
    abs,
    add,
    allclose,
    clamp,
    clone,
    div,
    eq,
    equal,
    exp,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    log,
    lt,
    maximum,
    minimum,
    mul,
    ne,
    neg,
    pow,
    sqrt,
    sub,
    where,
)
from minidl.functional.linear import bmm, matmul, mm
from minidl.functional.reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from minidl.functional.shape import (
    cat,
    chunk,
    concat,
    flatten,
    index_put,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    t,
    transpose,
    unsqueeze,
)
from minidl.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minidl.parallel import get_num_threads, set_num_threads
from minidl.serialization import load, save
from minidl.tensor import Tensor, apply

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The debugger is imported when it is first asked for: `minidl.debug.step()` works, and training never waits."""
    if name == "debug":
        return _importlib.import_module("minidl.debug")
    # With its name and the module, Python adds "Did you mean" to the message that ends a program.
    raise AttributeError(f"module 'minidl' has no attribute {name!r}", name=name, obj=_sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), "debug"})


if _typing.TYPE_CHECKING:  # so that mypy and an editor know what it holds
    from minidl import debug

"""Each operation of minidl in ONNX's words (opset 18). A converter has the arguments of the operation's forward.

    CONVERTERS[ops.ReLU] = lambda g, x: g("Relu", x)

It adds nodes to the graph `g`, and returns the name of the result, or a list of names. What a converter does not take
is NoForm: `export` then says which operation that is, and where it stands.

github.com/onnx/onnx: docs/Operators.md
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from minidl import ops
from minidl.function import Function
from minidl.onnx.graph import LAST, Graph, NoForm, sizes
from minidl.onnx.messages import DATA_TYPES
from minidl.onnx.record import Open, Value

OPSET = 18

CONVERTERS: dict[type[Function], Callable[..., Any]] = {}


def converts(operation: type[Function]) -> Callable[[Callable], Callable]:
    """Register the function below as the converter of `operation`."""

    def register(converter: Callable) -> Callable:
        CONVERTERS[operation] = converter
        return converter

    return register


# -------------------------------------------------------------------------------- the same operation, by another name

for operation, kind in {
    ops.Sigmoid: "Sigmoid",
    ops.Tanh: "Tanh",
    ops.Hardswish: "HardSwish",
    ops.Neg: "Neg",
    ops.Exp: "Exp",
    ops.Log: "Log",
    ops.Sqrt: "Sqrt",
    ops.Abs: "Abs",
    ops.Clone: "Identity",
    ops.MatMul: "MatMul",
}.items():
    CONVERTERS[operation] = lambda g, *inputs, kind=kind: g(kind, *inputs)

CONVERTERS[ops.ReLU] = lambda g, x, *, in_place=False: g("Relu", x)

for operation, kind in {
    ops.Add: "Add",
    ops.Sub: "Sub",
    ops.Mul: "Mul",
    ops.Div: "Div",
    ops.Pow: "Pow",
    ops.Maximum: "Max",
    ops.Minimum: "Min",
}.items():
    CONVERTERS[operation] = lambda g, a, b, kind=kind: g(kind, g.number(a, b), g.number(b, a))

for operation, kind in {ops.Sum: "ReduceSum", ops.Mean: "ReduceMean", ops.Prod: "ReduceProd"}.items():
    CONVERTERS[operation] = lambda g, x, *, dim, keepdim, kind=kind: _reduce(g, kind, x, dim, keepdim)

for operation, kind in {ops.Amax: "ReduceMax", ops.Amin: "ReduceMin"}.items():
    CONVERTERS[operation] = lambda g, x, *, dim, keepdim, kind=kind: _reduce(g, kind, x, dim, keepdim)

for operation, kind in {ops.Softmax: "Softmax", ops.LogSoftmax: "LogSoftmax"}.items():
    CONVERTERS[operation] = lambda g, x, *, dim, kind=kind: g(kind, x, axis=dim)


def _reduce(g: Graph, kind: str, x: Value, dim: Any, keepdim: bool) -> str:
    dims = tuple(range(len(x.shape))) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return g(kind, x, g.ints(*dims), keepdims=int(keepdim)) if dims else g("Identity", x)


@converts(ops.Cast)
def cast(g, x, *, dtype):
    return g("Cast", x, to=DATA_TYPES[numpy.dtype(dtype)])


@converts(ops.Transfer)
def transfer(g, x, *, device):
    return g("Identity", x)


# -------------------------------------------------------------------------------------------------------- activations


@converts(ops.LeakyReLU)
def leaky_relu(g, x, *, negative_slope):
    return g("LeakyRelu", x, alpha=float(negative_slope))


@converts(ops.ELU)
def elu(g, x, *, alpha, scale):
    y = g("Elu", x, alpha=float(alpha))
    return y if scale == 1 else g("Mul", y, g.number(scale, x))


@converts(ops.GELU)
def gelu(g, x, *, approximate):
    if approximate == "tanh":
        cube = g("Mul", g("Mul", g("Mul", x, x), x), g.number(0.044715, x))
        bend = g("Tanh", g("Mul", g("Add", x, cube), g.number(math.sqrt(2 / math.pi), x)))
    else:
        bend = g("Erf", g("Mul", x, g.number(math.sqrt(0.5), x)))
    return g("Mul", g("Mul", x, g.number(0.5, x)), g("Add", bend, g.number(1, x)))


@converts(ops.SiLU)
def silu(g, x):
    return g("Mul", x, g("Sigmoid", x))


@converts(ops.Softplus)
def softplus(g, x, *, beta, threshold):
    z = g("Mul", x, g.number(beta, x))
    return g("Where", g("Greater", z, g.number(threshold, x)), x, g("Div", g("Softplus", z), g.number(beta, x)))


@converts(ops.Hardsigmoid)
def hardsigmoid(g, x):
    return g("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@converts(ops.Hardtanh)
@converts(ops.Clamp)
def clamp(g, x, *, low, high):
    return g("Clip", x, g.number(low, x), g.number(high, x))


@converts(ops.Where)
def where(g, condition, a, b):
    return g("Where", condition, g.number(a, b), g.number(b, a))


# ------------------------------------------------------------------------------- convolution, fully connected layers


@converts(ops.Conv2d)
def conv2d(g, x, weight, bias, *, stride, padding, dilation, groups):
    return g(
        "Conv",
        *(x, weight, bias),
        kernel_shape=weight.shape[2:],
        strides=stride,
        pads=_pads(padding),
        dilations=dilation,
        group=groups,
    )


@converts(ops.ConvTranspose2d)
def conv_transpose2d(g, x, weight, bias, *, stride, padding, dilation, groups):
    """output_padding shows here as less padding on one side, which may then be negative."""
    (top, bottom), (left, right) = padding
    more = tuple(max(before - after, 0) for before, after in padding)
    if any(extra >= step for extra, step in zip(more, stride, strict=True) if extra):
        raise NoForm("its output_padding is not below the stride")
    return g(
        "ConvTranspose",
        *(x, weight, bias),
        kernel_shape=weight.shape[2:],
        strides=stride,
        pads=(top, left, max(bottom, top), max(right, left)),
        output_padding=more,
        dilations=dilation,
        group=groups,
    )


@converts(ops.Linear)
def linear(g, x, weight, bias):
    if len(x.shape) == 2:
        return g("Gemm", x, weight, bias, transB=1)
    y = g("MatMul", x, g("Transpose", weight, perm=(1, 0)))
    return y if bias is None else g("Add", y, bias)


# ------------------------------------------------------------------------------------------------------------ pooling


@converts(ops.MaxPool2d)
def max_pool2d(g, x, *, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    if return_indices:
        raise NoForm("its indices are used")
    more = _missing(x, kernel_size, stride, padding, dilation, ceil_mode)
    settings = {"kernel_shape": kernel_size, "strides": stride, "dilations": dilation}
    return _pool(g, "MaxPool", x, pads=_pads(padding, more), **settings)


@converts(ops.AvgPool2d)
def avg_pool2d(g, x, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    """Where ONNX divides by the same count, AveragePool; else the whole window's mean, times what is too little."""
    more = _missing(x, kernel_size, stride, padding, (1, 1), ceil_mode)
    settings = {"kernel_shape": kernel_size, "strides": stride, "pads": _pads(padding, more)}
    inside = not any(map(any, padding)) or not count_include_pad  # only pixels of the image count
    if divisor_override is None and (inside or not any(more)):
        return _pool(g, "AveragePool", x, count_include_pad=int(not inside), **settings)
    mean = _pool(g, "AveragePool", x, count_include_pad=1, **settings)
    whole = kernel_size[0] * kernel_size[1]
    if divisor_override is not None:
        return g("Mul", mean, g.number(whole / divisor_override, x))
    rows, columns = (_pixels(x, i, kernel_size, stride, padding, ceil_mode) for i in range(2))
    return g("Mul", mean, (whole / numpy.outer(rows, columns)).astype(x.dtype))


def _pool(g: Graph, kind: str, x: Value, **settings: Any) -> str:
    """Pooling takes a batch there; one image is made one."""
    if len(x.shape) == 4:
        return g(kind, x, **settings)
    if len(x.shape) != 3:
        raise NoForm(f"it takes {len(x.shape)} dimensions")
    return g("Squeeze", g(kind, g("Unsqueeze", x, g.ints(0)), **settings), g.ints(0))


def _missing(x: Value, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> tuple[int, int]:
    """How many more rows and columns of padding the last windows need, which ceil_mode adds.

    ONNX has a ceil_mode too, but with another rule for windows that begin behind the image.
    """
    if not ceil_mode:
        return 0, 0
    more = []
    for i in range(2):
        count = _windows(x, i, kernel_size, stride, padding, dilation)
        reach = (count - 1) * stride[i] + dilation[i] * (kernel_size[i] - 1) + 1
        more.append(max(reach - x.shape[-2 + i] - sum(padding[i]), 0))
    return more[0], more[1]


def _windows(x: Value, i: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> int:
    """With ceil_mode; the last window begins in the image, or in the padding before it."""
    size, span = x.shape[-2 + i], dilation[i] * (kernel_size[i] - 1) + 1
    count = -(-(size + sum(padding[i]) - span) // stride[i]) + 1
    return count - 1 if (count - 1) * stride[i] >= size + padding[i][0] else count


def _pixels(x: Value, i: int, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> list[int]:
    """How many pixels of image and padding each window sees in one direction."""
    end = x.shape[-2 + i] + padding[i][1]
    count = _windows(x, i, kernel_size, stride, padding, (1, 1))
    starts = [window * stride[i] - padding[i][0] for window in range(count)]
    return [min(start + kernel_size[i], end) - start for start in starts]


@converts(ops.AdaptiveAvgPool2d)
def adaptive_avg_pool2d(g, x, *, output_size):
    """The mean over a window is that of its rows, then of its columns: two matrix products, where no pooling fits."""
    image_size = x.shape[-2:]
    if output_size == (1, 1):
        return _pool(g, "GlobalAveragePool", x)
    if output_size == image_size:
        return g("Identity", x)
    if all(size % count == 0 for size, count in zip(image_size, output_size, strict=True)):
        window = tuple(size // count for size, count in zip(image_size, output_size, strict=True))
        return _pool(g, "AveragePool", x, kernel_shape=window, strides=window)
    rows, columns = (_means(size, count, x.dtype) for size, count in zip(image_size, output_size, strict=True))
    return g("MatMul", g("MatMul", rows, x), columns.T)


def _means(size: int, count: int, dtype: Any) -> numpy.ndarray:
    """(count, size): row i takes the mean of window i."""
    matrix = numpy.zeros((count, size), dtype)
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


@converts(ops.AdaptiveMaxPool2d)
def adaptive_max_pool2d(g, x, *, output_size, return_indices):
    image_size = x.shape[-2:]
    if return_indices or any(size % count for size, count in zip(image_size, output_size, strict=True)):
        raise NoForm("its indices are used, or its windows are of different sizes")
    window = tuple(size // count for size, count in zip(image_size, output_size, strict=True))
    return _pool(g, "MaxPool", x, kernel_shape=window, strides=window)


def _pads(padding: Any, more: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    """((top, bottom), (left, right)) as ONNX orders them: all that comes before, then all behind."""
    (top, bottom), (left, right) = padding
    return top, left, bottom + more[0], right + more[1]


# ------------------------------------------------------------------------------------------------------ normalization


@converts(ops.BatchNorm)
def batch_norm(g, x, weight, bias, mean, variance, *, eps):
    if mean is None:
        raise NoForm("it takes the statistics of the batch")
    one, zero = numpy.ones(mean.shape, x.dtype), numpy.zeros(mean.shape, x.dtype)
    weight, bias = one if weight is None else weight, zero if bias is None else bias
    return g("BatchNormalization", x, weight, bias, mean, variance, epsilon=eps)


@converts(ops.LocalResponseNorm)
def local_response_norm(g, x, *, size, alpha, beta, k):
    if size % 2 == 0:
        raise NoForm(f"an even size, here {size}, takes one channel more on the other side there")
    settings = {"size": size, "alpha": alpha, "beta": beta, "bias": k}
    if len(x.shape) == 4:
        return g("LRN", x, **settings)
    channels, *image = sizes(x)  # onnxruntime takes images only; where a pixel lies does not matter
    y = g("LRN", g("Reshape", x, g.ints(0, channels, -1, 1)), **settings)
    return g("Reshape", y, g.ints(0, channels, *image))


@converts(ops.GroupNorm)
def group_norm(g, x, weight, bias, *, num_groups, eps):
    """Each group as one channel, which is brought to mean 0 and variance 1; then weight and bias by channels."""
    channels, *image = sizes(x)
    groups = g("Reshape", x, g.ints(0, num_groups, -1))
    one, zero = numpy.ones(num_groups, x.dtype), numpy.zeros(num_groups, x.dtype)
    y = g("Reshape", g("InstanceNormalization", groups, one, zero, epsilon=eps), g.ints(0, channels, *image))
    by_channels = g.ints(channels, *(1 for _ in image))
    y = y if weight is None else g("Mul", y, g("Reshape", weight, by_channels))
    return y if bias is None else g("Add", y, g("Reshape", bias, by_channels))


@converts(ops.LayerNorm)
def layer_norm(g, x, weight, bias, *, dims, eps):
    weight = numpy.ones(x.shape[len(x.shape) - dims :], x.dtype) if weight is None else weight
    return g("LayerNormalization", x, weight, bias, axis=-dims, epsilon=eps)


# -------------------------------------------------------------------------------------------------- shapes and indices


@converts(ops.Reshape)
def reshape(g, x, *, shape):
    """A size of the batch is copied from its place in x (0), or worked out from the others (-1, at most once)."""
    new = [
        0 if isinstance(size, Open) and i < len(x.shape) and x.shape[i] == size else size
        for i, size in enumerate(shape)
    ]
    if sum(isinstance(size, Open) for size in new) == 1:
        new = [-1 if isinstance(size, Open) else size for size in new]
    return g("Reshape", x, g.ints(*new))


@converts(ops.Permute)
def permute(g, x, *, dims):
    return g("Transpose", x, perm=tuple(dims))


@converts(ops.Expand)
def expand(g, x, *, shape):
    """Dimensions that stay as they are may be of the batch."""
    old = (1,) * (len(shape) - len(x.shape)) + x.shape
    return g("Expand", x, g.ints(*(1 if size == before else size for size, before in zip(shape, old, strict=True))))


@converts(ops.Repeat)
def repeat(g, x, *, repeats):
    added = len(repeats) - len(x.shape)
    return g("Tile", g("Unsqueeze", x, g.ints(*range(added))) if added else x, g.ints(*repeats))


@converts(ops.GetItem)
def getitem(g, x, *, key):
    """First the slices, then arrays of indices, then single indices from the last one on, then new dimensions."""
    parts = [part for part in key if part is not None]
    if any(isinstance(part, (bool, Open)) for part in parts):
        raise NoForm("an index depends on the size of the batch, or is a bool")
    cuts = {axis: part for axis, part in enumerate(parts) if isinstance(part, slice) and part != slice(None)}
    y = x
    if cuts:
        starts, ends, steps = ([getattr(cut, name) for cut in cuts.values()] for name in ("start", "stop", "step"))
        y = g(
            "Slice",
            y,
            g.ints(*(0 if start is None else start for start in starts)),
            g.ints(*(LAST if end is None else end for end in ends)),
            g.ints(*cuts),
            g.ints(*(1 if step is None else step for step in steps)),
        )
    arrays = {axis: part for axis, part in enumerate(parts) if isinstance(part, numpy.ndarray)}
    if len(arrays) > 1 or (arrays and any(part is None for part in key)):
        raise NoForm("it is indexed by several arrays, or by one and None")
    for axis, indices in arrays.items():
        if indices.dtype == bool and indices.ndim > 1:
            raise NoForm("it is indexed by a mask of several dimensions")
        y = g("Gather", y, numpy.flatnonzero(indices) if indices.dtype == bool else indices.astype("int64"), axis=axis)
    singles = [axis for axis, part in enumerate(parts) if isinstance(part, int)]
    if arrays and any(axis < next(iter(arrays)) for axis in singles) and next(iter(arrays.values())).ndim != 1:
        raise NoForm("it is indexed by a number and by an array of several dimensions")
    for axis in reversed(singles):
        y = g("Gather", y, numpy.array(parts[axis], numpy.int64), axis=axis)
    kept = [part for part in key if not isinstance(part, int)]
    added = [axis for axis, part in enumerate(kept) if part is None]
    return g("Unsqueeze", y, g.ints(*added)) if added else y if cuts or arrays or singles else g("Identity", y)


@converts(ops.Cat)
def cat(g, *arrays, dim):
    return g("Concat", *arrays, axis=dim)


@converts(ops.Stack)
def stack(g, *arrays, dim):
    return g("Concat", *(g("Unsqueeze", x, g.ints(dim)) for x in arrays), axis=dim)


@converts(ops.Split)
def split(g, x, *, sizes, dim):
    if len(sizes) == 1:
        return [g("Identity", x)]
    return g("Split", x, g.ints(*sizes), outputs=len(sizes), axis=dim)


@converts(ops.Pad)
def pad(g, x, *, pad, mode, value):
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in modes:
        raise NoForm(f"opset {OPSET} has no mode {mode!r}")
    untouched = [0] * (len(x.shape) - len(pad) // 2)
    before, after = untouched + list(pad[::2])[::-1], untouched + list(pad[1::2])[::-1]
    constant = g.number(value, x) if mode == "constant" else None
    return g("Pad", x, g.ints(*before, *after), constant, mode=modes[mode])

"""Convolution through cuDNN, NVIDIA's library: for `minidl.use_algorithm("cudnn")`, and to compare with.

cuDNN looks a convolution of given shapes up in its heuristics and builds a plan for it, which takes milliseconds; so
plans are kept. Only such are taken as give the same bits in every run, and, unless float32 products may be rounded
(set_float32_matmul_precision), only such as compute in full float32. x, y: (N, C, H, W) in C order, of float32.

What the names mean: NVIDIA, cuDNN Frontend, https://docs.nvidia.com/deeplearning/cudnn/frontend/latest/.
"""

from __future__ import annotations

from threading import get_ident
from typing import Any

from minidl import backend
from minidl.backend import array_module, float32, get_float32_matmul_precision, uint8
from minidl.gpu.launch import workspace

_convolutions: dict[tuple, Convolution | None] = {}  # None: cuDNN has no plan
KEEP = 1 << 10  # of them: images of ever other sizes must not fill the memory with plans
_handles: dict[tuple, Any] = {}  # by device and thread
_streams: dict[tuple, int] = {}  # which stream each of them runs on


class Convolution:
    """A convolution of arrays of these shapes, and its two gradients. `geometry`: stride, padding, dilation."""

    def __init__(self, x: Any, weight: Any, y_shape: tuple[int, ...], geometry: tuple):
        self.x_shape, self.weight_shape, self.y_shape = x.shape, weight.shape, y_shape
        shapes = {
            "conv_fprop": (x.shape, weight.shape, y_shape),
            "conv_dgrad": (y_shape, weight.shape, x.shape),
            "conv_wgrad": (x.shape, y_shape, weight.shape),
        }
        self.plans = {name: _plan(name, _handle(x), *operands, geometry) for name, operands in shapes.items()}

    def forward(self, x: Any, weight: Any) -> Any:
        """y, without a bias."""
        return self._run("conv_fprop", x, weight, self.y_shape)

    def input_gradient(self, grad_output: Any, weight: Any) -> Any:
        """dx"""
        return self._run("conv_dgrad", grad_output, weight, self.x_shape)

    def weight_gradient(self, x: Any, grad_output: Any) -> Any:
        """dweight"""
        return self._run("conv_wgrad", x, grad_output, self.weight_shape)

    def _run(self, name: str, first: Any, second: Any, shape: tuple[int, ...]) -> Any:
        xp = array_module(first)
        first = first if first.flags.c_contiguous else xp.ascontiguousarray(first)
        second = second if second.flags.c_contiguous else xp.ascontiguousarray(second)
        graph, workspace_size = self.plans[name]
        result = xp.empty(shape, float32)
        places = {1: first.data.ptr, 2: second.data.ptr, 3: result.data.ptr}
        meanwhile = workspace(first, workspace_size, uint8).data.ptr if workspace_size else 0
        graph.execute(places, meanwhile, handle=_handle(first))
        return result


def convolution(x: Any, weight: Any, y_shape: tuple[int, ...], geometry: tuple) -> Convolution | None:
    """The convolution of arrays like these; None where cuDNN has none, or minidl does without it.

    It does so in float64, and where more padding is added on one side than on the other: cuDNN 9.19 on an H200 takes
    such convolutions, and returns wrong gradients of the weights (and of everything, in float64).
    """
    uneven = any(before != after for before, after in geometry[1])
    if x.dtype != float32 or uneven or not x.size or not weight.size:
        return None
    key = (x.device.id, get_float32_matmul_precision(), x.shape, weight.shape, geometry)
    if key not in _convolutions:
        if len(_convolutions) >= KEEP:
            _convolutions.clear()
        try:
            _convolutions[key] = Convolution(x, weight, y_shape, geometry)
        except backend.cudnn().cudnnGraphNotSupportedError:
            _convolutions[key] = None
    return _convolutions[key]


def _plan(name: str, handle: Any, first: Any, second: Any, result: Any, geometry: tuple) -> tuple[Any, int]:
    """cuDNN's graph of this one operation, ready to run, and how many bytes it needs meanwhile."""
    cudnn = backend.cudnn()
    number = cudnn.data_type.FLOAT
    stride, ((top, bottom), (left, right)), dilation = geometry
    graph = cudnn.pygraph(io_data_type=number, intermediate_data_type=number, compute_data_type=number, handle=handle)
    operands = [
        graph.tensor(dim=list(shape), stride=_steps(shape), data_type=number, uid=uid)
        for uid, shape in ((1, first), (2, second))
    ]
    output = getattr(graph, name)(
        *operands,
        pre_padding=[top, left],
        post_padding=[bottom, right],
        stride=list(stride),
        dilation=list(dilation),
    )
    output.set_output(True).set_data_type(number).set_dim(list(result)).set_stride(_steps(result)).set_uid(3)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    unwanted = [cudnn.numerical_note.NONDETERMINISTIC]
    if get_float32_matmul_precision() == "highest":
        unwanted += [cudnn.numerical_note.TENSOR_CORE, cudnn.numerical_note.DOWN_CONVERT_INPUTS]
    graph.deselect_numeric_notes(unwanted)
    graph.check_support()
    graph.build_plans(cudnn.build_plan_policy.HEURISTICS_CHOICE)
    return graph, graph.get_workspace_size()


def _steps(shape: tuple[int, ...]) -> list[int]:
    """From one element to the next in each dimension, in C order."""
    steps = [1]
    for size in reversed(shape[1:]):
        steps.insert(0, steps[0] * size)
    return steps


def _handle(array: Any) -> Any:
    """cuDNN's handle for the device of `array`, on CuPy's current stream."""
    stream = array_module(array).cuda.get_current_stream().ptr
    place = array.device.id, get_ident()
    if place not in _handles:
        _handles[place] = backend.cudnn().create_handle()
    if _streams.get(place) != stream:
        backend.cudnn().set_stream(handle=_handles[place], stream=stream)
        _streams[place] = stream
    return _handles[place]

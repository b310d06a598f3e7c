"""Convolution through cuDNN, NVIDIA's library: for `minidl.use_algorithm("cudnn")`, and to compare with.

cuDNN looks a convolution of given shapes up in its heuristics and builds a plan for it, which takes milliseconds; so
plans are kept. Only such are taken as give the same bits in every run, and, unless float32 products may be rounded
(set_float32_matmul_precision), only such as compute in full float32. x, y: (N, C, H, W) in C order.

What the names mean: NVIDIA, cuDNN Frontend, https://docs.nvidia.com/deeplearning/cudnn/frontend/latest/.
"""

from __future__ import annotations

from typing import Any

from minidl import backend
from minidl.backend import array_module, float32, get_float32_matmul_precision

_plans: dict[tuple, tuple[Any, int] | None] = {}  # None: cuDNN has none
_handles: dict[int, tuple[Any, list[int]]] = {}  # by device: cuDNN's handle, and the stream that it runs on


def serves(x: Any, weight: Any, geometry: tuple) -> bool:
    """True where cuDNN has plans for this convolution and its two gradients."""
    if not x.size or not weight.size:
        return False
    (N, _, H, W), (F, _, KH, KW), (stride, padding, dilation) = x.shape, weight.shape, geometry
    size = [
        (s + sum(p) - d * (k - 1) - 1) // t + 1
        for s, p, d, k, t in zip((H, W), padding, dilation, (KH, KW), stride, strict=True)
    ]
    y_shape = (N, F, *size)
    return all(
        _plan(x, name, first, second, result, geometry) is not None
        for name, first, second, result in (
            ("conv_fprop", x.shape, weight.shape, y_shape),
            ("conv_dgrad", y_shape, weight.shape, x.shape),
            ("conv_wgrad", x.shape, y_shape, weight.shape),
        )
    )


def convolve(x: Any, weight: Any, y_shape: tuple[int, ...], geometry: tuple) -> Any:
    """y, without a bias. `geometry`: stride, padding, dilation."""
    return _run("conv_fprop", x, weight, y_shape, geometry)


def input_gradient(grad_output: Any, weight: Any, x_shape: tuple[int, ...], geometry: tuple) -> Any:
    """dx"""
    return _run("conv_dgrad", grad_output, weight, x_shape, geometry)


def weight_gradient(x: Any, grad_output: Any, weight_shape: tuple[int, ...], geometry: tuple) -> Any:
    """dweight"""
    return _run("conv_wgrad", x, grad_output, weight_shape, geometry)


def _run(name: str, first: Any, second: Any, shape: tuple[int, ...], geometry: tuple) -> Any:
    xp = array_module(first)
    first, second = xp.ascontiguousarray(first), xp.ascontiguousarray(second)
    graph, workspace_size = _plan(first, name, first.shape, second.shape, shape, geometry)  # type: ignore[misc]
    result = xp.empty(shape, first.dtype)
    workspace = xp.empty(workspace_size, "uint8")
    places = {1: first.data.ptr, 2: second.data.ptr, 3: result.data.ptr}
    graph.execute(places, workspace.data.ptr, handle=_handle(first))
    return result


def _plan(like: Any, name: str, first: Any, second: Any, result: Any, geometry: tuple) -> tuple[Any, int] | None:
    """cuDNN's graph of this one operation, ready to run, and how many bytes it needs meanwhile."""
    precision = get_float32_matmul_precision() if like.dtype == float32 else ""
    key = (like.device.id, like.dtype.char, precision, name, first, second, result, geometry)
    if key not in _plans:
        cudnn = backend.cudnn()
        try:
            graph = _built(cudnn, like, precision, name, first, second, result, geometry)
            _plans[key] = graph, graph.get_workspace_size()
        except cudnn.cudnnGraphNotSupportedError:
            _plans[key] = None
    return _plans[key]


def _built(cudnn: Any, like: Any, precision: str, name: str, first: Any, second: Any, result: Any, geometry: tuple):
    stride, ((top, bottom), (left, right)), dilation = geometry
    dtype = cudnn.data_type.FLOAT if like.dtype == float32 else cudnn.data_type.DOUBLE
    graph = cudnn.pygraph(
        io_data_type=dtype, intermediate_data_type=dtype, compute_data_type=dtype, handle=_handle(like)
    )
    operands = [
        graph.tensor(dim=list(shape), stride=_steps(shape), data_type=dtype, uid=uid)
        for uid, shape in ((1, first), (2, second))
    ]
    output = getattr(graph, name)(
        *operands,
        pre_padding=[top, left],
        post_padding=[bottom, right],
        stride=list(stride),
        dilation=list(dilation),
    )
    output.set_output(True).set_data_type(dtype).set_dim(list(result)).set_stride(_steps(result)).set_uid(3)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    unwanted = [cudnn.numerical_note.NONDETERMINISTIC]
    if precision == "highest":
        unwanted += [cudnn.numerical_note.TENSOR_CORE, cudnn.numerical_note.DOWN_CONVERT_INPUTS]
    graph.deselect_numeric_notes(unwanted)
    graph.check_support()
    graph.build_plans(cudnn.build_plan_policy.HEURISTICS_CHOICE)
    return graph


def _steps(shape: tuple[int, ...]) -> list[int]:
    """From one element to the next in each dimension, in C order."""
    steps = [1]
    for size in reversed(shape[1:]):
        steps.insert(0, steps[0] * size)
    return steps


def _handle(array: Any) -> Any:
    """cuDNN's handle for the device of `array`, on CuPy's current stream."""
    cudnn = backend.cudnn()
    stream = array_module(array).cuda.get_current_stream().ptr
    number = array.device.id
    if number not in _handles:
        _handles[number] = cudnn.create_handle(), []
    handle, current = _handles[number]
    if current != [stream]:
        cudnn.set_stream(handle=handle, stream=stream)
        current[:] = [stream]
    return handle

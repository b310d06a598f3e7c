"""im2col and col2im on a GPU: what minidl/ops/im2col.py says, in one launch each."""

from __future__ import annotations

from typing import Any

from minidl.backend import array_module
from minidl.gpu import launch
from minidl.gpu.launch import per_element
from minidl.gpu.layout import span


def im2col(x: Any, kernel_size: Any, output_size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """columns (C, KH, KW, N, OH, OW) of x (N, C, H, W), which may lie in memory in any way."""
    if x.size < launch.MANY <= span(x):  # places are counted in 64 bits where an array is large, not where it has gaps
        x = array_module(x).ascontiguousarray(x)
    N, C, H, W = x.shape
    OH, OW = output_size
    columns = array_module(x).empty((C, *kernel_size, N, OH, OW), x.dtype)
    steps = [stride // x.itemsize for stride in x.strides]
    count = C * N * OH * OW
    per_element(
        "windows.im2col",
        count,
        (x, columns),
        *(count, *steps, H, W, N, OH, OW, padding[0][0], padding[1][0]),
        **constants(kernel_size, stride, dilation),
    )
    return columns


def col2im(columns: Any, image_size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """x (N, C, H, W) of columns (C, KH, KW, N, OH, OW); in memory the channels come first."""
    columns = array_module(columns).ascontiguousarray(columns)
    C, KH, KW, N, OH, OW = columns.shape
    images = array_module(columns).empty((C, N, *image_size), columns.dtype)
    per_element(
        "windows.col2im",
        images.size,
        (columns, images),
        *(images.size, *image_size, N, OH, OW, padding[0][0], padding[1][0]),
        **constants((KH, KW), stride, dilation),
    )
    return images.transpose(1, 0, 2, 3)


def constants(kernel_size: Any, stride: Any, dilation: Any) -> dict[str, int]:
    """What the kernels over windows are compiled for."""
    (KH, KW), (SH, SW), (DH, DW) = kernel_size, stride, dilation
    return {"KH": KH, "KW": KW, "SH": SH, "SW": SW, "DH": DH, "DW": DW}

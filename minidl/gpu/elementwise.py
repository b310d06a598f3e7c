"""Element by element on a GPU: where CuPy's own functions take several launches, or are slow to start one.

Starting one of CuPy's functions costs twice as much as a kernel of launch.py, which counts where arrays are small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl.backend import empty, empty_like
from minidl.gpu.launch import c_name, per_element
from minidl.gpu.layout import arranged_like, without_gaps


def alike(a: Any, b: Any) -> bool:
    """True for two arrays of floating-point numbers on a GPU, of one shape and dtype."""
    return type(a) is type(b) and a.shape == b.shape and a.dtype is b.dtype and a.dtype.kind == "f"


def binary(name: str, a: Any, b: Any, out: Any = None) -> Any:
    """a + b ("add") or a b ("multiply"), for two arrays that are `alike`."""
    (a, b), y = _in_one_order(a, b, out=out)
    per_element("elementwise." + name, y.size, (a, b, y), y.size, Mask="bool")
    return y


def positive_part(x: Any, out: Any) -> Any:
    """max(x, 0)"""
    (x,), y = _in_one_order(x, out=out)
    per_element("elementwise.positive_part", y.size, (x, y), y.size, Mask="bool")
    return y


def masked(gradient: Any, mask: Any) -> Any:
    """`gradient` where `mask`, of its shape, is not 0; elsewhere 0, also where the gradient is infinite."""
    (mask, gradient), y = _in_one_order(mask, gradient)
    per_element("elementwise.masked", y.size, (gradient, mask, y), y.size, Mask=c_name(mask.dtype))
    return y


def _in_one_order(*arrays: Any, out: Any = None) -> tuple[Sequence, Any]:
    """The arrays as they lie in memory in one order, and one for the result, of the dtype of the last.

    That is `out` where it is not None: without gaps, and perhaps one of them. The order is that of `out`, or the first.
    """
    if out is None and all(array.flags.c_contiguous for array in arrays):
        return arrays, empty(arrays[-1], arrays[0].shape)
    y = empty_like(without_gaps(arrays[0]), dtype=arrays[-1].dtype) if out is None else out
    return [arranged_like(array, y) for array in arrays], y


def sgd_step(p: Any, gradient: Any, velocity: Any, fresh: float, group: dict[str, Any]) -> bool:
    """The step of optim.SGD with these settings, in place. False if the arrays do not let a kernel do it.

    They may lie otherwise, or differ in dtype: a buffer from before model.double().
    """
    if not all(each.flags.c_contiguous and alike(p, each) for each in (p, velocity) if each is not None):
        return False
    if not alike(p, gradient):
        return False
    per_element(
        "elementwise.sgd",
        p.size,
        (p, arranged_like(gradient, p), velocity),
        *(p.size, group["lr"], group["momentum"], fresh, group["weight_decay"]),
        *(-1 if group["maximize"] else 1, group["nesterov"]),
        Mask="bool",
    )
    return True

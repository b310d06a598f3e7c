"""Element by element on a GPU: where CuPy's own functions take several launches, or are slow to start one.

Starting one of CuPy's functions costs twice as much as a kernel of launch.py, which counts where arrays are small.
"""

from __future__ import annotations

from typing import Any

from minidl.backend import empty_like
from minidl.gpu.launch import c_name, per_element
from minidl.gpu.layout import arranged_like, without_gaps


def alike(a: Any, b: Any) -> bool:
    """True for two arrays of floating-point numbers on a GPU, of one shape and dtype."""
    return type(a) is type(b) and a.shape == b.shape and a.dtype is b.dtype and a.dtype.kind == "f"


def binary(name: str, a: Any, b: Any) -> Any:
    """a + b ("add") or a b ("multiply"), for two arrays that are `alike`."""
    a = without_gaps(a)
    b, y = arranged_like(b, a), empty_like(a)
    per_element("elementwise." + name, y.size, (a, b, y), y.size, Mask="bool")
    return y


def positive_part(x: Any, out: Any) -> Any:
    """max(x, 0), into `out` where that is not None: x itself."""
    y = empty_like(without_gaps(x)) if out is None else out
    per_element("elementwise.positive_part", y.size, (arranged_like(x, y), y), y.size, Mask="bool")
    return y


def masked(gradient: Any, mask: Any) -> Any:
    """`gradient` where `mask`, of its shape, is not 0; elsewhere 0, also where the gradient is infinite."""
    mask = without_gaps(mask)
    gradient = arranged_like(gradient, mask)
    y = empty_like(gradient)
    per_element("elementwise.masked", y.size, (gradient, mask, y), y.size, Mask=c_name(mask.dtype))
    return y


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

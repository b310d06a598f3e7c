"""Element by element on a GPU, where CuPy's own functions would take several launches."""

from __future__ import annotations

from typing import Any

from minidl.backend import empty_like
from minidl.gpu.launch import c_name, per_element
from minidl.gpu.layout import arranged_like, without_gaps


def masked(gradient: Any, mask: Any) -> Any:
    """`gradient` where `mask`, of its shape, is not 0; elsewhere 0, also where the gradient is infinite."""
    mask = without_gaps(mask)
    gradient = arranged_like(gradient, mask)
    y = empty_like(gradient)
    per_element("elementwise.masked", y.size, (gradient, mask, y), y.size, Mask=c_name(mask.dtype))
    return y


def sgd_step(p: Any, gradient: Any, velocity: Any, fresh: float, group: dict[str, Any]) -> bool:
    """The step of optim.SGD with these settings, in place. False if the arrays lie so that it is not possible."""
    if not p.flags.c_contiguous or not (velocity is None or velocity.flags.c_contiguous):
        return False
    per_element(
        "elementwise.sgd",
        p.size,
        (p, arranged_like(gradient, p), velocity),
        *(p.size, float(group["lr"]), float(group["momentum"]), float(fresh), float(group["weight_decay"])),
        *(-1.0 if group["maximize"] else 1.0, bool(group["nesterov"])),
        Mask="bool",
    )
    return True

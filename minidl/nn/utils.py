"""What is done to the gradients between backward() and step(): `nn.utils.clip_grad_norm_(model.parameters(), 1.0)`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy

from minidl.backend import array_module, device_of, float32, float64, on_device_of, transfer
from minidl.errors import explain
from minidl.memory import before_change, mark_changed
from minidl.tensor import Tensor, require_tensors


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients, in place and by one factor, so that their norm is at most `max_norm`. Returns the old norm.

    The norm is that of all gradients as one vector; `norm_type` is its p, "inf" for the largest element.
    Pascanu, Mikolov & Bengio, ICML 2013, algorithm 1.

    RuntimeError with `error_if_nonfinite`, where the norm is infinite or not a number.
    """
    gradients = _gradients("clip_grad_norm_", parameters)
    max_norm = _number("clip_grad_norm_", "max_norm", max_norm)
    norm_type = _number("clip_grad_norm_", "norm_type", norm_type)
    if not gradients:
        return Tensor(numpy.zeros((), float32))
    norm = float(numpy.linalg.norm([_norm(g, norm_type) for g in gradients], norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            explain(
                "clip_grad_norm_",
                f"The total norm of order {norm_type} for gradients from `parameters` is {norm}: it is non-finite, so "
                "it cannot be clipped",
                help="error_if_nonfinite=False scales the gradients all the same",
            )
        )
    scale = min(max_norm / (norm + 1e-6), 1.0)  # nan stays nan
    with numpy.errstate(invalid="ignore"):
        for g in gradients if scale != 1 else ():
            before_change(g)
            with on_device_of((g,)):
                g *= scale
            mark_changed(g)
    return Tensor(transfer(numpy.asarray(norm, gradients[0].dtype), device_of(gradients[0])))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Bring every element of every gradient into -clip_value .. clip_value, in place."""
    clip_value = _number("clip_grad_value_", "clip_value", clip_value)
    for g in _gradients("clip_grad_value_", parameters):
        before_change(g)
        with on_device_of((g,)):
            array_module(g).clip(g, -clip_value, clip_value, out=g)
        mark_changed(g)


def _norm(g: Any, norm_type: float) -> float:
    with on_device_of((g,)):  # in float64: the squares of float32 overflow soon
        return float(array_module(g).linalg.norm(g.ravel().astype(float64), norm_type))


def _gradients(where: str, parameters: Any) -> list:
    """The arrays of those gradients that there are. TypeError for anything but Tensors."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for parameter in parameters:
        require_tensors(where, parameters=parameter)
    return [parameter.grad.data for parameter in parameters if parameter.grad is not None]


def _number(where: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise type(error)(explain(where, f"{name} must be a number, got {value!r}")) from None

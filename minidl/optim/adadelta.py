"""Adadelta: steps in the units of the weights, from running averages of squared gradients and squared steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl.backend import array_module
from minidl.optim.optimizer import Optimizer, blocks, buffer, check_setting, count_step, descent
from minidl.tensor import Tensor


class Adadelta(Optimizer):
    """g <- g + weight_decay * p
    s <- rho * s + (1 - rho) * g^2
    d = sqrt(u + eps) / sqrt(s + eps) * g
    u <- rho * u + (1 - rho) * d^2
    p <- p - lr * d                                 the paper has lr = 1

    s and u are state["square_avg"] and state["acc_delta"].
    Zeiler, arXiv:1212.5701, Algorithm 1.

    ValueError: lr, eps or weight_decay below 0; rho outside [0, 1].
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        check_setting("Adadelta", "learning rate", lr)
        check_setting("Adadelta", "rho value", rho, up_to=1)
        check_setting("Adadelta", "epsilon value", eps)
        check_setting("Adadelta", "weight_decay value", weight_decay)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def update(self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = array_module(param.data)
        lr, rho, eps = group["lr"], group["rho"], group["eps"]
        count_step(state)
        square = buffer(state, "square_avg", param)
        delta = buffer(state, "acc_delta", param)
        for p, g, s, u in blocks(param.data, grad, square, delta):
            g = descent(p, g, group)
            s *= rho
            s += (1 - rho) * (g * g)
            step = xp.sqrt((u + eps) / (s + eps))
            step *= g
            u *= rho
            u += (1 - rho) * (step * step)
            p -= lr * step

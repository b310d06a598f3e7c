"""Stochastic gradient descent, plain, with momentum, or with Nesterov's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl.algorithm import with_kernels
from minidl.errors import explain
from minidl.gpu.elementwise import sgd_step
from minidl.optim.optimizer import Optimizer, blocks, buffer, check_setting, descent
from minidl.tensor import Tensor


class SGD(Optimizer):
    """g <- g + weight_decay * p
    v <- momentum * v + (1 - dampening) * g         (v = g in the first step)
    p <- p - lr * v                                 nesterov: p <- p - lr * (g + momentum * v)

    v is state["momentum_buffer"]. As in PyTorch, v holds gradients and lr comes after it. Caffe and AlexNet keep
    v <- momentum * v - lr * g instead: the same while lr is constant, but here a new lr acts at once.
    Sutskever, Martens, Dahl & Hinton, ICML 2013, sec. 2. AlexNet's recipe (sec. 5): momentum 0.9, weight_decay 5e-4.

    ValueError: lr, momentum or weight_decay below 0; nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        check_setting("SGD", "learning rate", lr)
        check_setting("SGD", "momentum value", momentum)
        check_setting("SGD", "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(explain("SGD", "Nesterov momentum requires a momentum and zero dampening"))
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def update(self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, momentum, nesterov = group["lr"], group["momentum"], group["nesterov"]
        fresh = 1 - group["dampening"] if "momentum_buffer" in state else 1
        velocity = buffer(state, "momentum_buffer", param) if momentum else None
        if with_kernels(param.data) and sgd_step(param.data, grad, velocity, fresh, group):
            return
        for p, g, v in blocks(param.data, grad, velocity):
            g = descent(p, g, group)
            if momentum:
                v *= momentum
                v += g if fresh == 1 else fresh * g
                g = g + momentum * v if nesterov else v
            p -= lr * g

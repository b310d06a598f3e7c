"""Adagrad: the gradient divided by the root of the sum of all its squares so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl.backend import array_module
from minidl.optim.optimizer import Optimizer, blocks, buffer, check_setting, count_step, descent
from minidl.tensor import Tensor


class Adagrad(Optimizer):
    """g <- g + weight_decay * p
    s <- s + g^2                                    s starts at initial_accumulator_value
    p <- p - lr' * g / (sqrt(s) + eps)              lr' = lr / (1 + (t - 1) * lr_decay) in step t

    s is state["sum"].
    Duchi, Hazan & Singer, JMLR 12, 2011, pages 2121-2159 (the diagonal form).

    ValueError: lr, lr_decay, weight_decay, initial_accumulator_value or eps below 0.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        check_setting("Adagrad", "learning rate", lr)
        check_setting("Adagrad", "lr_decay value", lr_decay)
        check_setting("Adagrad", "weight_decay value", weight_decay)
        check_setting("Adagrad", "initial_accumulator_value value", initial_accumulator_value)
        check_setting("Adagrad", "epsilon value", eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def update(self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = array_module(param.data)
        lr = group["lr"] / (1 + (count_step(state) - 1) * group["lr_decay"])
        total = buffer(state, "sum", param, group["initial_accumulator_value"])
        for p, g, s in blocks(param.data, grad, total):
            g = descent(p, g, group)
            s += g * g
            scale = xp.sqrt(s)
            scale += group["eps"]
            p -= lr * (g / scale)

"""RMSprop: the gradient divided by a running root mean square of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl.backend import array_module
from minidl.optim.optimizer import Optimizer, blocks, buffer, check_setting, count_step, descent
from minidl.tensor import Tensor


class RMSprop(Optimizer):
    """g <- g + weight_decay * p
    s <- alpha * s + (1 - alpha) * g^2
    a <- alpha * a + (1 - alpha) * g                centered only; else a = 0
    d = g / (sqrt(s - a^2) + eps)
    b <- momentum * b + d,  p <- p - lr * b         without momentum: p <- p - lr * d

    s, a and b are state["square_avg"], state["grad_avg"] and state["momentum_buffer"]. eps is added outside of the
    root, as in PyTorch; TensorFlow adds it inside.
    Tieleman & Hinton, COURSERA: Neural Networks for Machine Learning, lecture 6.5, 2012. Centered: Graves,
    arXiv:1308.0850, eq. (38) to (45).

    ValueError: lr, alpha, eps, weight_decay or momentum below 0.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        check_setting("RMSprop", "learning rate", lr)
        check_setting("RMSprop", "epsilon value", eps)
        check_setting("RMSprop", "momentum value", momentum)
        check_setting("RMSprop", "weight_decay value", weight_decay)
        check_setting("RMSprop", "alpha value", alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def update(self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = array_module(param.data)
        lr, alpha, momentum = group["lr"], group["alpha"], group["momentum"]
        count_step(state)
        square = buffer(state, "square_avg", param)
        velocity = buffer(state, "momentum_buffer", param) if momentum > 0 else None
        average = buffer(state, "grad_avg", param) if group["centered"] else None
        for p, g, s, b, a in blocks(param.data, grad, square, velocity, average):
            g = descent(p, g, group)
            s *= alpha
            s += (1 - alpha) * (g * g)
            if a is not None:
                a *= alpha
                a += (1 - alpha) * g
            scale = xp.sqrt(s if a is None else s - a * a)
            scale += group["eps"]
            step = g / scale
            if b is not None:
                b *= momentum
                b += step
                step = b
            p -= lr * step

"""Adam: steps of about lr for every weight, whatever the scale of its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from minidl.backend import array_module
from minidl.optim.optimizer import Optimizer, blocks, buffer, check_setting, count_step, descent
from minidl.tensor import Tensor


class Adam(Optimizer):
    """g <- g + weight_decay * p                        decoupled_weight_decay: p <- p - lr * weight_decay * p
    m <- beta1 * m + (1 - beta1) * g
    v <- beta2 * v + (1 - beta2) * g^2                  amsgrad: its largest value so far stands for v below
    p <- p - lr * m' / (sqrt(v') + eps)                 m' = m / (1 - beta1^t), v' = v / (1 - beta2^t) in step t

    m, v and the largest v are state["exp_avg"], state["exp_avg_sq"] and state["max_exp_avg_sq"]. eps is added after
    the bias is corrected, as in PyTorch and in the paper's Algorithm 1; TensorFlow's Adam adds it before.
    Kingma & Ba, ICLR 2015, arXiv:1412.6980. AMSGrad: Reddi, Kale & Kumar, ICLR 2018, arXiv:1904.09237; as in
    PyTorch, the largest v is taken before the correction.

    ValueError: lr, eps or weight_decay below 0; a beta outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        name = type(self).__name__
        check_setting(name, "learning rate", lr)
        check_setting(name, "epsilon value", eps)
        check_setting(name, "beta parameter at index 0", betas[0], below=1)
        check_setting(name, "beta parameter at index 1", betas[1], below=1)
        check_setting(name, "weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def update(self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = array_module(param.data)
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
        t = count_step(state)
        mean = buffer(state, "exp_avg", param)
        square = buffer(state, "exp_avg_sq", param)
        largest = buffer(state, "max_exp_avg_sq", param) if group["amsgrad"] else None
        correction1, correction2 = 1 - beta1**t, sqrt(1 - beta2**t)
        decoupled = {**group, "weight_decay": 0} if group["decoupled_weight_decay"] else None
        for p, g, m, v, v_max in blocks(param.data, grad, mean, square, largest):
            if decoupled:
                p *= 1 - lr * group["weight_decay"]
            g = descent(p, g, decoupled or group)
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            if v_max is not None:
                v = xp.maximum(v_max, v, out=v_max)
            scale = xp.sqrt(v)
            scale /= correction2
            scale += eps
            p -= (lr / correction1) * (m / scale)


class AdamW(Adam):
    """Adam whose weight decay is decoupled from the gradient: p <- p - lr * weight_decay * p before each step.

    The decay then acts on every weight alike, where Adam's would be divided by sqrt(v). As in PyTorch it is
    multiplied by lr; the paper's has a schedule of its own instead.
    Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101, Algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)

"""Losses: what F.cross_entropy and its kin check before the operation of the same name runs.

Each raises TypeError where an argument is no Tensor, ValueError for an unknown `reduction`, and RuntimeError where the
dtypes or devices differ or the input is not floating point. `size_average` and `reduce` are the older spelling of
`reduction`, in the places where PyTorch has them.
"""

from __future__ import annotations

import warnings
from typing import Any

from minidl import ops
from minidl.backend import array_module, on_device_of
from minidl.checks import check_broadcast, check_floating, check_same, one_of
from minidl.errors import explain
from minidl.function import Function
from minidl.grad_mode import is_grad_enabled
from minidl.ops.loss import class_dim
from minidl.tensor import Tensor, apply, optional_tensors, require_tensors

# ------------------------------------------------------------------------------------------------- classification


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log(softmax(input)) of the target class; or against `target` as probabilities, in the shape of input.

    input: scores (N, C), (N, C, d1, ...) or (C,). See ops.CrossEntropy and ops.SoftCrossEntropy. IndexError where a
    class is outside 0..C-1; ValueError where the batch sizes differ; RuntimeError for other shapes that do not fit.
    """
    where = "cross_entropy"
    reduction = _reduction(where, size_average, reduce, reduction)
    _check_scores(where, input, target, weight)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(explain(where, f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}"))
    label_smoothing = float(label_smoothing)
    if input.shape == target.shape:
        if target.dtype.kind != "f":
            rule = f"Expected floating point type for target with class probabilities, got {target.dtype}"
            help = "a target in the shape of input holds probabilities: target.float(); classes have one dimension less"
            raise RuntimeError(explain(where, rule, {"input": input, "target": target}, help))
        check_same(where, input=input, target=target)
        if ignore_index >= 0:
            raise RuntimeError(explain(where, "ignore_index is not supported for floating point target"))
        return apply(ops.SoftCrossEntropy, input, target, weight, label_smoothing=label_smoothing, reduction=reduction)
    return apply(
        ops.CrossEntropy,
        input,
        _classes(where, input, target, ignore_index),
        weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input of the target class, where input holds log-probabilities. Shapes and errors as in cross_entropy."""
    where = "nll_loss"
    reduction = _reduction(where, size_average, reduce, reduction)
    _check_scores(where, input, target, weight)
    target = _classes(where, input, target, ignore_index)
    return apply(ops.NLLLoss, input, target, weight, ignore_index=ignore_index, reduction=reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log(x) + (1 - t) log(1 - x)), where x are probabilities. See ops.BinaryCrossEntropy.

    ValueError where the shapes differ; RuntimeError where input or target leaves 0..1.
    """
    where = "binary_cross_entropy"
    reduction = _reduction(where, size_average, reduce, reduction)
    _check_binary(where, input, target, weight=weight)
    for name, tensor in (("input", input), ("target", target)):
        if tensor.numel() and not _within_0_and_1(tensor.data):
            raise RuntimeError(
                explain(
                    where,
                    f"all elements of {name} should be between 0 and 1",
                    {name: tensor},
                    help="binary_cross_entropy_with_logits takes scores of any size" if name == "input" else None,
                )
            )
    return apply(ops.BinaryCrossEntropy, input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without its overflow. ValueError where the shapes differ."""
    where = "binary_cross_entropy_with_logits"
    reduction = _reduction(where, size_average, reduce, reduction)
    _check_binary(where, input, target, weight=weight, pos_weight=pos_weight)
    return apply(ops.BinaryCrossEntropyWithLogits, input, target, weight, pos_weight, reduction=reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log(target) - input), where input holds log-probabilities. See ops.KLDiv.

    The divergence of the definition is reduction="batchmean"; "mean" divides by the number of elements.
    RuntimeError where the shapes do not broadcast.
    """
    where = "kl_div"
    reduction = _reduction(where, size_average, reduce, reduction, ("none", "mean", "sum", "batchmean"))
    _check(where, input, target)
    check_same(where, input=input, target=target)
    batch = input.shape[0] if input.ndim else 1
    input, target = _broadcast(where, input, target)
    if reduction == "batchmean":
        return apply(ops.KLDiv, input, target, log_target=log_target, reduction="sum") / batch
    return apply(ops.KLDiv, input, target, log_target=log_target, reduction=reduction)


# ----------------------------------------------------------------------------------------------------- regression


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2. UserWarning where the shapes differ, RuntimeError where they do not broadcast."""
    reduction = _reduction("mse_loss", size_average, reduce, reduction)
    return _regression("mse_loss", ops.MSELoss, input, target, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|. UserWarning where the shapes differ, RuntimeError where they do not broadcast."""
    reduction = _reduction("l1_loss", size_average, reduce, reduction)
    return _regression("l1_loss", ops.L1Loss, input, target, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """A parabola where |input - target| < beta, |input - target| - beta / 2 beyond. RuntimeError where beta < 0.

    UserWarning where the shapes differ, RuntimeError where they do not broadcast.
    """
    reduction = _reduction("smooth_l1_loss", size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError(explain("smooth_l1_loss", f"does not support negative values for beta, got {beta}"))
    if beta == 0:
        return _regression("smooth_l1_loss", ops.L1Loss, input, target, None, reduction)
    return _regression("smooth_l1_loss", ops.SmoothL1Loss, input, target, None, reduction, beta=float(beta))


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """delta times smooth_l1_loss with beta = delta. RuntimeError where delta <= 0."""
    one_of("huber_loss", "reduction", reduction, REDUCTIONS)
    if delta <= 0:
        raise RuntimeError(explain("huber_loss", f"does not support non-positive values for delta, got {delta}"))
    delta = float(delta)
    return _regression("huber_loss", ops.SmoothL1Loss, input, target, None, reduction, beta=delta) * delta


# --------------------------------------------------------------------------------------------------------- checks

REDUCTIONS = ("none", "mean", "sum")


def _reduction(
    where: str, size_average: bool | None, reduce: bool | None, reduction: str, choices: tuple[str, ...] = REDUCTIONS
) -> str:
    """`reduction`, or what the older size_average and reduce mean (None is True) where one of them is given."""
    if size_average is None and reduce is None:
        return one_of(where, "reduction", reduction, choices)
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def _check(where: str, input: Tensor, target: Tensor, **weights: Tensor | None) -> None:
    """What every loss asks for: tensors, of which the input is floating point, and the weights like the input."""
    require_tensors(where, input=input, target=target)
    optional_tensors(where, **weights)
    check_floating(where, input=input)
    check_same(where, input=input, **weights)


def _check_no_gradient(where: str, **weights: Tensor | None) -> None:
    for name, weight in weights.items():
        if weight is not None and weight.requires_grad and is_grad_enabled():
            raise RuntimeError(
                explain(
                    where,
                    f"not differentiable with respect to argument '{name}': it cannot have requires_grad True",
                    {name: weight},
                    help=f"give {name}.detach()",
                )
            )


def _check_scores(where: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """What the losses over classes ask for, but for the target."""
    _check(where, input, target, weight=weight)
    _check_no_gradient(where, weight=weight)
    if not input.ndim:
        raise RuntimeError(
            explain(where, "input must have a dimension of classes: (C,), (N, C) or (N, C, d1, ...)", {"input": input})
        )
    classes = input.shape[class_dim(input.shape)]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            explain(
                where,
                f"weight tensor should be defined either for all {classes} classes or no classes",
                {"input": input, "weight": weight},
            )
        )


def _classes(where: str, input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """The target as int64, once its dtype and shape and every label are right."""
    operands = {"input": input, "target": target}
    dim = class_dim(input.shape)
    expected = input.shape[:dim] + input.shape[dim + 1 :]
    help = "target holds one class for each position: the shape of input without its dimension of classes"
    if input.ndim > 1 and target.shape[:1] != expected[:1]:
        sizes = f"({input.shape[0]}) to match target batch_size ({target.shape[0] if target.ndim else 0})"
        raise ValueError(explain(where, f"Expected input batch_size {sizes}", operands, help))
    if target.dtype.kind not in "iu":
        rule = f"expected target dtype to be an integer, but got {target.dtype}"
        if where == "cross_entropy":
            help = "classes: target.long(); probabilities of classes have the shape of input"
        raise RuntimeError(explain(where, rule, operands, help))
    if target.shape != expected:
        raise RuntimeError(explain(where, f"Expected target size {expected}, got {target.shape}", operands, help))
    if input.device != target.device:
        raise RuntimeError(explain(where, "Expected all tensors to be on the same device", operands))

    count = input.shape[dim]
    first = _first_outside(target.data, count, ignore_index)
    if first is not None:
        raise IndexError(
            explain(
                where,
                f"Target {target.data[first]} is out of bounds, at {list(first)} of target",
                operands,
                help=f"{count} classes are numbered 0..{count - 1}; ignore_index={ignore_index} does not count",
            )
        )
    return target.long()


def _first_outside(labels: Any, count: int, ignore_index: int) -> tuple[int, ...] | None:
    """Where the first label is that is none of `count` classes, and not `ignore_index`; None if there is none."""
    if not labels.size:
        return None
    with on_device_of((labels,)):
        if labels.min() >= 0 and labels.max() < count:
            return None
        outside = ((labels < 0) | (labels >= count)) & (labels != ignore_index)
        return tuple(array_module(labels).argwhere(outside)[0].tolist()) if outside.any() else None


def _within_0_and_1(array: Any) -> bool:
    with on_device_of((array,)):
        return bool(array.min() >= 0 and array.max() <= 1)  # False where one is NaN


def _check_binary(where: str, input: Tensor, target: Tensor, **weights: Tensor | None) -> None:
    """What the losses over pairs of one shape ask for: weights broadcast to it, and get no gradient."""
    _check(where, input, target, **weights)
    check_same(where, input=input, target=target)
    _check_no_gradient(where, **weights)
    if target.shape != input.shape:
        rule = f"Target size {target.shape} must be the same as input size {input.shape}"
        raise ValueError(explain(where, rule, {"input": input, "target": target}))
    for name, weight in weights.items():
        if weight is not None and check_broadcast(where, **{"input": input, name: weight}) != input.shape:
            rule = f"{name} must broadcast to the shape of input, {input.shape}"
            raise RuntimeError(explain(where, rule, {"input": input, name: weight}))


def _regression(
    where: str,
    operation: type[Function],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    **options: Any,
) -> Tensor:
    """A loss of input - target; with a weight for each element, "mean" divides by the sum of the weights."""
    _check(where, input, target, weight=weight)
    check_same(where, input=input, target=target)
    if weight is not None and weight.shape != input.shape:
        rule = "weight and input must have the same size"
        raise ValueError(explain(where, rule, {"input": input, "weight": weight}))
    if input.shape != target.shape:
        warnings.warn(
            explain(
                where,
                f"Using a target size {target.shape} that is different to the input size {input.shape}: they broadcast",
                {"input": input, "target": target},
                help="(N,) against (N, 1) gives N * N losses; use target.view(input.shape) or input.squeeze(1)",
            ),
            stacklevel=3,
        )
        input, target = _broadcast(where, input, target)
    if weight is None:
        return apply(operation, input, target, reduction=reduction, **options)
    loss = apply(operation, input, target, reduction="none", **options) * weight
    if reduction == "none":
        return loss
    return loss.sum() / weight.sum() if reduction == "mean" else loss.sum()


def _broadcast(where: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    shape = check_broadcast(where, input=input, target=target)
    return (
        input if input.shape == shape else input.expand(shape),
        target if target.shape == shape else target.expand(shape),
    )

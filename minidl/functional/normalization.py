"""Normalization: the checks, and the running statistics of batch and instance norm, around ops/normalization.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minidl import ops
from minidl.algorithm import with_kernels
from minidl.checks import check_floating, check_same, shape_of, whole_number
from minidl.errors import explain
from minidl.gpu.normalization import move_running
from minidl.memory import before_change, mark_changed
from minidl.tensor import Number, Tensor, apply, optional_tensors, require_tensors


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Each channel divided by a power of the squares of `size` channels around it. See ops.LocalResponseNorm.

    ValueError for fewer than 3 dimensions, RuntimeError for size < 1, TypeError where it is no int.
    """
    require_tensors("local_response_norm", input=input)
    check_floating("local_response_norm", input=input)
    if input.ndim < 3:
        raise ValueError(
            explain(
                "local_response_norm",
                f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)",
                {"input": input},
                help="(N, C, ...): dimension 0 is the batch, dimension 1 the channels",
            )
        )
    if not isinstance(size, int):
        raise TypeError(explain("local_response_norm", f"size must be an int, got {size!r}"))
    if size < 1:
        raise RuntimeError(explain("local_response_norm", f"size must be at least 1, got {size}"))
    return apply(ops.LocalResponseNorm, input, size=size, alpha=float(alpha), beta=float(beta), k=float(k))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel brought to mean 0 and variance 1, then scaled and shifted. See ops.BatchNorm.

    training=True takes the statistics of the batch, and moves the running ones in place where they are given:
        running = (1 - momentum) running + momentum statistic
    with the unbiased variance. training=False takes the running ones. An empty batch moves nothing.

    ValueError where training has a single value per channel, one of the running statistics comes alone, or eps < 0;
    RuntimeError where they are needed and missing, or shapes, dtypes or devices do not fit.
    """
    _check_statistics("batch_norm", input, running_mean, running_var, weight, bias, not training, momentum, eps)
    if not training:
        return apply(ops.BatchNorm, input, weight, bias, running_mean, running_var, eps=float(eps))
    if not input.numel():
        return _of_nothing(input, weight, bias, eps)
    count = input.numel() // input.shape[1]
    if count == 1:
        raise ValueError(
            explain(
                "batch_norm",
                f"Expected more than 1 value per channel when training, got input size {input.shape}",
                {"input": input},
                help="use a larger batch (drop_last=True leaves out a last one of a single sample), or model.eval()",
            )
        )
    y, mean, variance = apply(ops.BatchNorm, input, weight, bias, None, None, eps=float(eps))
    move_running_statistics(running_mean, running_var, mean, variance, count, momentum)
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample brought to mean 0 and variance 1, then scaled and shifted.

    use_input_stats=True: ops.GroupNorm with one channel a group; with running statistics ops.BatchNorm in which every
    channel of every sample counts as a channel, and the running ones move by the mean over the samples.
    use_input_stats=False: batch_norm with the running statistics.

    The errors of batch_norm; ValueError where a channel of a sample has a single value.
    """
    _check_statistics(
        "instance_norm", input, running_mean, running_var, weight, bias, not use_input_stats, momentum, eps
    )
    if not use_input_stats:
        return apply(ops.BatchNorm, input, weight, bias, running_mean, running_var, eps=float(eps))
    N, C = input.shape[:2]
    count = math.prod(input.shape[2:])
    if count == 1:
        raise ValueError(
            explain(
                "instance_norm",
                f"Expected more than 1 spatial element when training, got input size {input.shape}",
                {"input": input},
            )
        )
    if not input.numel():
        return _of_nothing(input, weight, bias, eps)
    if running_mean is None:
        return apply(ops.GroupNorm, input, weight, bias, num_groups=C, eps=float(eps))
    weight = None if weight is None else weight.repeat(N)
    bias = None if bias is None else bias.repeat(N)
    channels = input.reshape(1, N * C, count)
    y, mean, variance = apply(ops.BatchNorm, channels, weight, bias, None, None, eps=float(eps))
    mean, variance = mean.reshape(N, C).mean(0), variance.reshape(N, C).mean(0)
    move_running_statistics(running_mean, running_var, mean, variance, count, momentum)
    return y.reshape(input.shape)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The last dimensions, whose sizes are normalized_shape, brought to mean 0 and variance 1. See ops.LayerNorm.

    RuntimeError where input, weight or bias do not fit normalized_shape; TypeError where that is no sequence of ints.
    """
    operands = {"input": input, "weight": weight, "bias": bias}
    require_tensors("layer_norm", input=input)
    optional_tensors("layer_norm", **operands)
    check_floating("layer_norm", **operands)
    check_same("layer_norm", **operands)
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(
            explain(
                "layer_norm",
                f"argument 'normalized_shape' must be tuple of ints, not {type(normalized_shape).__name__}",
                help=f"write ({normalized_shape!r},)",
            )
        )
    shape = shape_of("layer_norm", tuple(normalized_shape))
    if not shape or input.shape[-len(shape) :] != shape:
        raise RuntimeError(
            explain(
                "layer_norm",
                f"Given normalized_shape={list(shape)}, expected input with shape "
                f"[*{''.join(f', {size}' for size in shape)}], but got input of size {list(input.shape)}"
                if shape
                else "Expected normalized_shape to be at least 1-dimensional",
                operands,
                help="normalized_shape is the sizes of the last dimensions of the input",
            )
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and parameter.shape != shape:
            raise RuntimeError(
                explain(
                    "layer_norm",
                    f"Expected {name} to be of same shape as normalized_shape, got {parameter.shape} and {shape}",
                    operands,
                )
            )
    return apply(ops.LayerNorm, input, weight, bias, dims=len(shape), eps=float(eps))


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Each of `num_groups` groups of channels brought to mean 0 and variance 1, in each sample. See ops.GroupNorm.

    RuntimeError where the groups do not divide the channels, or shapes, dtypes or devices do not fit; ValueError
    where the input has a single value for each group.
    """
    operands = {"input": input, "weight": weight, "bias": bias}
    require_tensors("group_norm", input=input)
    optional_tensors("group_norm", **operands)
    check_floating("group_norm", **operands)
    check_same("group_norm", **operands)
    if input.ndim < 2:
        raise RuntimeError(
            explain(
                "group_norm",
                f"Expected at least 2 dimensions for input tensor but received {input.ndim}",
                operands,
                help="(N, C, ...): dimension 0 is the batch, dimension 1 the channels",
            )
        )
    num_groups = whole_number("group_norm", "num_groups", num_groups)
    C = input.shape[1]
    if C % num_groups:
        raise RuntimeError(
            explain(
                "group_norm",
                f"Expected number of channels in input to be divisible by num_groups, but got {C} channels and "
                f"num_groups={num_groups}",
                operands,
            )
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        _check_per_channel("group_norm", name, parameter, C, operands)
    if input.numel() == num_groups:  # as in PyTorch, a batch of one only
        raise ValueError(
            explain(
                "group_norm",
                f"Expected more than 1 value per channel when training, got input size {input.shape}",
                operands,
                help="each group has one value, and the result would be 0: take fewer groups",
            )
        )
    return apply(ops.GroupNorm, input, weight, bias, num_groups=num_groups, eps=float(eps))


def _check_statistics(
    where: str,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    needs_running: bool,
    momentum: float,
    eps: float,
) -> None:
    """What batch_norm and instance_norm ask of their arguments."""
    operands = {
        "input": input,
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    require_tensors(where, input=input)
    optional_tensors(where, **operands)
    check_floating(where, **operands)
    check_same(where, **operands)
    if input.ndim < 2:
        raise IndexError(
            explain(
                where,
                f"expected an input of at least 2 dimensions, got {input.ndim}",
                operands,
                help="(N, C, ...): dimension 0 is the batch, dimension 1 the channels",
            )
        )
    if needs_running and (running_mean is None or running_var is None):
        raise RuntimeError(
            explain(where, "running_mean and running_var must be defined where they are used (evaluation)", operands)
        )
    if (running_mean is None) != (running_var is None):
        raise ValueError(
            explain(where, "running_mean and running_var must either both be None or neither be None", operands)
        )
    for name, values in list(operands.items())[1:]:
        _check_per_channel(where, name, values, input.shape[1], operands)
    if eps < 0:
        raise ValueError(explain(where, f"eps must be non-negative, but got {eps}"))
    if not isinstance(momentum, Number):
        raise TypeError(
            explain(
                where,
                f"momentum must be a number, got {momentum!r}",
                help="momentum=None, the average over all batches, is for the layer, which counts them",
            )
        )


def _check_per_channel(where: str, name: str, values: Tensor | None, channels: int, operands: dict) -> None:
    if values is not None and values.shape != (channels,):
        raise RuntimeError(
            explain(
                where,
                f"{name} should contain {channels} elements, one for each channel (dimension 1 of input), "
                f"got shape {values.shape}",
                operands,
            )
        )


def _of_nothing(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """The result for an input without elements: any mean and variance will do, and the running ones stay."""
    mean = input.detach().sum([dim for dim in range(input.ndim) if dim != 1])  # (C,)
    return apply(ops.BatchNorm, input, weight, bias, mean, mean + 1, eps=float(eps))


def move_running_statistics(
    running_mean: Tensor | None, running_var: Tensor | None, mean: Tensor, variance: Tensor, count: int, momentum: float
) -> None:
    """running = (1 - momentum) running + momentum statistic, in place; the variance made unbiased.

    PyTorch's momentum is the weight of the new value, the reverse of what other frameworks and optimizers call so.
    Ioffe & Szegedy 2015, Algorithm 2, line 10: the variance of the population is m / (m - 1) times that of a batch.
    """
    if running_mean is None or running_var is None:
        return
    correction = count / (count - 1)
    running = running_mean.data, running_var.data
    if not (with_kernels(mean.data) and all(array.flags.c_contiguous for array in running)):
        running_mean.mul_(1 - momentum).add_(momentum * mean)
        running_var.mul_(1 - momentum).add_(momentum * correction * variance)
        return
    for array in running:
        before_change(array)
    move_running(running, mean.data, variance.data, momentum, correction)
    for array in running:
        mark_changed(array)

"""Normalization layers: over a batch, a layer, groups of channels, one image, or neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl.backend import int64, on_device_of
from minidl.checks import whole_number
from minidl.creation import empty
from minidl.errors import explain
from minidl.memory import before_change, mark_changed
from minidl.nn import functional as F
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import empty_parameter
from minidl.tensor import Tensor, require_tensors


class LocalResponseNorm(Module):
    """Each activation divided by a sum over `size` neighbouring channels. See F.local_response_norm."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Normalization(Module):
    """What batch and instance norm share: weight and bias for each channel, and running statistics."""

    running_mean: Any  # buffers; None unless track_running_stats
    running_var: Any
    num_batches_tracked: Any

    _optional_keys = ("num_batches_tracked",)  # checkpoints from before PyTorch 0.4.1 do not count the batches

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        self.num_features = num_features = whole_number(type(self).__name__, "num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = empty_parameter((num_features,), device, dtype) if affine else None
        self.bias = empty_parameter((num_features,), device, dtype) if affine and bias else None
        mean = variance = batches = None
        if track_running_stats:
            mean, variance = (empty(num_features, device=device, dtype=dtype) for _ in range(2))
            batches = empty((), device=device, dtype=int64)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", variance)
        self.register_buffer("num_batches_tracked", batches)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0 and variance 1, after no batch."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0, and the running statistics anew."""
        self.reset_running_stats()
        _reset(self)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Normalization):
    input_dims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def _count_batch(self) -> None:
        """num_batches_tracked += 1, as add_(1), in one step."""
        counter = self.num_batches_tracked.data
        before_change(counter)
        with on_device_of((counter,)):
            counter += 1
        mark_changed(counter)

    def forward(self, input: Tensor) -> Tensor:
        _check_dims(self, input)
        momentum = self.momentum
        if self.training and self.track_running_stats:
            self._count_batch()
            if momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        has_statistics = self.running_mean is not None
        use_statistics = has_statistics and (self.track_running_stats or not self.training)
        return F.batch_norm(
            input,
            self.running_mean if use_statistics else None,
            self.running_var if use_statistics else None,
            self.weight,
            self.bias,
            self.training or not has_statistics,
            0.0 if momentum is None else momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Each channel of (N, C) or (N, C, L) brought to mean 0 and variance 1 over the batch. See F.batch_norm.

    In training the batch's own statistics are used, and running ones updated: running = (1 - momentum) running +
    momentum batch; with momentum=None the plain average over all batches. In evaluation the running ones are used.
    """

    input_dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel of (N, C, H, W) brought to mean 0 and variance 1 over the batch, as in BatchNorm1d."""

    input_dims = (4,)


class _InstanceNorm(_Normalization):
    input_dims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        _check_dims(self, input)
        batched = input.ndim == self.input_dims[-1]
        output = F.instance_norm(
            input if batched else input.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return output if batched else output.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each sample of (N, C, L) brought to mean 0 and variance 1. See F.instance_norm."""

    input_dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each image of (N, C, H, W) brought to mean 0 and variance 1. See F.instance_norm."""

    input_dims = (3, 4)


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last dimensions, which have `normalized_shape`. See F.layer_norm."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        has_bias = elementwise_affine and bias
        self.weight = empty_parameter(self.normalized_shape, device, dtype) if elementwise_affine else None
        self.bias = empty_parameter(self.normalized_shape, device, dtype) if has_bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """Mean 0 and variance 1 over each of `num_groups` groups of channels of each sample. See F.group_norm."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        groups = whole_number("GroupNorm", "num_groups", num_groups)
        if whole_number("GroupNorm", "num_channels", num_channels) % groups:
            raise ValueError(
                explain(
                    "GroupNorm", f"num_channels must be divisible by num_groups, got {num_channels} and {num_groups}"
                )
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.weight = empty_parameter((num_channels,), device, dtype) if affine else None
        self.bias = empty_parameter((num_channels,), device, dtype) if affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        _reset(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


def _reset(layer: Any) -> None:
    """Weight 1 and bias 0, where the layer has them."""
    if layer.weight is not None:
        init.ones_(layer.weight)
    if layer.bias is not None:
        init.zeros_(layer.bias)


def _check_dims(layer: Any, input: Tensor) -> None:
    """ValueError for an input of another number of dimensions than the layer takes, TypeError for no Tensor."""
    require_tensors(type(layer).__name__, input=input)
    if input.ndim not in layer.input_dims:
        wanted = " or ".join(f"{dims}D" for dims in layer.input_dims)
        raise ValueError(
            explain(type(layer).__name__, f"expected {wanted} input (got {input.ndim}D input)", {"input": input})
        )

"""SyncBatchNorm: batch normalization over the whole batch where it is spread over many processes."""

from __future__ import annotations

from typing import Any

import numpy

from minidl.backend import array_module, transfer
from minidl.checks import check_floating, check_same
from minidl.distributed.group import current_group
from minidl.errors import explain
from minidl.function import Function
from minidl.functional.normalization import move_running_statistics
from minidl.nn.module import Module
from minidl.nn.normalization import _BatchNorm
from minidl.ops.channels_last import rows_of
from minidl.ops.normalization import fast_steps
from minidl.tensor import Tensor, apply


class SyncBatchNormalize(Function):
    """y = (x - mean) / sqrt(variance + eps) * w + b, with the statistics of each channel over the batches of all ranks

    x, y: (N, C, ...), N of this rank; weight, bias: (C,) or None. The result is (y, mean, variance, m).
    From the count m_k, mean and variance of each rank k, which travel in one message (Chan, Golub & LeVeque 1979):

        m = sum(m_k),  mean = sum(m_k mean_k) / m,  variance = sum(m_k (variance_k + (mean_k - mean)^2)) / m

    Backward is that of ops.BatchNorm. In dx, which every rank's loss depends on, the sums of dy and of dy (x - mean)
    run over all ranks: a second message. dw and db are this rank's part: what averages gradients adds them up.
    """

    def forward(self, x, weight, bias, *, eps):
        xp = array_module(x)
        self.steps = fast_steps(x) or _PlainSteps  # for backward too, whatever use_algorithm says then
        mean, variance, _ = self.steps.statistics(x, weight, eps)
        count, mean, variance = _of_all_ranks(mean, variance, x.size // x.shape[1])
        mean, variance = (xp.asarray(each.astype(x.dtype)) for each in (mean, variance))
        scales = self.steps.scales_of(variance, weight, eps)
        self.save_for_backward(x, mean, scales)
        self.count = count
        y = self.steps.normalize(x, mean, scales, bias)
        total = xp.asarray(numpy.array(count))
        self.mark_non_differentiable(mean, variance, total)
        return y, mean, variance, total

    def backward(self, grad_output, *_):
        x, mean, scales = self.saved_tensors
        need_x, need_weight, need_bias = self.needs_input_grad
        grad_bias, grad_weight, _ = self.steps.gradient_sums(grad_output, x, mean, scales)
        grad_x = None
        if need_x:
            slopes = _sums_of_all_ranks(grad_bias, grad_weight) / self.count
            slopes[1] *= scales[0]
            grad_x = self.steps.input_gradient(grad_output, x, mean, slopes, scales)
        return grad_x, grad_weight if need_weight else None, grad_bias if need_bias else None


class _PlainSteps:
    """The steps of ops/blocked_batch_norm.py and gpu/normalization.py as plain formulae; a rank may have no image."""

    @staticmethod
    def statistics(x, weight, eps):
        rows = rows_of(x)  # (m_k, C)
        mean = rows.sum(axis=0) / max(len(rows), 1)
        variance = ((rows - mean) ** 2).sum(axis=0) / max(len(rows), 1)
        return mean, variance, _PlainSteps.scales_of(variance, weight, eps)

    @staticmethod
    def scales_of(variance, weight, eps):
        r = 1 / array_module(variance).sqrt(variance + eps)
        return array_module(variance).stack([r, r if weight is None else r * weight])

    @staticmethod
    def normalize(x, mean, scales, bias):
        return _as_images((rows_of(x) - mean) * scales[1] + (0 if bias is None else bias), x)

    @staticmethod
    def gradient_sums(grad_output, x, mean, scales):
        dy, rows = rows_of(grad_output), rows_of(x)
        grad_bias, grad_weight = dy.sum(axis=0), (dy * (rows - mean)).sum(axis=0) * scales[0]
        m = max(len(dy), 1)
        return grad_bias, grad_weight, (grad_bias / m, grad_weight * scales[0] / m)

    @staticmethod
    def input_gradient(grad_output, x, mean, slopes, scales):
        mean_g, slope = slopes
        return _as_images((rows_of(grad_output) - mean_g - (rows_of(x) - mean) * slope) * scales[1], x)


class SyncBatchNorm(_BatchNorm):
    """Batch normalization whose statistics, in training, are those of the batches of all processes together.

    The input is (N, C, ...). Without a process group, and in evaluation, it is BatchNorm. Every rank must run the same
    layers in the same order, in forward and in backward: each of them waits for the others.

    ValueError: a single value for each channel on all ranks together. RuntimeError: the dtypes or devices differ.
    """

    input_dims = (2, 3, 4)

    def forward(self, input: Tensor) -> Tensor:
        group = current_group()
        if not self.training or group is None or group.size == 1:
            return super().forward(input)
        operands = {"input": input, "weight": self.weight, "bias": self.bias}
        operands |= {"running_mean": self.running_mean, "running_var": self.running_var}
        check_floating("SyncBatchNorm", **operands)
        check_same("SyncBatchNorm", **operands)
        if input.ndim not in self.input_dims or input.shape[1] != self.num_features:
            rule = f"expected an input (N, {self.num_features}, ...)"
            raise ValueError(explain("SyncBatchNorm", rule, {"input": input}))
        y, mean, variance, total = apply(SyncBatchNormalize, input, self.weight, self.bias, eps=self.eps)
        count = int(total.item())
        if count < 2:
            rule = "Expected more than 1 value per channel when training, on all ranks together"
            raise ValueError(explain("SyncBatchNorm", rule, {"input": input}))
        if self.track_running_stats:
            self._count_batch()
            momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
            move_running_statistics(self.running_mean, self.running_var, mean, variance, count, momentum)
        return y

    @classmethod
    def convert_sync_batchnorm(cls, module: Module) -> Module:
        """`module` with a SyncBatchNorm, of the same parameters and buffers, in place of each BatchNorm in it."""
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm):
            twin = cls.__new__(cls)
            twin.__dict__.update(module.__dict__)
            return twin
        for name, child in list(module.named_children()):
            converted = cls.convert_sync_batchnorm(child)
            if converted is not child:
                module.register_module(name, converted)
        return module


def _of_all_ranks(mean: Any, variance: Any, count: int) -> tuple[int, numpy.ndarray, numpy.ndarray]:
    """The count, mean and variance over all ranks, in float64 on the host."""
    group = current_group()
    assert group is not None
    channels = len(mean)
    mine = numpy.concatenate([[count], transfer(mean, "cpu"), transfer(variance, "cpu")]).astype(numpy.float64)
    everyone = numpy.empty((group.size, len(mine)))
    group.all_gather(everyone, mine).wait()
    counts, means, variances = everyone[:, :1], everyone[:, 1 : channels + 1], everyone[:, channels + 1 :]
    total = max(counts.sum(), 1)
    mean_of_all = (counts * means).sum(axis=0) / total
    return int(total), mean_of_all, (counts * (variances + (means - mean_of_all) ** 2)).sum(axis=0) / total


def _sums_of_all_ranks(total: Any, dots: Any) -> Any:
    group = current_group()
    assert group is not None
    sums = array_module(total).stack([total, dots])  # (2, C)
    group.all_reduce(sums).wait()
    return sums


def _as_images(rows: Any, like: Any) -> Any:
    """(m, C) in the shape of `like`, (N, C, ...)."""
    return rows.reshape(like.shape[0], *like.shape[2:], like.shape[1]).transpose(
        0, like.ndim - 1, *range(1, like.ndim - 1)
    )

"""Normalization: each value against its neighbours in other channels, or against the mean and variance of a set.

LocalResponseNorm divides by the size of nearby channels. The other three bring a set of values to mean 0 and
variance 1, and differ only in the set: BatchNorm takes one channel of the whole batch, GroupNorm a group of channels
of one sample, LayerNorm the last dimensions of one sample. What they share, with m values in a set and g = dy w:

    centred = x - mean,  variance = mean(centred^2),  r = 1 / sqrt(variance + eps),  y = centred r w + b
    dx = r (g - mean(g) - centred r^2 mean(g centred)),  dw = sum(dy centred r),  db = sum(dy)

The variance is the biased one, divided by m. It is computed from `centred`, in a second pass: mean(x^2) - mean(x)^2
would lose its digits where the mean is large. Backward needs `centred` too, which is kept in place of x (BatchNorm's
faster ways keep x, and say there how they get by with one pass).
L stands for all dimensions behind the channels together: H W of an image.
"""

from __future__ import annotations

import math

from minidl.algorithm import in_blocks, with_kernels
from minidl.backend import array_module, empty_like
from minidl.elementwise import over_images
from minidl.function import Function
from minidl.gpu import normalization as gpu
from minidl.gpu.layout import without_gaps
from minidl.ops import blocked_batch_norm


class LocalResponseNorm(Function):
    """y_c = x_c d_c^-beta,  d_c = k + alpha / size * (the sum of x_j^2 over the window of c)

    dx_c = dy_c d_c^-beta - 2 alpha beta / size * x_c * (the sum of dy_j x_j d_j^(-beta-1) over all j with c in window)

    x, y: (N, C, ...). The window of c reaches from c - size // 2 to c + (size - 1) // 2, so that an even size takes one
    channel more before c than after it; channels that do not exist count as 0.
    Krizhevsky et al., NIPS 2012 (AlexNet), sec. 3.3, with k = 2, n = 5, alpha = 1e-4, beta = 0.75. The paper does not
    divide alpha by n. PyTorch does, and so does this class: the paper's layer is size=5, alpha=5e-4, beta=0.75, k=2.
    """

    def forward(self, x, *, size, alpha, beta, k):
        self.before, self.after = size // 2, (size - 1) // 2
        self.factor = -2 * alpha * beta / size
        self.in_a_kernel = with_kernels(x)  # in backward too: it takes what is saved as it lies
        if self.in_a_kernel:
            x = without_gaps(x)
            y, d, shrink = gpu.response_norm(x, self.before, self.after, alpha / size, beta, k)
            self.save_for_backward(x, d, shrink)
            return y
        y, d, shrink = empty_like(x), empty_like(x), empty_like(x)

        def normalize(images):
            of_images = d[images]
            _window_sum(x[images] * x[images], self.before, self.after, out=of_images)
            of_images *= alpha / size
            of_images += k
            array_module(x).power(of_images, -beta, out=shrink[images])
            array_module(x).multiply(x[images], shrink[images], out=y[images])

        over_images(normalize, x)
        self.save_for_backward(x, d, shrink)
        return y

    def backward(self, grad_output):
        x, d, shrink = self.saved_tensors
        if self.in_a_kernel:
            return gpu.response_norm_gradient(grad_output, x, d, shrink, self.before, self.after, self.factor)
        grad_x = empty_like(x)

        def send_back(images):
            direct = grad_output[images] * shrink[images]
            through_d = direct * x[images]
            through_d /= d[images]
            # The windows that hold c are those of the channels up to `after` before it and up to `before` behind it.
            out = grad_x[images]
            _window_sum(through_d, self.after, self.before, out=out)
            out *= x[images]
            out *= self.factor
            out += direct

        over_images(send_back, x)
        return grad_x


def _window_sum(x, before, after, out):
    """For each channel the sum over itself, `before` channels in front of it and `after` channels behind it."""
    out[...] = x
    others = x.shape[1] - 1
    for shift in range(1, min(before, others) + 1):
        out[:, shift:] += x[:, :-shift]
    for shift in range(1, min(after, others) + 1):
        out[:, :-shift] += x[:, shift:]


class BatchNorm(Function):
    """y = (x - mean) / sqrt(variance + eps) * w + b, with the mean and variance of each channel over the batch

        dx = w r (dy - mean(dy) - centred r^2 mean(dy centred)),   centred = x - mean, r = 1 / sqrt(variance + eps)
        dw = sum of dy centred r,  db = sum of dy

    x, y: (N, C, ...), also (N, C); weight, bias: (C,) or None. The set of values of a channel has m = N L.

    mean, variance None (training): both are taken over all dimensions but 1, and the result is (y, mean, variance).
    Their gradient is part of dx. F.batch_norm moves the running statistics by them.
    mean, variance (C,) (evaluation): they are constants, so dx = dy w r, and the result is y alone.

    The same is computed a block of pixels at a time on all cores of a CPU (blocked_batch_norm.py), and in kernels on a
    GPU (minidl/gpu/normalization.py). `minidl.use_algorithm("im2col")` makes what stands in forward and backward run.

    Ioffe & Szegedy 2015, arXiv:1502.03167, Algorithm 1.
    """

    gives_gradients_away = True

    def forward(self, x, weight, bias, mean, variance, *, eps):
        xp = array_module(x)
        self.of_batch = mean is None
        self.steps = fast_steps(x)
        if self.steps is not None:
            return self._fast_forward(x, weight, bias, mean, variance, eps)
        rows = _with_channels(x)  # (N, C, L)
        if self.of_batch:
            mean = rows.mean(axis=(0, 2))
        centred = rows - mean[:, None]
        if self.of_batch:
            variance = _dot(centred, centred).sum(axis=0) / (x.size // x.shape[1])
        r = 1 / xp.sqrt(variance + eps)
        scale = r if weight is None else r * weight

        need_x, need_weight, *_ = self.needs_input_grad
        keep = need_weight or (need_x and self.of_batch)
        self.save_for_backward(centred if keep else None, r, scale)
        y = xp.multiply(centred, scale[:, None], out=None if keep else centred)
        if bias is not None:
            y += bias[:, None]
        y = y.reshape(x.shape)
        if not self.of_batch:
            return y
        self.mark_non_differentiable(mean, variance)
        return y, mean, variance

    def backward(self, grad_output, *_):
        if self.steps is not None:
            return self._fast_backward(grad_output)
        centred, r, scale = self.saved_tensors
        need_x, need_weight, need_bias, *_ = self.needs_input_grad
        dy = _with_channels(grad_output)  # (N, C, L)
        grad_x = grad_weight = grad_bias = None
        if need_bias or (need_x and self.of_batch):
            grad_bias = dy.sum(axis=(0, 2))
        if need_weight or (need_x and self.of_batch):
            grad_weight = _dot(dy, centred).sum(axis=0) * r
        if need_x and self.of_batch:  # w is one number for a whole set, so it stands outside: scale = r w
            m = dy.size // dy.shape[1]
            slope = grad_weight * r / m
            grad_x = _through_statistics(dy, centred, grad_bias[:, None] / m, slope[:, None], scale[:, None])
        elif need_x:
            grad_x = dy * scale[:, None]
        return (
            grad_x.reshape(grad_output.shape) if need_x else None,
            grad_weight if need_weight else None,
            grad_bias if need_bias else None,
            None,
            None,
        )

    def _fast_forward(self, x, weight, bias, mean, variance, eps):
        """The same; saved is x, which is there anyway, in place of `centred`."""
        if self.of_batch:
            mean, variance, scales = self.steps.statistics(x, weight, eps)
        else:
            mean = mean.copy()  # the running mean may move before backward
            scales = self.steps.scales_of(variance, weight, eps)
        need_x, need_weight, *_ = self.needs_input_grad
        self.save_for_backward(x if need_weight or (need_x and self.of_batch) else None, mean, scales)
        y = self.steps.normalize(x, mean, scales, bias)
        if not self.of_batch:
            return y
        self.mark_non_differentiable(mean, variance)
        return y, mean, variance

    def _fast_backward(self, grad_output):
        x, mean, scales = self.saved_tensors
        need_x, need_weight, need_bias, *_ = self.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        if x is not None:
            grad_bias, grad_weight, slopes = self.steps.gradient_sums(grad_output, x, mean, scales)
        elif need_bias:
            grad_bias = grad_output.sum(axis=(0, *range(2, grad_output.ndim)))
        if need_x and self.of_batch:
            grad_x = self.steps.input_gradient(grad_output, x, mean, slopes, scales)
        elif need_x:
            grad_x = grad_output * scales[1].reshape(-1, *(1,) * (grad_output.ndim - 2))
        return (
            grad_x,
            grad_weight if need_weight else None,
            grad_bias if need_bias else None,
            None,
            None,
        )


def fast_steps(x):
    """The module with BatchNorm's steps for the device of x; None where the plain formulae shall run."""
    if not x.size:
        return None
    if with_kernels(x):
        return gpu
    return blocked_batch_norm if in_blocks(x) else None


class GroupNorm(Function):
    """y = (x - mean) / sqrt(variance + eps) * w + b, with the mean and variance of each group of C / G channels

    x, y: (N, C, ...); weight, bias: (C,) or None. The formulae stand at the head of this file, m = C / G * L.
    Wu & He 2018, arXiv:1803.08494, sec. 3. With G = C it is instance normalization: Ulyanov, Vedaldi & Lempitsky 2016,
    arXiv:1607.08022.
    """

    def forward(self, x, weight, bias, *, num_groups, eps):
        self.groups = (x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups)
        centred, r = _centre(x.reshape(self.groups), eps)  # (N, G, m), (N, G, 1)
        self.save_for_backward(centred, r, weight)
        y = _with_channels((centred * r).reshape(x.shape))  # (N, C, L)
        if weight is not None:
            y *= weight[:, None]
        if bias is not None:
            y += bias[:, None]
        return y.reshape(x.shape)

    def backward(self, grad_output):
        centred, r, weight = self.saved_tensors
        need_x, need_weight, need_bias = self.needs_input_grad
        dy = _with_channels(grad_output)  # (N, C, L)
        N, G, m = self.groups
        in_groups = (N, G, dy.shape[1] // G)  # (N, G, C / G)
        sums = dy.sum(axis=2)  # (N, C)
        grad_x = grad_weight = None
        if need_x or need_weight:
            dots = _dot(dy, centred.reshape(dy.shape))  # (N, C)
        if need_weight:
            grad_weight = (dots.reshape(in_groups) * r).reshape(dots.shape).sum(axis=0)
        if need_x:
            w = 1 if weight is None else weight
            mean_g = (sums * w).reshape(in_groups).sum(axis=2, keepdims=True) / m  # (N, G, 1)
            slope = (dots * w).reshape(in_groups).sum(axis=2, keepdims=True) * r * r / m
            g = dy if weight is None else dy * weight[:, None]
            grad_x = _through_statistics(g.reshape(self.groups), centred, mean_g, slope, r)
            grad_x = grad_x.reshape(grad_output.shape)
        return grad_x, grad_weight, sums.sum(axis=0) if need_bias else None


class LayerNorm(Function):
    """y = (x - mean) / sqrt(variance + eps) * w + b, with the mean and variance over the last dimensions

    x, y: (..., *normalized); weight, bias: (*normalized) or None; each position has its own w and b.
    `dims` is the number of normalized dimensions. The formulae stand at the head of this file, m = their product.
    Ba, Kiros & Hinton 2016, arXiv:1607.06450, sec. 3.
    """

    def forward(self, x, weight, bias, *, dims, eps):
        self.normalized = x.shape[x.ndim - dims :]
        self.rows = (math.prod(x.shape[: x.ndim - dims]), math.prod(self.normalized))
        centred, r = _centre(x.reshape(self.rows), eps)  # (R, m), (R, 1)
        self.save_for_backward(centred, r, weight)
        y = (centred * r).reshape(x.shape)
        if weight is not None:
            y *= weight
        if bias is not None:
            y += bias
        return y

    def backward(self, grad_output):
        centred, r, weight = self.saved_tensors
        need_x, need_weight, need_bias = self.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        dy = grad_output.reshape(self.rows)  # (R, m)
        if need_weight:
            grad_weight = (dy * centred * r).sum(axis=0).reshape(self.normalized)
        if need_bias:
            grad_bias = dy.sum(axis=0).reshape(self.normalized)
        if need_x:
            g = dy if weight is None else dy * weight.reshape(-1)
            mean_g = g.mean(axis=1, keepdims=True)  # (R, 1)
            slope = _dot(g, centred)[:, None] * r * r / g.shape[1]
            grad_x = _through_statistics(g, centred, mean_g, slope, r).reshape(grad_output.shape)
        return grad_x, grad_weight, grad_bias


def _with_channels(x):
    """(N, C, ...) as (N, C, L)."""
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _dot(a, b):
    """The sum of a b over the last dimension, without an array for the products."""
    return array_module(a).einsum("...i,...i->...", a, b)


def _centre(rows, eps):
    """`centred` and r of the sets that lie along the last dimension."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = _dot(centred, centred)[..., None] / rows.shape[-1]
    return centred, 1 / array_module(rows).sqrt(variance + eps)


def _through_statistics(g, centred, mean_g, slope, scale):
    """dx = scale (g - mean_g - centred slope), in one new array."""
    grad_x = centred * -slope
    grad_x += g
    grad_x -= mean_g
    grad_x *= scale
    return grad_x

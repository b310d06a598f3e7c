"""Pooling: the largest or the mean value of each window. Notation and windows as in im2col.py.

x: (..., H, W), y: (..., OH, OW). Every image and channel is pooled by itself, so any dimensions may stand in front.
New arrays are made `like` an old one, so that they keep its order in memory (a convolution's is not N, C, H, W).
"""

from __future__ import annotations

import math

from minidl.algorithm import with_kernels
from minidl.backend import array_module, empty, empty_like, memory_order
from minidl.elementwise import masked, over_images
from minidl.function import Function
from minidl.gpu import pooling as gpu
from minidl.ops.im2col import output_size, taps


class MaxPool2d(Function):
    """y[oh, ow] = max over kh, kw of x[h, w]           dx[h, w] = the sum of dy over the windows whose maximum it is

    Padding counts as -infinity. Of equal values the first in the order of the window (row by row) is the maximum;
    NaN is larger than anything. ceil_mode: see output_size in im2col.py.
    With return_indices there is a second output, the place h * W + w of each maximum, as in PyTorch.

    Saved is only `winner`, the tap of each maximum, counted from the kernel's last: one byte for kernels up to 16x16.
    AlexNet sec. 3.4 (Krizhevsky et al., NIPS 2012): 3x3 windows, 2 apart, overlap.
    """

    def forward(self, x, *, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
        OH, OW = output_size(x.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
        self.x_shape = x.shape
        self.geometry = kernel_size, (OH, OW), stride, padding, dilation
        self.first_tap = kernel_size[0] * kernel_size[1] - 1
        of_tap = "uint8" if self.first_tap < 256 else "int32"
        self.in_a_kernel = with_kernels(x)  # in backward too: it takes `winner` as it lies
        if self.in_a_kernel:
            y, winner = gpu.max_pool(x, self.geometry, of_tap)
        else:
            y = empty_like(x, x.shape[:-2] + (OH, OW))
            winner = empty_like(y, dtype=of_tap) if return_indices or self.needs_input_grad[0] else None
            over_images(lambda images: self._pool(x[images], y[images], None if winner is None else winner[images]), x)

        self.save_for_backward(winner)
        return (y, self._indices(winner)) if return_indices else y

    def _pool(self, x, y, winner):
        """Write the maxima of the windows of x into y and, unless it is None, the tap of each of them into winner.

        A tap (kh, kw) counts as the number first_tap - (kh * KW + kw), first_tap = KH * KW - 1: the last one is 0.
        """
        xp = array_module(x)
        y[...] = -math.inf
        views = list(taps_of(_columns_apart(x, self.geometry[2]), x.shape[-2:], self.geometry))
        for _, _, windows, pixels in views:
            xp.maximum(y[windows], pixels, out=y[windows])
        if winner is None:
            return
        winner[...] = 0
        has_nan = bool(xp.isnan(y).any())
        # From the last tap to the first, so `winner` only grows, and maximum can update it: many times faster than a
        # copy of the elements under a mask.
        for kh, kw, windows, pixels in reversed(views):
            wins = pixels == y[windows]
            if has_nan:
                wins |= xp.isnan(pixels)
            number = winner.dtype.type(self.first_tap - (kh * self.geometry[0][1] + kw))
            xp.maximum(winner[windows], wins * number, out=winner[windows])

    def _indices(self, winner):
        """h * W + w for each window, from its winning tap."""
        xp = array_module(winner)
        W = self.x_shape[-1]
        (_, KW), (OH, OW), stride, ((top, _), (left, _)), dilation = self.geometry
        kh, kw = xp.divmod(self.first_tap - winner.astype("int64"), KW)
        h = xp.arange(OH)[:, None] * stride[0] - top + kh * dilation[0]
        w = xp.arange(OW) * stride[1] - left + kw * dilation[1]
        return h * W + w

    def backward(self, grad_output, _=None):
        (winner,) = self.saved_tensors
        if self.in_a_kernel:
            return gpu.max_unpool(grad_output, winner, self.x_shape, self.geometry)
        grad_x = empty_like(grad_output, self.x_shape)
        over_images(lambda images: self._unpool(grad_output[images], winner[images], grad_x[images]), grad_output)
        return grad_x

    def _unpool(self, grad_output, winner, grad_x):
        """Write into grad_x, for each pixel, the sum of grad_output over the windows that it won; 0 if none."""
        apart = _columns_apart(grad_x, self.geometry[2], copy=False)
        for part in apart:
            part[...] = 0
        for kh, kw, windows, pixels in taps_of(apart, self.x_shape[-2:], self.geometry):
            won = winner[windows] == self.first_tap - (kh * self.geometry[0][1] + kw)
            pixels += masked(grad_output[windows], won)
        for first, part in enumerate(apart):
            if part is not grad_x:
                grad_x[..., first :: len(apart)] = part


def _columns_apart(x, stride, copy=True):
    """x[..., w::s] for each w < s, the stride of the columns: what one tap finds then lies side by side."""
    s = stride[1]
    if s == 1:
        return [x]
    parts = [x[..., w::s] for w in range(min(s, x.shape[-1]))]
    return [part.copy(order="K") if copy else empty_like(part) for part in parts]


def taps_of(parts, image_size, geometry):
    """taps, with the pixels themselves in place of their index: views of the parts that _columns_apart made."""
    for kh, kw, windows, (_, rows, columns) in taps(image_size, *geometry):
        first = columns.start // len(parts)
        count = -(-(columns.stop - columns.start) // columns.step)
        yield kh, kw, windows, parts[columns.start % len(parts)][..., rows, first : first + count]


class AvgPool2d(Function):
    """y[oh, ow] = (the sum over kh, kw of x[h, w]) / count          dx[h, w] = the sum of dy / count over its windows

    count is KH * KW, the padding counted as zeros; but pixels beyond the padding, which ceil_mode may reach, do not
    count. Without count_include_pad it is the number of pixels in the image alone; divisor_override replaces it.

    LeNet-5's "sub-sampling" (LeCun et al., Proc. IEEE 1998, sec. II.B) is this with 2x2 windows, times a weight.
    """

    def forward(self, x, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
        xp = array_module(x)
        OH, OW = output_size(x.shape[-2:], kernel_size, stride, padding, (1, 1), ceil_mode)
        self.x_shape = x.shape
        self.geometry = kernel_size, (OH, OW), stride, padding, (1, 1)
        if divisor_override is not None:
            self.count = xp.full((OH, OW), divisor_override, x.dtype)
        else:
            rows, columns = (self._pixels_in_windows(i, count_include_pad) for i in range(2))
            count = [[row * column for column in columns] for row in rows]
            self.count = xp.asarray(count, x.dtype)  # (OH, OW)

        if with_kernels(x):
            return gpu.avg_pool(x, self.count, self.geometry)
        y = empty_like(x, x.shape[:-2] + (OH, OW))
        over_images(lambda images: self._pool(x[images], y[images]), x)
        return y

    def _pool(self, x, y):
        """Write the mean of each window of x into y: the sum of its pixels / self.count, (OH, OW) or a number."""
        y[...] = 0
        for _, _, windows, pixels in taps(self.x_shape[-2:], *self.geometry):
            y[windows] += x[pixels]
        y /= self.count

    def _pixels_in_windows(self, i, count_include_pad):
        """How many pixels each window spans in one direction: i = 0 for rows, 1 for columns."""
        kernel_size, output_size, stride, padding, _ = (setting[i] for setting in self.geometry)
        before, after = padding if count_include_pad else (0, 0)
        lowest, highest = -before, self.x_shape[-2 + i] + after
        starts = [window * stride - padding[0] for window in range(output_size)]
        return [min(start + kernel_size, highest) - max(start, lowest) for start in starts]

    def backward(self, grad_output):
        if with_kernels(grad_output):
            return gpu.avg_unpool(grad_output, self.count, self.x_shape, self.geometry)
        grad_x = empty_like(grad_output, self.x_shape)
        over_images(lambda images: self._unpool(grad_output[images], grad_x[images]), grad_x)
        return grad_x

    def _unpool(self, grad_output, grad_x):
        """Write into grad_x, at each pixel, the sum of grad_output / self.count over the windows that it lies in."""
        grad_x[...] = 0
        share = grad_output / self.count
        for _, _, windows, pixels in taps(self.x_shape[-2:], *self.geometry):
            grad_x[pixels] += share[windows]


def adaptive_windows(image_size, output_size):
    """The windows of adaptive pooling: (oh, ow, rows, columns), one for each pixel of the output.

    Window i of `count` reaches from floor(i * size / count) to ceil((i + 1) * size / count): together they cover
    the image, of nearly equal size, and overlap by a pixel where they do not divide it.
    """
    for oh, rows in enumerate(_parts(image_size[0], output_size[0])):
        for ow, columns in enumerate(_parts(image_size[1], output_size[1])):
            yield oh, ow, rows, columns


def _parts(size, count):
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


class AdaptiveAvgPool2d(Function):
    """y[oh, ow] = the mean of x over window (oh, ow) of adaptive_windows; (1, 1) is global average pooling.

    Lin, Chen & Yan, Network in Network, ICLR 2014, sec. 3.2.
    """

    def forward(self, x, *, output_size):
        self.x_shape, self.x_order = x.shape, memory_order(x)
        y = array_module(x).empty_like(x, shape=x.shape[:-2] + output_size)
        for oh, ow, rows, columns in adaptive_windows(x.shape[-2:], output_size):
            y[..., oh, ow] = x[..., rows, columns].mean(axis=(-2, -1))
        return y

    def backward(self, grad_output):
        grad_x = empty(grad_output, self.x_shape, self.x_order)
        grad_x[...] = 0
        for oh, ow, rows, columns in adaptive_windows(self.x_shape[-2:], grad_output.shape[-2:]):
            window = grad_x[..., rows, columns]
            window += grad_output[..., oh, ow, None, None] / (window.shape[-2] * window.shape[-1])
        return grad_x


class AdaptiveMaxPool2d(Function):
    """y[oh, ow] = the maximum of x over window (oh, ow) of adaptive_windows; ties and indices as in MaxPool2d."""

    def forward(self, x, *, output_size, return_indices):
        xp = array_module(x)
        W = x.shape[-1]
        self.x_shape = x.shape
        y = xp.empty_like(x, shape=x.shape[:-2] + output_size)
        indices = xp.empty_like(y, dtype="int64")  # h * W + w
        for oh, ow, rows, columns in adaptive_windows(x.shape[-2:], output_size):
            window = x[..., rows, columns]
            KH, KW = window.shape[-2:]
            y[..., oh, ow] = window.max(axis=(-2, -1))
            kh, kw = xp.divmod(window.reshape(x.shape[:-2] + (KH * KW,)).argmax(axis=-1), KW)
            indices[..., oh, ow] = (rows.start + kh) * W + columns.start + kw
        self.save_for_backward(indices)
        return (y, indices) if return_indices else y

    def backward(self, grad_output, _=None):
        (indices,) = self.saved_tensors
        xp = array_module(grad_output)
        *front, H, W = self.x_shape
        images = math.prod(front)
        grad_x = xp.zeros((images, H * W), grad_output.dtype)
        image = xp.arange(images)
        # One window after the other: within one, no pixel comes twice, so += loses nothing.
        for oh, ow, _, _ in adaptive_windows((H, W), grad_output.shape[-2:]):
            grad_x[image, indices[..., oh, ow].reshape(images)] += grad_output[..., oh, ow].reshape(images)
        return grad_x.reshape(self.x_shape)

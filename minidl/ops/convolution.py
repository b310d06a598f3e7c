"""Convolution, transposed convolution, unfold and fold: im2col and matrix products. Notation as in im2col.py."""

from __future__ import annotations

import math

from minidl.algorithm import with_cudnn, with_kernels
from minidl.function import Function
from minidl.gpu import cudnn
from minidl.gpu.normalization import channel_sums
from minidl.ops import blocked_convolution
from minidl.ops.channels_last import laid_out
from minidl.ops.im2col import col2im, im2col, input_size, output_size
from minidl.products import matmul


class Conv2d(Function):
    """y[n, f, oh, ow] = bias[f] + sum over c, kh, kw of weight[f, c, kh, kw] x[n, c, h, w]

    with (h, w) as in im2col.py. In matrices, of which `columns` = im2col(x) has the windows as its columns:

        y = weight columns + bias           dweight = dy columns^T
                                            dcolumns = weight^T dy,  dx = col2im(dcolumns)
                                            dbias = dy summed over images and pixels

    x: (N, C, H, W), weight: (F, C/G, KH, KW), bias: (F,) or None, y: (N, F, OH, OW)
    The kernel is not flipped: this is a cross-correlation, as in every framework. With groups, filters
    g * F/G ... see channels g * C/G ... only: one such product for each of the G groups.

    x and weight are saved; the columns, about KH * KW times the size of x, are made again in backward. That takes
    one more im2col, and between forward and backward most of the memory is free.

    On a CPU the same sums are taken a few rows of the image at a time, on all cores: see blocked_convolution.py.
    `minidl.use_algorithm("im2col")` makes what stands here run, and "cudnn" NVIDIA's library on a GPU.

    LeCun et al., Proc. IEEE 1998, sec. II; groups: AlexNet fig. 2 (Krizhevsky et al., NIPS 2012); dilation:
    Yu & Koltun, ICLR 2016.
    """

    gives_gradients_away = True

    def forward(self, x, weight, bias, *, stride, padding, dilation, groups):
        need_x, need_weight, _ = self.needs_input_grad
        self.save_for_backward(x if need_weight else None, weight if need_x else None)
        self.x_shape, self.weight_shape, self.groups = x.shape, weight.shape, groups
        self.geometry = stride, padding, dilation
        self.in_blocks = groups == 1 and blocked_convolution.serves(x, weight, stride, dilation)
        if self.in_blocks:
            y = blocked_convolution.convolve(x, weight, bias, *self.geometry)
            self.multiply_adds = y.size * math.prod(weight.shape[1:])
            return y
        self.in_cudnn = None
        if with_cudnn(x):
            OH, OW = output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
            self.in_cudnn = cudnn.convolution(x, weight, (len(x), len(weight), OH, OW), self.geometry)
        if self.in_cudnn is not None:
            y = self.in_cudnn.forward(x, weight)
            self.multiply_adds = y.size * math.prod(weight.shape[1:])
            if bias is not None:
                y += bias.reshape(-1, 1, 1)
            return y

        columns = im2col(x, weight.shape[2:], stride, padding, dilation)  # (C, KH, KW, N, OH, OW)
        N, OH, OW = columns.shape[3:]
        y = matmul(_filters(weight, groups), _windows(columns, groups))  # (G, F/G, N*OH*OW)
        self.multiply_adds = y.size * math.prod(weight.shape[1:])  # each pixel of y takes all weights of its filter
        if bias is not None:
            y += bias.reshape(groups, -1, 1)
        return _images(y, N, OH, OW)  # (N, F, OH, OW)

    def backward(self, grad_output):
        x, weight = self.saved_tensors
        need_x, need_weight, need_bias = self.needs_input_grad
        (N, C, H, W), (F, _, KH, KW), G = self.x_shape, self.weight_shape, self.groups
        if self.in_blocks:
            grad_output = laid_out(grad_output)
            return (
                blocked_convolution.input_gradient(grad_output, weight, *self.geometry, (H, W)) if need_x else None,
                blocked_convolution.weight_gradient(x, grad_output, *self.geometry, (KH, KW)) if need_weight else None,
                blocked_convolution.bias_gradient(grad_output) if need_bias else None,
            )
        if self.in_cudnn is not None:
            return (
                self.in_cudnn.input_gradient(grad_output, weight) if need_x else None,
                self.in_cudnn.weight_gradient(x, grad_output) if need_weight else None,
                channel_sums(grad_output) if need_bias else None,
            )

        OH, OW = grad_output.shape[2:]
        grad_y = _channels(grad_output, G)  # (N, F, OH, OW) -> (G, F/G, N*OH*OW)

        grad_x = grad_weight = grad_bias = None
        if need_weight:
            columns = _windows(im2col(x, (KH, KW), *self.geometry), G)  # (G, C/G*KH*KW, N*OH*OW)
            grad_weight = matmul(grad_y, columns.transpose(0, 2, 1))  # (G, F/G, C/G*KH*KW)
            grad_weight = grad_weight.reshape(self.weight_shape)  # (F, C/G, KH, KW)
            del columns  # before the other array of that size is made
        if need_x:
            grad_columns = matmul(_filters(weight, G).transpose(0, 2, 1), grad_y)  # (G, C/G*KH*KW, N*OH*OW)
            grad_columns = grad_columns.reshape(C, KH, KW, N, OH, OW)
            grad_x = col2im(grad_columns, (H, W), *self.geometry)  # (N, C, H, W)
        if need_bias:
            grad_bias = channel_sums(grad_output) if with_kernels(grad_output) else grad_y.sum(axis=2).reshape(F)
        return grad_x, grad_weight, grad_bias


class ConvTranspose2d(Function):
    """The adjoint of Conv2d with the same weight: each pixel of x lays its value, times the kernel, onto y.

        columns = weight^T x,  y = col2im(columns) + bias       dcolumns = im2col(dy)
                                                                dx = weight dcolumns
                                                                dweight = x dcolumns^T

    x: (N, C, H, W), weight: (C, F/G, KH, KW), bias: (F,) or None, y: (N, F, OH, OW),
    OH = (H - 1) * stride + dilation * (KH - 1) + 1 - top - bottom. Line by line this is Conv2d with forward and the
    gradient of x exchanged: a convolution of y, with this stride, padding and dilation, has the shape of x. With
    stride > 1 it enlarges ("deconvolution", but it does not undo a convolution).

    Zeiler et al., CVPR 2010; Dumoulin & Visin, arXiv:1603.07285, ch. 4.
    """

    def forward(self, x, weight, bias, *, stride, padding, dilation, groups):
        need_x, need_weight, _ = self.needs_input_grad
        self.save_for_backward(x if need_weight else None, weight if need_x else None)
        self.weight_shape, self.groups = weight.shape, groups
        self.geometry = stride, padding, dilation

        N, _, H, W = x.shape
        KH, KW = weight.shape[2:]
        F = weight.shape[1] * groups
        columns = matmul(_filters(weight, groups).transpose(0, 2, 1), _channels(x, groups))  # (G, F/G*KH*KW, N*H*W)
        self.multiply_adds = x.size * math.prod(weight.shape[1:])  # each pixel of x meets all weights of its channel
        columns = columns.reshape(F, KH, KW, N, H, W)
        y = col2im(columns, input_size((H, W), (KH, KW), *self.geometry), *self.geometry)  # (N, F, OH, OW)
        if bias is not None:
            y += bias.reshape(F, 1, 1)
        return y

    def backward(self, grad_output):
        x, weight = self.saved_tensors
        need_x, need_weight, need_bias = self.needs_input_grad
        G = self.groups

        grad_x = grad_weight = grad_bias = None
        if need_x or need_weight:
            grad_columns = im2col(grad_output, self.weight_shape[2:], *self.geometry)  # (F, KH, KW, N, H, W)
            N, H, W = grad_columns.shape[3:]
            grad_columns = _windows(grad_columns, G)  # (G, F/G*KH*KW, N*H*W)
        if need_x:
            grad_x = _images(matmul(_filters(weight, G), grad_columns), N, H, W)  # (N, C, H, W)
        if need_weight:
            grad_weight = matmul(_channels(x, G), grad_columns.transpose(0, 2, 1))  # (G, C/G, F/G*KH*KW)
            grad_weight = grad_weight.reshape(self.weight_shape)  # (C, F/G, KH, KW)
        if need_bias:
            grad_bias = grad_output.sum(axis=(0, 2, 3))
        return grad_x, grad_weight, grad_bias


def _filters(weight, G):
    """The weights as one matrix for each group, a row for each filter: (F, C/G, KH, KW) -> (G, F/G, C/G*KH*KW)."""
    F, C, KH, KW = weight.shape
    return weight.reshape(G, F // G, C * KH * KW)


def _windows(columns, G):
    """The windows as one matrix for each group: (C, KH, KW, N, OH, OW) -> (G, C/G*KH*KW, N*OH*OW)."""
    C, KH, KW, N, OH, OW = columns.shape
    return columns.reshape(G, C // G * KH * KW, N * OH * OW)


def _channels(x, G):
    """Images as one matrix for each group, a row for each channel: (N, C, H, W) -> (G, C/G, N*H*W)."""
    N, C, H, W = x.shape
    return x.transpose(1, 0, 2, 3).reshape(G, C // G, N * H * W)


def _images(y, N, H, W):
    """The reverse of _channels: (G, C/G, N*H*W) -> (N, C, H, W). A view; the next convolution reads it as it lies."""
    return y.reshape(y.shape[0] * y.shape[1], N, H, W).transpose(1, 0, 2, 3)


class Unfold(Function):
    """y = im2col(x), image by image: y[n, (c, kh, kw), (oh, ow)] = x[n, c, h, w]; dx = col2im(dy)

    x: (N, C, H, W), y: (N, C*KH*KW, OH*OW)
    """

    def forward(self, x, *, kernel_size, stride, padding, dilation):
        self.image_size, self.kernel_size = x.shape[2:], kernel_size
        self.geometry = stride, padding, dilation
        return _columns_to_blocks(im2col(x, kernel_size, *self.geometry))

    def backward(self, grad_output):
        grad_columns = _blocks_to_columns(grad_output, self.image_size, self.kernel_size, *self.geometry)
        return col2im(grad_columns, self.image_size, *self.geometry)  # (N, C, H, W)


class Fold(Function):
    """y = col2im(x), the adjoint of Unfold: blocks are laid onto images and add up where they overlap; dx = im2col(dy)

    x: (N, C*KH*KW, OH*OW), y: (N, C, H, W) with (H, W) = image_size
    """

    def forward(self, x, *, image_size, kernel_size, stride, padding, dilation):
        self.kernel_size = kernel_size
        self.geometry = stride, padding, dilation
        return col2im(_blocks_to_columns(x, image_size, kernel_size, *self.geometry), image_size, *self.geometry)

    def backward(self, grad_output):
        return _columns_to_blocks(im2col(grad_output, self.kernel_size, *self.geometry))


def _columns_to_blocks(columns):
    """(C, KH, KW, N, OH, OW) -> (N, C*KH*KW, OH*OW)"""
    C, KH, KW, N, OH, OW = columns.shape
    return columns.transpose(3, 0, 1, 2, 4, 5).reshape(N, C * KH * KW, OH * OW)


def _blocks_to_columns(blocks, image_size, kernel_size, *geometry):
    """(N, C*KH*KW, OH*OW) -> (C, KH, KW, N, OH, OW), a view"""
    N, rows, _ = blocks.shape
    KH, KW = kernel_size
    OH, OW = output_size(image_size, kernel_size, *geometry)
    return blocks.reshape(N, rows // (KH * KW), KH, KW, OH, OW).transpose(1, 2, 3, 0, 4, 5)

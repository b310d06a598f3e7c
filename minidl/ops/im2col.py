"""Windows of an image as the columns of a matrix: im2col and its adjoint col2im, under convolution and pooling.

Notation, here and in convolution.py and pooling.py:

    N       images in the batch             H  W     rows and columns of an image
    C       channels of the input           KH KW    rows and columns of the kernel (the window)
    F       filters: channels of the output OH OW    rows and columns of the output: one window for each of its pixels
    G       groups of channels

    stride      (rows, columns) from one window to the next
    padding     ((top, bottom), (left, right)) pixels around the image, which count as 0
    dilation    (rows, columns) from one pixel of a window to the next; 1 where they lie side by side

Window (oh, ow) finds below position (kh, kw) of the kernel the pixel (h, w) of the image:

    h = oh * stride[0] + kh * dilation[0] - top         w = ow * stride[1] + kw * dilation[1] - left

or padding, if there is no such pixel. For one fixed (kh, kw) these pixels form a slice of the image, so everything
here takes KH * KW steps on whole slices, each for all images, channels and windows at once. The padding is never
stored: `taps` leaves out the windows that would read it.

With a 2x2 kernel, stride 1 and no padding, one 3x3 image becomes (a column for each window, a row for each tap):

    1 2 3              1 2 4 5    kh, kw = 0, 0
    4 5 6      ->      2 3 5 6             0, 1
    7 8 9              4 5 7 8             1, 0
                       5 6 8 9             1, 1
"""

from __future__ import annotations

from minidl.algorithm import with_kernels
from minidl.backend import array_module
from minidl.gpu import windows as windows_on_gpu


def im2col(x, kernel_size, stride, padding, dilation):
    """columns[c, kh, kw, n, oh, ow] = x[n, c, h, w], with (h, w) as above; 0 in the padding.

    x: (N, C, H, W), columns: (C, KH, KW, N, OH, OW). Reshaped to (C * KH * KW, N * OH * OW) that is one matrix whose
    columns are the windows, flat, in the order of one filter's weights: weight (F, C * KH * KW) times columns is
    the whole convolution (Chellapilla, Puri & Simard, IWFHR 2006).
    """
    N, C, H, W = x.shape
    KH, KW = kernel_size
    images = x.transpose(1, 0, 2, 3)  # (C, N, H, W)
    if _windows_are_pixels(kernel_size, stride, padding):
        return images.reshape(C, 1, 1, N, H, W)  # a view: nothing is copied
    OH, OW = output_size((H, W), kernel_size, stride, padding, dilation)
    if with_kernels(x):
        return windows_on_gpu.im2col(x, kernel_size, (OH, OW), stride, padding, dilation)
    columns = array_module(x).zeros((C, KH, KW, N, OH, OW), x.dtype)
    for kh, kw, windows, pixels in taps((H, W), kernel_size, (OH, OW), stride, padding, dilation):
        columns[:, kh, kw][windows] = images[pixels]
    return columns


def col2im(columns, image_size, stride, padding, dilation):
    """x[n, c, h, w] = the sum of columns[c, kh, kw, n, oh, ow] over all taps (kh, kw) and windows (oh, ow) that see it.

    columns: (C, KH, KW, N, OH, OW), x: (N, C, H, W) with (H, W) = `image_size`. The adjoint of im2col: the same loop
    with the assignment turned around, so <im2col(x), columns> = <x, col2im(columns)>. Not its inverse: where windows
    overlap, their values add up; what falls into the padding is dropped.
    """
    C, KH, KW, N, OH, OW = columns.shape
    if _windows_are_pixels((KH, KW), stride, padding):
        return columns.reshape(C, N, OH, OW).transpose(1, 0, 2, 3)  # (N, C, H, W)
    if with_kernels(columns):
        return windows_on_gpu.col2im(columns, image_size, stride, padding, dilation)
    images = array_module(columns).zeros((C, N) + image_size, columns.dtype)
    for kh, kw, windows, pixels in taps(image_size, (KH, KW), (OH, OW), stride, padding, dilation):
        images[pixels] += columns[:, kh, kw][windows]
    return images.transpose(1, 0, 2, 3)  # (C, N, H, W) -> (N, C, H, W)


def taps(image_size, kernel_size, output_size, stride, padding, dilation):
    """Each position of the kernel: (kh, kw, windows, pixels), in the order of the kernel's rows.

    windows, pixels: indices (..., rows, columns) of one size. y[windows] are the windows that find a pixel of the image
    below (kh, kw), x[pixels] are these pixels. A tap that finds only padding everywhere is left out.
    """
    KH, KW = kernel_size
    (top, _), (left, _) = padding
    for kh in range(KH):
        window_rows, rows = _tap(kh * dilation[0] - top, image_size[0], output_size[0], stride[0])
        for kw in range(KW):
            window_columns, columns = _tap(kw * dilation[1] - left, image_size[1], output_size[1], stride[1])
            if rows.start < rows.stop and columns.start < columns.stop:
                yield kh, kw, (..., window_rows, window_columns), (..., rows, columns)


def _tap(start, size, count, stride):
    """In one direction: which of `count` windows see a pixel at start, start + stride, ... in 0..size-1, and which."""
    first = max(0, -(start // stride))  # the first with start + first * stride >= 0: start / stride rounded up
    last = min(count - 1, (size - 1 - start) // stride)
    return slice(first, last + 1), slice(start + first * stride, start + last * stride + 1, stride)


def output_size(image_size, kernel_size, stride, padding, dilation, ceil_mode=False):
    """(OH, OW): how many windows fit into the padded image, below and beside each other.

        OH = floor((H + top + bottom - (dilation * (KH - 1) + 1)) / stride) + 1

    Less than 1 where the kernel is larger than the padded image. With ceil_mode the quotient is rounded up: the last
    window may reach over the edge, as long as it starts in the image or in the padding before it (PyTorch's rule).
    """
    sizes = []
    for i in range(2):
        before, after = padding[i]
        room = image_size[i] + before + after - (dilation[i] * (kernel_size[i] - 1) + 1)
        count = room // stride[i] + 1
        if ceil_mode and room % stride[i] and count * stride[i] < image_size[i] + before:
            count += 1
        sizes.append(count)
    return tuple(sizes)


def input_size(output_size, kernel_size, stride, padding, dilation):
    """(H, W) of the smallest image that has `output_size` windows: the reverse of `output_size`."""
    return tuple(
        (output_size[i] - 1) * stride[i] + dilation[i] * (kernel_size[i] - 1) + 1 - sum(padding[i]) for i in range(2)
    )


def _windows_are_pixels(kernel_size, stride, padding):
    """True for a 1x1 kernel that visits each pixel once: the columns are the image itself."""
    return kernel_size == (1, 1) and stride == (1, 1) and padding == ((0, 0), (0, 0))

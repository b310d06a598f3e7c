"""Three 3x3 convolutions in place of one 7x7: built, and looked through. Task 3.2."""

import numpy

import minidl
from minidl import nn


def stack(kernel_sizes, channels):
    """An nn.Sequential: for each kernel size (they are odd) a convolution and a ReLU, height and width unchanged.

    (N, channels, H, W) -> (N, channels, H, W), stride 1, with biases.
    """
    layers = []
    for kernel_size in kernel_sizes:
        layers.append(nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def measured_field(model, channels, size):
    """The receptive field by experiment: how many (rows, columns) of the input move the output in the middle.

    1. Fill every parameter of the model with ones, so that no ReLU is closed and no two paths cancel.
    2. Take an image (1, channels, size, size) of ones that requires a gradient.
    3. Go backward from a single number: channel 0 of the output (1, C, H, W) at row H // 2, column W // 2.
    4. Where the gradient of the image is not 0 in any channel, the output sees the pixel. From the first such row to
       the last are so many rows; the same for the columns.

    The image must be larger than the field. Returns two ints.
    """
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    image = minidl.ones(1, channels, size, size, requires_grad=True)
    output = model(image)
    output[0, 0, output.shape[2] // 2, output.shape[3] // 2].backward()
    seen = (image.grad.numpy()[0] != 0).any(axis=0)  # (size, size)
    rows, columns = numpy.nonzero(seen.any(axis=1))[0], numpy.nonzero(seen.any(axis=0))[0]
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)

"""Counting before building: what a stack of convolutions sees and weighs, and what an Inception module costs.

Tasks 3.1 and 3.3. Plain numbers in, plain numbers out; nothing is computed here with images.
"""


def stack_field(kernel_sizes):
    """How many pixels, along one side, an output of a stack of convolutions depends on.

    kernel_sizes    of square filters with stride 1, the first layer first: [3, 3, 3]

    stack_field([7]) is 7. An empty stack is the image itself: 1.
    """
    return 1 + sum(kernel_size - 1 for kernel_size in kernel_sizes)


def stack_weights(kernel_sizes, channels):
    """The number of weights of such a stack, each layer with C channels in and C out. Biases are not counted.

    Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556, sec. 2.3.
    """
    return sum(kernel_size**2 * channels**2 for kernel_size in kernel_sizes)


def naive_operations(height, width, in_channels, ch1x1, ch3x3, ch5x5):
    """Multiply-adds of a naive Inception module: [1x1, 3x3, 5x5], one number for each convolution.

    All outputs have the size of the input, height x width; the pooling is not counted. The lecture's example is
    naive_operations(28, 28, 256, 128, 192, 96), and its sum 854M.
    """
    places = height * width
    return [
        places * ch1x1 * 1 * 1 * in_channels,
        places * ch3x3 * 3 * 3 * in_channels,
        places * ch5x5 * 5 * 5 * in_channels,
    ]


def bottleneck_operations(height, width, in_channels, ch1x1, ch3x3_reduce, ch3x3, ch5x5_reduce, ch5x5, pool_proj):
    """Multiply-adds of an Inception module with 1x1 bottlenecks, one number for each convolution, in this order:

    [1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj]

    A "reduce" is the 1x1 convolution in front of a large filter, which reads what the reduce leaves; the pool proj is
    the 1x1 convolution behind the pooling, which keeps its channels. The lecture's example is
    bottleneck_operations(28, 28, 256, 128, 64, 192, 64, 96, 64).
    """
    places = height * width
    return [
        places * ch1x1 * 1 * 1 * in_channels,
        places * ch3x3_reduce * 1 * 1 * in_channels,
        places * ch3x3 * 3 * 3 * ch3x3_reduce,
        places * ch5x5_reduce * 1 * 1 * in_channels,
        places * ch5x5 * 5 * 5 * ch5x5_reduce,
        places * pool_proj * 1 * 1 * in_channels,
    ]


def counted_twice(lines, total):
    """Which line a sum has counted twice: the index i for which `total` is the sum of all lines plus lines[i] again.

    None where no line explains the total, and where the total is right.
    """
    for i, line in enumerate(lines):
        if line and sum(lines) + line == total:
            return i
    return None

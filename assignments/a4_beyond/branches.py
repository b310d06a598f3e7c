"""ResNeXt's first picture and its last: C small branches, and one convolution in C groups. Task 4.3.

Xie et al., CVPR 2017, arXiv:1611.05431, Fig. 3: (a) is a sum of branches, (c) is what is computed. Both are the same
function, and here their weights are brought from the one form into the other.
"""

import minidl
import minidl.nn.functional as F


def merged(branches):
    """The weights of the grouped block that computes what these branches compute.

    branches    C tuples (reduce, middle, expand) of Tensors, one tuple for each branch:
                reduce (d, C_in, 1, 1), middle (d, d, 3, 3), expand (C_out, d, 1, 1)

    Returns three Tensors: reduce (C d, C_in, 1, 1), middle (C d, d, 3, 3) for a convolution with groups=C, and
    expand (C_out, C d, 1, 1). The channels of the first branch come first.
    """
    reduce, middle, expand = zip(*branches, strict=True)
    return minidl.cat(reduce, 0), minidl.cat(middle, 0), minidl.cat(expand, 1)


def branch_width(cardinality, channels=256, width=64):
    """d, the channels of each of `cardinality` branches, for which all of them together weigh what one bottleneck does.

    One bottleneck with `channels` in and out and `width` inside: 1x1, 3x3, 1x1. A branch is the same with d inside.
    No biases, no batch norm. Of all d = 1, 2, 3, ... the one whose number of weights is nearest; the smaller of two
    that are equally near. branch_width(32) is 4, as in ResNeXt-50 (32x4d); branch_width(1) is 64.
    """

    def weights(d):
        return 2 * channels * d + 9 * d * d

    target = weights(width)
    return min(range(1, width + 1), key=lambda d: abs(cardinality * weights(d) - target))


# ------------------------------------------------------------------------------------------- given: the two pictures


def sum_of_branches(x, branches):
    """Fig. 3(a), without its batch norm: every branch by itself, 1x1, ReLU, 3x3, ReLU, 1x1, and their sum."""
    outputs = []
    for reduce, middle, expand in branches:
        y = F.relu(F.conv2d(x, reduce))
        y = F.relu(F.conv2d(y, middle, padding=1))
        outputs.append(F.conv2d(y, expand))
    return sum(outputs[1:], start=outputs[0])


def grouped(x, reduce, middle, expand, groups):
    """Fig. 3(c), without its batch norm: the same with one convolution for each of the three steps."""
    y = F.relu(F.conv2d(x, reduce))
    y = F.relu(F.conv2d(y, middle, padding=1, groups=groups))
    return F.conv2d(y, expand)

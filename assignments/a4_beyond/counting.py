"""Counting for tasks 4.2 and 4.6: the parameters of a wide network, and the channels of a dense one."""


def wide_parameters(depth, k, num_classes=10, in_channels=3, width=16):
    """The parameters of WRN-depth-k for CIFAR, batch norm's factors and offsets and the last layer's biases included.

    depth = 6n + 4 with n blocks in each of the three groups, of k width, 2 k width and 4 k width channels; the layers
    are those of architectures/wide_resnet.py. wide_parameters(16, 8) is 10,961,370. ValueError for another depth.
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"depth must be 10, 16, 22, ... 6n + 4, got {depth}")
    blocks, channels = (depth - 4) // 6, width
    total = 9 * in_channels * width  # the first convolution
    for out_channels in (k * width, 2 * k * width, 4 * k * width):
        for _ in range(blocks):
            total += 2 * channels + 9 * channels * out_channels  # batch norm, 3x3
            total += 2 * out_channels + 9 * out_channels * out_channels  # batch norm, 3x3
            if channels != out_channels:
                total += channels * out_channels  # the projection
            channels = out_channels
    return total + 2 * channels + channels * num_classes + num_classes


def dense_channels(channels, growth_rate, depths, theta=0.5):
    """How many maps a DenseNet has behind each dense block and each transition, in their order.

    channels    maps in front of the first block
    depths      layers of each block; each layer adds `growth_rate` maps
    theta       a transition stands between two blocks, and keeps this part of the maps, rounded down

    dense_channels(24, 12, (16, 16, 16)) is [216, 108, 300, 150, 342]: DenseNet-BC-100.
    """
    found = []
    for number, depth in enumerate(depths, start=1):
        channels += depth * growth_rate
        found.append(channels)
        if number < len(depths):
            channels = int(theta * channels)
            found.append(channels)
    return found

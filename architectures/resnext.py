"""ResNeXt: the residual is a sum over many small branches of one shape, which is one grouped convolution.

Xie, Girshick, Dollar, Tu & He, "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017,
arXiv:1611.05431. "C x d d": C branches (the cardinality), d channels wide in the first stage.

    variant                input      parameters      multiply-adds
    resnext50_32x4d      3x224x224    25,028,904      4,230,479,872
    resnext101_32x8d     3x224x224    88,791,336     16,414,015,488     torchvision's; not in the paper
    resnext29_8x64d       3x32x32     34,426,698      5,387,266,048

Deviations from the paper:
  * The CIFAR network has the block of figure 3(c), as in the authors' code. Their README says that the paper's numbers
    on CIFAR are from blocks with batch norm and ReLU before the convolutions.
  * The max pooling has padding 1 and rounds down, as in Torch and in torchvision, whose checkpoints load.
"""

from minidl import nn


class Bottleneck(nn.Module):
    """1x1, 3x3 in `groups` groups, 1x1, and x is added: in_channels -> width -> width -> out_channels     Fig. 3(c)

    The same function as the sum over branches of Fig. 3(a), eq. (2): a 1x1 convolution over concatenated branches
    adds up what 1x1 convolutions of each of them would give.
    """

    def __init__(self, in_channels, width, out_channels, groups, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = None
        if in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(y + identity)  # eq. (3)


def stage(in_channels, width, out_channels, groups, depth, stride):
    """`depth` blocks, of which the first one changes the shape."""
    rest = [Bottleneck(out_channels, width, out_channels, groups) for _ in range(depth - 1)]
    return nn.Sequential(Bottleneck(in_channels, width, out_channels, groups, stride), *rest)


def initialise(network):
    """As in the authors' code: He's for the convolutions, no bias at first."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(network.fc.bias)


class ResNeXt(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 224, 224)                                        Table 1"""

    def __init__(self, depths, cardinality, branch, num_classes=1000, in_channels=3, width=64):
        super().__init__()
        C, D = cardinality, cardinality * branch
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(width, D, 4 * width, C, depths[0], 1)
        self.layer2 = stage(4 * width, 2 * D, 8 * width, C, depths[1], 2)
        self.layer3 = stage(8 * width, 4 * D, 16 * width, C, depths[2], 2)
        self.layer4 = stage(16 * width, 8 * D, 32 * width, C, depths[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32 * width, num_classes)
        initialise(self)

    def forward(self, x):  # (N, 3, 224, 224)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, 112, 112)
        x = self.layer1(self.maxpool(x))  # (N, 256, 56, 56)
        x = self.layer2(x)  # (N, 512, 28, 28)
        x = self.layer3(x)  # (N, 1024, 14, 14)
        x = self.layer4(x)  # (N, 2048, 7, 7)
        return self.fc(self.avgpool(x).flatten(1))  # (N, 1000)


class ResNeXtCIFAR(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32); depth 9n + 2                            sec. 5.3"""

    def __init__(self, n, cardinality, branch, num_classes=10, in_channels=3, width=64):
        super().__init__()
        C, D = cardinality, cardinality * branch
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = stage(width, D, 4 * width, C, n, 1)
        self.layer2 = stage(4 * width, 2 * D, 8 * width, C, n, 2)
        self.layer3 = stage(8 * width, 4 * D, 16 * width, C, n, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16 * width, num_classes)
        initialise(self)

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, 32, 32)
        x = self.layer1(x)  # (N, 256, 32, 32)
        x = self.layer2(x)  # (N, 512, 16, 16)
        x = self.layer3(x)  # (N, 1024, 8, 8)
        return self.fc(self.avgpool(x).flatten(1))  # (N, 10)


def resnext50_32x4d(num_classes=1000, in_channels=3):
    return ResNeXt((3, 4, 6, 3), 32, 4, num_classes, in_channels)


def resnext101_32x8d(num_classes=1000, in_channels=3):
    return ResNeXt((3, 4, 23, 3), 32, 8, num_classes, in_channels)


def resnext29_8x64d(num_classes=10, in_channels=3):
    return ResNeXtCIFAR(3, 8, 64, num_classes, in_channels)

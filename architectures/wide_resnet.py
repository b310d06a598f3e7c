"""Wide ResNet: few layers with k times the channels, in place of very many thin ones.

Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146.
WRN-d-k has n blocks in each of three groups, and k times the channels of ResNet; d = 6n + 4 counts the projections of
the shortcuts, and not the fully connected layer.

    variant            n    k      input       parameters      multiply-adds
    wrn_16_8           2    8     3x32x32      10,961,370      1,548,145,664
    wrn_28_10          4   10     3x32x32      36,479,194      5,243,328,768
    wide_resnet50_2         2    3x224x224     68,883,240     11,398,021,120

Deviations from the paper: none is known. The CIFAR networks are those of the authors' code; wide_resnet50_2 is
torchvision's, whose checkpoint loads, with stride 2 on the 3x3 convolution.
"""

from minidl import nn


class WideBlock(nn.Module):
    """BN-ReLU-3x3, dropout between, BN-ReLU-3x3; x, or a projection, is added                         Fig. 1(d)"""

    def __init__(self, in_channels, channels, stride=1, dropout=0.0):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.relu = nn.ReLU()
        self.shortcut = None
        if in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x):
        y = self.relu(self.bn1(x))
        identity = x if self.shortcut is None else self.shortcut(y)  # the projection sees the activated input
        y = self.conv1(y)
        y = self.conv2(self.dropout(self.relu(self.bn2(y))))
        return y + identity


class WideResNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32)                                      Table 1"""

    def __init__(self, n, k, num_classes=10, in_channels=3, dropout=0.0, width=16):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.layer1 = self.group(width, width * k, n, 1, dropout)
        self.layer2 = self.group(width * k, 2 * width * k, n, 2, dropout)
        self.layer3 = self.group(2 * width * k, 4 * width * k, n, 2, dropout)
        self.bn = nn.BatchNorm2d(4 * width * k)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4 * width * k, num_classes)
        initialise(self)

    def group(self, in_channels, channels, n, stride, dropout):
        rest = [WideBlock(channels, channels, 1, dropout) for _ in range(n - 1)]
        return nn.Sequential(WideBlock(in_channels, channels, stride, dropout), *rest)

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.conv1(x)  # (N, 16, 32, 32)
        x = self.layer1(x)  # (N, 16 k, 32, 32)
        x = self.layer2(x)  # (N, 32 k, 16, 16)
        x = self.layer3(x)  # (N, 64 k, 8, 8)
        x = self.relu(self.bn(x))
        return self.fc(self.avgpool(x).flatten(1))  # (N, 10)


class WideBottleneck(nn.Module):
    """ResNet's bottleneck, k times as wide inside: 1x1, 3x3, 1x1, activation after the sum                   sec. 3"""

    def __init__(self, in_channels, width, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
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
        return self.relu(y + identity)


class WideResNetImageNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 224, 224)                                         sec. 3"""

    def __init__(self, depths, k, num_classes=1000, in_channels=3, width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self.stage(width, k * width, 4 * width, depths[0], 1)
        self.layer2 = self.stage(4 * width, 2 * k * width, 8 * width, depths[1], 2)
        self.layer3 = self.stage(8 * width, 4 * k * width, 16 * width, depths[2], 2)
        self.layer4 = self.stage(16 * width, 8 * k * width, 32 * width, depths[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32 * width, num_classes)
        initialise(self)

    def stage(self, in_channels, width, out_channels, depth, stride):
        rest = [WideBottleneck(out_channels, width, out_channels) for _ in range(depth - 1)]
        return nn.Sequential(WideBottleneck(in_channels, width, out_channels, stride), *rest)

    def forward(self, x):  # (N, 3, 224, 224)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, 112, 112)
        x = self.layer1(self.maxpool(x))  # (N, 256, 56, 56)
        x = self.layer2(x)  # (N, 512, 28, 28)
        x = self.layer3(x)  # (N, 1024, 14, 14)
        x = self.layer4(x)  # (N, 2048, 7, 7)
        return self.fc(self.avgpool(x).flatten(1))  # (N, 1000)


def initialise(network):
    """As in the authors' code: He's for the convolutions, no bias at first."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(network.fc.bias)


def wrn_16_8(num_classes=10, in_channels=3, dropout=0.0):
    return WideResNet(2, 8, num_classes, in_channels, dropout)


def wrn_28_10(num_classes=10, in_channels=3, dropout=0.0):
    return WideResNet(4, 10, num_classes, in_channels, dropout)


def wide_resnet50_2(num_classes=1000, in_channels=3):
    return WideResNetImageNet((3, 4, 6, 3), 2, num_classes, in_channels)

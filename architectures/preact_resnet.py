"""Pre-activation ResNet: batch norm and ReLU before each convolution, nothing on the way from unit to unit.

He, Zhang, Ren & Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027.
CIFAR networks of depth 6n + 2 (two 3x3 convolutions a unit) or 9n + 2 (1x1, 3x3, 1x1).

    variant               n      input     parameters    multiply-adds
    preact_resnet110     18     3x32x32     1,727,962      252,887,680
    preact_resnet164     18                 1,703,258      244,500,992
    preact_resnet1001   111                10,327,706    1,487,849,984

Deviations from the paper:
  * None is known in the bottleneck networks: stride on the first 1x1, and the shared batch norm and ReLU in the first
    unit of each stage, are as in the authors' Torch code. That code has no unit of two 3x3 convolutions; here its
    first unit of each stage shares them too, so that its shortcut starts from an activation.
"""

import minidl.nn.functional as F
from minidl import nn


class BasicUnit(nn.Module):
    """BN-ReLU-3x3 twice: x + F(x), with no ReLU behind                                               Fig. 1(b)

    The first unit of a stage shares its activation: its shortcut starts behind the first BN-ReLU, too.
    """

    expansion = 1

    def __init__(self, in_channels, width, stride=1, first=False):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.relu = nn.ReLU()
        self.stride, self.new_channels, self.first = stride, width - in_channels, first

    def shortcut(self, x):
        """Option A, without parameters: every second pixel, and zeros behind for the new channels."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))

    def forward(self, x):
        y = self.relu(self.bn1(x))
        identity = self.shortcut(y) if self.first else x
        y = self.conv1(y)
        y = self.conv2(self.relu(self.bn2(y)))
        return y + identity


class BottleneckUnit(nn.Module):
    """BN-ReLU-conv three times, 1x1, 3x3, 1x1: width -> width -> 4 * width                            sec. 4.1

    The first unit of a stage shares its activation: it goes to the convolutions, and to a 1x1 projection.
    """

    expansion = 4

    def __init__(self, in_channels, width, stride=1, first=False):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.relu = nn.ReLU()
        self.shortcut = nn.Conv2d(in_channels, 4 * width, 1, stride, bias=False) if first else None

    def forward(self, x):
        y = self.relu(self.bn1(x))
        identity = x if self.shortcut is None else self.shortcut(y)
        y = self.conv1(y)
        y = self.conv2(self.relu(self.bn2(y)))
        y = self.conv3(self.relu(self.bn3(y)))
        return y + identity


def stage(unit, in_channels, width, n, stride):
    """n units, of which the first one changes the shape."""
    rest = [unit(width * unit.expansion, width) for _ in range(n - 1)]
    return nn.Sequential(unit(in_channels, width, stride, first=True), *rest)


class PreActResNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32); e is 1 or 4, the unit's expansion."""

    def __init__(self, unit, n, num_classes=10, in_channels=3, width=16):
        super().__init__()
        e = unit.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.layer1 = stage(unit, width, width, n, 1)
        self.layer2 = stage(unit, e * width, 2 * width, n, 2)
        self.layer3 = stage(unit, e * 2 * width, 4 * width, n, 2)
        self.bn = nn.BatchNorm2d(e * 4 * width)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(e * 4 * width, num_classes)
        for module in self.modules():  # as in the authors' code
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.conv1(x)  # (N, 16, 32, 32)
        x = self.layer1(x)  # (N, 16 e, 32, 32)
        x = self.layer2(x)  # (N, 32 e, 16, 16)
        x = self.layer3(x)  # (N, 64 e, 8, 8)
        x = self.relu(self.bn(x))  # the last sum is activated here
        return self.fc(self.avgpool(x).flatten(1))  # (N, 10)


def preact_resnet110(num_classes=10, in_channels=3):
    return PreActResNet(BasicUnit, 18, num_classes, in_channels)


def preact_resnet164(num_classes=10, in_channels=3):
    return PreActResNet(BottleneckUnit, 18, num_classes, in_channels)


def preact_resnet1001(num_classes=10, in_channels=3):
    return PreActResNet(BottleneckUnit, 111, num_classes, in_channels)

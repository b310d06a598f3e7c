"""ResNet for CIFAR-10: the same blocks on 32x32 images, three stages, 20 to 110 layers; and plain nets beside it.

He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385: section 4.2.
Depth 6n + 2: the first convolution, 2n in each stage, the fully connected layer.

    variant       n     input     parameters    multiply-adds
    resnet20      3    3x32x32       269,722       40,551,040
    resnet32      5                  464,154       68,862,592
    resnet44      7                  658,586       97,174,144
    resnet56      9                  853,018      125,485,696
    resnet110    18                1,727,962      252,887,680
    plain20       3                  269,722       40,551,040     identity shortcuts are free
    plain56       9                  853,018      125,485,696

    in closed form                97,216 n - 21,926      14,155,776 n - 1,916,288

Deviations from the paper:
  * The paper does not say on which side the new channels of a shortcut are zero. Here it is half of them before and
    half behind, as in Idelbayev's pytorch_resnet_cifar10, whose published weights load (without their "module.").
"""

import minidl.nn.functional as F
from minidl import nn


class PlainBlock(nn.Module):
    """Two 3x3 convolutions, and no shortcut."""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)))


class BasicBlock(PlainBlock):
    """The same two convolutions, and their result is added to x                                          eq. (1)"""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.stride = stride
        self.new_channels = channels - in_channels

    def shortcut(self, x):
        """Option A, without parameters: every second pixel, and zeros for the new channels            sec. 3.3"""
        before = self.new_channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        identity = x if self.new_channels == 0 else self.shortcut(x)
        return self.relu(y + identity)


def stage(block, in_channels, channels, n, stride):
    """n blocks, of which the first one changes the shape."""
    return nn.Sequential(block(in_channels, channels, stride), *[block(channels, channels) for _ in range(n - 1)])


class ResNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32)                            sec. 4.2, first table"""

    def __init__(self, block, n, num_classes=10, in_channels=3, width=16):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = stage(block, width, width, n, 1)
        self.layer2 = stage(block, width, 2 * width, n, 2)
        self.layer3 = stage(block, 2 * width, 4 * width, n, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(4 * width, num_classes)
        for module in self.modules():  # sec. 3.4: He initialisation
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 16, 32, 32)
        x = self.layer1(x)  # (N, 16, 32, 32)
        x = self.layer2(x)  # (N, 32, 16, 16)
        x = self.layer3(x)  # (N, 64, 8, 8)
        return self.linear(self.avgpool(x).flatten(1))  # (N, 10)


def resnet20(num_classes=10, in_channels=3):
    return ResNet(BasicBlock, 3, num_classes, in_channels)


def resnet32(num_classes=10, in_channels=3):
    return ResNet(BasicBlock, 5, num_classes, in_channels)


def resnet44(num_classes=10, in_channels=3):
    return ResNet(BasicBlock, 7, num_classes, in_channels)


def resnet56(num_classes=10, in_channels=3):
    return ResNet(BasicBlock, 9, num_classes, in_channels)


def resnet110(num_classes=10, in_channels=3):
    return ResNet(BasicBlock, 18, num_classes, in_channels)


def plain20(num_classes=10, in_channels=3):
    return ResNet(PlainBlock, 3, num_classes, in_channels)


def plain56(num_classes=10, in_channels=3):
    return ResNet(PlainBlock, 9, num_classes, in_channels)

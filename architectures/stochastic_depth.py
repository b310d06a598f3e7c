"""Stochastic depth: in training each residual block is left out at random, so the network is shorter, and better.

Huang, Sun, Liu, Sedra & Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016, arXiv:1603.09382.

    variant                        blocks    input     parameters    multiply-adds (all blocks active)
    resnet110_stochastic_depth       54     3x32x32     1,727,962    252,887,680

Block l of L survives with probability p_l = 1 - l/L (1 - p_L), p_L = 0.5: 40.25 of the 54 blocks are active on average.
A block that is left out costs nothing, forward or backward, and its batch norms keep their statistics.

Deviations from the authors' code:
  * Its convolutions have biases, 4,048 in all, which the batch norm behind each of them takes away again.
"""

import minidl
import minidl.nn.functional as F
from minidl import nn


def linear_decay(blocks, last_survival):
    """p_1 ... p_L of L = `blocks` blocks: p_l = 1 - l/L (1 - p_L), where p_L is `last_survival`            sec. 3"""
    return [1 - block / blocks * (1 - last_survival) for block in range(1, blocks + 1)]


class StochasticBlock(nn.Module):
    """H = ReLU(b F(x) + shortcut(x)), where b is 1 with probability `survival`, else 0                     sec. 3

    F is ResNet's: two 3x3 convolutions.
    """

    def __init__(self, in_channels, channels, stride, survival):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.stride, self.new_channels, self.survival = stride, channels - in_channels, survival

    def shortcut(self, x):
        """Without parameters: the mean of 2x2 pixels, and zeros behind for the new channels."""
        if self.new_channels == 0:
            return x
        return F.pad(F.avg_pool2d(x, self.stride), (0, 0, 0, 0, 0, self.new_channels))

    def residual(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(y))

    def forward(self, x):
        identity = self.shortcut(x)
        if not self.training:
            return self.relu(self.survival * self.residual(x) + identity)  # what is added on average
        if minidl.rand(1).item() < self.survival:  # one draw for the whole batch
            return self.relu(self.residual(x) + identity)  # b = 1
        return self.relu(identity)  # b = 0


class StochasticResNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32); depth 6n + 2                               sec. 3"""

    def __init__(self, n, last_survival=0.5, num_classes=10, in_channels=3, width=16):
        super().__init__()
        survival = linear_decay(3 * n, last_survival)
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = self.stage(width, width, 1, survival[:n])
        self.layer2 = self.stage(width, 2 * width, 2, survival[n : 2 * n])
        self.layer3 = self.stage(2 * width, 4 * width, 2, survival[2 * n :])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():  # as in the authors' code
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def stage(self, in_channels, channels, stride, survival):
        first = StochasticBlock(in_channels, channels, stride, survival[0])
        return nn.Sequential(first, *[StochasticBlock(channels, channels, 1, p) for p in survival[1:]])

    def forward(self, x):  # (N, 3, 32, 32)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 16, 32, 32)
        x = self.layer1(x)  # (N, 16, 32, 32)
        x = self.layer2(x)  # (N, 32, 16, 16)
        x = self.layer3(x)  # (N, 64, 8, 8)
        return self.fc(self.avgpool(x).flatten(1))  # (N, 10)


def resnet110_stochastic_depth(num_classes=10, in_channels=3, last_survival=0.5):
    return StochasticResNet(18, last_survival, num_classes, in_channels)

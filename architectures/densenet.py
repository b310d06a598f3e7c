"""DenseNet: each layer sees the maps of all layers before it, and adds only a few of its own.

Huang, Liu, van der Maaten & Weinberger, "Densely Connected Convolutional Networks", CVPR 2017, arXiv:1608.06993.

    variant              input       growth rate   layers of each block   parameters   multiply-adds
    densenet121          3x224x224   32            6, 12, 24, 16           7,978,856   2,834,161,664
    densenet169                      32            6, 12, 32, 32          14,149,480   3,359,843,328
    densenet201                      32            6, 12, 48, 32          20,013,928   4,291,365,888
    densenet161                      48            6, 12, 36, 24          28,681,000   7,727,907,072
    densenet40_12        3x32x32     12            12, 12, 12              1,019,722     264,812,928
    densenet_bc_100_12               12            16, 16, 16                769,162     287,929,692

The first four are DenseNet-BC too: bottlenecks, and transitions that halve the channels. The names of their parameters
are those of torchvision, whose state dicts load. (Its files have older ones, norm.1 for norm1, and it rewrites them.)

Deviations from the paper: none in the layers. Two places where the paper and its authors' code disagree:
  * densenet40_12 starts with 16 channels, as the text says; the code starts every network with twice the growth rate.
  * He initialisation is by fan-out, as in the code; the paper only names it (torchvision takes fan-in).
"""

from collections import OrderedDict

import minidl
from minidl import nn


class DenseLayer(nn.Sequential):
    """H_l: batch norm, ReLU, 3x3 convolution to k maps, which join all earlier ones             eq. (2), sec. 3"""

    def __init__(self, in_channels, growth_rate, drop_rate):
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=nn.Conv2d(in_channels, growth_rate, 3, padding=1, bias=False),
                drop1=nn.Dropout(drop_rate),
            )
        )

    def forward(self, x):  # (N, C, H, W)
        return minidl.cat([x, super().forward(x)], 1)  # (N, C + k, H, W)


class BottleneckLayer(nn.Sequential):
    """H_l of DenseNet-B: first a 1x1 convolution to 4k maps                                     sec. 3, Bottleneck"""

    def __init__(self, in_channels, growth_rate, drop_rate):
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=nn.Conv2d(in_channels, 4 * growth_rate, 1, bias=False),
                drop1=nn.Dropout(drop_rate),
                norm2=nn.BatchNorm2d(4 * growth_rate),
                relu2=nn.ReLU(),
                conv2=nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False),
                drop2=nn.Dropout(drop_rate),
            )
        )

    def forward(self, x):  # (N, C, H, W)
        return minidl.cat([x, super().forward(x)], 1)  # (N, C + k, H, W)


class Transition(nn.Sequential):
    """Between two blocks: a 1x1 convolution to theta times the channels, and half the size      sec. 3, Compression"""

    def __init__(self, in_channels, out_channels, drop_rate):
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(in_channels),
                relu=nn.ReLU(),
                conv=nn.Conv2d(in_channels, out_channels, 1, bias=False),
                drop=nn.Dropout(drop_rate),
                pool=nn.AvgPool2d(2, 2),
            )
        )


def imagenet_stem(in_channels, channels):
    """To a quarter of the size                                                                  Table 1"""
    return OrderedDict(
        conv0=nn.Conv2d(in_channels, channels, 7, 2, 3, bias=False),
        norm0=nn.BatchNorm2d(channels),
        relu0=nn.ReLU(),
        pool0=nn.MaxPool2d(3, 2, 1),
    )


def cifar_stem(in_channels, channels):
    """At full size                                                          sec. 3, Implementation Details"""
    return OrderedDict(conv0=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))


class DenseNet(nn.Module):
    """Scores (N, num_classes); the shapes below are those of densenet121                        Table 1, Fig. 2

    layer       DenseLayer or BottleneckLayer
    depths      how many of them are in each block
    stem        what comes before the blocks; it gives `channels` maps
    theta       the part of the channels that a transition keeps
    drop_rate   of the dropout after every convolution but the first; 0.2 in the paper for small data sets as they are
    """

    def __init__(self, layer, depths, growth_rate, stem, channels, theta, num_classes, in_channels=3, drop_rate=0.0):
        super().__init__()
        features = stem(in_channels, channels)  # (N, 64, 56, 56)
        for number, depth in enumerate(depths, start=1):  # (N, 256, 56, 56) (512, 28, 28) (1024, 14, 14) (1024, 7, 7)
            block = OrderedDict()
            for i in range(depth):
                block[f"denselayer{i + 1}"] = layer(channels + i * growth_rate, growth_rate, drop_rate)
            features[f"denseblock{number}"] = nn.Sequential(block)
            channels += depth * growth_rate
            if number < len(depths):  # (N, 128, 28, 28) (256, 14, 14) (512, 7, 7)
                features[f"transition{number}"] = Transition(channels, int(theta * channels), drop_rate)
                channels = int(theta * channels)
        features["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(features)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x):  # (N, 3, 224, 224)
        x = self.relu(self.features(x))  # (N, 1024, 7, 7)
        return self.classifier(self.pool(x).flatten(1))  # (N, 1000)


def densenet121(num_classes=1000, in_channels=3):
    return DenseNet(BottleneckLayer, (6, 12, 24, 16), 32, imagenet_stem, 64, 0.5, num_classes, in_channels)


def densenet169(num_classes=1000, in_channels=3):
    return DenseNet(BottleneckLayer, (6, 12, 32, 32), 32, imagenet_stem, 64, 0.5, num_classes, in_channels)


def densenet201(num_classes=1000, in_channels=3):
    return DenseNet(BottleneckLayer, (6, 12, 48, 32), 32, imagenet_stem, 64, 0.5, num_classes, in_channels)


def densenet161(num_classes=1000, in_channels=3):
    return DenseNet(BottleneckLayer, (6, 12, 36, 24), 48, imagenet_stem, 96, 0.5, num_classes, in_channels)


def densenet40_12(num_classes=10, in_channels=3, drop_rate=0.0):
    return DenseNet(DenseLayer, (12, 12, 12), 12, cifar_stem, 16, 1.0, num_classes, in_channels, drop_rate)


def densenet_bc_100_12(num_classes=10, in_channels=3, drop_rate=0.0):
    return DenseNet(BottleneckLayer, (16, 16, 16), 12, cifar_stem, 24, 0.5, num_classes, in_channels, drop_rate)

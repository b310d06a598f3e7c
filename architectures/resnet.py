"""ResNet for ImageNet: blocks learn what to add to their input, so that 152 layers train; and plain nets beside it.

He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.

    variant               input      parameters     multiply-adds
    resnet18            3x224x224    11,689,512     1,814,073,344
    resnet34                         21,797,672     3,663,761,408
    resnet50                         25,557,032     4,089,184,256
    resnet101                        44,549,160     7,801,405,440
    resnet152                        60,192,808    11,513,626,624
    resnet50_v1                      25,557,032     3,857,973,248
    resnet101_v1                     44,549,160     7,570,194,432
    resnet152_v1                     60,192,808    11,282,415,616
    plain18                          11,515,688     1,794,805,760
    plain34                          21,623,848     3,644,493,824

Deviations from the paper:
  * resnet50, 101 and 152 have stride 2 on the 3x3 convolution of a block, as in fb.resnet.torch and in torchvision,
    whose checkpoints load. The paper has it on the first 1x1, which skips three pixels of four: resnet50_v1 and its
    kin. Both have the same parameters, but weights that were learnt for one do not serve the other.
  * resnet18 and 34 have projections where the shape changes (option B; the paper's table 2 has option A, zero padding).
  * The max pooling has padding 1 and rounds down, as in Torch; the authors' Caffe model rounds up instead.
"""

from minidl import nn


def shortcut(in_channels, out_channels, stride):
    """What stands in for x where the shape changes: W_s x, a 1x1 convolution. Else None        eq. (2), option B"""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class PlainBlock(nn.Module):
    """Two 3x3 convolutions, and no shortcut                                                      Fig. 3, middle"""

    expansion = 1

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)))


class BasicBlock(PlainBlock):
    """The same two convolutions, and their result is added to x                          Fig. 5, left; Fig. 3, right"""

    def __init__(self, in_channels, width, stride=1):
        super().__init__(in_channels, width, stride)
        self.downsample = shortcut(in_channels, width, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(y + identity)  # eq. (1), (2)


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up: width -> width -> 4 * width                                         Fig. 5, right"""

    expansion = 4

    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = shortcut(in_channels, 4 * width, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(y + identity)  # eq. (1), (2)


class BottleneckV1(Bottleneck):
    """The paper's own: the stride on the first 1x1"""

    def __init__(self, in_channels, width, stride=1):
        super().__init__(in_channels, width, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)


def stage(block, in_channels, width, depth, stride):
    """`depth` blocks, of which the first one changes the shape."""
    rest = [block(width * block.expansion, width) for _ in range(depth - 1)]
    return nn.Sequential(block(in_channels, width, stride), *rest)


class ResNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 224, 224)                             Table 1, Fig. 3"""

    def __init__(self, block, depths, num_classes=1000, in_channels=3, width=64):
        super().__init__()
        e = block.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(block, width, width, depths[0], 1)  # conv2_x
        self.layer2 = stage(block, e * width, 2 * width, depths[1], 2)  # conv3_x
        self.layer3 = stage(block, e * 2 * width, 4 * width, depths[2], 2)  # conv4_x
        self.layer4 = stage(block, e * 4 * width, 8 * width, depths[3], 2)  # conv5_x
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(e * 8 * width, num_classes)
        for module in self.modules():  # sec. 3.4: He initialisation
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):  # (N, 3, 224, 224)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, 112, 112)
        x = self.maxpool(x)  # (N, 64, 56, 56)
        x = self.layer1(x)  # (N, 64 e, 56, 56)
        x = self.layer2(x)  # (N, 128 e, 28, 28)
        x = self.layer3(x)  # (N, 256 e, 14, 14)
        x = self.layer4(x)  # (N, 512 e, 7, 7)
        return self.fc(self.avgpool(x).flatten(1))  # (N, 1000)


def resnet18(num_classes=1000, in_channels=3):
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels)


def resnet34(num_classes=1000, in_channels=3):
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels)


def resnet50(num_classes=1000, in_channels=3):
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels)


def resnet101(num_classes=1000, in_channels=3):
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels)


def resnet152(num_classes=1000, in_channels=3):
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, in_channels)


def resnet50_v1(num_classes=1000, in_channels=3):
    return ResNet(BottleneckV1, (3, 4, 6, 3), num_classes, in_channels)


def resnet101_v1(num_classes=1000, in_channels=3):
    return ResNet(BottleneckV1, (3, 4, 23, 3), num_classes, in_channels)


def resnet152_v1(num_classes=1000, in_channels=3):
    return ResNet(BottleneckV1, (3, 8, 36, 3), num_classes, in_channels)


def plain18(num_classes=1000, in_channels=3):
    return ResNet(PlainBlock, (2, 2, 2, 2), num_classes, in_channels)


def plain34(num_classes=1000, in_channels=3):
    return ResNet(PlainBlock, (3, 4, 6, 3), num_classes, in_channels)

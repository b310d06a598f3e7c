"""Network in Network: a little perceptron at every pixel, and no fully connected layer at the end.

Lin, Chen & Yan, "Network In Network", ICLR 2014, arXiv:1312.4400: sections 3.1 (mlpconv), 3.2 (global average pooling).

    variant      input        parameters    multiply-adds
    nin_cifar    3x32x32         966,986      222,486,528    the first author's CIFAR-10 network
    nin          3x224x224     7,595,176    1,100,188,800    his ImageNet network, Caffe model zoo; not in the paper

Deviations from the paper:
  * Maps, kernels and pooling are those of the author's files; poolings round up, as his programs do, so that the
    maps of nin_cifar have 32, 16 and 8 pixels a side. ReLU follows every convolution in them, the last one included:
    a score cannot be negative.
  * Dropout divides by 1 - p in training, in place of multiplying by 1 - p at test time.
  * The average runs over the whole map, whatever its size (8x8 and 6x6 in the files).
"""

from collections import OrderedDict

from minidl import nn


def mlpconv(in_channels, maps, kernel_size, stride=1, padding=0):
    """A convolution and two 1x1 ones, each with ReLU: a perceptron slides over the image             Fig. 1"""
    c1, c2, c3 = maps
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, c1, kernel_size, stride, padding),
            relu1=nn.ReLU(),
            cccp1=nn.Conv2d(c1, c2, 1),  # "cascaded cross channel parametric pooling": eq. (2)
            relu2=nn.ReLU(),
            cccp2=nn.Conv2d(c2, c3, 1),
            relu3=nn.ReLU(),
        )
    )


def pool():
    return nn.MaxPool2d(3, 2, ceil_mode=True)


class NiN(nn.Module):
    """Blocks, of which the last has a map for each class; the score is the mean of that map           Fig. 2"""

    def __init__(self, *blocks):
        super().__init__()
        self.features = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.05)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.flatten(self.avgpool(self.features(x)))


class NiNCIFAR(NiN):
    """Three blocks for images of 32x32; dropout between them"""

    def __init__(self, num_classes=10, in_channels=3, maps=((192, 160, 96), (192, 192, 192), (192, 192))):
        first, second, third = maps
        super().__init__(  # (N, 3, 32, 32)
            mlpconv(in_channels, first, 5, padding=2),  # (N, 96, 32, 32)
            *(pool(), nn.Dropout(0.5)),  # (N, 96, 16, 16)
            mlpconv(first[-1], second, 5, padding=2),  # (N, 192, 16, 16)
            *(pool(), nn.Dropout(0.5)),  # (N, 192, 8, 8)
            mlpconv(second[-1], (*third, num_classes), 3, padding=1),  # (N, 10, 8, 8)
        )


class NiNImageNet(NiN):
    """Four blocks, the first with the filters of AlexNet's conv1; dropout in front of the last"""

    def __init__(
        self,
        num_classes=1000,
        in_channels=3,
        maps=((96, 96, 96), (256, 256, 256), (384, 384, 384), (1024, 1024)),
    ):
        first, second, third, fourth = maps
        super().__init__(  # (N, 3, 224, 224)
            mlpconv(in_channels, first, 11, stride=4),  # (N, 96, 54, 54)
            pool(),  # (N, 96, 27, 27)
            mlpconv(first[-1], second, 5, padding=2),  # (N, 256, 27, 27)
            pool(),  # (N, 256, 13, 13)
            mlpconv(second[-1], third, 3, padding=1),  # (N, 384, 13, 13)
            *(pool(), nn.Dropout(0.5)),  # (N, 384, 6, 6)
            mlpconv(third[-1], (*fourth, num_classes), 3, padding=1),  # (N, 1000, 6, 6)
        )
        for layer in (self.features[0].conv, self.features[4].conv, self.features[-1].cccp2):
            nn.init.normal_(layer.weight, 0.0, 0.01)  # 0.05 in the others


def nin_cifar(num_classes=10, in_channels=3):
    """The author's CIFAR-10 network: 966,986 parameters (984,356 for 100 classes)."""
    return NiNCIFAR(num_classes, in_channels)


def nin(num_classes=1000, in_channels=3):
    """The author's ImageNet network: 7,595,176 parameters."""
    return NiNImageNet(num_classes, in_channels)

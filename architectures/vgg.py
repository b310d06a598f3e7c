"""VGG: nothing but 3x3 convolutions, more and more of them.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, arXiv:1409.1556:
section 2 and table 1. Input 3x224x224; the layers have torchvision's names, so its checkpoints load.

    variant    column of table 1     parameters      with _bn      multiply-adds
    vgg11      A                    132,863,336   132,868,840      7,609,090,048
    vgg13      B                    133,047,848   133,053,736     11,308,466,176
    vgg16      D                    138,357,544   138,365,992     15,470,264,320
    vgg19      E                    143,667,240   143,678,248     19,632,062,464

Deviations from the paper:
  * Initial weights: He's for the convolutions, standard deviation 0.01 in the fully connected layers, as torchvision.
    The paper draws from N(0, 0.1^2), with which only A starts; the deeper networks begin with weights of a trained A.
  * The _bn variants have batch norm after each convolution (which keeps its bias): torchvision's; the paper is older.
  * An average pooling to 7x7 in front of the classifier, torchvision's, lets other input sizes through; at 224x224 it
    changes nothing. The paper turns the fully connected layers into convolutions and averages the scores.
  * Dropout divides by 1 - p in training, in place of multiplying by 1 - p at test time.
"""

from minidl import nn

A = ((64,), (128,), (256, 256), (512, 512), (512, 512))  # the maps of each convolution, in blocks     Table 1
B = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
D = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
E = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512, 512, 512))


def conv3x3(in_channels, out_channels):
    """A convolution that keeps the size, and ReLU. Three of them see 7x7 pixels                sec. 2.3"""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU()


def conv3x3_bn(in_channels, out_channels):
    """The same with batch norm in between; torchvision's _bn variants"""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()


class VGG(nn.Module):
    """Five blocks of convolutions with a 2x2 max pooling after each, three fully connected layers     Table 1

    layers      makes the layers of one convolution: conv3x3 or conv3x3_bn
    """

    def __init__(self, blocks, layers=conv3x3, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        features, channels = [], in_channels  # (N, 3, 224, 224)
        for block in blocks:
            for maps in block:
                features += layers(channels, maps)
                channels = maps
            features.append(nn.MaxPool2d(2, 2))
        # after each block: (N, 64, 112, 112), (N, 128, 56, 56), (N, 256, 28, 28), (N, 512, 14, 14), (N, 512, 7, 7)
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.flatten = nn.Flatten()  # (N, 25088)
        self.classifier = nn.Sequential(
            *(nn.Linear(channels * 7 * 7, hidden), nn.ReLU(), nn.Dropout(0.5)),  # 0: (N, 4096)
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5)),  # 3: (N, 4096)
            nn.Linear(hidden, num_classes),  # 6: (N, 1000)
        )
        self.reset_parameters()

    def reset_parameters(self):
        """He's normal numbers by fan-out, or N(0, 0.01^2) for the fully connected layers; biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def vgg11(num_classes=1000, in_channels=3):
    """Column A: 132,863,336 parameters."""
    return VGG(A, conv3x3, num_classes, in_channels)


def vgg13(num_classes=1000, in_channels=3):
    """Column B: 133,047,848 parameters."""
    return VGG(B, conv3x3, num_classes, in_channels)


def vgg16(num_classes=1000, in_channels=3):
    """Column D: 138,357,544 parameters."""
    return VGG(D, conv3x3, num_classes, in_channels)


def vgg19(num_classes=1000, in_channels=3):
    """Column E: 143,667,240 parameters."""
    return VGG(E, conv3x3, num_classes, in_channels)


def vgg11_bn(num_classes=1000, in_channels=3):
    """Column A with batch norm: 132,868,840 parameters."""
    return VGG(A, conv3x3_bn, num_classes, in_channels)


def vgg13_bn(num_classes=1000, in_channels=3):
    """Column B with batch norm: 133,053,736 parameters."""
    return VGG(B, conv3x3_bn, num_classes, in_channels)


def vgg16_bn(num_classes=1000, in_channels=3):
    """Column D with batch norm: 138,365,992 parameters."""
    return VGG(D, conv3x3_bn, num_classes, in_channels)


def vgg19_bn(num_classes=1000, in_channels=3):
    """Column E with batch norm: 143,678,248 parameters."""
    return VGG(E, conv3x3_bn, num_classes, in_channels)

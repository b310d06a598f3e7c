"""ZFNet: AlexNet with smaller filters and strides at the start, after a look at what its features see.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901: sec. 4.1, fig. 3.

    variant       input         parameters    multiply-adds
    zfnet         3x224x224     62,357,608    1,168,032,896    figure 3
    zfnet_wide    3x224x224    107,627,624    2,476,704,896    conv3, 4, 5 have 512, 1024, 512 maps: the lecture's

Deviations from the paper:
  * conv1 is padded by 1, and the first two poolings round up: so the maps have figure 3's sizes, 110, 55, 26 and 13.
  * "Contrast normalised across feature maps" stands in figure 3 without numbers: here it is AlexNet's response norm, as
    its paper writes it (k = 2, n = 5, alpha = 1e-4, not divided by n; beta = 0.75).
  * The paper puts all weights at 10^-2, which is read as the standard deviation of a normal distribution: equal
    weights would stay equal.
  * Filters of conv1 whose RMS exceeds 0.1 are not scaled back to it after each step: that belongs to training.
  * Dropout divides by 1 - p in training, in place of multiplying by 1 - p at test time.
"""

from collections import OrderedDict

from minidl import nn


class ZFNet(nn.Module):
    """Five convolutions, three fully connected layers, on one GPU: no groups                     Fig. 3"""

    def __init__(self, num_classes=1000, in_channels=3, maps=(96, 256, 384, 384, 256), hidden=4096):
        super().__init__()
        c1, c2, c3, c4, c5 = maps
        self.features = nn.Sequential(
            OrderedDict(  # (N, 3, 224, 224)
                conv1=nn.Conv2d(in_channels, c1, 7, 2, padding=1),  # (N, 96, 110, 110); AlexNet: 11x11, stride 4
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(3, 2, ceil_mode=True),  # (N, 96, 55, 55)
                norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
                conv2=nn.Conv2d(c1, c2, 5, 2),  # (N, 256, 26, 26); AlexNet: stride 1
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(3, 2, ceil_mode=True),  # (N, 256, 13, 13)
                norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
                conv3=nn.Conv2d(c2, c3, 3, padding=1),  # (N, 384, 13, 13)     wide: 512
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(c3, c4, 3, padding=1),  # (N, 384, 13, 13)     wide: 1024
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(c4, c5, 3, padding=1),  # (N, 256, 13, 13)     wide: 512
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, 2),  # (N, 256, 6, 6)
            )
        )
        self.flatten = nn.Flatten()  # (N, 9216)
        self.classifier = nn.Sequential(
            OrderedDict(
                fc6=nn.Linear(c5 * 6 * 6, hidden),  # (N, 4096)
                relu6=nn.ReLU(),
                drop6=nn.Dropout(0.5),
                fc7=nn.Linear(hidden, hidden),  # (N, 4096)
                relu7=nn.ReLU(),
                drop7=nn.Dropout(0.5),
                fc8=nn.Linear(hidden, num_classes),  # (N, 1000)
            )
        )
        self.reset_parameters()

    def reset_parameters(self):
        """Weights from N(0, 0.01^2), biases 0                                                    sec. 3.1"""
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, 0.0, 0.01)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x):
        return self.classifier(self.flatten(self.features(x)))


def zfnet(num_classes=1000, in_channels=3):
    """Figure 3: 62,357,608 parameters."""
    return ZFNet(num_classes, in_channels)


def zfnet_wide(num_classes=1000, in_channels=3):
    """The lecture's 512, 1024, 512 maps: 107,627,624 parameters."""
    return ZFNet(num_classes, in_channels, maps=(96, 256, 512, 1024, 512))

"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters, by 1x1 convolutions around few 3x3 ones.

Iandola, Han, Moskewicz, Ashraf, Dally & Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
<0.5MB model size", 2016, arXiv:1602.07360.

    variant                       input       parameters   multiply-adds
    squeezenet1_0                 3x224x224    1,248,424     818,924,576     at 3x227x227   832,667,936
    squeezenet1_1                              1,235,496     349,151,936                    387,747,520
    squeezenet1_0_simple_bypass                1,248,424     818,924,576
    squeezenet1_0_complex_bypass               1,589,672   1,165,298,720

The names of the parameters are torchvision's, whose checkpoints of 1.0 and 1.1 load; so does one of 1.0 into the simple
bypass. Version 1.1 is not in the paper, but in the authors' repository: 2.4 times less work for the same accuracy.

Deviations from the paper:
  * conv10 has no padding, as in torchvision and the authors' own 1.1. Their 1.0 pads it by 1, which only surrounds
    the scores of 13x13 places with a ring of biases, for 28,672,000 more multiply-adds.
  * It returns scores; the softmax is in the loss.
The paper's table says input 224, but its sizes (111, 55, 27, 13) are those of 227, the crop of the authors' code.
Pooling rounds up as in Caffe, so that 224 gives 27 and 13 as well.
"""

import minidl
from minidl import nn


class Fire(nn.Module):
    """Squeeze to few channels, expand with 1x1 and 3x3 filters side by side                  sec. 3.2, Fig. 1"""

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.squeeze(x))
        return minidl.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)


class SimpleBypassFire(Fire):
    """A Fire whose input is added to its output: as many channels go in as come out          sec. 6, Fig. 2, middle"""

    def forward(self, x):
        return super().forward(x) + x


class ComplexBypassFire(Fire):
    """The same where the numbers of channels differ: a 1x1 convolution on the bypass          sec. 6, Fig. 2, right"""

    def __init__(self, in_channels, squeeze, expand1x1, expand3x3):
        super().__init__(in_channels, squeeze, expand1x1, expand3x3)
        self.bypass = nn.Conv2d(in_channels, expand1x1 + expand3x3, 1)

    def forward(self, x):
        return super().forward(x) + self.bypass(x)


class SqueezeNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 224, 224)                          Table 1, Fig. 2

    conv1           its filters and their size
    pools           after which Fires the maps are halved, besides conv1
    even, odd       the modules at fire2, 4, 6, 8 (more channels come out than go in) and fire3, 5, 7, 9 (as many)
    base_e, incr_e  expand filters of fire2, and how many more there are after every second Fire   sec. 5.1
    """

    def __init__(
        self, conv1, pools, even=Fire, odd=Fire, num_classes=1000, in_channels=3, base_e=128, incr_e=128, dropout=0.5
    ):
        super().__init__()
        channels, kernel_size = conv1
        layers = [nn.Conv2d(in_channels, channels, kernel_size, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
        for i in range(8):  # fire2 ... fire9
            expand = base_e + incr_e * (i // 2)
            fire = odd if i % 2 else even
            layers.append(fire(channels, expand // 8, expand // 2, expand // 2))  # SR = 0.125, pct_3x3 = 0.5
            channels = expand
            if i + 2 in pools:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        conv10 = nn.Conv2d(channels, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), conv10, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # Caffe's "xavier": uniform between +-sqrt(3 / fan_in)
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
                nn.init.zeros_(module.bias)
        nn.init.normal_(conv10.weight, 0.0, 0.01)

    def forward(self, x):  # (N, 3, 224, 224)
        # 1.0: conv1 (96, 109, 109); 54x54: pool, fire2-4 (256); 27x27: pool, fire5-8 (512); 13x13: pool, fire9
        # 1.1: conv1 (64, 111, 111); 55x55: pool, fire2-3 (128); 27x27: pool, fire4-5 (256); 13x13: pool, fire6-9
        x = self.features(x)  # (N, 512, 13, 13)
        return self.classifier(x).flatten(1)  # conv10 (N, 1000, 13, 13), its mean over all places (N, 1000)


def squeezenet1_0(num_classes=1000, in_channels=3):
    return SqueezeNet((96, 7), (4, 8), Fire, Fire, num_classes, in_channels)


def squeezenet1_1(num_classes=1000, in_channels=3):
    return SqueezeNet((64, 3), (3, 5), Fire, Fire, num_classes, in_channels)


def squeezenet1_0_simple_bypass(num_classes=1000, in_channels=3):
    return SqueezeNet((96, 7), (4, 8), Fire, SimpleBypassFire, num_classes, in_channels)


def squeezenet1_0_complex_bypass(num_classes=1000, in_channels=3):
    return SqueezeNet((96, 7), (4, 8), ComplexBypassFire, SimpleBypassFire, num_classes, in_channels)

"""GoogLeNet: filters of several sizes side by side, and 1x1 convolutions that make this affordable.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich, "Going Deeper with Convolutions",
CVPR 2015, arXiv:1409.4842.

    variant               input       parameters   multiply-adds
    googlenet             3x224x224   13,378,280   1,591,044,096     with both auxiliary heads, which only training uses
    googlenet(aux=False)               6,998,552   1,582,671,872     in evaluation, so is every googlenet

    one module, at 28x28 with 256 channels (the lecture's example)      output       weights     multiply-adds
    InceptionNaive(256, 128, 192, 96)                                   672x28x28   1,089,536     854,196,224
    Inception(256, 128, 64, 192, 64, 96, 64)                            480x28x28     346,112     271,351,808

The lecture has 854M and 358M; `minidl lecture` says what is wrong with the second.

Deviations from the paper:
  * conv1 is a plain 7x7 convolution with 9,408 weights and 118 M multiply-adds, as in Caffe's model and all others. The
    paper's table says 2.7K and 34M; some other counts of the table do not follow from its channels either.
  * The mean at the end is over all places: 7x7 in the paper, where the image is 224x224.
  * It returns scores; the softmaxes are in the loss, main + 0.3 (aux1 + aux2).
  * Normalisation and initial weights are those of Caffe's model, since the paper gives neither.
torchvision's GoogLeNet is another network: batch norm, 3x3 where the paper has 5x5, a 2x2 last pooling. Its weights do
not load here.
"""

import minidl
from minidl import nn

TABLE_1 = {  # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def conv(in_channels, out_channels, kernel_size, stride=1, padding=0):
    """Every convolution is followed by a ReLU                                                  sec. 5"""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU())


class InceptionNaive(nn.Module):
    """Three sizes of filter and a pooling side by side: channels can only grow                 Fig. 2 (a)"""

    def __init__(self, in_channels, ch1x1, ch3x3, ch5x5):
        super().__init__()
        self.branch1 = conv(in_channels, ch1x1, 1)
        self.branch2 = conv(in_channels, ch3x3, 3, padding=1)
        self.branch3 = conv(in_channels, ch5x5, 5, padding=2)
        self.branch4 = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        return minidl.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Inception(nn.Module):
    """The same with 1x1 convolutions before the large filters and after the pooling            Fig. 2 (b)"""

    def __init__(self, in_channels, ch1x1, ch3x3_reduce, ch3x3, ch5x5_reduce, ch5x5, pool_proj):
        super().__init__()
        self.out_channels = ch1x1 + ch3x3 + ch5x5 + pool_proj
        self.branch1 = conv(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(conv(in_channels, ch3x3_reduce, 1), conv(ch3x3_reduce, ch3x3, 3, padding=1))
        self.branch3 = nn.Sequential(conv(in_channels, ch5x5_reduce, 1), conv(ch5x5_reduce, ch5x5, 5, padding=2))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(in_channels, pool_proj, 1))

    def forward(self, x):
        return minidl.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class AuxiliaryHead(nn.Module):
    """A classifier on the way, for a gradient that is not far from the first layers            sec. 5, Fig. 3"""

    def __init__(self, in_channels, num_classes, channels, hidden):
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv = conv(in_channels, channels, 1)
        self.fc1 = nn.Linear(channels * 4 * 4, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, x):  # (N, 512 or 528, 14, 14)
        x = self.conv(self.pool(x))  # (N, 128, 4, 4)
        x = self.dropout(self.relu(self.fc1(x.flatten(1))))  # (N, 1024)
        return self.fc2(x)  # (N, 1000)


class GoogLeNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 224, 224)                            Table 1, Fig. 3

    In training with heads: main, aux1 and aux2, each of this shape. Without heads the image may have another size.
    stem, table, head   the numbers of filters: of the first convolutions, the modules, and each head (conv, linear)
    """

    def __init__(self, num_classes=1000, in_channels=3, aux=True, stem=(64, 64, 192), table=TABLE_1, head=(128, 1024)):
        super().__init__()
        self.conv1 = conv(in_channels, stem[0], 7, 2, 3)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        self.conv2 = nn.Sequential(conv(stem[0], stem[1], 1), conv(stem[1], stem[2], 3, padding=1))
        channels = stem[2]
        for name, row in table.items():  # inception3a ... inception5b
            module = Inception(channels, *row)
            channels = module.out_channels
            self.add_module(f"inception{name}", module)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(channels, num_classes)
        self.aux1 = AuxiliaryHead(self.inception4a.out_channels, num_classes, *head) if aux else None
        self.aux2 = AuxiliaryHead(self.inception4d.out_channels, num_classes, *head) if aux else None
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):  # Caffe's "xavier": uniform between +-sqrt(3 / fan_in)
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
                nn.init.constant_(module.bias, 0.2)
        for classifier in (self.fc, self.aux1.fc2, self.aux2.fc2) if aux else (self.fc,):
            nn.init.zeros_(classifier.bias)

    def forward(self, x):  # (N, 3, 224, 224)
        x = self.norm(self.pool(self.conv1(x)))  # (N, 64, 112, 112), (N, 64, 56, 56)
        x = self.pool(self.norm(self.conv2(x)))  # (N, 192, 56, 56), (N, 192, 28, 28)
        x = self.inception3b(self.inception3a(x))  # (N, 256, 28, 28), (N, 480, 28, 28)
        x4a = self.inception4a(self.pool(x))  # (N, 480, 14, 14), (N, 512, 14, 14)
        x4d = self.inception4d(self.inception4c(self.inception4b(x4a)))  # (N, 512, 14, 14) twice, (N, 528, 14, 14)
        x = self.pool(self.inception4e(x4d))  # (N, 832, 14, 14), (N, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # (N, 832, 7, 7), (N, 1024, 7, 7)
        scores = self.fc(self.dropout(self.avgpool(x).flatten(1)))  # (N, 1000)
        if self.training and self.aux1 is not None:
            return scores, self.aux1(x4a), self.aux2(x4d)
        return scores


def googlenet(num_classes=1000, in_channels=3, aux=True):
    return GoogLeNet(num_classes, in_channels, aux)

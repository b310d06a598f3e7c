"""LeNet-5, the network that read cheques: convolution, pooling, convolution, pooling, fully connected layers.

LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11), 1998, pages 2278-2324: section II.B and figure 2. No arXiv id.

    variant        input      parameters   multiply-adds
    lenet5         1x32x32        61,706         416,520     the network as it is built today, and drawn in the lecture
    lenet5_1998    1x32x32        60,000         326,520     the paper's own (the 840 numbers of its codes are fixed)

Deviations from the paper, lenet5:
  * C3 sees all six maps of S2. The paper connects each map of C3 to three, four or six of them (table I), to break
    symmetry and to save time: 1,516 parameters in place of 2,416.
  * S2 and S4 take the maximum of each 2x2 window. The paper's add the four values up, with a trainable coefficient
    and bias for each map (12 and 32 parameters), and squash the sum.
  * ReLU in place of the squashing function, a scaled tanh: it trains faster, and needs no care with the scales.
  * C5 is a Linear: on 5x5 maps a 5x5 convolution and a fully connected layer are the same thing. The paper's C5
    stays a convolution, so that the network can be swept over a larger image.
  * The output is a Linear whose scores go to a cross-entropy. The paper's are the distances of F6 from ten fixed
    drawings of 7x12 pixels (radial basis functions), hence the 84 units of F6.

Deviations from the paper, lenet5_1998:
  * It returns minus the distances, so that the largest score wins and a cross-entropy can be put on top.
  * Its ten drawings are ours; the paper's are characters in the same 7x12 pixels. So there are at most ten classes.
  * The layers and their numbers of parameters are certain. These are as they are commonly read, and not confirmed
    here: the rows of C3's table (their pattern is certain: six maps see three neighbours, six see four neighbours,
    three see four others, one sees all), the squashing function, the output's formula, and the initial weights.
"""

import minidl
import minidl.nn.functional as F
from minidl import nn


class LeNet5(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32)                          Fig. 2"""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)  # C1
        self.conv2 = nn.Conv2d(6, 16, 5)  # C3
        self.pool = nn.MaxPool2d(2, 2)  # S2, S4
        self.fc1 = nn.Linear(16 * 5 * 5, 120)  # C5
        self.fc2 = nn.Linear(120, 84)  # F6
        self.fc3 = nn.Linear(84, num_classes)  # output
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()

    def forward(self, x):  # (N, 1, 32, 32)
        x = self.pool(self.relu(self.conv1(x)))  # C1 (N, 6, 28, 28), S2 (N, 6, 14, 14)
        x = self.pool(self.relu(self.conv2(x)))  # C3 (N, 16, 10, 10), S4 (N, 16, 5, 5)
        x = self.flatten(x)  # (N, 400)
        x = self.relu(self.fc1(x))  # C5 (N, 120)
        x = self.relu(self.fc2(x))  # F6 (N, 84)
        return self.fc3(x)  # (N, 10)


THREES = "012 123 234 345 045 015"  # table I: the maps of S2 that each map of C3 sees. Each of S2 is seen ten times.
FOURS = "0123 1234 2345 0345 0145 0125 0134 1245 0235"
DIGITS = """
.#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## .####.. .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. .....## ##..##. ######. ##..... ....##. ##...## ##...##
##...## ...##.. ...##.. ..####. ##..##. .....## ######. ...##.. .#####. .######
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
.#####. .###### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
"""


def codes(num_classes):
    """(num_classes, 84): the pixels of each drawing, row by row, +1 for ink and -1 for paper."""
    if num_classes > 10:
        raise ValueError(f"lenet5_1998 has drawings of ten digits, so at most 10 classes, got {num_classes}")
    rows = DIGITS.split()  # twelve rows of ten digits
    digits = ["".join(rows[digit::10]) for digit in range(num_classes)]
    return minidl.tensor([[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits])


def squash(x):
    """A tanh(S x) with A = 1.7159 and S = 2/3, so that 1 stays 1 and -1 stays -1               eq. (6)"""
    return 1.7159 * minidl.tanh(2 / 3 * x)


class Subsampling(nn.Module):
    """The sum of each 2x2 window, times a coefficient, plus a bias: one of each for every map"""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(minidl.empty(channels, 1, 1))
        self.bias = nn.Parameter(minidl.empty(channels, 1, 1))

    def forward(self, x):
        return self.weight * F.avg_pool2d(x, 2, divisor_override=1) + self.bias


class PartialConvolution(nn.Module):
    """C3: sixteen maps, each of which sees some of the six maps of S2                     Table I"""

    def __init__(self):
        super().__init__()
        self.threes = nn.Conv2d(18, 6, 5, groups=6)  # a group for each map; 456 parameters
        self.fours = nn.Conv2d(36, 9, 5, groups=9)  # 909
        self.all = nn.Conv2d(6, 1, 5)  # 151

    def forward(self, x):  # (N, 6, 14, 14)
        threes, fours = ([int(seen) for seen in table if seen != " "] for table in (THREES, FOURS))
        return minidl.cat([self.threes(x[:, threes]), self.fours(x[:, fours]), self.all(x)], dim=1)  # (N, 16, 10, 10)


class LeNet5Of1998(nn.Module):
    """Minus the distances (N, num_classes) from the codes, for images (N, in_channels, 32, 32)     Fig. 2"""

    def __init__(self, num_classes=10, in_channels=1):
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, 5)
        self.s2 = Subsampling(6)
        self.c3 = PartialConvolution()
        self.s4 = Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.register_buffer("codes", codes(num_classes))
        self.reset_parameters()

    def reset_parameters(self):
        """Weights and biases from U[-b, b), b = 2.4 / the inputs of a unit."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, Subsampling)):
                bound = 2.4 / (4 if isinstance(module, Subsampling) else module.weight[0].numel())
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.uniform_(module.bias, -bound, bound)

    def forward(self, x):  # (N, 1, 32, 32)
        x = squash(self.c1(x))  # C1 (N, 6, 28, 28)
        x = squash(self.s2(x))  # S2 (N, 6, 14, 14)
        x = squash(self.c3(x))  # C3 (N, 16, 10, 10)
        x = squash(self.s4(x))  # S4 (N, 16, 5, 5)
        x = squash(self.c5(x)).flatten(1)  # C5 (N, 120)
        x = squash(self.f6(x))  # F6 (N, 84)
        # eq. (7), the sum of (x - code)^2, multiplied out, so that its products are one matrix product
        return 2 * F.linear(x, self.codes) - (x * x).sum(1, keepdim=True) - (self.codes * self.codes).sum(1)  # (N, 10)


def lenet5(num_classes=10, in_channels=1):
    """LeNet-5 as it is built today: 61,706 parameters."""
    return LeNet5(num_classes, in_channels)


def lenet5_1998(num_classes=10, in_channels=1):
    """The paper's own LeNet-5: 60,000 parameters. num_classes: at most 10, the digits that are drawn."""
    return LeNet5Of1998(num_classes, in_channels)

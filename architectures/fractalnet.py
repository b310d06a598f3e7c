"""FractalNet: very deep without residuals: paths of 1, 2, 4, ... convolutions side by side, and their mean.

Larsson, Maire & Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals", ICLR 2017, arXiv:1605.07648.

    variant      input      columns   blocks   parameters   multiply-adds
    fractalnet   3x32x32    3         5        33,724,618     845,222,912     20 convolutions on the deepest path, of 35

Any column may be asked alone, model(x, column=2): 0 is the shortest, with one convolution in each block.

Deviations from the paper:
  * It says 38.6 M parameters. Its rule with its widths gives the number above; so does the authors' code, but for the
    next point.
  * Batch norm has a scale and a shift, and the convolutions have no bias. The authors' code has it the other way, with
    10,304 parameters less: batch norm without the two, after biases that it takes away again.
  * Global drop-path takes a column of the very same network, batch norm's statistics included. The authors' code draws
    locally only; as an option, it lays every column out a second time, on tied weights, and trains all at once.
As in the authors' code, the last join of a block comes after the pooling of its paths, dropout is in front of batch
norm, and drop-path draws once for a mini-batch, not for each image.
"""

import minidl
from minidl import nn


class Unit(nn.Sequential):
    """What the paper draws as one convolution: 3x3, dropout, batch norm, ReLU                  Fig. 1"""

    def __init__(self, in_channels, out_channels, dropout):
        conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        super().__init__(conv, nn.Dropout(dropout), nn.BatchNorm2d(out_channels), nn.ReLU())


class Join(nn.Module):
    """The mean of the paths that meet here; in training, of those that local drop-path leaves, one at the least"""

    def __init__(self, drop_path):
        super().__init__()
        self.drop_path = drop_path

    def forward(self, paths):
        if self.training and len(paths) > 1:
            kept = (minidl.rand(len(paths)) >= self.drop_path).tolist()
            spare = minidl.randint(len(paths), (1,)).item()  # stays where all would be dropped
            paths = [path for path, keep in zip(paths, kept, strict=True) if keep] or [paths[spare]]
        return paths[0] if len(paths) == 1 else sum(paths[1:], start=paths[0]) / len(paths)


class Fractal(nn.Module):
    """f_1(z) = conv(z)          f_C(z) = conv(z) beside f_{C-1}(f_{C-1}(z))                     eq. (1), (2), Fig. 1

    Returns the list of its C paths, the shortest first, of 2^0 ... 2^(C-1) convolutions; with `column`, of that one.
    The paths are not joined: joins that follow one another are one mean of all paths that meet there.
    """

    def __init__(self, columns, in_channels, out_channels, dropout, drop_path):
        super().__init__()
        self.columns = columns
        self.conv = Unit(in_channels, out_channels, dropout)
        if columns > 1:
            self.first = Fractal(columns - 1, in_channels, out_channels, dropout, drop_path)
            self.join = Join(drop_path)
            self.second = Fractal(columns - 1, out_channels, out_channels, dropout, drop_path)

    def forward(self, x, column=None):
        if self.columns == 1 or column == 0:
            return [self.conv(x)]
        if column is not None:
            return self.second(self.join(self.first(x, column - 1)), column - 1)
        return [self.conv(x), *self.second(self.join(self.first(x)))]


class FractalNet(nn.Module):
    """Scores (N, num_classes) for images (N, in_channels, 32, 32), halved by every block          Fig. 1, right

    widths        maps in each block
    dropout       in each block
    drop_path     with which probability a join drops an input
    global_share  of the mini-batches, those that train one column alone (global drop-path)
    """

    def __init__(self, columns, widths, dropout, drop_path=0.15, global_share=0.5, num_classes=10, in_channels=3):
        super().__init__()
        self.columns, self.global_share = columns, global_share
        self.blocks = nn.ModuleList()
        for width, p in zip(widths, dropout, strict=True):
            self.blocks.append(Fractal(columns, in_channels, width, p, drop_path))
            in_channels = width
        self.pool = nn.MaxPool2d(2, 2)
        self.join = Join(drop_path)
        self.fc = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):  # Caffe's "xavier": uniform between +-sqrt(3 / fan_in)
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x, column=None):  # (N, 3, 32, 32)
        if self.training and column is None and minidl.rand(1).item() < self.global_share:
            column = minidl.randint(self.columns, (1,)).item()
        for block in self.blocks:  # (N, 64, 16, 16) (N, 128, 8, 8) (N, 256, 4, 4) (N, 512, 2, 2) (N, 512, 1, 1)
            x = self.join([self.pool(path) for path in block(x, column)])
        return self.fc(x.flatten(1))  # (N, 10)


def fractalnet(num_classes=10, in_channels=3):
    widths, dropout = (64, 128, 256, 512, 512), (0.0, 0.1, 0.2, 0.3, 0.4)
    return FractalNet(3, widths, dropout, num_classes=num_classes, in_channels=in_channels)

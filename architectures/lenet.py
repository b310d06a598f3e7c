"""LeNet-5, the network that read cheques: convolution, pooling, convolution, pooling, fully connected layers.

LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11), 1998, pages 2278-2324: section II.B and figure 2.

    variant     input      parameters   multiply-adds
    lenet5      1x32x32        61,706         416,520     the network as it is built today, and drawn in the lecture

Deviations from the paper (its own network has 60,000 trainable parameters):
  * C3 sees all six maps of S2. The paper connects each map of C3 to three, four or six of them (table I), to break
    symmetry and to save time: 1,516 parameters in place of 2,416.
  * S2 and S4 take the maximum of each 2x2 window. The paper's add the four values up, with a trainable coefficient
    and bias for each map (12 and 32 parameters), and squash the sum.
  * ReLU in place of the squashing function, a scaled tanh: it trains faster, and needs no care with the scales.
  * C5 is a Linear: on 5x5 maps a 5x5 convolution and a fully connected layer are the same thing. The paper's C5
    stays a convolution, so that the network can be swept over a larger image.
  * The output is a Linear whose scores go to a cross-entropy. The paper's are the distances of F6 from ten fixed
    drawings of 7x12 pixels (radial basis functions), hence the 84 units of F6.
"""

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


def lenet5(num_classes=10, in_channels=1):
    """LeNet-5 as it is built today: 61,706 parameters."""
    return LeNet5(num_classes, in_channels)

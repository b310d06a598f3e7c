"""A small network that reads digits, badly: three faults are planted in it. Tasks 4.9, 4.10 and 4.11.

    python -m assignments.a4_beyond.hunt            trains it, and says how it went

Nothing raises an exception. Find the faults with `minidl.debug` (README.md says how), and mend them where they are.
The network is a plain one with two parts that minidl does not have: maps are brought to unit length at every pixel, and
weighed against each other by what the whole image looks like, as in squeeze-and-excitation (Hu et al., CVPR 2018,
arXiv:1709.01507).
"""

import minidl
import minidl.nn.functional as F
from minidl import Function, nn, optim
from minidl.data import DataLoader, Digits
from minidl.parallel import one_blas_thread


class Weigh(Function):
    """y[n, c] = s[n, c] x[n, c]: every map times its own number

    x, y: (N, C, H, W)      s: (N, C)
    """

    def forward(self, x, s):
        self.save_for_backward(x, s)
        return x * s[:, :, None, None]

    def backward(self, grad_output):
        x, s = self.saved_tensors
        grad_x = grad_output * s[:, :, None, None]
        grad_s = (grad_output * x).sum(axis=(2, 3))
        return grad_x, grad_s


def unit_length(x):
    """x / |x|, where |x| is the root of the sum of squares over the channels, at every pixel by itself.

    x: (N, C, H, W), y the same. A pixel whose channels are all 0 stays 0, and its gradient is a number.
    """
    squares = (x * x).sum(dim=1, keepdim=True)  # (N, 1, H, W)
    return x / (squares + 1e-4).sqrt()


class Hunted(nn.Module):
    """Scores (N, 10) for images (N, 1, 8, 8): what F.cross_entropy takes."""

    def __init__(self, width=16):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.weights = nn.Linear(width, width)
        self.fc = nn.Linear(width * 4 * 4, 10)

    def forward(self, x):  # (N, 1, 8, 8)
        x = F.relu(unit_length(self.conv1(x)))  # (N, 16, 8, 8)
        x = F.relu(self.conv2(x))
        s = F.sigmoid(self.weights(x.mean(dim=(2, 3))))  # (N, 16)
        x = minidl.apply(Weigh, x, s)
        return self.fc(F.max_pool2d(x, 2).flatten(1))  # (N, 10)


# --------------------------------------------------------------------------------------------- given: nothing is wrong


def data():
    """The digits, brought back to 0..1: images (N, 1, 8, 8) with black corners, and labels; to train, to test."""
    train, test = Digits(train=True, size=8), Digits(train=False, size=8)
    return [(split.denormalize(split.tensors[0]), split.tensors[1]) for split in (train, test)]


def batch(count=32):
    """The first training images and their labels."""
    (images, labels), _ = data()
    return images[:count], labels[:count]


def train(model, epochs=5, lr=0.1, seed=0):
    """SGD with momentum. Returns the mean loss of each epoch, and the accuracy on unseen digits, in percent."""
    (images, labels), (unseen, answers) = data()
    loader = DataLoader(list(zip(images, labels, strict=True)), 32, shuffle=True)
    loader.seed = seed
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    with one_blas_thread():  # the products are small
        for _ in range(epochs):
            total = 0.0
            for x, y in loader:
                loss = F.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(y)
            losses.append(total / len(labels))
    model.eval()
    with minidl.no_grad():
        accuracy = 100 * (model(unseen).argmax(dim=1) == answers).to(minidl.float32).mean().item()
    return losses, accuracy


if __name__ == "__main__":
    minidl.manual_seed(0)
    losses, accuracy = train(Hunted())
    print("mean loss of each epoch:", ", ".join(f"{loss:.3f}" for loss in losses))
    print(f"{accuracy:.1f} % of the unseen digits right")

"""Task 1.9: a network of two layers learns to read digits, with the operations, engine and optimizer of this folder.

python -m assignments.a1_autograd.train
"""

from __future__ import annotations

import numpy

import minidl
from assignments.a1_autograd.cross_entropy import cross_entropy
from assignments.a1_autograd.engine import backward
from minidl import Tensor, nn
from minidl.data import Digits
from minidl.optim import SGD, Optimizer


class TwoLayerNet(nn.Module):
    """scores = max(x W1^T + b1, 0) W2^T + b2

    x: (N, 64), an 8x8 image as one row; hidden units: (N, hidden); scores: (N, 10), one for each digit.
    """

    def __init__(self, hidden: int = 64):
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The scores (N, 10) of images (N, 64). A layer is called: self.fc1(x)."""
        return self.fc2(self.relu(self.fc1(x)))


def training_step(net: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> float:
    """One step of SGD on one batch. Returns the loss of the batch before the step, as a number (`loss.item()`).

    Forget the gradients of the step before; scores; loss (`cross_entropy`); `backward`, this folder's engine; step.
    """
    optimizer.zero_grad()
    loss = cross_entropy(net(images), labels)
    backward(loss)
    optimizer.step()
    return loss.item()


def train(
    images: numpy.ndarray,
    labels: numpy.ndarray,
    epochs: int = 15,
    lr: float = 0.1,
    momentum: float = 0.9,
    seed: int = 0,
) -> tuple[TwoLayerNet, list[float]]:
    """A network trained on images (N, 64) with labels (N,), in batches of 32; and the loss of every step."""
    minidl.manual_seed(seed)
    rng = numpy.random.default_rng(seed)
    net = TwoLayerNet()
    optimizer = SGD(net.parameters(), lr=lr, momentum=momentum)
    losses = []
    for epoch in range(epochs):
        if epoch == epochs * 2 // 3:
            for group in optimizer.param_groups:
                group["lr"] = lr / 10
        for batch in numpy.array_split(rng.permutation(len(images)), len(images) // 32):
            losses.append(training_step(net, optimizer, Tensor(images[batch]), Tensor(labels[batch])))
    return net, losses


def answers(net: nn.Module, images: numpy.ndarray) -> numpy.ndarray:
    """The digit (N,) with the highest score, for each image (N, 64)."""
    with minidl.no_grad():
        return net(Tensor(images)).data.argmax(axis=1)


def digits(training: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images (N, 64), float32 and normalised, and labels (N,): 1,437 digits to train on, or the 360 others."""
    data = Digits(train=training, size=8)
    images, labels = (tensor.data for tensor in data.tensors)
    return images.reshape(len(images), 64), labels


def main() -> None:
    images, labels = digits(training=True)
    net, losses = train(images, labels)
    test_images, test_labels = digits(training=False)
    right = int((answers(net, test_images) == test_labels).sum())
    print(f"loss of the first step {losses[0]:.2f} (ln 10 = {numpy.log(10):.2f}), of the last {losses[-1]:.3f}")
    print(f"{right} of {len(test_labels)} unseen digits right: {right / len(test_labels):.1%}")


if __name__ == "__main__":
    main()

"""Task 2.10, the end of it: LeNet-5, as it stands in architectures/lenet.py, learns to read digits.

python -m assignments.a2_convolution.train
"""

from __future__ import annotations

import numpy

import minidl
import minidl.nn.functional as F
from architectures import lenet5
from minidl import Tensor, nn
from minidl.data import Digits
from minidl.optim import SGD


def train(
    images: numpy.ndarray, labels: numpy.ndarray, epochs: int = 4, lr: float = 0.02, seed: int = 0
) -> tuple[nn.Module, list[float]]:
    """LeNet-5 trained on images (N, 1, 32, 32) with labels (N,), in batches of 32; and the loss of every step."""
    minidl.use_algorithm("im2col")  # literally what stands in minidl/ops, and nothing faster
    minidl.manual_seed(seed)
    rng = numpy.random.default_rng(seed)
    net = lenet5()
    optimizer = SGD(net.parameters(), lr=lr, momentum=0.9)
    losses = []
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr if epoch < epochs - 1 else lr / 5  # smaller in the last one: the weights settle
        for batch in numpy.array_split(rng.permutation(len(images)), len(images) // 32):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(Tensor(images[batch])), Tensor(labels[batch]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return net, losses


def answers(net: nn.Module, images: numpy.ndarray) -> numpy.ndarray:
    """The digit (N,) with the highest score, for each image (N, 1, 32, 32)."""
    with minidl.no_grad():
        return net(Tensor(images)).data.argmax(axis=1)


def digits(training: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images (N, 1, 32, 32), float32 and normalised, and labels (N,): 1,437 digits to train on, or the 360 others."""
    images, labels = (tensor.data for tensor in Digits(train=training).tensors)
    return images, labels


def main() -> None:
    net, losses = train(*digits(training=True))
    images, labels = digits(training=False)
    right = int((answers(net, images) == labels).sum())
    print(f"loss of the first step {losses[0]:.2f}, mean of the last 40 {numpy.mean(losses[-40:]):.3f}")
    print(f"{right} of {len(labels)} unseen digits right: {right / len(labels):.1%}")


if __name__ == "__main__":
    main()

"""Every network learns one small batch of real images by heart: the loss of its training falls below 0.05.

    python -m tests.overfit                     all of architectures.catalog.NETWORKS (up to half an hour)
    python -m tests.overfit resnet20 vgg16      these only

The images are scikit-learn's handwritten digits (minidl.data.Digits), one each of the first few classes, brought to a
small size that the network reads and repeated to its channels. The network is the full one, with its own initial
weights, and with ten classes; it is in training mode, batch norm, dropout and drop-path included, and the optimizer is
Adam without weight decay. The loss is that of the step, before the weights move; googlenet's is the sum of its main
loss and 0.3 times those of the two heads. Prints a Markdown row for each network; exit code 1 if one did not get there.

Single-threaded: with so few images the products are small. For two cores, start the script twice with half the names.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import minidl
import minidl.nn.functional as F
from architectures.catalog import NETWORKS
from minidl.data import Digits
from minidl.optim import Adam
from minidl.parallel import one_blas_thread

ENOUGH = 0.05


@dataclass(frozen=True)
class Recipe:
    """What differs from network to network."""

    size: int = 32  # of the images; networks that pool over whatever is left read ImageNet's and CIFAR's sizes alike
    images: int = 4
    lr: float = 1e-3
    steps: int = 100  # at most
    seed: int = 0


# Without batch norm, or with 4096 inputs a unit, the steps must be small. Two images where a step takes seconds.
RECIPES = {
    "plain56": Recipe(steps=300),  # slow without shortcuts
    "preact_resnet1001": Recipe(images=2),
    "lenet5_1998": Recipe(lr=1e-2),
    "alexnet": Recipe(size=227, images=2, lr=1e-4),  # 227 is the only size that its fc6 takes
    "alexnet_grouped": Recipe(size=227, images=2, lr=1e-4),
    "alexnet_owt": Recipe(size=64, lr=1e-4),
    "zfnet": Recipe(size=224, images=2, lr=1e-4),
    "zfnet_wide": Recipe(size=224, images=2, lr=1e-4),
    "vgg11": Recipe(images=2, lr=1e-4),
    "vgg13": Recipe(images=2, lr=1e-4),
    "vgg16": Recipe(images=2, lr=1e-4),
    "vgg19": Recipe(images=2, lr=1e-4),
    "vgg11_bn": Recipe(images=2, lr=1e-4),
    "vgg13_bn": Recipe(images=2, lr=1e-4),
    "vgg16_bn": Recipe(images=2, lr=1e-4),
    "vgg19_bn": Recipe(images=2, lr=1e-4),
    "nin_cifar": Recipe(lr=3e-4, steps=300),
    "nin": Recipe(size=96, lr=3e-4, steps=300),
    "googlenet": Recipe(size=224, images=2, lr=3e-4, steps=150),  # its heads read 14x14, so 224
    # The ReLU after squeezenet's last convolution leaves classes without a gradient in some seeds.
    "squeezenet1_0": Recipe(size=64, lr=2e-4, steps=200, seed=1),
    "squeezenet1_1": Recipe(size=64, lr=2e-4, steps=200, seed=0),
    "squeezenet1_0_simple_bypass": Recipe(size=64, lr=2e-4, steps=200, seed=2),
    "squeezenet1_0_complex_bypass": Recipe(size=64, lr=2e-4, steps=200, seed=3),
}


def batch(images, channels, size):
    """Digits 0, 1, ... `images` - 1, the first of each in the training set: (N, channels, size, size) and labels."""
    pictures, labels = Digits(train=True).tensors
    first = [labels.tolist().index(digit) for digit in range(images)]
    pictures = F.interpolate(pictures[first], (size, size), mode="bilinear")
    return pictures.repeat(1, channels, 1, 1), labels[first]


def loss_of(outputs, labels):
    """The cross-entropy; of googlenet's three outputs, the paper's sum (sec. 5)."""
    if isinstance(outputs, tuple):
        main, *heads = (F.cross_entropy(scores, labels) for scores in outputs)
        return main + 0.3 * sum(heads)
    return F.cross_entropy(outputs, labels)


def overfit(network, recipe):
    """Trains until the loss is below ENOUGH or the steps are used up. Returns the steps taken and the last loss."""
    channels = network.input_shape[0]
    images, labels = batch(recipe.images, channels, recipe.size)
    minidl.manual_seed(recipe.seed)
    model = network.build(num_classes=10).train()
    optimizer = Adam(model.parameters(), lr=recipe.lr)
    step, loss = 0, loss_of(model(images), labels)
    while loss.item() >= ENOUGH and step < recipe.steps:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step, loss = step + 1, loss_of(model(images), labels)
    return step, loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NET", help="of architectures.catalog.NETWORKS; all of them")
    names = parser.parse_args().names or list(NETWORKS)
    if unknown := [name for name in names if name not in NETWORKS]:
        parser.error(f"no such network: {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    failed = []
    print("| network | images | optimizer | seed | steps | loss | below 0.05 | seconds |")
    print("| --- | --- | --- | ---: | ---: | ---: | --- | ---: |")
    for name in names:
        network, recipe = NETWORKS[name], RECIPES.get(name, Recipe())
        start = time.perf_counter()
        with one_blas_thread():
            steps, loss = overfit(network, recipe)
        seconds = time.perf_counter() - start
        if not loss < ENOUGH:
            failed.append(name)
        print(
            f"| {name} | {recipe.images} of {network.input_shape[0]}x{recipe.size}x{recipe.size} "
            f"| Adam, lr {recipe.lr:g} | {recipe.seed} | {steps} | {loss:.4f} "
            f"| {'NO' if name in failed else 'yes'} | {seconds:.1f} |",
            flush=True,
        )
    sys.exit(f"above {ENOUGH}: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()

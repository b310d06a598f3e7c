"""The degradation experiment: deeper plain nets train worse, deeper residual nets do not. Tasks 3.13 and 3.14.

He, Zhang, Ren & Sun, CVPR 2016, arXiv:1512.03385, sec. 1 and 4.2. The networks are those of
architectures/resnet_cifar.py, thin ones, and the images are scikit-learn's digits of 8x8 pixels.
"""

import numpy

import minidl
import minidl.nn.functional as F
from architectures.resnet_cifar import BasicBlock, PlainBlock, ResNet
from minidl import nn, optim
from minidl.data import Digits
from minidl.parallel import one_blas_thread


def make_identity(block):
    """Change a residual block so that block(x) = x for every x >= 0, whatever its convolutions hold; in train mode too.

    It changes numbers, not the block's code, and only two of its tensors need it.
    """
    nn.init.zeros_(block.bn2.weight)
    nn.init.zeros_(block.bn2.bias)


def deepen(shallow, deep):
    """The lecture's solution by construction: the deep net copies the shallow one, all blocks more are identities.

    shallow, deep   two residual nets of resnet_cifar.ResNet, of one width and with the same kinds of layers; each
                    stage (layer1, layer2, layer3) of the deep one has as many blocks or more

    Afterwards deep(x) = shallow(x) in evaluation. Parameters and buffers are copied; `shallow` is not changed.
    """
    for name in ("conv1", "bn1", "linear"):
        getattr(deep, name).load_state_dict(getattr(shallow, name).state_dict())
    for name in ("layer1", "layer2", "layer3"):
        old, new = getattr(shallow, name), getattr(deep, name)
        for i, block in enumerate(new):
            if i < len(old):
                block.load_state_dict(old[i].state_dict())
            else:
                make_identity(block)


def network(kind, depth, width=8, num_classes=10, in_channels=1):
    """A resnet_cifar.ResNet with `depth` layers: "plain" of PlainBlocks, "residual" of BasicBlocks.

    A net of n blocks in each of its three stages has 6n + 2 layers: 8, 14, 20, ... ValueError for any other depth,
    and for another kind.
    """
    blocks = {"plain": PlainBlock, "residual": BasicBlock}
    if kind not in blocks:
        raise ValueError(f"kind must be 'plain' or 'residual', got {kind!r}")
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth must be 8, 14, 20, ... 6n + 2, got {depth}")
    return ResNet(blocks[kind], (depth - 2) // 6, num_classes, in_channels, width)


def error_of(model, images, labels):
    """Percent of the images that the model gets wrong, in evaluation mode and without recording a graph.

    Afterwards the model is in the mode that it was in before.
    """
    training = model.training
    model.eval()
    with minidl.no_grad():
        wrong = model(images).argmax(dim=1) != labels
    model.train(training)
    return 100 * wrong.sum().item() / len(labels)


# ------------------------------------------------------------------------------- given: the training, and what it needs


def digits(count=None):
    """The first `count` training digits: images (count, 1, 8, 8) and labels (count,)."""
    images, labels = Digits(train=True, size=8).tensors
    return images[:count], labels[:count]


def train(model, images, labels, epochs, lr=0.02, batch_size=64, seed=0, after_epoch=None):
    """Train with SGD, momentum 0.9 and weight decay 5e-4; returns, for each epoch, the error while it ran, in percent.

    The errors are of the training images, each as it was met, so they lag behind a little. after_epoch(errors) is
    called with the errors so far.
    """
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    numbers, errors = numpy.random.default_rng(seed), []
    model.train()
    with one_blas_thread():  # the products are small
        for _ in range(epochs):
            order, wrong = numbers.permutation(len(labels)), 0
            for start in range(0, len(labels) - 1, batch_size):
                chosen = order[start : start + batch_size]
                scores = model(images[chosen])
                optimizer.zero_grad()
                F.cross_entropy(scores, labels[chosen]).backward()
                optimizer.step()
                wrong += (scores.argmax(dim=1) != labels[chosen]).sum().item()
            errors.append(100 * wrong / len(labels))
            if after_epoch is not None:
                after_epoch(errors)
    return errors


def experiment(depths, epochs, width=8, count=None, seed=0, after_run=None):
    """Train a plain and a residual net of each depth. Returns {(kind, depth): (errors by epoch, error at the end)}."""
    images, labels = digits(count)
    found = {}
    for kind in ("plain", "residual"):
        for depth in depths:
            minidl.manual_seed(seed)
            model = network(kind, depth, width)
            found[kind, depth] = train(model, images, labels, epochs, seed=seed), error_of(model, images, labels)
            if after_run is not None:
                after_run(kind, depth, *found[kind, depth])
    return found

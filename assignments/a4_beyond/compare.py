"""Cost against accuracy: what small editions of the networks cost, and how well they read digits. Task 4.8."""

import minidl
import minidl.nn.functional as F
from architectures.densenet import DenseLayer, DenseNet, cifar_stem
from architectures.fractalnet import FractalNet
from architectures.preact_resnet import BasicUnit, PreActResNet
from architectures.resnet_cifar import BasicBlock, ResNet
from architectures.resnext import ResNeXtCIFAR
from architectures.squeezenet import Fire
from architectures.stochastic_depth import StochasticResNet
from architectures.wide_resnet import WideResNet
from minidl import nn, optim
from minidl.data import DataLoader, Digits, TensorDataset
from minidl.parallel import one_blas_thread


def multiply_adds(model, image):
    """Multiply-adds of all convolutions and linear layers in model(image), for one image.

    model   any nn.Module: it is run once, in evaluation mode, with a forward hook on each nn.Conv2d and nn.Linear;
            afterwards it has no hooks more than before, and its mode is what it was
    image   a Tensor (N, C, H, W); what is returned is the number for one of the N

    A convolution: outputs x (C_in / groups) x KH x KW; a linear layer: outputs x in_features. A layer that runs twice
    counts twice. Biases, batch norm, ReLU and pooling are not counted, as everywhere in the lecture.
    """
    counted = []

    def count(module, inputs, output):
        counted.append(output.numel() // len(image) * module.weight[0].numel())

    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    training = model.training
    with minidl.no_grad():
        model.eval()(image)
    model.train(training)
    for handle in handles:
        handle.remove()
    return sum(counted)


def frontier(points):
    """The names of the networks that no other one beats, the cheapest first.

    points      {name: (cost, error)}

    One network beats another if neither its cost nor its error is higher, and one of them is lower. Two that are equal
    in both do not beat each other: both are named, in the order of `points`.
    """

    def beaten(cost, error):
        return any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in points.values())

    left = [name for name, point in points.items() if not beaten(*point)]
    return sorted(left, key=lambda name: points[name][0])


# ------------------------------------------------------------------------------- given: small networks, and a training


def squeezenet(width):
    """Fire modules for 8x8 images, with batch norm behind each: without it, a training is long, and touchy."""
    layers = [nn.Conv2d(1, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU()]
    for channels, expand in ((2, 1), (2, 2), (4, 2)):
        layers += [Fire(channels * width, width, expand * width, expand * width), nn.BatchNorm2d(2 * expand * width)]
        if (channels, expand) == (2, 1):
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


# For images (N, 1, 8, 8): name -> a function of the width, which is 8 in the middle
SMALL = {
    "ResNet": lambda width: ResNet(BasicBlock, 2, 10, 1, width),
    "pre-activation": lambda width: PreActResNet(BasicUnit, 2, 10, 1, width),
    "wide": lambda width: WideResNet(1, 2, 10, 1, width=width),
    "ResNeXt": lambda width: ResNeXtCIFAR(1, 4, width // 2, 10, 1, width),
    "stochastic depth": lambda width: StochasticResNet(2, 0.8, 10, 1, width),
    "FractalNet": lambda width: FractalNet(2, (width, 2 * width, 4 * width), (0.0,) * 3, 0.15, 0.5, 10, 1),
    "DenseNet": lambda width: DenseNet(DenseLayer, (3, 3, 3), width, cifar_stem, 2 * width, 0.5, 10, 1),
    "SqueezeNet": squeezenet,
}


def measured(name, width=8, images=400, epochs=12, lr=0.03, seed=0):
    """One network of SMALL, trained on few digits, so that errors are left to be seen, and tested on all others.

    Returns (multiply-adds, parameters, error in percent on the unseen digits).
    """
    minidl.manual_seed(seed)
    model = SMALL[name](width)
    pixels, labels = Digits(train=True, size=8).tensors
    loader = DataLoader(TensorDataset(pixels[:images], labels[:images]), 40, shuffle=True)
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    with one_blas_thread():  # the products are small
        for _ in range(epochs):
            for batch, answers in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(batch), answers).backward()
                optimizer.step()
                scheduler.step()
    model.eval()
    with minidl.no_grad():
        wrong = (model(pixels[images:]).argmax(dim=1) != labels[images:]).sum().item()
    cost = multiply_adds(model, minidl.zeros(1, 1, 8, 8))
    return cost, sum(p.numel() for p in model.parameters()), 100 * wrong / (len(labels) - images)

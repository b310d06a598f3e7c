"""Cost against accuracy: what small editions of the networks cost, and how well they read digits. Task 4.8."""

import minidl
from architectures.densenet import DenseLayer, DenseNet, cifar_stem
from architectures.fractalnet import FractalNet
from architectures.preact_resnet import BasicUnit, PreActResNet
from architectures.resnet_cifar import BasicBlock, ResNet
from architectures.resnext import ResNeXtCIFAR
from architectures.squeezenet import Fire
from architectures.stochastic_depth import StochasticResNet
from architectures.wide_resnet import WideResNet
from minidl import nn, optim
from minidl.data import DataLoader, Digits
from minidl.parallel import one_blas_thread
from minidl.training import fit


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


def squeezenet_small():
    """Fire modules on 8x8 images, with batch norm in front, which so short a training needs."""
    fires = [Fire(16, 8, 16, 16), Fire(32, 8, 16, 16), nn.MaxPool2d(2), Fire(32, 16, 32, 32), Fire(64, 16, 32, 32)]
    stem = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *fires, nn.Conv2d(64, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


# For images (N, 1, 8, 8): name -> a function without arguments that builds the network
SMALL = {
    "ResNet-14": lambda: ResNet(BasicBlock, 2, 10, 1, 8),
    "pre-activation": lambda: PreActResNet(BasicUnit, 2, 10, 1, 8),
    "wide": lambda: WideResNet(1, 2, 10, 1, width=8),
    "ResNeXt": lambda: ResNeXtCIFAR(1, 4, 4, 10, 1, width=8),
    "stochastic depth": lambda: StochasticResNet(2, 0.8, 10, 1, 8),
    "FractalNet": lambda: FractalNet(2, (12, 24, 48), (0.0, 0.0, 0.0), 0.15, 0.5, 10, 1),
    "DenseNet": lambda: DenseNet(DenseLayer, (3, 3, 3), 8, cifar_stem, 16, 0.5, 10, 1),
    "SqueezeNet": squeezenet_small,
}


def measured(name, epochs=6, seed=0):
    """One network of SMALL, trained on the digits: (multiply-adds, parameters, error in percent on unseen digits)."""
    minidl.manual_seed(seed)
    model = SMALL[name]()
    train, test = Digits(train=True, size=8), Digits(train=False, size=8)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    train_loader, test_loader = DataLoader(train, 64, shuffle=True), DataLoader(test, 360)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train_loader))
    with one_blas_thread():
        history = fit(
            model, train_loader, test_loader, nn.CrossEntropyLoss(), optimizer, epochs,
            scheduler=scheduler, schedule_by="step", progress=False,
        )  # fmt: skip
    cost = multiply_adds(model, minidl.zeros(1, 1, 8, 8))
    return cost, sum(p.numel() for p in model.parameters()), 100 - 100 * history.test_accuracy[-1]

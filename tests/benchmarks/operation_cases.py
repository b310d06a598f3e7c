"""The single operations that are timed, in the sizes that the networks have. Runs in worker.py, on either library."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from tests.benchmarks.subjects import architecture


@dataclass(frozen=True)
class Case:
    group: str  # what --only chooses by
    title: str
    shape: tuple[int, ...]  # of the input
    layer: Callable[[Any], Callable]  # given the library: what is called with the input
    images: bool = False  # the input is the network's own, which needs no gradient
    inputs: int = 1


def conv(title, batch, size, in_channels, out_channels, kernel_size, stride=1, padding=0, groups=1, images=False):
    def layer(library):
        return library.nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, 1, groups)

    return Case("conv", title, (batch, in_channels, size, size), layer, images)


def same(title, batch, size, channels, kernel_size=3, groups=1):
    """A convolution that keeps channels and size."""
    return conv(title, batch, size, channels, channels, kernel_size, 1, kernel_size // 2, groups)


def case(group, title, shape, layer, inputs=1):
    return Case(group, title, shape, layer, inputs=inputs)


def cross_entropy(library):
    labels = library.from_numpy(numpy.arange(128, dtype=numpy.int64) * 7 % 1000)
    return lambda scores: library.nn.functional.cross_entropy(scores, labels)


CASES = {
    case.title: case
    for case in (
        conv("conv 5x5, 1→6 @32, batch 128 (LeNet-5)", 128, 32, 1, 6, 5, images=True),
        conv("conv 5x5, 6→16 @14, batch 128 (LeNet-5)", 128, 14, 6, 16, 5),
        conv("conv 3x3, 3→16 @32, batch 128 (ResNet-20)", 128, 32, 3, 16, 3, 1, 1, images=True),
        same("conv 3x3, 16 @32, batch 128", 128, 32, 16),
        same("conv 3x3, 32 @16, batch 128", 128, 16, 32),
        same("conv 3x3, 64 @8, batch 128", 128, 8, 64),
        conv("conv 3x3/2, 16→32 @32, batch 128", 128, 32, 16, 32, 3, 2, 1),
        conv("conv 7x7/2, 3→64 @224, batch 8 (ResNet)", 8, 224, 3, 64, 7, 2, 3, images=True),
        conv("conv 11x11/4, 3→64 @224, batch 16 (AlexNet)", 16, 224, 3, 64, 11, 4, 2, images=True),
        conv("conv 3x3, 3→64 @224, batch 4 (VGG)", 4, 224, 3, 64, 3, 1, 1, images=True),
        same("conv 3x3, 64 @224, batch 4 (VGG)", 4, 224, 64),
        same("conv 3x3, 64 @56, batch 8", 8, 56, 64),
        same("conv 3x3, 128 @28, batch 8", 8, 28, 128),
        same("conv 3x3, 256 @14, batch 8", 8, 14, 256),
        same("conv 3x3, 512 @7, batch 8", 8, 7, 512),
        same("conv 3x3, 256 @56, batch 4 (VGG)", 4, 56, 256),
        conv("conv 3x3/2, 128 @56, batch 8", 8, 56, 128, 128, 3, 2, 1),
        conv("conv 1x1, 64→256 @56, batch 8", 8, 56, 64, 256, 1),
        conv("conv 1x1, 256→64 @56, batch 8", 8, 56, 256, 64, 1),
        conv("conv 1x1, 1024→256 @14, batch 8", 8, 14, 1024, 256, 1),
        conv("conv 1x1/2, 256→512 @56, batch 8", 8, 56, 256, 512, 1, 2),
        conv("conv 5x5, 32→96 @14, batch 8 (GoogLeNet)", 8, 14, 32, 96, 5, 1, 2),
        conv("conv 5x5, 64→192 @27, batch 16 (AlexNet)", 16, 27, 64, 192, 5, 1, 2),
        same("conv 3x3, 128 @56, 32 groups, batch 8", 8, 56, 128, groups=32),
        same("conv 3x3, 128 @56, depthwise, batch 8", 8, 56, 128, groups=128),
        case("pool", "max pool 2x2/2, 6 @28, batch 128", (128, 6, 28, 28), lambda library: library.nn.MaxPool2d(2)),
        case("pool", "max pool 2x2/2, 64 @224, batch 4", (4, 64, 224, 224), lambda library: library.nn.MaxPool2d(2)),
        case("pool", "max pool 3x3/2, 64 @112, batch 8", (8, 64, 112, 112), lambda lib: lib.nn.MaxPool2d(3, 2, 1)),
        case("pool", "max pool 3x3/1, 256 @28, batch 8", (8, 256, 28, 28), lambda lib: lib.nn.MaxPool2d(3, 1, 1)),
        case("pool", "avg pool 2x2/2, 256 @28, batch 8", (8, 256, 28, 28), lambda library: library.nn.AvgPool2d(2)),
        case("pool", "global avg pool, 2048 @7, batch 8", (8, 2048, 7, 7), lambda lib: lib.nn.AdaptiveAvgPool2d(1)),
        case("norm", "batch norm, 16 @32, batch 128", (128, 16, 32, 32), lambda library: library.nn.BatchNorm2d(16)),
        case("norm", "batch norm, 64 @112, batch 8", (8, 64, 112, 112), lambda library: library.nn.BatchNorm2d(64)),
        case("norm", "batch norm, 256 @56, batch 8", (8, 256, 56, 56), lambda library: library.nn.BatchNorm2d(256)),
        case("norm", "LRN, 64 @56, batch 8", (8, 64, 56, 56), lambda library: library.nn.LocalResponseNorm(5)),
        case("pointwise", "ReLU, 16 @32, batch 128", (128, 16, 32, 32), lambda library: library.nn.ReLU()),
        case("pointwise", "ReLU, 64 @112, batch 8", (8, 64, 112, 112), lambda library: library.nn.ReLU()),
        case("pointwise", "dropout, 4096, batch 16", (16, 4096), lambda library: library.nn.Dropout(0.5)),
        case("pointwise", "sum of two, 256 @56, batch 8", (8, 256, 56, 56), lambda library: lambda x, y: x + y, 2),
        case("concat", "concat, 4 times 64 @28, batch 8", (8, 64, 28, 28), lambda lib: lambda *x: lib.cat(x, 1), 4),
        case("linear", "linear, 25088→4096, batch 4 (VGG)", (4, 25088), lambda lib: lib.nn.Linear(25088, 4096)),
        case("linear", "linear, 400→120, batch 128 (LeNet-5)", (128, 400), lambda library: library.nn.Linear(400, 120)),
        case("loss", "softmax cross-entropy, 1000, batch 128", (128, 1000), cross_entropy),
    )
}

OPTIMIZERS = {"SGD step, VGG-16": ("vgg", "vgg16"), "SGD step, ResNet-50": ("resnet", "resnet50")}


def operation(library, title, backward):
    """A function that runs a case forward without recording, or, if `backward`, forward and backward."""
    case = CASES[title]
    random = numpy.random.default_rng(0)
    inputs = [library.from_numpy(random.standard_normal(case.shape, numpy.float32)) for _ in range(case.inputs)]
    layer = case.layer(library)

    def forward():
        with library.no_grad():
            layer(*inputs)

    if not backward:
        return forward
    learnt = [] if case.images else [tensor.requires_grad_() for tensor in inputs]
    learnt += layer.parameters() if hasattr(layer, "parameters") else []
    shape = tuple(layer(*inputs).shape)
    gradient = library.from_numpy(numpy.asarray(random.standard_normal(shape), numpy.float32))

    def forward_and_backward():
        for tensor in learnt:
            tensor.grad = None
        layer(*inputs).backward(gradient)

    return forward_and_backward


def optimizer_step(library, stem, network):
    """SGD with momentum and weight decay over a network's parameters, whose gradients stay what they are."""
    model = getattr(architecture(library, stem), network)()
    random = numpy.random.default_rng(0)
    for parameter in model.parameters():
        gradient = random.standard_normal(tuple(parameter.shape), numpy.float32)
        parameter.grad = library.from_numpy(gradient)
    optim = importlib.import_module(f"{library.__name__}.optim")
    return optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4).step


def tiny_chain(library, operations):
    """Forward and backward of a chain of products and ReLUs of 8x8 numbers: nearly nothing to compute."""
    x = library.from_numpy(numpy.ones((8, 8), numpy.float32)).requires_grad_()
    w = library.from_numpy(numpy.full((8, 8), 1.0001, numpy.float32)).requires_grad_()

    def run():
        y = x
        for _ in range(operations // 2):
            y = (y * w).relu()
        y.sum().backward()

    return run

"""Every number that the lecture "CNN Architectures" states, slide by slide, each with what minidl computes for it.

What a network is (shapes, parameters, multiply-adds, layers) comes from running the network of `architectures`. What
somebody once measured or decided (errors, recipes, years) comes from its publication, by way of the catalog.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import minidl
from architectures import catalog
from architectures.catalog import NETWORKS, WINNERS, Published
from architectures.googlenet import AuxiliaryHead, Inception, InceptionNaive
from minidl import nn
from minidl.cli.blank import undrawn
from minidl.cli.statement import Statement
from minidl.inspect.summary import Row, summary


def statements() -> Iterator[Statement]:
    """All of them, in the order of the slides."""
    yield from lenet()
    yield from alexnet_first_layers()
    yield from alexnet()
    yield from alexnet_details()
    yield from zfnet()
    yield from vgg()
    yield from vgg16_table()
    yield from googlenet()
    yield from inception()
    yield from resnet()
    yield from squeezenet()
    yield from citations()


# ---------------------------------------------------------------------------------------------- what networks tell


@dataclass(frozen=True)
class Layer:
    """A layer with weights or a window, and what its one run showed. Lengths are those of one side of a square."""

    path: str
    kind: str
    row: Row
    maps: int = 0  # that it makes
    sees: int = 0  # maps that one filter reads
    kernel: int = 0
    stride: int = 0
    pad: int = 0

    def __str__(self) -> str:
        """256 5x5 stride 1 pad 2, 3x3 stride 2 or nothing, as the lecture describes layers."""
        window = f"{self.kernel}x{self.kernel} stride {self.stride}"
        return {"Conv2d": f"{self.maps} {window} pad {self.pad}", "MaxPool2d": window}.get(self.kind, "")

    @property
    def height(self) -> int:
        return self.row.outputs[0][2]

    @property
    def volume(self) -> str:
        """27x27x96: the lecture writes the channels last."""
        channels, *size = self.row.outputs[0][1:]
        return "x".join(map(str, (*size, channels)))

    @property
    def floats(self) -> int:
        """Numbers in the output."""
        return self.row.forward // 4

    @property
    def weights(self) -> int:
        """Parameters without the biases, which the lecture does not count."""
        return self.row.parameters - self.row.biases


@dataclass(frozen=True)
class Run:
    """A network after one run: what it told, without its weights."""

    layers: tuple[Layer, ...]
    parameters: int
    weights: int
    depth: int  # operations with weights on the longest way from the image to the scores

    def __getitem__(self, name: str) -> Layer:
        """The layer whose path ends so."""
        (found,) = [layer for layer in self.layers if layer.path == name or layer.path.endswith("." + name)]
        return found

    def of(self, *kinds: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.kind in kinds]


@functools.cache
def run(name: str) -> Run:
    """The network of this name, run on one image of its size, as at test time."""
    entry = NETWORKS[name]
    with undrawn():
        model = entry.build().eval()
    return run_of(model, entry.input_shape)


def run_of(model: nn.Module, input_shape: tuple[int, int, int]) -> Run:
    """The same for any model."""
    outputs: list[Any] = []
    hook = model.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    told = summary(model, input_shape)  # which records the graph
    hook.remove()
    layers = tuple(_layer(row, model.get_submodule(row.layer)) for row in told.rows[1:] if row.layer)
    totals = told.totals
    parameters, biases = totals.parameters - totals.unused, sum(row.biases for row in told.rows)
    return Run(layers, parameters, parameters - biases, longest_chain(outputs[0].grad_fn))


def _layer(row: Row, module: nn.Module) -> Layer:
    kind = type(module).__name__
    if isinstance(module, nn.Conv2d):
        sees = module.in_channels // module.groups
        settings = module.kernel_size[0], module.stride[0], module.padding[0]
        return Layer(row.layer, kind, row, module.out_channels, sees, *settings)
    if isinstance(module, nn.MaxPool2d):
        kernel, stride = (size if isinstance(size, int) else size[0] for size in (module.kernel_size, module.stride))
        return Layer(row.layer, kind, row, kernel=kernel, stride=stride)
    return Layer(row.layer, kind, row)


def longest_chain(node: Any) -> int:
    """Operations with weights on the longest way through the recorded graph: the depth as papers count it."""
    nodes, stack = {node}, [node]
    while stack:
        new = {used for used, _ in stack.pop().next_functions if used is not None} - nodes
        nodes |= new
        stack.extend(new)
    depth: dict[Any, int] = {}
    for each in sorted(nodes, key=lambda each: each.sequence):  # a node's number is above those that it uses
        before = max((depth[used] for used, _ in each.next_functions if used is not None), default=0)
        depth[each] = before + (each.multiply_adds > 0)
    return depth[node]


def all_of(things: Iterable[Any]) -> str:
    """The text that all of them have in common, or all texts."""
    return " and ".join(sorted({str(thing) for thing in things}))


def window(layer: Layer) -> str:
    """How a filter moves, whatever their number: 3x3 stride 1 pad 1."""
    return str(layer).removeprefix(f"{layer.maps} ")


def published(name: str, protocol: str) -> Published:
    """The error of the network that its own paper gives for this protocol."""
    entry = NETWORKS[name]
    (found,) = [error for error in entry.published if (error.protocol, error.source) == (protocol, entry.paper)]
    return found


def winner(year: int, entry: str) -> catalog.Winner:
    """A bar of the challenge's chart."""
    (found,) = [bar for bar in WINNERS if (bar.year, bar.entry) == (year, entry)]
    return found


# ---------------------------------------------------------------------------------------------- LeNet-5 and AlexNet


def lenet() -> Iterator[Statement]:
    topic = "Review: LeNet-5"
    network = run("lenet5")
    conv, pool = all_of(map(window, network.of("Conv2d"))), all_of(network.of("MaxPool2d"))
    yield Statement(topic, "convolutions", "5x5 stride 1", conv.removesuffix(" pad 0"), "lenet5: its convolutions")
    yield Statement(topic, "subsampling", "2x2 stride 2", pool, "lenet5: its poolings")
    names = {"Conv2d": "CONV", "MaxPool2d": "POOL", "Linear": "FC"}
    order = "-".join(names[layer.kind] for layer in network.of(*names))
    remark = (
        "C5, F6 and the output are three; the lecture leaves one out. In the paper C5 is a convolution (the same thing "
        "on a 32x32 image), the poolings learn, and the output measures distances: lenet5_1998."
    )
    yield Statement(topic, "layers", "CONV-POOL-CONV-POOL-FC-FC", order, "lenet5: its layers", remark)


def alexnet_first_layers() -> Iterator[Statement]:
    topic = "AlexNet: the first layers"
    conv1, pool1 = run("alexnet")["conv1"], run("alexnet")["pool1"]
    covered = (conv1.height - 1) * conv1.stride + conv1.kernel
    remark = "The 224x224 in the paper is the size of the crop: 55 places of an 11x11 filter at stride 4 cover 227."
    yield Statement(
        topic, "input", "227x227x3", f"{covered}x{covered}x{conv1.sees}", "alexnet: what conv1 covers", remark
    )
    yield Statement(topic, "CONV1 output: (227-11)/4+1", "55", conv1.height, "alexnet conv1: output height")
    yield Statement(topic, "CONV1 output volume", "55x55x96", conv1.volume, "alexnet conv1: output")
    yield Statement(topic, "CONV1 parameters: (11*11*3)*96", "35K", conv1.weights, "alexnet conv1: weights")
    yield Statement(topic, "POOL1 output: (55-3)/2+1", "27", pool1.height, "alexnet pool1: output height")
    yield Statement(topic, "POOL1 output volume", "27x27x96", pool1.volume, "alexnet pool1: output")
    yield Statement(topic, "POOL1 parameters", "0", pool1.row.parameters, "alexnet pool1: parameters")


ALEXNET_LAYERS = (
    ("CONV1", "conv1", "96 11x11 stride 4 pad 0: 55x55x96"),
    ("MAX POOL1", "pool1", "3x3 stride 2: 27x27x96"),
    ("NORM1", "norm1", "27x27x96"),
    ("CONV2", "conv2", "256 5x5 stride 1 pad 2: 27x27x256"),
    ("MAX POOL2", "pool2", "3x3 stride 2: 13x13x256"),
    ("NORM2", "norm2", "13x13x256"),
    ("CONV3", "conv3", "384 3x3 stride 1 pad 1: 13x13x384"),
    ("CONV4", "conv4", "384 3x3 stride 1 pad 1: 13x13x384"),
    ("CONV5", "conv5", "256 3x3 stride 1 pad 1: 13x13x256"),
    ("MAX POOL3", "pool5", "3x3 stride 2: 6x6x256"),
    ("FC6", "fc6", "4096"),
    ("FC7", "fc7", "4096"),
    ("FC8", "fc8", "1000"),
)


def alexnet() -> Iterator[Statement]:
    topic = "AlexNet: the full network"
    network = run("alexnet")
    for claim, name, stated in ALEXNET_LAYERS:
        layer = network[name]
        computed = f"{layer}: {layer.volume}" if str(layer) else layer.volume
        remark = "The paper normalises before it pools: alexnet_grouped." if name == "norm1" else ""
        yield Statement(topic, claim, stated, computed, f"alexnet {name}", remark)
    grouped = run("alexnet_grouped")
    conv1, conv2 = grouped["conv1"], grouped["conv2"]
    halves = f"{conv1.height}x{conv1.height}x{conv2.sees} x {conv1.maps // conv2.sees}"
    yield Statement(topic, "CONV1 on two GPUs", "55x55x48 x 2", halves, "alexnet_grouped: what a filter of conv2 reads")


def alexnet_details() -> Iterator[Statement]:
    topic = "AlexNet: details"
    paper = catalog.ALEXNET
    single = published("alexnet_grouped", "10 crops")
    seven = published("alexnet_grouped", "7 networks, 2 of them pretrained on ImageNet 2011 Fall")
    with undrawn():
        dropout = {module.p for module in NETWORKS["alexnet"].build().modules() if isinstance(module, nn.Dropout)}
    yield Statement(topic, "dropout", "0.5", dropout.pop() if len(dropout) == 1 else tuple(dropout), "alexnet: dropout")
    yield Statement(topic, "batch size", "128", 128, paper)
    yield Statement(topic, "momentum", "0.9", 0.9, paper)
    yield Statement(topic, "learning rate", "1e-2", 0.01, paper)
    yield Statement(topic, "learning rate is divided by", "10", 10, paper)
    yield Statement(topic, "weight decay", "5e-4", 0.0005, paper)
    yield Statement(topic, "memory of each GPU", "3 GB", "3 GB", paper)
    yield Statement(topic, "top-5 error before the ensemble", "18.2 %", single.top5, f"{paper}: 1 network, validation")
    remark = "Two of the seven were pretrained on ImageNet 2011 Fall; five networks without extra images reach 16.4 %."
    yield Statement(topic, "top-5 error of 7 networks", "15.4 %", seven.top5, f"{paper}: validation", remark)


# --------------------------------------------------------------------------------------------------- ZFNet and VGG


def zfnet() -> Iterator[Statement]:
    topic = "ZFNet"
    before, drawn, wide = run("alexnet"), run("zfnet"), run("zfnet_wide")
    change = " -> ".join(window(network["conv1"]).partition(" pad")[0] for network in (before, wide))
    yield Statement(topic, "CONV1", "11x11 stride 4 -> 7x7 stride 2", change, "alexnet, zfnet_wide: conv1")
    names = ("conv3", "conv4", "conv5")
    widths = [", ".join(str(network[name].maps) for name in names) for network in (drawn, wide)]
    yield Statement(topic, "CONV3, 4, 5 in AlexNet", "384, 384, 256", widths[0], "zfnet: filters (as in alexnet)")
    remark = "A variant in the paper; the network that it draws keeps 384, 384, 256: zfnet."
    yield Statement(topic, "CONV3, 4, 5 in ZFNet", "512, 1024, 512", widths[1], "zfnet_wide: filters", remark)
    alexnet_error, paper_best = (
        winner(2012, "AlexNet"),
        published("zfnet_wide", "6 networks, zfnet and zfnet_wide, test images"),
    )
    how = f"{alexnet_error.source}: {alexnet_error.protocol}"
    yield Statement(topic, "top-5 error before (AlexNet)", "16.4 %", alexnet_error.top5, how)
    remark = (
        "11.7 % is the winning entry of ILSVRC'13, by Clarifai, the company of ZFNet's first author. The best that the "
        "paper prints for its own networks is 14.8 %, with six of them."
    )
    how = f"{paper_best.source}: 6 networks, test images"
    yield Statement(topic, "top-5 error of ZFNet", "11.7 %", paper_best.top5, how, remark)


def vgg() -> Iterator[Statement]:
    topic = "VGGNet: small filters"
    networks = [run("vgg16"), run("vgg19")]
    conv = all_of(window(layer) for network in networks for layer in network.of("Conv2d"))
    pool = all_of(layer for network in networks for layer in network.of("MaxPool2d"))
    yield Statement(topic, "layers of AlexNet", "8", run("alexnet").depth, "alexnet: layers with weights")
    yield Statement(topic, "layers of VGG16", "16", networks[0].depth, "vgg16: layers with weights")
    yield Statement(topic, "layers of VGG19", "19", networks[1].depth, "vgg19: layers with weights")
    yield Statement(topic, "all convolutions", "3x3 stride 1 pad 1", conv, "vgg16, vgg19: all of them")
    yield Statement(topic, "all poolings", "2x2 stride 2", pool, "vgg16, vgg19: all of them")
    clarifai, entry = winner(2013, "Clarifai"), winner(2014, "VGG")
    remark = "The lecture calls this entry ZFNet; it is Clarifai's."
    yield Statement(topic, "top-5 error in ILSVRC'13", "11.7 %", clarifai.top5, clarifai.source, remark)
    yield Statement(topic, "top-5 error in ILSVRC'14", "7.3 %", entry.top5, f"{entry.source}: {entry.protocol}")
    rank = 1 + sum(bar.top5 < entry.top5 for bar in WINNERS if bar.year == 2014)
    yield Statement(topic, "place in classification", "2", rank, "the entries of 2014 in the catalog")
    yield Statement(topic, "place in localization", "1", 1, entry.source)

    channels = 8
    with undrawn():
        stack = nn.Sequential(*(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(3)))
        one = nn.Conv2d(channels, channels, 7, padding=3, bias=False)
    how = "a gradient sent back from one output"
    claim = "receptive field of three 3x3 and of one 7x7"
    yield Statement(topic, claim, "7x7 = 7x7", f"{reach(stack)} = {reach(one)}", how)
    for claim, model, stated in (("three 3x3: 3*(3^2 C^2)", stack, "27 C^2"), ("one 7x7: 7^2 C^2", one, "49 C^2")):
        weights = sum(parameter.numel() for parameter in model.parameters()) / channels**2
        yield Statement(topic, f"parameters of {claim}", stated, f"{weights:g} C^2", "Conv2d layers with C channels")


def reach(model: nn.Module, size: int = 15) -> str:
    """How far the input pixels lie apart that one output depends on: rows x columns."""
    for parameter in model.parameters():
        nn.init.ones_(parameter)  # so that nothing cancels
    channels = next(model.parameters()).shape[1]
    image = minidl.zeros(1, channels, size, size, requires_grad=True)
    model(image)[0, 0, size // 2, size // 2].backward()
    assert image.grad is not None
    touched = image.grad.abs().sum((0, 1))
    rows, columns = (int((touched.sum(dim) > 0).sum().item()) for dim in (1, 0))
    return f"{rows}x{columns}"


VGG16_LAYERS = (  # memory and parameters, line by line
    ("CONV3-64", "3.2M", "1,728"),
    ("CONV3-64", "3.2M", "36,864"),
    ("POOL2", "800K", "0"),
    ("CONV3-128", "1.6M", "73,728"),
    ("CONV3-128", "1.6M", "147,456"),
    ("POOL2", "400K", "0"),
    ("CONV3-256", "800K", "294,912"),
    ("CONV3-256", "800K", "589,824"),
    ("CONV3-256", "800K", "589,824"),
    ("POOL2", "200K", "0"),
    ("CONV3-512", "400K", "1,179,648"),
    ("CONV3-512", "400K", "2,359,296"),
    ("CONV3-512", "400K", "2,359,296"),
    ("POOL2", "100K", "0"),
    ("CONV3-512", "100K", "2,359,296"),
    ("CONV3-512", "100K", "2,359,296"),
    ("CONV3-512", "100K", "2,359,296"),
    ("POOL2", "25K", "0"),
    ("FC", "4096", "102,760,448"),
    ("FC", "4096", "16,777,216"),
    ("FC", "1000", "4,096,000"),
)


def vgg16_table() -> Iterator[Statement]:
    topic = "VGG16: memory and parameters"
    network = run("vgg16")
    layers = network.of("Conv2d", "MaxPool2d", "Linear")
    image = 3 * 224 * 224
    yield Statement(topic, "INPUT: memory", "150K", image, "vgg16: numbers in the image")
    for (claim, memory, weights), layer in zip(VGG16_LAYERS, layers, strict=True):
        where = f"{claim} [{layer.volume}]"
        yield Statement(topic, f"{where}: memory", memory, layer.floats, f"vgg16 {layer.path}: numbers in its output")
        yield Statement(topic, f"{where}: parameters", weights, layer.weights, f"vgg16 {layer.path}: weights")
    floats = image + sum(layer.floats for layer in layers)
    remark = (
        "The lecture's own column adds up to 15.2M. Counting the outputs of the ReLUs as well gives 28.8M, so the 24M "
        "are not that either."
    )
    yield Statement(
        topic, "TOTAL memory, numbers", "24M", floats, "vgg16: image and outputs of all these lines", remark
    )
    remark = "24M * 4 bytes is 96 MB, but the 24M are wrong."
    yield Statement(topic, "TOTAL memory, bytes", "96 MB", 4 * floats, "the same, 4 bytes for a number", remark)
    back = (floats + floats - image) / floats
    yield Statement(topic, "memory with backward, times", "~2", back, "a gradient for each number but the image's")
    remark = f"{network.parameters:,} with biases."
    yield Statement(topic, "TOTAL parameters", "138M", network.weights, "vgg16: all weights", remark)
    early = sum(
        layer.floats for layer in layers[: VGG16_LAYERS.index(("POOL2", "400K", "0"))] if layer.kind == "Conv2d"
    )
    how = "vgg16: its first four convolutions, of all outputs"
    yield Statement(topic, "share of early CONV in the memory", "most", 100 * early / floats, how)
    late = sum(layer.weights for layer in network.of("Linear"))
    how = "vgg16: its three linear layers, of all weights"
    yield Statement(topic, "share of late FC in the parameters", "most", 100 * late / network.weights, how)


# -------------------------------------------------------------------------------------------------------- GoogLeNet


def googlenet() -> Iterator[Statement]:
    topic = "GoogLeNet"
    network, grouped = run("googlenet"), run("alexnet_grouped")
    entry = winner(2014, "GoogLeNet")
    yield Statement(topic, "layers", "22", network.depth, "googlenet: layers with weights")
    remark = (
        "One linear layer, 1024 -> 1000, gives the scores. It is the three large ones of AlexNet and VGG that are gone."
    )
    yield Statement(topic, "FC layers", "no", len(network.of("Linear")), "googlenet: linear layers", remark)
    remark = "With biases. The table of the paper adds up to 6.8 million."
    yield Statement(topic, "parameters", "5 million", network.parameters, "googlenet: parameters at test time", remark)
    remark = "60 million by 5 million is 12; with what GoogLeNet really has it is less than 9."
    less = grouped.parameters / network.parameters
    yield Statement(topic, "fewer parameters than AlexNet", "12x", less, "alexnet_grouped by googlenet", remark)
    yield Statement(topic, "top-5 error in ILSVRC'14", "6.7 %", entry.top5, f"{entry.source}: {entry.protocol}")
    with undrawn():
        head = AuxiliaryHead(512, 1000, 128, 1024)
    names = {"AvgPool2d": "AvgPool", "Conv2d": "1x1Conv", "Linear": "FC"}
    order = "-".join(names[layer.kind] for layer in run_of(head.eval(), (512, 14, 14)).of(*names))
    how = "AuxiliaryHead of googlenet (its softmax is in the loss)"
    yield Statement(topic, "auxiliary output", "AvgPool-1x1Conv-FC-FC", order, how)


NAIVE_LAYERS = (
    ("1x1 conv, 128", "28x28x128x1x1x256", "branch1.0"),
    ("3x3 conv, 192", "28x28x192x3x3x256", "branch2.0"),
    ("5x5 conv, 96", "28x28x96x5x5x256", "branch3.0"),
)
REDUCED_LAYERS = (
    ("1x1 conv, 64", "28x28x64x1x1x256", "branch2.0.0"),
    ("1x1 conv, 64", "28x28x64x1x1x256", "branch3.0.0"),
    ("1x1 conv, 128", "28x28x128x1x1x256", "branch1.0"),
    ("3x3 conv, 192", "28x28x192x3x3x64", "branch2.1.0"),
    ("5x5 conv, 96", "28x28x96x5x5x64", "branch3.1.0"),
    ("1x1 conv, 64", "28x28x64x1x1x256", "branch4.1.0"),
)


def inception() -> Iterator[Statement]:
    topic = "GoogLeNet: the Inception module"
    with undrawn():
        naive, reduced = InceptionNaive(256, 128, 192, 96), Inception(256, 128, 64, 192, 64, 96, 64)
    sizes = run_of(naive, (256, 28, 28)), run_of(reduced, (256, 28, 28))
    full, small = (sum(layer.row.multiply_adds for layer in size.layers) for size in sizes)

    yield from _products(topic, "naive", NAIVE_LAYERS, sizes[0])
    yield Statement(topic, "naive: total operations", "854M", full, "InceptionNaive: multiply-adds")
    yield Statement(topic, "naive: output", "28x28x672", _volume(naive), "InceptionNaive: 128 + 192 + 96 + 256")
    yield from _products(topic, "reduced", REDUCED_LAYERS, sizes[1])
    twice = small + sizes[1]["branch2.1.0"].row.multiply_adds
    remark = (
        f"The six lines of the slide add up to {small / 1e6:.0f}M. With the line of the 3x3 convolution counted twice "
        f"they make {twice:,}. The bottlenecks save a factor of {full / small:.1f}, not of {854 / 358:.1f}."
    )
    yield Statement(topic, "reduced: total operations", "358M", small, "Inception: multiply-adds", remark)
    yield Statement(topic, "reduced: output", "28x28x480", _volume(reduced), "Inception: 128 + 192 + 96 + 64")


def _products(topic: str, name: str, lines: tuple, module: Run) -> Iterator[Statement]:
    for claim, stated, path in lines:
        layer = module[path]
        computed = f"{layer.volume}x{layer.kernel}x{layer.kernel}x{layer.sees}"
        how = f"{path}: {layer.row.multiply_adds:,} multiply-adds"
        yield Statement(topic, f"{name}: [{claim}]", stated, computed, how)


def _volume(module: nn.Module) -> str:
    _, channels, height, width = module(minidl.zeros(1, 256, 28, 28)).shape
    return f"{height}x{width}x{channels}"


# ------------------------------------------------------------------------------------------ ResNet, and what followed


def resnet() -> Iterator[Statement]:
    topic = "ResNet"
    entry, small = winner(2015, "ResNet"), run("resnet34")
    yield Statement(topic, "layers for ImageNet", "152", run("resnet152").depth, "resnet152: layers with weights")
    alone = published("resnet152_v1", "dense, several scales").top5
    remark = f"Six networks; one of 152 layers alone has {alone:g} % on the validation images."
    how = f"{entry.source}: {entry.protocol}"
    yield Statement(topic, "top-5 error in ILSVRC'15", "3.57 %", entry.top5, how, remark)
    yield Statement(topic, "layers of the plain network", "56", run("plain56").depth, "plain56: layers with weights")
    block = [layer for layer in small.of("Conv2d") if layer.path.startswith("layer1.0.")]
    words = f"{len(block)} {all_of(f'{layer.kernel}x{layer.kernel}' for layer in block)}"
    remark = "In resnet18 and resnet34; from 50 layers on a block is 1x1, 3x3, 1x1, as the lecture says later."
    yield Statement(topic, "convolutions of a block", "2 3x3", words, "resnet34 layer1.0", remark)
    ends = [
        [layer for layer in small.of("Conv2d") if layer.path.startswith(f"layer{stage}.")][-1] for stage in range(1, 5)
    ]
    pairs = list(itertools.pairwise(ends))
    growth = all_of(f"{after.maps / before.maps:g}" for before, after in pairs)
    shrinking = all_of(f"{before.height / after.height:g}" for before, after in pairs)
    yield Statement(topic, "filters grow from stage to stage", "2x", f"{growth}x", "resnet34: the four stages")
    yield Statement(topic, "maps shrink in each dimension", "/2", f"/{shrinking}", "resnet34: the four stages")
    head = all_of(f"FC {layer.volume}" for layer in run("resnet152").of("Linear"))
    yield Statement(topic, "the only FC layer", "FC 1000", head, "resnet152: linear layers")
    with undrawn():
        built = {depth: NETWORKS[f"resnet{depth}"].build() for depth in (18, 34, 50, 101)}
    first = min(depth for depth, model in built.items() if "layer1.0.conv3.weight" in model.state_dict())
    yield Statement(
        topic, "bottleneck blocks from", "50", first, "resnet18 to resnet101: three convolutions in a block"
    )


def squeezenet() -> Iterator[Statement]:
    topic = "SqueezeNet"
    parameters = run("squeezenet1_0").parameters
    ratio = run("alexnet_grouped").parameters / parameters
    yield Statement(topic, "fewer parameters than AlexNet", "50x", ratio, "alexnet_grouped by squeezenet1_0")
    remark = (
        f"MB, as in the paper's title, not megabits: 0.47 MB. And only after Deep Compression; as float32 the "
        f"{parameters:,} parameters take {4 * parameters / 1e6:.2f} MB."
    )
    yield Statement(topic, "size of the model", "<0.5 Mb", 0.47e6, catalog.SQUEEZENET, remark)


# The lecture may cite the first version or the conference.
CITATIONS = (
    ("LeCun et al.", "1998", (1998,), catalog.LENET),
    ("Krizhevsky et al.", "2012", (2012,), catalog.ALEXNET),
    ("Zeiler and Fergus", "2013", (2013, 2014), catalog.ZFNET + ", ECCV 2014"),
    ("Simonyan and Zisserman", "2014", (2014, 2015), catalog.VGG + ", ICLR 2015"),
    ("Szegedy et al.", "2014", (2014, 2015), catalog.GOOGLENET + ", CVPR 2015"),
    ("He et al. (ResNet)", "2015", (2015, 2016), catalog.RESNET + ", CVPR 2016"),
    ("Canziani et al.", "2017", (2016, 2017), "arXiv:1605.07678, last version April 2017"),
    ("Lin et al. (NiN)", "2014", (2013, 2014), catalog.NIN + ", ICLR 2014"),
    ("He et al. (Identity Mappings)", "2016", (2016,), catalog.PREACT_RESNET + ", ECCV 2016"),
    ("Zagoruyko et al.", "2016", (2016,), catalog.WIDE_RESNET + ", BMVC 2016"),
    ("Huang et al. (Stochastic Depth)", "2016", (2016,), catalog.STOCHASTIC_DEPTH + ", ECCV 2016"),
    ("Larsson et al. (FractalNet)", "2017", (2016, 2017), catalog.FRACTALNET + ", ICLR 2017"),
    ("Iandola et al. (SqueezeNet)", "2017", (2016,), catalog.SQUEEZENET),
)


def citations() -> Iterator[Statement]:
    for claim, stated, years, source in CITATIONS:
        remark = "All versions on arXiv are of 2016, from February to November." if stated != str(years[-1]) else ""
        yield Statement("Years of the papers", claim, stated, years, source, remark if int(stated) not in years else "")

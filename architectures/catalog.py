"""The list of all networks: where each comes from, what it reads, how deep it is, which errors were published for it.

    for network in NETWORKS.values():
        model = network.build()
        scores = model.eval()(minidl.zeros(1, *network.input_shape))

Parameters and multiply-adds do not stand here: they are counted where they are shown (`minidl nets`), and the tests
know what must come out. An error belongs to its protocol: the same network has 24.7 % on one crop of the image, 22.85 %
on ten and 20.74 % on many scales (resnet50_v1), so numbers of different protocols must not be compared.

Sources of the errors: the papers named, the README files of the authors' repositories, and torchvision's own weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from architectures.alexnet import alexnet, alexnet_grouped, alexnet_owt
from architectures.densenet import (
    densenet40_12,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet_bc_100_12,
)
from architectures.fractalnet import fractalnet
from architectures.googlenet import googlenet
from architectures.lenet import lenet5, lenet5_1998
from architectures.nin import nin, nin_cifar
from architectures.preact_resnet import preact_resnet110, preact_resnet164, preact_resnet1001
from architectures.resnet import (
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet101_v1,
    resnet152,
    resnet152_v1,
)
from architectures.resnet_cifar import plain20, plain56, resnet20, resnet32, resnet44, resnet56, resnet110
from architectures.resnext import resnext29_8x64d, resnext50_32x4d, resnext101_32x8d
from architectures.squeezenet import (
    squeezenet1_0,
    squeezenet1_0_complex_bypass,
    squeezenet1_0_simple_bypass,
    squeezenet1_1,
)
from architectures.stochastic_depth import resnet110_stochastic_depth
from architectures.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from architectures.wide_resnet import wide_resnet50_2, wrn_16_8, wrn_28_10
from architectures.zfnet import zfnet, zfnet_wide


@dataclass(frozen=True)
class Published:
    """An error that somebody printed, in percent."""

    dataset: str  # "ImageNet" is ILSVRC-2012: its validation images, unless the protocol says something else
    top1: float | None
    top5: float | None
    protocol: str
    source: str


@dataclass(frozen=True)
class Network:
    """A function of `architectures`, and what its paper says about what it builds."""

    name: str
    build: Callable[..., Any]
    input_shape: tuple[int, int, int]  # C, H, W
    year: int  # of the first public version: the arXiv id's, where there is one
    depth: int  # layers with weights, as the paper counts them
    paper: str
    published: tuple[Published, ...]  # the paper's own first


@dataclass(frozen=True)
class Winner:
    """A bar of the lecture's chart of the ImageNet challenge (ILSVRC): the winner, or (VGG) the runner-up."""

    year: int
    entry: str
    depth: int | None  # None: not a neural network
    top5: float  # in percent, on the challenge's test images
    protocol: str
    source: str


# --------------------------------------------------------------------------------------------------------- papers

LENET = "LeCun et al. 1998, Proc. IEEE 86(11)"
ALEXNET = "Krizhevsky et al. 2012, NIPS"
ONE_WEIRD_TRICK = "Krizhevsky 2014, arXiv:1404.5997"
ZFNET = "Zeiler & Fergus 2013, arXiv:1311.2901"
NIN = "Lin et al. 2013, arXiv:1312.4400"
VGG = "Simonyan & Zisserman 2014, arXiv:1409.1556"
GOOGLENET = "Szegedy et al. 2014, arXiv:1409.4842"
RESNET = "He et al. 2015, arXiv:1512.03385"
SQUEEZENET = "Iandola et al. 2016, arXiv:1602.07360"
PREACT_RESNET = "He et al. 2016, arXiv:1603.05027"
STOCHASTIC_DEPTH = "Huang et al. 2016, arXiv:1603.09382"
WIDE_RESNET = "Zagoruyko & Komodakis 2016, arXiv:1605.07146"
FRACTALNET = "Larsson et al. 2016, arXiv:1605.07648"
DENSENET = "Huang et al. 2016, arXiv:1608.06993"
RESNEXT = "Xie et al. 2016, arXiv:1611.05431"
ILSVRC = "Russakovsky et al. 2014, arXiv:1409.0575"

# ------------------------------------------------------------------------------ the spellings of a published error

TORCHVISION = "torchvision 0.19.1, IMAGENET1K_V1"  # one protocol for everything: one centre crop of 224x224
HE_CAFFE = "github.com/KaimingHe/deep-residual-networks"
HE_TORCH = "github.com/facebookarchive/fb.resnet.torch"


def _imagenet(top1: float | None, top5: float | None, protocol: str, source: str) -> Published:
    return Published("ImageNet", top1, top5, protocol, source)


def _torchvision(top1: float, top5: float, remark: str = "") -> Published:
    return _imagenet(top1, top5, "1 crop" + remark, TORCHVISION)


def _cifar10(error: float, protocol: str, source: str) -> Published:
    return Published("CIFAR-10", error, None, protocol, source)


def _cifar100(error: float, protocol: str, source: str) -> Published:
    return Published("CIFAR-100", error, None, protocol, source)


AUGMENTED = "trained on crops and flips"  # of the image padded by 4 pixels: "C10+" and "C100+" in the papers

# -------------------------------------------------------------------------------------------------------- networks

GRAY_32, COLOUR_32, COLOUR_224, COLOUR_227 = (1, 32, 32), (3, 32, 32), (3, 224, 224), (3, 227, 227)

_ROWS = (
    (lenet5, GRAY_32, 1998, 5, LENET),
    (lenet5_1998, GRAY_32, 1998, 7, LENET),  # the paper counts S2 and S4, which learn there
    (alexnet, COLOUR_227, 2012, 8, ALEXNET),
    (alexnet_grouped, COLOUR_227, 2012, 8, ALEXNET),
    (alexnet_owt, COLOUR_224, 2014, 8, ONE_WEIRD_TRICK),
    (zfnet, COLOUR_224, 2013, 8, ZFNET),
    (zfnet_wide, COLOUR_224, 2013, 8, ZFNET),
    (vgg11, COLOUR_224, 2014, 11, VGG),
    (vgg13, COLOUR_224, 2014, 13, VGG),
    (vgg16, COLOUR_224, 2014, 16, VGG),
    (vgg19, COLOUR_224, 2014, 19, VGG),
    (vgg11_bn, COLOUR_224, 2014, 11, VGG),
    (vgg13_bn, COLOUR_224, 2014, 13, VGG),
    (vgg16_bn, COLOUR_224, 2014, 16, VGG),
    (vgg19_bn, COLOUR_224, 2014, 19, VGG),
    (nin_cifar, COLOUR_32, 2013, 9, NIN),
    (nin, COLOUR_224, 2013, 12, NIN),
    (googlenet, COLOUR_224, 2014, 22, GOOGLENET),
    (plain18, COLOUR_224, 2015, 18, RESNET),
    (plain34, COLOUR_224, 2015, 34, RESNET),
    (resnet18, COLOUR_224, 2015, 18, RESNET),
    (resnet34, COLOUR_224, 2015, 34, RESNET),
    (resnet50, COLOUR_224, 2015, 50, RESNET),
    (resnet101, COLOUR_224, 2015, 101, RESNET),
    (resnet152, COLOUR_224, 2015, 152, RESNET),
    (resnet50_v1, COLOUR_224, 2015, 50, RESNET),
    (resnet101_v1, COLOUR_224, 2015, 101, RESNET),
    (resnet152_v1, COLOUR_224, 2015, 152, RESNET),
    (resnet20, COLOUR_32, 2015, 20, RESNET),
    (resnet32, COLOUR_32, 2015, 32, RESNET),
    (resnet44, COLOUR_32, 2015, 44, RESNET),
    (resnet56, COLOUR_32, 2015, 56, RESNET),
    (resnet110, COLOUR_32, 2015, 110, RESNET),
    (plain20, COLOUR_32, 2015, 20, RESNET),  # its curves are drawn in figure 6, without numbers
    (plain56, COLOUR_32, 2015, 56, RESNET),
    (preact_resnet110, COLOUR_32, 2016, 110, PREACT_RESNET),
    (preact_resnet164, COLOUR_32, 2016, 164, PREACT_RESNET),
    (preact_resnet1001, COLOUR_32, 2016, 1001, PREACT_RESNET),
    (wrn_16_8, COLOUR_32, 2016, 16, WIDE_RESNET),
    (wrn_28_10, COLOUR_32, 2016, 28, WIDE_RESNET),
    (wide_resnet50_2, COLOUR_224, 2016, 50, WIDE_RESNET),
    (resnext50_32x4d, COLOUR_224, 2016, 50, RESNEXT),
    (resnext101_32x8d, COLOUR_224, 2016, 101, RESNEXT),  # not in the paper
    (resnext29_8x64d, COLOUR_32, 2016, 29, RESNEXT),
    (resnet110_stochastic_depth, COLOUR_32, 2016, 110, STOCHASTIC_DEPTH),
    (fractalnet, COLOUR_32, 2016, 20, FRACTALNET),
    (densenet121, COLOUR_224, 2016, 121, DENSENET),
    (densenet169, COLOUR_224, 2016, 169, DENSENET),
    (densenet201, COLOUR_224, 2016, 201, DENSENET),
    (densenet161, COLOUR_224, 2016, 161, DENSENET),
    (densenet40_12, COLOUR_32, 2016, 40, DENSENET),
    (densenet_bc_100_12, COLOUR_32, 2016, 100, DENSENET),
    (squeezenet1_0, COLOUR_224, 2016, 18, SQUEEZENET),
    (squeezenet1_1, COLOUR_224, 2016, 18, SQUEEZENET),
    (squeezenet1_0_simple_bypass, COLOUR_224, 2016, 18, SQUEEZENET),
    (squeezenet1_0_complex_bypass, COLOUR_224, 2016, 18, SQUEEZENET),
)

_PUBLISHED: dict[Callable[..., Any], tuple[Published, ...]] = {
    lenet5_1998: (
        Published("MNIST", 0.95, None, "no distortions", LENET),
        Published("MNIST", 0.8, None, "trained on distorted digits too", LENET),
    ),
    alexnet_grouped: (
        _imagenet(40.7, 18.2, "10 crops", ALEXNET),
        _imagenet(38.1, 16.4, "5 networks", ALEXNET),
        _imagenet(None, 16.4, "5 networks, test images", ALEXNET),
        _imagenet(36.7, 15.4, "7 networks, 2 of them pretrained on ImageNet 2011 Fall", ALEXNET),
        _imagenet(None, 15.3, "7 networks, 2 of them pretrained on ImageNet 2011 Fall, test images", ALEXNET),
        _imagenet(42.9, 19.8, "1 crop", "Caffe's bvlc_alexnet"),
    ),
    alexnet_owt: (_torchvision(43.478, 20.934),),
    zfnet: (_imagenet(38.4, 16.5, "10 crops", ZFNET), _imagenet(36.7, 15.3, "5 networks, 10 crops", ZFNET)),
    zfnet_wide: (
        _imagenet(37.5, 16.0, "10 crops", ZFNET),
        _imagenet(36.0, 14.7, "6 networks, zfnet and zfnet_wide", ZFNET),
        _imagenet(None, 14.8, "6 networks, zfnet and zfnet_wide, test images", ZFNET),
    ),
    vgg11: (_imagenet(29.6, 10.4, "dense, 1 scale", VGG), _torchvision(30.98, 11.372)),
    vgg13: (
        _imagenet(28.7, 9.9, "dense, 1 scale", VGG),
        _imagenet(28.2, 9.6, "dense, several scales", VGG),
        _torchvision(30.072, 10.754),
    ),
    vgg16: (
        _imagenet(25.6, 8.1, "dense, 1 scale", VGG),
        _imagenet(24.8, 7.5, "dense, several scales", VGG),
        _imagenet(24.4, 7.2, "dense and crops, several scales", VGG),
        _imagenet(28.5, 9.9, "1 crop", "the authors' Caffe release"),
        _torchvision(28.408, 9.618),
    ),
    vgg19: (
        _imagenet(25.5, 8.0, "dense, 1 scale", VGG),
        _imagenet(24.8, 7.5, "dense, several scales", VGG),
        _imagenet(24.4, 7.1, "dense and crops, several scales", VGG),
        _imagenet(24.7, 7.5, "7 networks, the entry to ILSVRC-2014", VGG),
        _imagenet(None, 7.3, "7 networks, the entry to ILSVRC-2014, test images", VGG),
        _torchvision(27.624, 9.124),
    ),
    vgg11_bn: (_torchvision(29.63, 10.19),),
    vgg13_bn: (_torchvision(28.414, 9.626),),
    vgg16_bn: (_torchvision(26.64, 8.484),),
    vgg19_bn: (_torchvision(25.782, 8.158),),
    nin_cifar: (
        _cifar10(10.41, "not augmented", NIN),
        _cifar10(8.81, "trained on translations and flips", NIN),
        _cifar100(35.68, "not augmented", NIN),
    ),
    nin: (_imagenet(40.64, None, "1 crop", "the author's Caffe release"),),
    googlenet: (
        _imagenet(None, 10.07, "1 crop", GOOGLENET),
        _imagenet(None, 9.15, "10 crops", GOOGLENET),
        _imagenet(None, 7.89, "144 crops", GOOGLENET),
        _imagenet(None, 6.67, "7 networks, 144 crops, also on the test images", GOOGLENET),
        _imagenet(31.3, 11.1, "1 crop", "Caffe's bvlc_googlenet"),
        _torchvision(30.222, 10.47, ", torchvision's variant with batch norm and 3x3 for 5x5"),
    ),
    plain18: (_imagenet(27.94, None, "10 crops", RESNET),),
    plain34: (_imagenet(28.54, 10.02, "10 crops", RESNET),),
    resnet18: (_imagenet(30.43, 10.76, "1 crop", HE_TORCH), _torchvision(30.242, 10.922)),
    resnet34: (
        _imagenet(24.52, 7.46, "10 crops", RESNET),
        _imagenet(21.84, 5.71, "dense, several scales", RESNET),
        _imagenet(26.73, 8.74, "1 crop", HE_TORCH),
        _torchvision(26.686, 8.58),
    ),
    resnet50: (_imagenet(24.01, 7.02, "1 crop", HE_TORCH), _torchvision(23.87, 7.138)),
    resnet101: (_imagenet(22.44, 6.21, "1 crop", HE_TORCH), _torchvision(22.626, 6.454)),
    resnet152: (_imagenet(22.16, 6.16, "1 crop", HE_TORCH), _torchvision(21.688, 5.954)),
    resnet50_v1: (
        _imagenet(22.85, 6.71, "10 crops", RESNET),
        _imagenet(20.74, 5.25, "dense, several scales", RESNET),
        _imagenet(24.7, 7.8, "1 crop", HE_CAFFE),
    ),
    resnet101_v1: (
        _imagenet(21.75, 6.05, "10 crops", RESNET),
        _imagenet(19.87, 4.6, "dense, several scales", RESNET),
        _imagenet(23.6, 7.1, "1 crop", HE_CAFFE),
    ),
    resnet152_v1: (
        _imagenet(21.43, 5.71, "10 crops", RESNET),
        _imagenet(19.38, 4.49, "dense, several scales", RESNET),
        _imagenet(23.0, 6.7, "1 crop", HE_CAFFE),
        _imagenet(None, 3.57, "6 networks (two of 152 layers), test images", RESNET),
    ),
    resnet20: (_cifar10(8.75, AUGMENTED, RESNET),),
    resnet32: (_cifar10(7.51, AUGMENTED, RESNET),),
    resnet44: (_cifar10(7.17, AUGMENTED, RESNET),),
    resnet56: (_cifar10(6.97, AUGMENTED, RESNET),),
    resnet110: (
        _cifar10(6.43, AUGMENTED + ", the best of 5 runs (6.61 ± 0.16)", RESNET),
        _cifar10(6.41, AUGMENTED, STOCHASTIC_DEPTH),
        _cifar100(27.22, AUGMENTED, STOCHASTIC_DEPTH),
    ),
    preact_resnet110: (_cifar10(6.37, AUGMENTED, PREACT_RESNET),),
    preact_resnet164: (_cifar10(5.46, AUGMENTED, PREACT_RESNET), _cifar100(24.33, AUGMENTED, PREACT_RESNET)),
    preact_resnet1001: (
        _cifar10(4.92, AUGMENTED + ", batches of 128 (4.89 ± 0.14)", PREACT_RESNET),
        _cifar10(4.62, AUGMENTED + ", batches of 64 (4.69 ± 0.20)", PREACT_RESNET),
        _cifar100(22.71, AUGMENTED + " (22.68 ± 0.22)", PREACT_RESNET),
    ),
    wrn_16_8: (_cifar10(4.27, AUGMENTED, WIDE_RESNET), _cifar100(20.43, AUGMENTED, WIDE_RESNET)),
    wrn_28_10: (
        _cifar10(4.0, AUGMENTED, WIDE_RESNET),
        _cifar10(3.89, AUGMENTED + ", dropout 0.3", WIDE_RESNET),
        _cifar100(19.25, AUGMENTED, WIDE_RESNET),
        _cifar100(18.85, AUGMENTED + ", dropout 0.3", WIDE_RESNET),
    ),
    wide_resnet50_2: (
        _imagenet(21.9, 6.03, "1 crop (another table of the paper prints 5.79)", WIDE_RESNET),
        _torchvision(21.532, 5.914),
    ),
    resnext50_32x4d: (_imagenet(22.2, None, "1 crop", RESNEXT), _torchvision(22.382, 6.302)),
    resnext101_32x8d: (_torchvision(20.688, 5.474),),
    resnext29_8x64d: (
        _cifar10(3.65, AUGMENTED + ", mean of 10 runs", RESNEXT),
        _cifar100(17.77, AUGMENTED + ", mean of 10 runs", RESNEXT),
    ),
    resnet110_stochastic_depth: (
        _cifar10(5.23, AUGMENTED, STOCHASTIC_DEPTH),
        _cifar100(24.58, AUGMENTED, STOCHASTIC_DEPTH),
    ),
    fractalnet: (
        _cifar10(4.6, AUGMENTED + ", dropout and drop-path", FRACTALNET),
        _cifar10(5.22, AUGMENTED, FRACTALNET),
        _cifar10(4.68, AUGMENTED + ", dropout and drop-path, the deepest column alone", FRACTALNET),
        _cifar10(7.33, "not augmented, dropout and drop-path", FRACTALNET),
        _cifar10(10.18, "not augmented", FRACTALNET),
        _cifar100(23.73, AUGMENTED + ", dropout and drop-path", FRACTALNET),
        _cifar100(23.3, AUGMENTED, FRACTALNET),
    ),
    densenet121: (
        _imagenet(25.02, 7.71, "1 crop", DENSENET),
        _imagenet(23.61, 6.66, "10 crops", DENSENET),
        _torchvision(25.566, 8.028),
    ),
    densenet169: (
        _imagenet(23.8, 6.85, "1 crop", DENSENET),
        _imagenet(22.08, 5.92, "10 crops", DENSENET),
        _torchvision(24.4, 7.194),
    ),
    densenet201: (
        _imagenet(22.58, 6.34, "1 crop", DENSENET),
        _imagenet(21.46, 5.54, "10 crops", DENSENET),
        _torchvision(23.104, 6.63),
    ),
    densenet161: (_imagenet(22.2, None, "1 crop", "github.com/liuzhuang13/DenseNet"), _torchvision(22.862, 6.44)),
    densenet40_12: (
        _cifar10(5.24, AUGMENTED, DENSENET),
        _cifar10(7.0, "not augmented", DENSENET),
        _cifar100(24.42, AUGMENTED, DENSENET),
        _cifar100(27.55, "not augmented", DENSENET),
    ),
    densenet_bc_100_12: (
        _cifar10(4.51, AUGMENTED, DENSENET),
        _cifar10(5.92, "not augmented", DENSENET),
        _cifar100(22.27, AUGMENTED, DENSENET),
        _cifar100(24.15, "not augmented", DENSENET),
    ),
    squeezenet1_0: (_imagenet(42.5, 19.7, "validation images", SQUEEZENET), _torchvision(41.908, 19.58)),
    squeezenet1_1: (_torchvision(41.822, 19.376),),
    squeezenet1_0_simple_bypass: (_imagenet(39.6, 17.5, "validation images", SQUEEZENET),),
    squeezenet1_0_complex_bypass: (_imagenet(41.2, 18.0, "validation images", SQUEEZENET),),
}

NETWORKS = {
    build.__name__: Network(build.__name__, build, input_shape, year, depth, paper, _PUBLISHED.get(build, ()))
    for build, input_shape, year, depth, paper in _ROWS
}

# The chart of the lecture's "ILSVRC winners" slides. Its bar of 2013 is called ZFNet there; it belongs to Clarifai, the
# company of ZFNet's first author, and 8 is ZFNet's number of layers.
WINNERS = (
    Winner(2010, "NEC-UIUC", None, 28.2, "the winner", ILSVRC),
    Winner(2011, "XRCE", None, 25.8, "the winner", ILSVRC),
    Winner(2012, "AlexNet", 8, 16.4, "5 networks, without extra training images", ALEXNET),
    Winner(2013, "Clarifai", 8, 11.7, "several networks, without extra training images", GOOGLENET),
    Winner(2014, "VGG", 19, 7.3, "7 networks; second place", VGG),
    Winner(2014, "GoogLeNet", 22, 6.67, "7 networks, 144 crops", GOOGLENET),
    Winner(2015, "ResNet", 152, 3.57, "6 networks", RESNET),
)

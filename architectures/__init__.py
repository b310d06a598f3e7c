"""The networks of the lecture "CNN Architectures", one paper a file: `architectures.resnet50()`.

What each is and which errors were published for it stands in catalog.py, for all of them in one table.
"""

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
from architectures.googlenet import Inception, InceptionNaive, googlenet
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

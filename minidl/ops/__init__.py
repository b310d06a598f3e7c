"""Every operation: a Function on plain arrays. No Tensor is known here, and no module but `xp` computes."""

from minidl.ops.activation import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minidl.ops.arithmetic import (
    Abs,
    Add,
    Clamp,
    Div,
    Exp,
    Log,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Sqrt,
    Sub,
    Where,
)
from minidl.ops.conversion import Cast, Clone, Transfer
from minidl.ops.convolution import Conv2d, ConvTranspose2d, Fold, Unfold
from minidl.ops.dropout import Dropout
from minidl.ops.linear import Linear, MatMul
from minidl.ops.loss import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    KLDiv,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
    SoftCrossEntropy,
)
from minidl.ops.normalization import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm
from minidl.ops.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d
from minidl.ops.reduction import Amax, Amin, CumSum, Max, Mean, Min, Prod, Std, Sum, Var
from minidl.ops.resize import InterpolateLinear, InterpolateNearest
from minidl.ops.shape import Cat, Expand, GetItem, Pad, Permute, Repeat, Reshape, SetItem, Split, Stack, assign

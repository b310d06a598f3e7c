"""Initial weights: functions that fill a tensor in place and return it. Nothing here is recorded.

Random numbers are drawn on the host from minidl's default generator (`manual_seed`) or from `generator`, so one seed
gives one network on every device.

A weight of shape (F, C, KH, KW) sums fan_in = C KH KW inputs into each output, and each input reaches
fan_out = F KH KW outputs; a matrix is the case KH = KW = 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from minidl.backend import Generator, default_generator
from minidl.checks import one_of
from minidl.errors import explain
from minidl.grad_mode import no_grad
from minidl.tensor import Tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations over a layer with this nonlinearity.

    1 for linear, convolutions and sigmoid; 5/3 for tanh; sqrt(2) for relu; sqrt(2 / (1 + param^2)) for leaky_relu
    (param is its slope, 0.01 if not given); 3/4 for selu. ValueError for any other.
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


# ------------------------------------------------------------------------------------------------- plain fillings


@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draws from U[a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draws from N(mean, std^2)."""
    return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Draws from N(mean, std^2) that lie in [a, b]; a and b are values, not multiples of std.

    Draws outside are drawn again. ValueError where [a, b] holds less than a thousandth of the distribution.
    """
    inside = (math.erf((b - mean) / (std * math.sqrt(2))) - math.erf((a - mean) / (std * math.sqrt(2)))) / 2
    if inside < 1e-3:
        raise ValueError(explain("trunc_normal_", f"[{a}, {b}] holds {inside:.2g} of N({mean}, {std}^2): too little"))
    random = _numpy_generator(generator)
    values = random.normal(mean, std, tensor.numel())
    outside = numpy.flatnonzero((values < a) | (values > b))
    while outside.size:
        values[outside] = again = random.normal(mean, std, outside.size)
        outside = outside[(again < a) | (again > b)]
    return _fill(tensor, values.reshape(tensor.shape))


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere. ValueError for other numbers of dimensions."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    return _fill(tensor, numpy.eye(rows, columns))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight that passes its inputs on: 1 at the centre of filter i for channel i, in each group.

    ValueError for a weight of other than 3, 4 or 5 dimensions, or whose filters do not divide into the groups.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    filters, channels = tensor.shape[:2]
    if filters % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = numpy.zeros(tensor.shape)
    centre = tuple(size // 2 for size in tensor.shape[2:])
    filters_of_group = filters // groups
    for group in range(groups):
        for i in range(min(filters_of_group, channels)):
            values[(group * filters_of_group + i, i, *centre)] = 1
    return _fill(tensor, values)


# ------------------------------------------------------------------------------------- scaled by the fan of a layer


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """U[-b, b) with b = gain sqrt(6 / (fan_in + fan_out)).

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    eq. (16): the variance of activations and of gradients is kept, as far as one number can keep both.
    """
    std = _xavier_std(tensor, gain)
    return uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, std^2) with std = gain sqrt(2 / (fan_in + fan_out)). Glorot & Bengio 2010, eq. (12)."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U[-b, b) with b = gain sqrt(3 / fan), where fan is fan_in or fan_out (`mode`) and gain^2 = 2 / (1 + a^2).

    He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852, sec. 2.2: half of a rectifier's inputs are
    lost, so the weights need twice the variance. fan_in keeps the variance forward (eq. 10), fan_out backward (eq. 14);
    `a` is the slope of a leaky rectifier (eq. 15).
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, std^2) with std = gain / sqrt(fan), as in kaiming_uniform_. He et al. 2015, arXiv:1502.01852, eq. (10)."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """What Linear and the convolutions start from, in PyTorch too: weight and bias from U[-b, b), b = 1 / sqrt(fan_in).

    It is kaiming_uniform_ with a = sqrt(5), a third of the variance of Glorot's (and no paper's).
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = _calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)


# ------------------------------------------------------------------------------------------------ other structures


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Orthonormal rows, or columns where there are more rows, times gain; dimensions after the first count as one.

    Saxe, McClelland & Ganguli, ICLR 2014, arXiv:1312.6120. The Q of a QR decomposition of normal draws; the signs of
    R's diagonal make it uniform over all such matrices. ValueError for less than 2 dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    rows = tensor.shape[0]
    draws = _numpy_generator(generator).standard_normal((rows, math.prod(tensor.shape[1:])))
    q, r = numpy.linalg.qr(draws.T if rows < draws.shape[1] else draws)
    q = q * numpy.sign(numpy.diag(r))
    return _fill(tensor, gain * (q.T if rows < draws.shape[1] else q).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """N(0, std^2), with a fraction `sparsity` of each column set to 0. ValueError if it is no matrix.

    Martens, "Deep learning via Hessian-free optimization", ICML 2010, sec. 5.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    random = _numpy_generator(generator)
    rows, columns = tensor.shape
    values = random.normal(0, std, (rows, columns))
    for column in range(columns):
        values[random.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return _fill(tensor, values)


# --------------------------------------------------------------------------------------------------------- helpers


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight. ValueError for less than 2 dimensions."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    filters, channels, *kernel = tensor.shape
    return channels * math.prod(kernel), filters * math.prod(kernel)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2 / sum(_calculate_fan_in_and_fan_out(tensor)))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    one_of("kaiming", "mode", mode, ("fan_in", "fan_out"))
    fan = _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan or 1)  # without inputs there is nothing to draw


def _numpy_generator(generator: Generator | None) -> numpy.random.Generator:
    return (generator or default_generator).numpy


@no_grad()
def _fill(tensor: Tensor, values: Any) -> Tensor:
    return tensor.copy_(Tensor(values))

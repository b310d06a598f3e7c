"""Activations, element by element, and softmax. x, y: any shape."""

from __future__ import annotations

import math

from minidl.algorithm import with_kernels
from minidl.backend import array_module
from minidl.elementwise import masked, positive_part
from minidl.function import Function
from minidl.gpu.softmax import of_rows
from minidl.ops.special import erf


class ReLU(Function):
    """y = max(x, 0)                    dx = dy [x > 0]

    At x = 0 the subgradient 0 is taken. With `in_place`, y is written over x.
    Nair & Hinton, ICML 2010; AlexNet sec. 3.1 (Krizhevsky et al., NIPS 2012).
    """

    def forward(self, x, *, in_place=False):
        y = positive_part(x, out=x if in_place else None)
        self.save_for_backward(y)  # y > 0 exactly where x > 0; x itself can be freed
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        return masked(grad_output, y)  # where y is not 0: it is never negative


class LeakyReLU(Function):
    """y = x where x > 0, else a x      dx = dy where x > 0, else a dy

    a: `negative_slope`. At x = 0 the slope is a, as in PyTorch.
    Maas, Hannun & Ng, ICML 2013 workshop.
    """

    def forward(self, x, *, negative_slope):
        self.negative_slope = negative_slope
        xp = array_module(x)
        self.save_for_backward(x > 0)  # a byte for each element; y would not do where a < 0
        return xp.maximum(x, 0) + negative_slope * xp.minimum(x, 0)  # `where` on random signs is five times as slow

    def backward(self, grad_output):
        (positive,) = self.saved_tensors
        return masked(grad_output, positive) + masked(self.negative_slope * grad_output, ~positive)


class ELU(Function):
    """y = s x where x > 0, else s a (e^x - 1)           dx = dy s where x > 0, else dy s a e^x

    a: `alpha`, s: `scale`. At x = 0 the slope is s a.
    ELU: s = 1 (Clevert, Unterthiner & Hochreiter, ICLR 2016). SELU: the a and s below, for which mean 0 and variance 1
    are a fixed point of a layer (Klambauer et al., NIPS 2017).
    """

    SELU_ALPHA = 1.6732632423543772848170429916717
    SELU_SCALE = 1.0507009873554804934193349852946

    def forward(self, x, *, alpha, scale):
        xp = array_module(x)
        negative = scale * alpha * xp.expm1(xp.minimum(x, 0))
        if self.needs_input_grad[0]:
            more = x.dtype.type(scale - scale * alpha)  # the slope is s a + negative, and this more where x > 0
            self.save_for_backward(negative + scale * alpha + (x > 0) * more)
        return scale * xp.maximum(x, 0) + negative

    def backward(self, grad_output):
        (slope,) = self.saved_tensors
        return grad_output * slope


class GELU(Function):
    """y = x P(x)                       dx = dy (P(x) + x P'(x))

    P: the normal distribution function, (1 + erf(x / sqrt(2))) / 2; with approximate="tanh",
    (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    Hendrycks & Gimpel, arXiv 1606.08415, sec. 2.
    """

    def forward(self, x, *, approximate):
        xp = array_module(x)
        near = xp.clip(x, -40, 40)  # P is 0 or 1 beyond, and powers of a large x would overflow
        square = near * near
        if approximate == "tanh":
            root = math.sqrt(2 / math.pi)
            t = xp.tanh(root * near * (1 + 0.044715 * square))
            probability = 0.5 * (1 + t)
            density = 0.5 * root * (1 - t * t) * (1 + 3 * 0.044715 * square)
        else:
            probability = 0.5 * (1 + erf(near * math.sqrt(0.5)))
            density = math.sqrt(0.5 / math.pi) * xp.exp(-0.5 * square)
        if self.needs_input_grad[0]:
            self.save_for_backward(probability + near * density)
        return x * probability

    def backward(self, grad_output):
        (slope,) = self.saved_tensors
        return grad_output * slope


class SiLU(Function):
    """y = x s(x)                       dx = dy (s + y (1 - s))

    s: the logistic function, see Sigmoid. Also called Swish.
    Hendrycks & Gimpel, arXiv 1606.08415; Ramachandran, Zoph & Le, arXiv 1710.05941.
    """

    def forward(self, x):
        s = sigmoid(x)
        y = x * s
        if self.needs_input_grad[0]:
            self.save_for_backward(s + y * (1 - s))
        return y

    def backward(self, grad_output):
        (slope,) = self.saved_tensors
        return grad_output * slope


class Softplus(Function):
    """y = ln(1 + e^(b x)) / b          dx = dy s(b x);  y = x and dx = dy where b x > threshold

    b: `beta`, s: the logistic function. Dugas et al., NIPS 2000; the linear part is PyTorch's.
    """

    def forward(self, x, *, beta, threshold):
        xp = array_module(x)
        z = beta * x
        linear = z > threshold
        if self.needs_input_grad[0]:
            self.save_for_backward(xp.where(linear, 1, sigmoid(z)))
        return xp.where(linear, x, softplus(z) / beta)

    def backward(self, grad_output):
        (slope,) = self.saved_tensors
        return grad_output * slope


class Sigmoid(Function):
    """y = s(x) = 1 / (1 + e^-x)        dx = dy y (1 - y)"""

    def forward(self, x):
        y = sigmoid(x)
        self.save_for_backward(y)
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        return grad_output * y * (1 - y)


class Tanh(Function):
    """y = tanh(x)                      dx = dy (1 - y^2)

    LeNet-5's squashing function is 1.7159 tanh(2/3 x): LeCun et al., Proc. IEEE 1998, appendix A.
    """

    def forward(self, x):
        y = array_module(x).tanh(x)
        self.save_for_backward(y)
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        return grad_output * (1 - y * y)


class Hardtanh(Function):
    """y = min(max(x, low), high)       dx = dy [low < x < high]

    At a bound no gradient passes: PyTorch's hardtanh and relu6 do so, its clamp (see Clamp) does not.
    ReLU6 is low = 0, high = 6 (Krizhevsky, 2010, "Convolutional deep belief networks on CIFAR-10").
    """

    def forward(self, x, *, low, high):
        self.save_for_backward(~((x <= low) | (x >= high)))  # a byte for each element; NaN counts as inside
        return array_module(x).clip(x, low, high)

    def backward(self, grad_output):
        (inside,) = self.saved_tensors
        return masked(grad_output, inside)


class Hardsigmoid(Function):
    """y = min(max(x + 3, 0), 6) / 6    dx = dy / 6 [-3 < x < 3]

    Courbariaux et al., NIPS 2015 (there with slope 1/2); this one: MobileNetV3 sec. 5.2 (Howard et al., ICCV 2019).
    """

    def forward(self, x):
        self.save_for_backward((x > -3) & (x < 3))
        return hardsigmoid(x)

    def backward(self, grad_output):
        (inside,) = self.saved_tensors
        return masked(grad_output / 6, inside)


class Hardswish(Function):
    """y = x min(max(x + 3, 0), 6) / 6  dx = dy (2 x + 3) / 6 inside -3 < x < 3, 0 below, dy above

    MobileNetV3 sec. 5.2 (Howard et al., ICCV 2019).
    """

    def forward(self, x):
        xp = array_module(x)
        if self.needs_input_grad[0]:
            middle = (xp.clip(x, -3, 3) * 2 + 3) / 6
            self.save_for_backward(xp.where(x <= -3, 0, xp.where(x >= 3, 1, middle)))
        return x * hardsigmoid(x)

    def backward(self, grad_output):
        (slope,) = self.saved_tensors
        return masked(grad_output, slope.astype(bool)) * slope


class Softmax(Function):
    """y_c = e^x_c / sum_k e^x_k        dx_c = y_c (dy_c - sum_k dy_k y_k)

    The sums run over `dim`. The maximum is subtracted from x first, which changes nothing but the range of e^x.
    """

    def forward(self, x, *, dim):
        self.dim = dim
        if _in_rows(x, dim):
            y = of_rows("softmax", x)
        else:
            y = array_module(x).exp(x - x.max(axis=dim, keepdims=True)) if x.size else x.copy()
            y /= y.sum(axis=dim, keepdims=True)
        self.save_for_backward(y)
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        if _in_rows(y, self.dim):
            return of_rows("softmax_gradient", grad_output, y)
        return y * (grad_output - (grad_output * y).sum(axis=self.dim, keepdims=True))


class LogSoftmax(Function):
    """y_c = x_c - ln sum_k e^x_k       dx_c = dy_c - e^y_c sum_k dy_k              (sums over `dim`)"""

    def forward(self, x, *, dim):
        self.dim = dim
        y = log_softmax(x, dim)
        self.save_for_backward(y)
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        if _in_rows(y, self.dim):
            return of_rows("log_softmax_gradient", grad_output, y)
        return grad_output - array_module(y).exp(y) * grad_output.sum(axis=self.dim, keepdims=True)


# ------------------------------------------------------------- values alone, for these and for losses (ops/loss.py)


def sigmoid(x):
    """1 / (1 + e^-x), where no power of e is above 1."""
    xp = array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-abs(x)))


def softplus(x):
    """ln(1 + e^x), where no power of e is above 1."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))


def hardsigmoid(x):
    """min(max(x + 3, 0), 6) / 6."""
    return array_module(x).clip(x + 3, 0, 6) / 6


def log_softmax(x, dim):
    """x - ln sum e^x over `dim`, with the maximum taken out of the sum."""
    if not x.size:
        return x.copy()
    if _in_rows(x, dim):
        return of_rows("log_softmax", x)
    xp = array_module(x)
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=dim, keepdims=True))


def _in_rows(x, dim):
    """True where the kernels that go row by row can take the place of the formulae."""
    return with_kernels(x) and x.size > 0 and x.ndim > 0 and dim % x.ndim == x.ndim - 1

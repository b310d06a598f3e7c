"""Arithmetic, element by element, with broadcasting.

Inputs a, b: arrays of any shapes that broadcast together, or one of them a Python number. What backward returns has the
shape of y; `broadcasts` tells the engine to sum the gradient of a smaller input over the broadcast dimensions.
"""

from __future__ import annotations

from minidl.backend import HostArray, array_module, is_array
from minidl.elementwise import add, masked, multiply
from minidl.function import Function


class Add(Function):
    """y = a + b                        da = dy,  db = dy"""

    broadcasts = True

    def forward(self, a, b):
        return add(a, b)

    def backward(self, grad_output):
        need_a, need_b = self.needs_input_grad
        return grad_output if need_a else None, grad_output if need_b else None


class Sub(Function):
    """y = a - b                        da = dy,  db = -dy"""

    broadcasts = True

    def forward(self, a, b):
        return a - b

    def backward(self, grad_output):
        need_a, need_b = self.needs_input_grad
        return grad_output if need_a else None, -grad_output if need_b else None


class Mul(Function):
    """y = a b                          da = dy b,  db = dy a"""

    broadcasts = True

    def forward(self, a, b):
        need_a, need_b = self.needs_input_grad
        self.save_for_backward(a if need_b else None, b if need_a else None)
        return a * b if type(a) is HostArray else multiply(a, b)

    def backward(self, grad_output):
        a, b = self.saved_tensors
        need_a, need_b = self.needs_input_grad
        if type(grad_output) is HostArray:
            return grad_output * b if need_a else None, grad_output * a if need_b else None
        return multiply(grad_output, b) if need_a else None, multiply(grad_output, a) if need_b else None


class Div(Function):
    """y = a / b                        da = dy / b,  db = -da a / b"""

    broadcasts = True

    def forward(self, a, b):
        self.save_for_backward(a if self.needs_input_grad[1] else None, b)
        return a / b

    def backward(self, grad_output):
        a, b = self.saved_tensors
        need_a, need_b = self.needs_input_grad
        grad_a = grad_output / b
        return grad_a if need_a else None, -grad_a * (a / b) if need_b else None


class Pow(Function):
    """y = a^b                          da = dy b a^(b-1),  db = dy y ln(a)

    At b = 0 the gradient da is 0, also for a = 0. At a = 0 the gradient db is 0 where b >= 0, as in PyTorch.
    """

    broadcasts = True

    def forward(self, a, b):
        y = a**b
        self.save_for_backward(a, b, y if self.needs_input_grad[1] else None)
        return y

    def backward(self, grad_output):
        a, b, y = self.saved_tensors
        xp = array_module(grad_output)
        need_a, need_b = self.needs_input_grad
        grad_a = grad_b = None
        if need_a:
            exponent = xp.asarray(b)  # a Python number too
            slope = b * a ** (xp.where(b == 0, 0, b - 1) if is_array(b) else b - 1 if b else 0)
            grad_a = masked(grad_output, exponent != 0) * slope
        if need_b:
            flat = xp.equal(a, 0) & xp.greater_equal(b, 0)
            log_a = xp.log(xp.where(flat, xp.ones_like(y), a))
            grad_b = masked(grad_output, ~flat) * y * log_a
        return grad_a, grad_b


class Neg(Function):
    """y = -x                           dx = -dy"""

    def forward(self, x):
        return -x

    def backward(self, grad_output):
        return -grad_output


class Exp(Function):
    """y = e^x                          dx = dy y"""

    def forward(self, x):
        y = array_module(x).exp(x)
        self.save_for_backward(y)
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        return grad_output * y


class Log(Function):
    """y = ln(x)                        dx = dy / x"""

    def forward(self, x):
        self.save_for_backward(x)
        return array_module(x).log(x)

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        return grad_output / x


class Sqrt(Function):
    """y = x^(1/2)                      dx = dy / (2 y)"""

    def forward(self, x):
        y = array_module(x).sqrt(x)
        self.save_for_backward(y)
        return y

    def backward(self, grad_output):
        (y,) = self.saved_tensors
        return grad_output / (2 * y)


class Abs(Function):
    """y = |x|                          dx = dy sign(x)             (0 at x = 0)"""

    def forward(self, x):
        self.save_for_backward(x)
        return abs(x)

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        return grad_output * array_module(x).sign(x)


class Maximum(Function):
    """y = max(a, b)                    da = dy [a > b],  db = dy [b > a];  half of dy to each where a = b

    Where one is NaN, so is y, and dy goes to both, as in PyTorch.
    """

    broadcasts = True

    def forward(self, a, b):
        self.save_for_backward(a, b)
        return array_module(a).maximum(a, b)

    def backward(self, grad_output):
        a, b = self.saved_tensors
        return _share(self, grad_output, a, b, a < b, b < a)


class Minimum(Function):
    """y = min(a, b)                    da = dy [a < b],  db = dy [b < a];  half of dy to each where a = b

    Where one is NaN, so is y, and dy goes to both, as in PyTorch.
    """

    broadcasts = True

    def forward(self, a, b):
        self.save_for_backward(a, b)
        return array_module(a).minimum(a, b)

    def backward(self, grad_output):
        a, b = self.saved_tensors
        return _share(self, grad_output, a, b, b < a, a < b)


def _share(node, grad_output, a, b, a_loses, b_loses):
    """Give each element of the gradient to the operand it came from, to both by halves where they are equal."""
    need_a, need_b = node.needs_input_grad
    shares = grad_output * (1 - (a == b) * grad_output.dtype.type(0.5))
    return (
        masked(shares, ~a_loses) if need_a else None,
        masked(shares, ~b_loses) if need_b else None,
    )


class Clamp(Function):
    """y = min(max(x, low), high)       dx = dy [low <= x <= high]

    low, high: numbers, or None for no bound. At a bound the gradient passes, as in PyTorch.
    """

    def forward(self, x, *, low, high):
        self.low, self.high = low, high
        self.save_for_backward(x)
        return array_module(x).clip(x, low, high)

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        if self.low is None:
            return masked(grad_output, x <= self.high)
        if self.high is None:
            return masked(grad_output, x >= self.low)
        return masked(grad_output, (x >= self.low) & (x <= self.high))


class Where(Function):
    """y = a where condition else b     da = dy [condition],  db = dy [not condition]"""

    broadcasts = True

    def forward(self, condition, a, b):
        self.save_for_backward(condition)
        return array_module(condition).where(condition, a, b)

    def backward(self, grad_output):
        (condition,) = self.saved_tensors
        _, need_a, need_b = self.needs_input_grad
        xp = array_module(grad_output)
        # Chosen, not multiplied by 0 or 1: an infinite gradient must not reach the operand that was not taken as NaN.
        return (
            None,
            xp.where(condition, grad_output, 0) if need_a else None,
            xp.where(condition, 0, grad_output) if need_b else None,
        )

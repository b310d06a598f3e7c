"""An energy to descend: small enough to see through."""

import numpy


def energy(x):
    """sum of (x_i^2 + x_i x_{i+1})"""
    return float((x * x).sum() + (x[:-1] * x[1:]).sum())


def gradient(x):
    """The gradient of `energy`, in the shape of x."""
    grad = 2 * x
    grad[:-1] += x[1:]  # each product has two factors
    grad[1:] += x[:-1]
    return grad


def descend(x, steps, lr):
    """`steps` steps of x <- leaky_relu(x - lr * x), the slope being 0.5; then the gradient of its sum."""
    import minidl
    from minidl.nn import functional as F

    x = minidl.tensor(numpy.asarray(x), requires_grad=True)
    y = x
    for _ in range(steps):
        y = F.leaky_relu(y - lr * y, 0.5)
    y.sum().backward()
    return x.grad.numpy()

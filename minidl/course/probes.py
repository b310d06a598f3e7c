"""What the checks look through: networks with weights that everybody has. Given; nothing is to be written here."""

import numpy

from minidl import Tensor


def filled(module, seed=0):
    """The module in float64 with numbers drawn from `seed`, in the order in which its parameters and averages come.

    A bias, a mean or a factor of batch norm is anything but 0 or 1, and a variance is positive, so that each of them
    is seen in the result.
    """
    module.double()
    numbers = numpy.random.default_rng(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.data.dtype.kind != "f":
            continue  # num_batches_tracked
        values = numbers.standard_normal(tensor.shape) / max(1.0, numpy.prod(tensor.shape[1:])) ** 0.5
        if tensor.ndim == 1:
            values = 0.5 * values + (1.2 if name.endswith(("weight", "var")) else 0.1)
        if name.endswith("var"):
            values = abs(values) + 0.1
        tensor.data[...] = values
    return module


def seen_by(module, x, grad_output=None):
    """module(x), and the gradient of its input for the gradient `grad_output` of its output. Arrays in, arrays out."""
    x = Tensor(x, requires_grad=True)
    y = module(x)
    if grad_output is None:
        return y.detach().numpy(), None
    y.backward(Tensor(grad_output))
    return y.detach().numpy(), x.grad.numpy()

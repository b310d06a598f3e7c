"""What the checks look through: networks with weights that everybody has. Given; nothing is to be written here."""

import itertools

import numpy

from minidl import Tensor


def filled(module, seed=0):
    """The module in float64 with numbers of its own for each layer, drawn from `seed` and the layer's name.

    So it does not matter in which order the layers were made. The parts of an nn.Sequential have an order and no names:
    they share the numbers of the whole, one part after the other. A bias, a mean or a factor of batch norm is anything
    but 0 or 1, and a variance is positive, so that each of them is seen in the result.
    """
    module.double()
    numbers = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.data.dtype.kind != "f":
            continue  # num_batches_tracked
        layer = ".".join(itertools.takewhile(lambda part: not part.isdigit(), name.split(".")[:-1]))
        values = numbers.setdefault(layer, numbers_of(layer, seed)).standard_normal(tensor.shape)
        values /= max(1.0, numpy.prod(tensor.shape[1:])) ** 0.5
        if tensor.ndim == 1:
            values = 0.5 * values + (1.2 if name.endswith(("weight", "var")) else 0.1)
        if name.endswith("var"):
            values = abs(values) + 0.1
        tensor.data[...] = values
    return module


def numbers_of(layer, seed=0):
    """The generator from which `filled` draws for a layer. That of a module's own parameters is called ""."""
    return numpy.random.default_rng([seed, *layer.encode()])


def seen_by(module, x, grad_output=None):
    """module(x), and the gradient of its input for the gradient `grad_output` of its output. Arrays in, arrays out."""
    x = Tensor(x, requires_grad=True)
    y = module(x)
    if grad_output is None:
        return y.detach().numpy(), None
    y.backward(Tensor(grad_output))
    return y.detach().numpy(), x.grad.numpy()

"""Initial weights for tests: none at all where only counts and shapes matter, larger ones where a network is thin."""

import numpy
import pytest

import minidl
from minidl.nn import init


def blank(build):
    """The network that `build` makes, all zeros in place of random numbers: memory that is not touched costs nothing.

    138 million draws would take seconds.
    """

    def zeros(tensor, *args, **kwargs):
        tensor.data = numpy.zeros(tensor.shape, tensor.dtype)
        return tensor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(init, "uniform_", zeros)
        patch.setattr(init, "normal_", zeros)
        return build()


def spread(model):
    """He's weights, always the same, in place of its own: a deviation of 0.01 is meant for more inputs than a few."""
    minidl.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            init.kaiming_normal_(parameter)
    return model


def without_dropout(model):
    """All dropout probabilities 0: minidl and torch draw different numbers."""
    for module in model.modules():
        if type(module).__name__ == "Dropout":
            module.p = 0.0
    return model

"""What part of its receptive field a unit makes use of: the effective receptive field, measured by backward.

The unit in the middle of a map gets the gradient 1 in every channel, all others 0; what arrives at the image says how
much each pixel matters to it. The absolute values, averaged over several random images, are large in the middle of the
theoretical field and fade towards its border, like a bell.

Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
NIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from minidl import autograd
from minidl.backend import CPU, Generator, transfer
from minidl.errors import explain
from minidl.grad_mode import no_grad
from minidl.inspect.receptive_field import Field, Fields
from minidl.inspect.trace import Line, Trace, random_input, trace, unchanged
from minidl.nn import BatchNorm1d, BatchNorm2d, Module
from minidl.tensor import Tensor

BATCH = 4  # images that fresh batch norms take their statistics from


@dataclass(frozen=True)
class EffectiveField:
    """The field of the unit in the middle of a layer's output. Pixels are counted from 0, the upper left one.

    layer, type   as in the summary
    output        the shape of the layer's output, without the batch
    stride        pixels from one unit to the next, in rows and columns
    box           the theoretical field: first row and column, last row and column; it may reach beyond the image
    weight        (H, W): how much each pixel of the image matters to the unit; the largest number is 1
    """

    layer: str
    type: str
    output: tuple[int, ...]
    stride: tuple[float, float]
    box: tuple[int, int, int, int]
    weight: numpy.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Of the theoretical field: rows and columns."""
        top, left, bottom, right = self.box
        return bottom - top + 1, right - left + 1

    @property
    def centre(self) -> tuple[float, float]:
        """Of the theoretical field: row and column."""
        top, left, bottom, right = self.box
        return (top + bottom) / 2, (left + right) / 2

    def diameter(self, share: float = 0.95) -> int:
        """The side of the smallest square around the centre that holds `share` of the weight."""
        pixels = [numpy.arange(size) for size in self.weight.shape]
        rows, columns = (abs(numbers - middle) for numbers, middle in zip(pixels, self.centre, strict=True))
        distance = numpy.maximum(rows[:, None], columns).ravel()
        outwards = distance.argsort()
        held = self.weight.ravel()[outwards].cumsum()
        last = numpy.searchsorted(held, share * held[-1])
        return int(2 * distance[outwards[last]]) + 1


def effective_fields(model: Module, shape: Sequence[int], samples: int = 4, seed: int = 0) -> list[EffectiveField]:
    """Effective fields in images of `shape` (C, H, W): of the last layer before each change of stride.

    The model runs in eval mode on `samples` images drawn from N(0, 1); a batch norm that has seen no batch yet takes
    its statistics from such images first. The model is left as it was. ValueError for a model without maps.
    """
    generator = Generator(seed)
    with unchanged(model):
        model.eval()
        model.requires_grad_(False)  # the gradient of the image is all that is wanted
        _settle_batch_norms(model, random_input(model, (BATCH, *shape), generator))
        layers, weights = [], []
        for _ in range(samples):
            image = random_input(model, (1, *shape), generator).requires_grad_()
            layers = _last_of_each_stride(trace(model, image))
            weights.append([_influence(line.outputs[0].tensor, image) for line, _ in layers])
    if not layers:
        raise ValueError(explain("effective_fields", f"{type(model).__name__} has no layer with several positions"))
    means = (numpy.mean(of_layer, axis=0) for of_layer in zip(*weights, strict=True))
    return [_effective(line, field, mean) for (line, field), mean in zip(layers, means, strict=True)]


def _settle_batch_norms(model: Module, images: Tensor) -> None:
    """Give batch norms that have no statistics yet those of `images`: with mean 0 and variance 1 for all of them, the
    values in a deep residual network would grow from block to block."""
    norms = [module for module in model.modules() if isinstance(module, (BatchNorm1d, BatchNorm2d))]
    fresh = [norm for norm in norms if norm.track_running_stats and not norm.num_batches_tracked.item()]
    for norm in fresh:
        norm.training, norm.momentum = True, 1.0
    if fresh:
        with no_grad():
            model(images)
    for norm in fresh:
        norm.training = False


def _last_of_each_stride(run: Trace) -> list[tuple[Line, Field]]:
    """The last line of each stride that computes a map, from the smallest stride to the largest."""
    fields = Fields(run)
    last: dict[tuple[float, float], tuple[Line, Field]] = {}
    for line in run.lines():
        field = fields.of(line.outputs[0]) if line.operations else None  # dropout does nothing at test time
        if field is not None and field.is_map:
            last[field.stride] = line, field
    return [last[stride] for stride in sorted(last)]


def _influence(map: Tensor, image: Tensor) -> numpy.ndarray:
    """(H, W): the absolute gradient of the image, summed over colours, for the middle of `map`, all channels added."""
    unit = map.detach() * 0
    unit.data[..., map.shape[-2] // 2, map.shape[-1] // 2] = 1
    (gradient,) = autograd.grad(map, image, unit, retain_graph=True, allow_unused=True)
    if gradient is None:
        return numpy.zeros(image.shape[-2:])
    return abs(transfer(gradient.data, CPU)).sum(axis=(0, 1))


def _effective(line: Line, field: Field, weight: numpy.ndarray) -> EffectiveField:
    *shape, H, W = line.outputs[0].shape
    (top, bottom), (left, right) = (
        (int(span.first[middle]), int(span.last[middle])) for span, middle in zip(field, (H // 2, W // 2), strict=True)
    )
    largest = weight.max() or 1
    return EffectiveField(
        line.layer, line.type, (*shape[1:], H, W), field.stride, (top, left, bottom, right), weight / largest
    )

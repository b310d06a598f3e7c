"""Task 2.11: what a network costs, on paper: sizes, weights, memory and receptive fields of AlexNet and VGG-16.

    python -m assignments.a2_convolution.counting

The networks are lists of layers, as the lecture prints them. Everything is for one image, forward; a shape is
(channels, rows, columns), and all images, maps and kernels are square.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

Shape = tuple[int, int, int]


class Layer(NamedTuple):
    """One line of the lecture's list.

    kind        "conv", "pool", "norm" or "fc"
    maps        filters of a convolution, units of a fully connected layer; 0 for the others
    kernel, stride, padding     of a convolution or a pooling
    """

    name: str
    kind: str
    maps: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape that comes out of `layer` where `shape` goes in.

    conv: (maps, OH, OW); pool: the channels stay; norm: everything stays; fc: (maps, 1, 1).
    Rows and columns of conv and pool: floor((size + 2 padding - kernel) / stride) + 1.
    """
    channels, rows, columns = shape
    if layer.kind == "norm":
        return shape
    if layer.kind == "fc":
        return layer.maps, 1, 1
    rows, columns = ((size + 2 * layer.padding - layer.kernel) // layer.stride + 1 for size in (rows, columns))
    return layer.maps if layer.kind == "conv" else channels, rows, columns


def weights_and_biases(layer: Layer, shape: Shape) -> tuple[int, int]:
    """How many weights and how many biases `layer` has where `shape` goes in. (0, 0) for pool and norm.

    A filter of a convolution has one weight for each channel and each pixel of its window; a unit of a fully connected
    layer one for each number of its input. Each filter and each unit has one bias.
    """
    if layer.kind == "conv":
        return layer.maps * shape[0] * layer.kernel**2, layer.maps
    if layer.kind == "fc":
        return layer.maps * prod(shape), layer.maps
    return 0, 0


def field_and_step(layer: Layer, shape: Shape, field: int, step: int) -> tuple[int, int]:
    """The receptive field after `layer`, and the step, where they were `field` and `step` before it.

    field       how many pixels of the image, in one direction, a unit sees: 1 for the image itself
    step        how many pixels of the image lie between two neighbouring units: 1 for the image itself

    A kernel of K pixels, `step` apart each, sees (K - 1) * step pixels more than one of them does; the stride widens
    the step. A norm changes nothing. A fully connected layer is a kernel as large as its input, with stride 1.
    """
    if layer.kind == "norm":
        return field, step
    if layer.kind == "fc":
        return field + (shape[1] - 1) * step, step
    return field + (layer.kernel - 1) * step, step * layer.stride


class Row(NamedTuple):
    """What is counted of one layer. memory: the numbers of its output."""

    name: str
    output: Shape
    memory: int
    weights: int
    biases: int
    field: int
    step: int


def count(layers: list[Layer], image: Shape) -> list[Row]:
    """A row for the image, and one for each layer."""
    shape, field, step = image, 1, 1
    rows = [Row("image", image, prod(image), 0, 0, field, step)]
    for layer in layers:
        weights, biases = weights_and_biases(layer, shape)
        field, step = field_and_step(layer, shape, field, step)
        shape = output_shape(layer, shape)
        rows.append(Row(layer.name, shape, prod(shape), weights, biases, field, step))
    return rows


def totals(rows: list[Row]) -> tuple[int, int, int]:
    """(parameters, numbers in memory, bytes of memory) of all rows together.

    Parameters are weights and biases; a number takes 4 bytes (float32). The image counts as memory.
    """
    numbers = sum(row.memory for row in rows)
    return sum(row.weights + row.biases for row in rows), numbers, 4 * numbers


ALEXNET = [  # image (3, 227, 227)
    Layer("conv1", "conv", 96, kernel=11, stride=4),
    Layer("pool1", "pool", kernel=3, stride=2),
    Layer("norm1", "norm"),
    Layer("conv2", "conv", 256, kernel=5, padding=2),
    Layer("pool2", "pool", kernel=3, stride=2),
    Layer("norm2", "norm"),
    Layer("conv3", "conv", 384, kernel=3, padding=1),
    Layer("conv4", "conv", 384, kernel=3, padding=1),
    Layer("conv5", "conv", 256, kernel=3, padding=1),
    Layer("pool3", "pool", kernel=3, stride=2),
    Layer("fc6", "fc", 4096),
    Layer("fc7", "fc", 4096),
    Layer("fc8", "fc", 1000),
]


def vgg16() -> list[Layer]:
    """VGG-16, for an image (3, 224, 224): five blocks of 3x3 convolutions with a 2x2 pooling after each, three fc."""
    layers = []
    for block, maps in enumerate(((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), start=1):
        layers += [
            Layer(f"conv{block}-{i}", "conv", filters, kernel=3, padding=1) for i, filters in enumerate(maps, start=1)
        ]
        layers.append(Layer(f"pool{block}", "pool", kernel=2, stride=2))
    return [*layers, Layer("fc6", "fc", 4096), Layer("fc7", "fc", 4096), Layer("fc8", "fc", 1000)]


def main() -> None:
    for title, layers, image in (("AlexNet", ALEXNET, (3, 227, 227)), ("VGG-16", vgg16(), (3, 224, 224))):
        rows = count(layers, image)
        print(
            f"{title}\n{'layer':10s}{'output':>16s}{'memory':>12s}{'weights':>14s}{'biases':>8s}{'field':>7s}{'step':>6s}"
        )
        for row in rows:
            output = "x".join(map(str, row.output))
            print(
                f"{row.name:10s}{output:>16s}{row.memory:12,}{row.weights:14,}{row.biases:8,}{row.field:7}{row.step:6}"
            )
        parameters, numbers, size = totals(rows)
        print(f"{parameters:,} parameters, {numbers:,} numbers in memory, {size / 1e6:.1f} MB for one image\n")


if __name__ == "__main__":
    main()

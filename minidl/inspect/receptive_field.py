"""What part of the image each unit sees: the theoretical receptive field, from the operations that ran.

Rows and columns of the image are followed apart. In one direction a map has n positions, and position i sees the pixels
first[i] .. last[i] of the image. The image sees itself: first = last = 0, 1, 2, ... An operation has position i look at
the positions low[i] .. high[i] of its input, so i sees first[low[i]] .. last[high[i]]. A kernel of K taps with stride
s, dilation d and padding p has

    low[i] = s i - p                high[i] = s i - p + d (K - 1)

hence the usual recursion: the size grows by d (K - 1) times the stride so far, and the stride is multiplied by s. Where
branches come together (a sum, a concatenation) a unit sees what any of them sees.

A position in the padding counts as if the map went on there. So the field of a unit near the border reaches beyond the
image, and is as large as all others. What normalization and softmax learn about other positions is left out.

Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from minidl import ops
from minidl.backend import CPU, transfer
from minidl.errors import explain
from minidl.inspect.tables import pair_text, shape_text, text_table
from minidl.inspect.trace import Operation, Trace, Value, as_input, trace
from minidl.nn import Module
from minidl.tensor import Tensor


class Span:
    """In one direction: the first and the last pixel of the image that each position of a map sees.

    step    how many pixels of the image lie between positions; 0 where there is a single one that sees everything
    """

    def __init__(self, first: numpy.ndarray, last: numpy.ndarray, step: float):
        self.first, self.last, self.step = numpy.floor(first), numpy.ceil(last), step

    def __len__(self) -> int:
        return len(self.first)

    @property
    def size(self) -> int:
        """How many pixels a position sees; the largest number where they differ."""
        return int((self.last - self.first).max()) + 1

    @property
    def centre(self) -> float:
        """The middle of what the first position sees; 0 is the middle of the first pixel."""
        return float(self.first[0] + self.last[0]) / 2

    def through(self, reach: Reach) -> Span:
        """The span of an operation's output, for the positions of its input that it looks at."""
        first = self._at(self.first, numpy.asarray(reach.low))
        last = self._at(self.last, numpy.asarray(reach.high))
        return Span(first, last, self.step * reach.step)

    def _at(self, values: numpy.ndarray, positions: numpy.ndarray) -> numpy.ndarray:
        inside = positions.clip(0, len(self) - 1)
        return values[inside] + (positions - inside) * self.step

    def joined(self) -> Span:
        """One position that sees what all of them see."""
        return Span(self.first.min(keepdims=True), self.last.max(keepdims=True), 0)


class Field(NamedTuple):
    """What the positions of a map see. A vector has one position: what any of its numbers sees."""

    rows: Span
    columns: Span

    @property
    def size(self) -> tuple[int, int]:
        return self.rows.size, self.columns.size

    @property
    def stride(self) -> tuple[float, float]:
        return self.rows.step, self.columns.step

    @property
    def centre(self) -> tuple[float, float]:
        return self.rows.centre, self.columns.centre

    @property
    def is_map(self) -> bool:
        """True where there are several positions."""
        return len(self.rows) > 1 or len(self.columns) > 1


# ----------------------------------------------------------------------------------- where the operations look


class Reach(NamedTuple):
    """In one direction: which positions of its input each position of an operation's output looks at."""

    low: Any
    high: Any
    step: float  # positions of the input from one of the output to the next


def _convolution(node: Any, i: int, size: int, count: int) -> Reach:
    stride, padding, dilation = (setting[i] for setting in node.geometry)
    return _kernel(node.weight_shape[2 + i], stride, padding, dilation, count)


def _pooling(node: Any, i: int, size: int, count: int) -> Reach:
    kernel_size, _, stride, padding, dilation = (setting[i] for setting in node.geometry)
    return _kernel(kernel_size, stride, padding, dilation, count)


def _kernel(kernel_size: int, stride: int, padding: tuple[int, int], dilation: int, count: int) -> Reach:
    low = stride * numpy.arange(count) - padding[0]
    return Reach(low, low + dilation * (kernel_size - 1), stride)


def _transposed_convolution(node: Any, i: int, size: int, count: int) -> Reach:
    """Position o takes from each h with o = stride h - padding + dilation k."""
    stride, padding, dilation = (setting[i] for setting in node.geometry)
    end = numpy.arange(count) + padding[0]
    return Reach(-(-(end - dilation * (node.weight_shape[2 + i] - 1)) // stride), end // stride, 1 / stride)


def _adaptive_pooling(node: Any, i: int, size: int, count: int) -> Reach:
    o = numpy.arange(count)
    return Reach(o * size // count, -(-(o + 1) * size // count) - 1, size / count if count > 1 else 0)


def _nearest(node: Any, i: int, size: int, count: int) -> Reach:
    return Reach(node.sources[i], node.sources[i], size / count)


def _linear(node: Any, i: int, size: int, count: int) -> Reach:
    used = transfer(node.matrices[i], CPU) != 0
    return Reach(used.argmax(axis=1), size - 1 - used[:, ::-1].argmax(axis=1), size / count)


def _border(node: Any, i: int, size: int, count: int) -> Reach:
    source = numpy.arange(count) - node.widths[-2 + i][0]
    return Reach(source, source, 1)


# By operation: a function of the node, the direction (0 for rows, 1 for columns), and the sizes of input and output.
REACHES: dict[type, Callable[[Any, int, int, int], Reach]] = {
    ops.Conv2d: _convolution,
    ops.ConvTranspose2d: _transposed_convolution,
    ops.MaxPool2d: _pooling,
    ops.AvgPool2d: _pooling,
    ops.AdaptiveAvgPool2d: _adaptive_pooling,
    ops.AdaptiveMaxPool2d: _adaptive_pooling,
    ops.InterpolateNearest: _nearest,
    ops.InterpolateLinear: _linear,
    ops.Pad: _border,
}


def _slices(operation: Operation) -> list[Reach] | None:
    """Of x[:, :, ::2, ::2] and the like; None for an index that is more than a slice of each dimension."""
    node: Any = operation.node
    shape, new_shape = operation.inputs[0].shape, operation.outputs[0].shape
    if node.saved_tensors or len(new_shape) != len(shape):
        return None
    reaches = []
    for dim in (-2, -1):
        number = numpy.arange(shape[dim]).reshape((-1,) + (1,) * (-1 - dim))  # of each row, or of each column
        source = numpy.broadcast_to(number, shape)[node.basic]
        source = source.swapaxes(dim, -1).reshape(-1, new_shape[dim])[0]
        reaches.append(Reach(source, source, source[1] - source[0] if len(source) > 1 else 1))
    return reaches


def _reaches(operation: Operation) -> list[Reach] | None:
    """For rows and columns; None for an operation that does not look at windows."""
    if type(operation.node) is ops.GetItem:
        return _slices(operation)
    reach = REACHES.get(type(operation.node))
    if reach is None:
        return None
    sizes, counts = operation.inputs[0].shape[-2:], operation.outputs[0].shape[-2:]
    return [reach(operation.node, i, sizes[i], counts[i]) for i in range(2)]


# --------------------------------------------------------------------------------------------- through the graph

JOINING = (ops.Linear, ops.MatMul)  # each number of the output looks at all numbers of the input


class Fields:
    """The receptive field of every value in a trace; none for what does not depend on the image."""

    def __init__(self, run: Trace):
        self._fields: dict[Any, Field] = {}
        if run.input.ndim in (3, 4):
            pixels = [numpy.arange(size) for size in run.input.shape[-2:]]
            self._fields[Value(run.input).origin] = Field(*(Span(numbers, numbers, 1) for numbers in pixels))
            for operation in run.root.operations():
                known = [field for field in map(self.of, operation.inputs) if field is not None]
                if known:
                    field = self._after(operation, known)
                    self._fields |= {value.origin: field for value in operation.outputs}

    def of(self, value: Value) -> Field | None:
        """The field of `value`."""
        return self._fields.get(value.origin)

    def _after(self, operation: Operation, known: list[Field]) -> Field:
        """The field of an output, from those of the inputs."""
        shape = operation.outputs[0].shape
        if len(shape) in (3, 4) and self.of(operation.inputs[0]) is not None:
            reaches = _reaches(operation)
            if reaches is not None:
                return Field(*(span.through(reach) for span, reach in zip(known[0], reaches, strict=True)))
        if len(shape) >= 3 and not isinstance(operation.node, JOINING):
            fits = [len(span) in (1, size) for field in known for span, size in zip(field, shape[-2:], strict=True)]
            if all(fits):  # position by position
                return Field(_union([field.rows for field in known]), _union([field.columns for field in known]))
        return Field(
            _union([field.rows.joined() for field in known]), _union([field.columns.joined() for field in known])
        )


def _union(spans: Sequence[Span]) -> Span:
    """What any of them sees, position by position."""
    first, last = spans[0].first, spans[0].last
    for span in spans[1:]:
        first, last = numpy.minimum(first, span.first), numpy.maximum(last, span.last)
    return Span(first, last, max(span.step for span in spans))


# ------------------------------------------------------------------------------------------------ for the reader


@dataclass(frozen=True)
class LayerField:
    """The receptive field of a layer's units: rows and columns.

    size    of the field, in pixels of the image
    stride  from one unit to the next, in pixels; 0 for a layer without positions
    centre  of the first unit's field: (0, 0) is the middle of the first pixel
    """

    layer: str
    type: str
    output: tuple[int, ...]
    size: tuple[int, int]
    stride: tuple[float, float]
    centre: tuple[float, float]


@dataclass(frozen=True)
class ReceptiveField:
    """What `receptive_field` returns: a LayerField for each layer. print() shows a table."""

    model: str
    input: tuple[int, ...]
    rows: tuple[LayerField, ...]

    def __str__(self) -> str:
        cells = [
            [
                row.layer or f"({self.model})",
                row.type,
                shape_text(row.output[1:]),
                pair_text(row.size),
                pair_text(row.stride) if any(row.stride) else "-",
                pair_text(row.centre),
            ]
            for row in self.rows
        ]
        return text_table(["layer", "type", "output", "field", "stride", "centre of/the first"], cells, left=2)


def receptive_field(model: Module, input: Tensor | Sequence[int]) -> ReceptiveField:
    """The theoretical receptive field of every layer, for an input (a Tensor, or the shape (C, H, W) of one image).

    TypeError for another kind of input. ValueError for one that is no image.
    """
    run = trace(model, as_input("receptive_field", model, input))
    if run.input.ndim not in (3, 4):
        raise ValueError(explain("receptive_field", "expected images, (N, C, H, W) or (C, H, W)", {"input": run.input}))
    fields = Fields(run)
    rows = []
    for line in run.lines():
        field = fields.of(line.outputs[0]) if line.outputs else None
        if field is not None:
            shape = line.outputs[0].shape
            rows.append(LayerField(line.layer, line.type, shape, field.size, field.stride, field.centre))
    return ReceptiveField(type(model).__name__, run.input.shape, tuple(rows))

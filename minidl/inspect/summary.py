"""The summary of a network: what each layer is, costs and sees. Nothing is guessed from the kind of a layer.

* Multiply-adds are those that each operation counts as it runs (`Function.multiply_adds`).
* Parameters belong to the first line that uses them, so that shared ones are counted once.
* Forward memory is that of the outputs; a view costs nothing.
* Backward memory is what the graph keeps until backward (`Function.saved_tensors`) without the parameters; it belongs
  to the first line that saves it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from minidl import ops
from minidl.backend import is_array
from minidl.errors import explain
from minidl.function import Function
from minidl.inspect.receptive_field import Fields
from minidl.inspect.tables import bytes_text, count_text, markdown_table, pair_text, shape_text, share_text, text_table
from minidl.inspect.trace import Line, Operation, Trace, as_input, trace
from minidl.memory import owner
from minidl.nn import Module
from minidl.tensor import Tensor

Shape = tuple[int, ...]

HEADINGS = (
    "layer",
    "type",
    "input",
    "output",
    "kernel",
    "parameters",
    "multiply-adds",
    "memory/forward",
    "kept for/backward",
    "receptive/field",
    "% of/params",
    "% of/madds",
)
LEFT = 5  # columns of words; the others are numbers

# What networks are usually built to compute in place, so that summaries by hand leave it out.
IN_PLACE = (
    *(ops.ReLU, ops.LeakyReLU, ops.ELU, ops.GELU, ops.SiLU, ops.Softplus, ops.Sigmoid, ops.Tanh, ops.Hardtanh),
    *(ops.Hardsigmoid, ops.Hardswish, ops.Clamp, ops.Dropout),
)


@dataclass(frozen=True)
class Row:
    """A line of the summary. Shapes are whole, with the batch; memory is in bytes.

    parameters      first used here; `biases` of them are biases, and `shared` ones were counted further up
    forward         bytes of the outputs; `in_place` of them would need none if activations and dropout worked in place
    backward        bytes that the graph keeps, if no line further up has kept them
    receptive_field (rows, columns), or None
    """

    layer: str
    type: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    kernel: str = ""
    parameters: int = 0
    biases: int = 0
    shared: int = 0
    multiply_adds: int = 0
    forward: int = 0
    in_place: int = 0
    backward: int = 0
    receptive_field: tuple[int, int] | None = None
    parameter_share: float = 0.0
    multiply_add_share: float = 0.0


@dataclass(frozen=True)
class Totals:
    """Of the whole model; `parameters` are all that it has, `unused` those that took no part in the run."""

    parameters: int
    biases: int
    trainable: int
    unused: int
    multiply_adds: int
    forward: int
    in_place: int
    backward: int


@dataclass(frozen=True)
class Summary:
    """What `summary` returns: a Row for the input and for each layer, and their totals. print() shows the table."""

    model: str
    input: Shape
    rows: tuple[Row, ...]
    totals: Totals

    def __str__(self) -> str:
        return "\n".join([text_table(HEADINGS, *self._cells()), "", *self._notes()])

    def to_markdown(self) -> str:
        """The table as Markdown, and below it the notes."""
        return "\n".join([markdown_table(HEADINGS, *self._cells()), "", *(f"- {note}" for note in self._notes()), ""])

    def to_csv(self) -> str:
        """The rows as CSV, with exact numbers; several shapes in one cell are separated by spaces."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(asdict(self.rows[0])), lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            shapes = {name: " ".join(map(shape_text, getattr(row, name))) for name in ("inputs", "outputs")}
            field = shape_text(row.receptive_field) if row.receptive_field else ""
            writer.writerow(asdict(row) | shapes | {"receptive_field": field})
        return text.getvalue()

    def to_json(self) -> str:
        """Everything, with exact numbers."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def _cells(self) -> tuple[list[list[str]], int, list[str]]:
        rows = [self._row_cells(row) for row in self.rows]
        totals = self.totals
        numbers = [count_text(totals.parameters), count_text(totals.multiply_adds)]
        numbers += [bytes_text(totals.forward), bytes_text(totals.backward), "", "", ""]
        return rows, LEFT, ["total", *[""] * (LEFT - 1), *numbers]

    def _row_cells(self, row: Row) -> list[str]:
        shared = "(shared)" if row.shared else "-"
        return [
            row.layer or f"({self.model})",
            row.type,
            self._shapes_text(row.inputs),
            self._shapes_text(row.outputs),
            row.kernel,
            count_text(row.parameters) if row.parameters else shared,
            count_text(row.multiply_adds),
            bytes_text(row.forward),
            bytes_text(row.backward),
            pair_text(row.receptive_field) if row.receptive_field else "-",
            share_text(row.parameter_share),
            share_text(row.multiply_add_share),
        ]

    def _shapes_text(self, shapes: Sequence[Shape]) -> str:
        """The first shape, without the batch, and how many others there are."""
        if not shapes:
            return ""
        shape = shapes[0][1:] if shapes[0][:1] == self.input[:1] else shapes[0]
        return shape_text(shape) + (f" +{len(shapes) - 1}" if len(shapes) > 1 else "")

    def _notes(self) -> list[str]:
        """The totals in words."""
        totals = self.totals
        parameters = f"{totals.parameters:,} parameters, {totals.biases:,} of them biases"
        if totals.trainable != totals.parameters:
            parameters += f", {totals.trainable:,} trainable"
        if totals.unused:
            parameters += f"; {totals.unused:,} took no part in this run"
        batch = self.input[0]
        forward = f"forward memory {bytes_text(totals.forward)} for {batch} image{'s' if batch > 1 else ''}"
        if totals.in_place:
            forward += f"; {bytes_text(totals.forward - totals.in_place)} if activations and dropout work in place"
        return [parameters, f"{totals.multiply_adds:,} multiply-adds", forward]


def summary(model: Module, input: Tensor | Sequence[int], depth: int | None = None) -> Summary:
    """Run `model` once on `input` (a Tensor, or the shape (C, H, W) of one image) and add up what happens.

    The model runs in the mode that it is in, with gradients recorded as in training, and is left as it was. A row is a
    call of a layer, or an operation outside of layers, in the order of the run; with `depth`, the modules nested that
    deep are one row each.

    TypeError for another kind of input. ValueError for a depth below 1.
    """
    if depth is not None and depth < 1:
        raise ValueError(explain("summary", f"depth must be at least 1, got {depth}"))
    run = trace(model, as_input("summary", model, input))
    parameters = list(model.parameters())
    count = _Count(run, parameters)
    image = Row("input", "", (), (run.input.shape,), forward=count.forward_memory.add([run.input.data]))
    rows = [image, *(count.row(line) for line in run.lines(depth))]

    def total(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    size = sum(parameter.numel() for parameter in parameters)
    totals = Totals(
        parameters=size,
        biases=sum(parameter.numel() for parameter in parameters if id(parameter) in count.biases),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        unused=size - total("parameters"),
        multiply_adds=total("multiply_adds"),
        forward=total("forward"),
        in_place=total("in_place"),
        backward=total("backward"),
    )
    return Summary(type(model).__name__, run.input.shape, tuple(_with_shares(row, totals) for row in rows), totals)


def _with_shares(row: Row, totals: Totals) -> Row:
    shares = {
        "parameter_share": row.parameters / max(totals.parameters, 1),
        "multiply_add_share": row.multiply_adds / max(totals.multiply_adds, 1),
    }
    return Row(**(row.__dict__ | shares))


class _Count:
    """Makes rows of lines, one after the other: what an earlier one has counted, a later one leaves out."""

    def __init__(self, run: Trace, parameters: Iterable[Tensor]):
        self.fields = Fields(run)
        self.forward_memory, self.backward_memory = _Memory(run.state), _Memory(run.state)
        self.graph = _graph_of([value.tensor for value in run.root.outputs])
        self.parameters = {id(parameter): parameter for parameter in parameters}
        self.uncounted = set(self.parameters)
        self.biases = {
            id(parameter) for name, parameter in run.root.module.named_parameters() if name.rpartition(".")[2] == "bias"
        }

    def row(self, line: Line) -> Row:
        inputs = {id(value.tensor) for operation in line.operations for value in operation.inputs}
        used = inputs & self.parameters.keys()
        new = used & self.uncounted
        self.uncounted -= new
        forward = in_place = backward = 0
        for operation in line.operations:
            made = self.forward_memory.add(value.tensor.data for value in operation.outputs)
            forward += made
            in_place += made if isinstance(operation.node, IN_PLACE) else 0
            if operation.node in self.graph:
                backward += self.backward_memory.add(operation.node.saved_tensors)
        field = self.fields.of(line.outputs[0]) if line.outputs else None
        return Row(
            line.layer,
            line.type,
            tuple(value.shape for value in line.inputs),
            tuple(value.shape for value in line.outputs),
            kernel=_kernel(line.operations),
            parameters=self._numel(new),
            biases=self._numel(new & self.biases),
            shared=self._numel(used - new),
            multiply_adds=sum(operation.node.multiply_adds for operation in line.operations),
            forward=forward,
            in_place=in_place,
            backward=backward,
            receptive_field=field.size if field else None,
        )

    def _numel(self, ids: Iterable[int]) -> int:
        return sum(self.parameters[each].numel() for each in ids)


class _Memory:
    """Adds up bytes, each piece of memory once, and those of `known` arrays not at all."""

    def __init__(self, known: Iterable[Any]):
        self._seen = {id(owner(array)) for array in known}

    def add(self, arrays: Iterable[Any]) -> int:
        """The bytes of the memory that these arrays lie in, as far as it is new. None and numbers cost nothing."""
        total = 0
        for array in arrays:
            if is_array(array) and id(owner(array)) not in self._seen:
                memory = owner(array)
                self._seen.add(id(memory))
                total += memory.nbytes if is_array(memory) else array.nbytes  # (numpy.frombuffer's is no array)
        return total


def _graph_of(outputs: Iterable[Tensor]) -> set[Function]:
    """The nodes that backward from these tensors would pass."""
    nodes: set[Function] = set()
    stack = [output.grad_fn for output in outputs]
    while stack:
        node = stack.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            stack.extend(used for used, _ in node.next_functions)
    return nodes


def _kernel(operations: Iterable[Operation]) -> str:
    """3x3, or 7x7/2 with its stride, if exactly one of the operations has a kernel."""
    kernels = [text for text in map(_kernel_of, operations) if text]
    return kernels[0] if len(kernels) == 1 else ""


def _kernel_of(operation: Operation) -> str:
    node: Any = operation.node
    if isinstance(node, (ops.Conv2d, ops.ConvTranspose2d)):
        size, stride = node.weight_shape[2:], node.geometry[0]
    elif isinstance(node, (ops.MaxPool2d, ops.AvgPool2d)):
        size, stride = node.geometry[0], node.geometry[2]
    else:
        return ""
    return shape_text(size) + ("" if stride == (1, 1) else f"/{pair_text(stride)}")

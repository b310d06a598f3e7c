"""export: a network as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from minidl.errors import explain
from minidl.nn import Module
from minidl.onnx import messages
from minidl.onnx.graph import Graph, NoForm
from minidl.onnx.operations import CONVERTERS, OPSET
from minidl.onnx.record import Open, Recording, Step, Value, record
from minidl.tensor import Tensor

MOST_BYTES = 2**31 - 1  # of one message in protocol buffers


def export(
    model: Module,
    args: Tensor | tuple[Tensor],
    f: str | os.PathLike,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> None:
    """Write what `model` computes in eval mode into the file `f`, with its weights, as ONNX (opset 18).

        minidl.onnx.export(model, minidl.zeros(1, 3, 224, 224), "resnet18.onnx")

    args                        the input, a Tensor (N, ...), whose values do not matter. N stays open in the file
    input_names, output_names   what they are called there: "input"; "output", or "output_1", "output_2", ...

    The model runs twice (see record.py), and what it computes from its weights alone is stored as a constant.

    ValueError: an operation that has no form in ONNX, or something that is no operation; more than 2 GB. TypeError:
    no Module, or other arguments than one Tensor.
    """
    images = args[0] if isinstance(args, tuple) and len(args) == 1 else args
    if not isinstance(model, Module) or not isinstance(images, Tensor) or not images.ndim:
        raise TypeError(
            explain(
                "export",
                "takes a Module and its input, one Tensor with a batch dimension",
                {"model": type(model).__name__, "args": args},
                help="export(model, minidl.zeros(1, 3, 224, 224), path)",
            )
        )
    inputs = list(input_names or ["input"])
    if len(inputs) != 1:
        raise ValueError(explain("export", f"the model has 1 input, not {len(inputs)}"))
    recording = record(model, images)
    names = list(output_names or _output_names(len(recording.outputs)))
    if len(names) != len(recording.outputs):
        raise ValueError(explain("export", f"the model has {len(recording.outputs)} outputs, not {len(names)}"))
    data = _bytes(type(model).__name__, recording, inputs[0], names)
    if len(data) > MOST_BYTES:
        raise ValueError(explain("export", f"the file would have {len(data):,} bytes, and ONNX files end at 2 GB"))
    Path(f).write_bytes(data)


def _output_names(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{number}" for number in range(1, count + 1)]


def _bytes(name: str, recording: Recording, input_name: str, output_names: list[str]) -> bytes:
    graph = Graph()
    graph.names[id(recording.image)] = input_name
    for step in recording.steps:
        made = _converted(graph, step)
        for value, its_name in zip(step.outputs, [made] if isinstance(made, str) else made, strict=True):
            graph.names[id(value)] = its_name
    ends = [
        messages.node("Identity", output, [graph.name_of(value)], [output], {})
        for value, output in zip(recording.outputs, output_names, strict=True)
    ]
    return messages.model(
        name,
        [*graph.nodes, *ends],
        [messages.tensor(constant, array) for constant, array in graph.constants.items()],
        [_described(input_name, recording.image)],
        [_described(output, value) for value, output in zip(recording.outputs, output_names, strict=True)],
        OPSET,
        metadata.version("minidl"),
    )


def _converted(graph: Graph, step: Step) -> Any:
    """What the converter returns. ValueError with the operation and its place where there is no form for it."""
    try:
        if step.operation not in CONVERTERS:
            raise NoForm("there is no operation for it")
        return CONVERTERS[step.operation](graph, *step.inputs, **step.options)
    except NoForm as error:
        place = f"module {step.where}" if step.where else "the forward of the model"
        raise ValueError(
            explain("export", f"{step.operation.__name__} in {place} has no form in ONNX: {error}")
        ) from None


def _described(name: str, value: Value) -> bytes:
    """Sizes of the batch are called by their meaning: batch, or a multiple of it."""
    shape = ["batch" if isinstance(size, Open) else size for size in value.shape]
    return messages.value_info(name, value.dtype, shape)

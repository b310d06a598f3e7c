"""The graph that is built: operations of ONNX, and the constants that they read."""

from __future__ import annotations

from typing import Any

import numpy

from minidl.backend import float32
from minidl.onnx import messages
from minidl.onnx.record import Open, Value

LAST = 2**63 - 1  # as the end of a slice: to the end of the dimension


class NoForm(Exception):
    """An operation, or a setting of it, that ONNX cannot say."""


class Graph:
    """Nodes in the order in which they run, and constants by name."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.constants: dict[str, numpy.ndarray] = {}
        self.names: dict[int, str] = {}  # of what is a value of the recording, and has another name here
        self.count = 0

    def __call__(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A node of this kind; returns the name of its output, or a list of them.

        inputs: names, Values, arrays, or None for an optional input that is left out. Attributes of None are left out.
        """
        names = [self.name_of(each) for each in inputs]
        while names and not names[-1]:
            names.pop()
        self.count += 1
        made = [f"{kind}_{self.count}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(messages.node(kind, f"{kind}_{self.count}", names, made, given))
        return made if outputs > 1 else made[0]

    def name_of(self, operand: Any) -> str:
        """The name of an operand; a constant is put among the constants when it is first asked for."""
        if operand is None:
            return ""
        if isinstance(operand, str):
            return operand
        if isinstance(operand, Value):
            if operand.data is None:
                return self.names[id(operand)]
            self.constants.setdefault(operand.name, operand.data)
            return operand.name
        return self.constant(operand)

    def constant(self, array: numpy.ndarray) -> str:
        """A new constant."""
        name = f"value_{len(self.constants)}"
        self.constants[name] = array
        return name

    def ints(self, *values: Any) -> str:
        """A new constant: a vector of ints, as ONNX takes shapes and dimensions."""
        if any(isinstance(value, Open) for value in values):
            raise NoForm("a setting of it depends on the size of the batch")
        return self.constant(numpy.array(values, numpy.int64))

    def number(self, value: Any, like: Any) -> Any:
        """An operand that may be a Python number: then a constant of the dtype of `like`."""
        if isinstance(value, Value) or value is None:
            return value
        return numpy.array(value, like.dtype if isinstance(like, Value) else float32)


def sizes(value: Value) -> tuple[int, ...]:
    """A shape that must not depend on the batch but in its first size, which is left out."""
    if any(isinstance(size, Open) for size in value.shape[1:]):
        raise NoForm("its shape depends on the size of the batch")
    return tuple(value.shape[1:])

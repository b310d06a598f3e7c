"""Networks as ONNX files, which other programs run: `minidl.onnx.export(model, x, "model.onnx")`.

export.py       the verb
record.py       what a network does with an image: operations, values, constants
operations.py   each operation in ONNX's words
graph.py        the graph that they build
messages.py     its bytes
"""

from minidl.onnx.export import export

__all__ = ["export"]

"""A network as a picture, drawn by minidl itself: layers as boxes, blocks as frames, shapes on the arrows.

    minidl.inspect.graph(model, (3, 224, 224))                                    in a notebook, the picture
    Path("net.svg").write_text(minidl.inspect.graph(model, (3, 224, 224)).to_svg())

The way there: one run of the model (trace.py), its nodes and edges (graph_nodes.py), made small enough to be read
(graph_folding.py), put at places (graph_layout.py, graph_layers.py), in columns (graph_columns.py), and drawn
(graph_svg.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from minidl.errors import explain
from minidl.inspect.graph_boxes import shape_words
from minidl.inspect.graph_columns import in_columns
from minidl.inspect.graph_folding import fold
from minidl.inspect.graph_layout import Drawing, lay_out
from minidl.inspect.graph_nodes import Block, Edge, read
from minidl.inspect.graph_svg import to_svg
from minidl.inspect.trace import as_input, trace
from minidl.nn import Module
from minidl.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """What `graph` returns: the blocks and nodes of the picture as a tree, and the edges between nodes.

    A node has further ones `below`: layers that are drawn as bands of its box. Edges begin and end at the boxes.
    """

    title: str
    facts: str
    description: str
    root: Block
    edges: tuple[Edge, ...]

    def drawing(self) -> Drawing:
        """Everything at its place."""
        return in_columns(lay_out(self.root, self.edges))

    def to_svg(self) -> str:
        """The picture as an SVG document."""
        return to_svg(self.drawing(), self.title, self.facts, self.description)

    def _repr_svg_(self) -> str:
        """Notebooks look for this."""
        return self.to_svg()


def graph(
    model: Module,
    input: Tensor | Sequence[int],
    depth: int | None = None,
    unroll: bool = False,
    title: str | None = None,
) -> Graph:
    """Run `model` once on `input` (a Tensor, or the shape (C, H, W) of one image), and draw what happened.

    The model runs in the mode that it is in, and is left as it was. Modules nested `depth` deep are one box each; as a
    default, the picture is as deep as it can be without getting too large. Equal blocks in a row are drawn once, with
    "× n", unless `unroll`. The title is the model's class, if there is no other.

    TypeError for another kind of input. ValueError for a depth below 1.
    """
    if depth is not None and depth < 1:
        raise ValueError(explain("graph", f"depth must be at least 1, got {depth}"))
    run = trace(model, as_input("graph", model, input))
    root, edges = read(run)
    parameters, used = sum(parameter.numel() for parameter in model.parameters()), root.total("parameters")
    counted = f"{parameters:,}" if used == parameters else f"{used:,} of {parameters:,}"
    multiply_adds = root.total("multiply_adds")
    layers = Counter(node.label for node in root.nodes() if node.kind not in ("input", "output"))
    image = shape_words(run.input.shape[1:])
    del run  # and with it all arrays
    edges = fold(root, edges, depth, unroll)
    facts = f"input {image} · {counted} parameters · {multiply_adds:,} multiply-adds"
    content = ", ".join(f"{count} {label}" for label, count in layers.most_common())
    name = title or type(model).__name__
    return Graph(name, facts, f"{name}, drawn from input to output. {facts}. It runs {content}.", root, tuple(edges))

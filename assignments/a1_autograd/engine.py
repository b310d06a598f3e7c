"""Task 1.6: an engine of your own. It walks the graph of a result backwards, and leaves gradients at its leaves.

The graph is there already: each result of a recorded operation has a `grad_fn`, the Function object that made it. Of
such a node the engine needs

    node.next_functions     for each input of the node the pair (source, index): `source` is the node that made this
                            input, or None where no gradient is wanted (data, numbers); index is 0 in this assignment
    node.sequence           its number: a node has a higher one than every node it uses
    gradients_of(node, dy)  what its backward returns, as pairs (source, gradient), see below

A leaf (a parameter) ends the graph. Its node uses nothing; its backward adds what arrives to the leaf's `.grad`.
"""

from __future__ import annotations

from typing import Any

import numpy

from minidl import Function, Tensor
from minidl.elementwise import sum_to_shape


def order(root: Function) -> list[Function]:
    """`root` and every node that it was computed from: each of them once, and each before all the nodes that it uses.

    No recursion: a graph may be 50,000 nodes deep, and Python ends at 1,000.
    """
    found, waiting = {root}, [root]
    while waiting:
        for source, _ in waiting.pop().next_functions:
            if source is not None and source not in found:
                found.add(source)
                waiting.append(source)
    return sorted(found, key=lambda node: node.sequence, reverse=True)


def accumulate(arrived: dict[Function, Any], node: Function, gradient: Any) -> None:
    """Note in `arrived` that `gradient` has arrived at `node`: what has arrived there before, plus this one.

    Into a new array, never in place: Add hands one and the same array to both of its inputs.
    """
    arrived[node] = arrived[node] + gradient if node in arrived else gradient


def backward(output: Tensor, gradient: Any = None) -> None:
    """Send the gradient of `output` through its graph, to the `.grad` of every leaf that it was computed from.

    gradient    of the final result with respect to `output`: an array in its shape; None stands for ones

    Nodes come up in `order`, so when one does, all of its users have had their turn, and its gradient is complete. A
    node at which nothing arrived (its users returned None for it) is passed over.
    """
    root = output.grad_fn
    arrived = {root: numpy.ones_like(output.data) if gradient is None else gradient}
    for node in order(root):
        if node in arrived:
            for source, part in gradients_of(node, arrived[node]):
                accumulate(arrived, source, part)


def gradients_of(node: Function, grad_output: Any) -> list[tuple[Function, Any]]:
    """Run the backward of `node`. Pairs (source, gradient), for the inputs that want a gradient and get one.

    Where an input was broadcast, its gradient is summed back to its shape (task 1.3). A leaf gets a copy, which nobody
    else has.
    """
    returned = node.backward(grad_output.copy() if node.keeps_gradient else grad_output)
    returned = returned if type(returned) is tuple else (returned,)
    pairs = []
    for (source, _, shape, _), gradient in zip(node.edges, returned, strict=True):
        if source is not None and gradient is not None:
            pairs.append((source, gradient if gradient.shape == shape else sum_to_shape(gradient, shape)))
    return pairs

"""The walk of the graph backwards: from the roots to every leaf, each node once, the newest first.

A node's sequence number is higher than that of every node it uses, so "newest first" alone puts each node after all
of its users: when a node comes up, its whole gradient has arrived. One heap, no recursion, no second pass.

`walk` is a generator of events; `run`, for `Tensor.backward()`, lets it go to the end, and tells the observers:

    ("before", node, grad_outputs)      the gradient of each output of the node; its backward runs next
    ("after",  node, grad_inputs)       what its backward returned, one for each input
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

from numpy import ndarray

from minidl import backend, parallel
from minidl.backend import array_module, copied, is_array
from minidl.buffers import owns_memory
from minidl.elementwise import add, sum_to_shape
from minidl.errors import describe
from minidl.events import observers
from minidl.function import Function

Event = tuple[str, Function, Sequence]
# Where a gradient goes: a node, which of its outputs it belongs to, and the shape and dtype that it must have.
Edge = tuple[Function | None, int, tuple[int, ...], Any]


def run(roots: Iterable[tuple[Edge, Any]], retain_graph: bool = False, captured: dict[Edge, Any] | None = None) -> None:
    """The whole walk. Its events go to the observers; without one it does not stop at them."""
    for moment, node, gradients in walk(roots, retain_graph, captured, events=observers):
        for observer in observers:
            if moment == "before":
                observer.before_backward(node, gradients)
            else:
                observer.after_backward(node, gradients)


def walk(
    roots: Iterable[tuple[Edge, Any]],
    retain_graph: bool = False,
    captured: dict[Edge, Any] | None = None,
    events: Any = True,
) -> Iterator[Event]:
    """Send the gradients of `roots` (pairs of an edge and an array) through the graph.

    With `captured`, a dictionary whose keys are edges, the gradients that arrive there become its values, and only
    nodes on the way to one of them run: a leaf's own gradient stays as it was. `events` is asked at each node, so that
    the walk has events as soon as the list of observers, say, is no longer empty.
    """
    # Who waits for its turn, by -sequence: the heap has the newest node on top, as a plain number, the dictionary the
    # node and the gradients that have arrived, one for each of its outputs.
    heap: list[int] = []
    waiting: dict[int, tuple[Function, list]] = {}
    sums: set[tuple[int, int]] = set()  # the large ones among the gradients in `waiting` that were added up here

    roots = list(roots)
    if captured is not None:
        on_the_way = _leading_to(captured, [edge for edge, _ in roots])
        edge_at = {edge[:2]: edge for edge in captured}  # by node and index
    for (root, index, _, _), gradient in roots:
        if root is not None:
            if -root.sequence not in waiting:
                waiting[-root.sequence] = root, [None] * root.output_count
                heappush(heap, -root.sequence)
            arrived = waiting[-root.sequence][1]
            arrived[index] = gradient if arrived[index] is None else add(arrived[index], gradient)

    while heap:
        key = heappop(heap)
        node, grad_outputs = waiting.pop(key)
        if node.hooks or node.keepers:
            _call_hooks(node, grad_outputs)
        if captured is not None:
            for index, gradient in enumerate(grad_outputs):
                if (node, index) in edge_at:
                    captured[edge_at[node, index]] = gradient
            if node not in on_the_way:
                continue
        if len(grad_outputs) > 1:
            _fill_missing(node, grad_outputs)

        if events:
            yield "before", node, grad_outputs
        try:
            if backend.several_gpus:
                with backend.on_device_of(grad_outputs):
                    grad_inputs = node.backward(*grad_outputs)
            else:
                grad_inputs = node.backward(*grad_outputs)
            if type(grad_inputs) is not tuple:
                grad_inputs = (grad_inputs,)
            if len(grad_inputs) != len(node.edges):
                raise RuntimeError(_wrong_number(node, grad_inputs))
            # Hand them on. All in this loop: a function for each edge would take a tenth of a small operation's time.
            for (user, index, shape, dtype), gradient in zip(node.edges, grad_inputs):  # noqa: B905 (just compared)
                if gradient is None or user is None:
                    continue
                if type(gradient) is not ndarray or gradient.dtype is not dtype or gradient.shape != shape:
                    gradient = _fitting(node, gradient, shape, dtype, grad_outputs)
                key = -user.sequence
                if key in waiting:
                    arrived = waiting[key][1]
                    before = arrived[index]
                    if before is None:
                        arrived[index] = gradient
                    elif type(before) is ndarray and before.size < parallel.LARGE:
                        arrived[index] = before + gradient
                    else:  # in place only what was made here: an operation may hand one array to two inputs
                        arrived[index] = add(before, gradient, out=before if (key, index) in sums else None)
                        sums.add((key, index))
                else:
                    if user.keeps_gradient and not (node.gives_gradients_away and owns_memory(gradient)):
                        gradient = copied(gradient)  # backward may hold it (a sum with another one is new anyway)
                    arrived = [None] * user.output_count
                    arrived[index] = gradient
                    waiting[key] = user, arrived
                    heappush(heap, key)
        except Exception as error:
            error.add_note(f"in the backward of {node.name()}")
            raise
        if not retain_graph and node.saved:
            node.saved = None
        if events:
            yield "after", node, grad_inputs


def _leading_to(targets: Iterable[Edge], roots: list[Edge]) -> set[Function]:
    """The nodes below `roots` whose backward must run so that a gradient arrives at one of `targets`."""
    reachable: set[Function] = set()
    stack = [edge[0] for edge in roots]
    while stack:
        node = stack.pop()
        if node is not None and node not in reachable:
            reachable.add(node)
            stack.extend(edge[0] for edge in node.edges)
    ends = {edge[0] for edge in targets}
    leading: set[Function] = set()
    for node in sorted(reachable, key=lambda node: node.sequence):  # what a node uses comes before it
        if any(edge[0] in ends or edge[0] in leading for edge in node.edges):
            leading.add(node)
    return leading


def _call_hooks(node: Function, grad_outputs: list) -> None:
    """Let the hooks of each output see its gradient, and replace it by what they return; then let it be kept."""
    for index, hooks in (node.hooks or {}).items():
        for hook in list(hooks):
            if grad_outputs[index] is not None:
                replaced = hook(grad_outputs[index])
                if replaced is not None:
                    grad_outputs[index] = replaced
    for index, keep in node.keepers.items():
        if grad_outputs[index] is not None:
            keep(grad_outputs[index])


def _fill_missing(node: Function, grad_outputs: list) -> None:
    """Zeros for the outputs that nothing used."""
    xp = next(array_module(gradient) for gradient in grad_outputs if gradient is not None)
    with backend.on_device_of(grad_outputs):
        for index, (shape, dtype) in enumerate(node.output_meta):
            if grad_outputs[index] is None:
                grad_outputs[index] = xp.zeros(shape, dtype)


def _wrong_number(node: Function, grad_inputs: tuple) -> str:
    return (
        f"{node.name()}.backward returned an incorrect number of gradients "
        f"(expected {len(node.edges)}, got {len(grad_inputs)})\n"
        "  help: return one gradient for each input of forward, None where there is none"
    )


def _fitting(node: Function, gradient: Any, shape: tuple[int, ...], dtype: Any, grad_outputs: list) -> Any:
    """`gradient` in this shape: summed over the dimensions along which the input was broadcast. Else RuntimeError."""
    if not is_array(gradient):
        raise RuntimeError(f"{node.name()}.backward returned {type(gradient).__name__}, expected an array or None")
    if node.broadcasts and gradient.shape == grad_outputs[0].shape:
        with backend.on_device_of((gradient,)):
            gradient = sum_to_shape(gradient, shape)
    if gradient.shape != shape or gradient.dtype != dtype:
        raise RuntimeError(
            f"{node.name()}.backward returned an invalid gradient: expected {dtype} {shape}, got {describe(gradient)}\n"
            "  help: the gradient of an input has the shape and dtype of that input; after broadcasting it is summed "
            "over the broadcast dimensions"
        )
    return gradient

"""The walk of the graph backwards: from the roots to every leaf, each node once, the newest first.

A node's sequence number is higher than that of every node it uses, so "newest first" alone puts each node after all
of its users: when a node comes up, its whole gradient has arrived. One heap, no recursion, no second pass.

`walk` is a generator of events, which a debugger steps through; `run`, for `Tensor.backward()`, lets it go to the end:

    ("before", node, grad_outputs)      the gradient of each output of the node; its backward runs next
    ("after",  node, grad_inputs)       what its backward returned, one for each input
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

from numpy import ndarray

from minidl.backend import array_module, is_array
from minidl.errors import describe
from minidl.function import Function

Event = tuple[str, Function, Sequence]
Edge = tuple[Function | None, int]  # a node, and which of its outputs


def run(roots: Iterable[tuple[Edge, Any]], retain_graph: bool = False, captured: dict[Edge, Any] | None = None) -> None:
    """The whole walk, without a stop at its events."""
    for _ in walk(roots, retain_graph, captured, events=False):
        pass


def walk(
    roots: Iterable[tuple[Edge, Any]],
    retain_graph: bool = False,
    captured: dict[Edge, Any] | None = None,
    events: bool = True,
) -> Iterator[Event]:
    """Send the gradients of `roots` (pairs of an edge and an array) through the graph.

    With `captured`, a dictionary whose keys are edges, the gradients that arrive there become its values, and only
    nodes on the way to one of them run: a leaf's own gradient stays as it was.
    """
    pending: dict[Function, list] = {}  # gradients that have arrived, one for each output of the node
    heap: list[tuple[int, Function]] = []  # the same nodes, the newest on top

    def arrived_at(node: Function) -> list:
        """Where the gradients of a node's outputs are gathered; the first time, the node joins the heap."""
        pending[node] = arrived = [None] * len(node.output_meta)
        heappush(heap, (-node.sequence, node))
        return arrived

    roots = list(roots)
    on_the_way = None if captured is None else _leading_to(captured, [edge for edge, _ in roots])
    for (root, index), gradient in roots:
        if root is not None:
            arrived = pending.get(root) or arrived_at(root)
            arrived[index] = gradient if arrived[index] is None else arrived[index] + gradient

    while heap:
        node = heappop(heap)[1]
        grad_outputs = pending.pop(node)
        if node.hooks or node.keepers:
            _call_hooks(node, grad_outputs)
        if captured is not None:
            for index, gradient in enumerate(grad_outputs):
                if (node, index) in captured:
                    captured[node, index] = gradient
            if node not in on_the_way:  # type: ignore[operator]
                continue
        if len(grad_outputs) > 1:
            _fill_missing(node, grad_outputs)

        if events:
            yield "before", node, grad_outputs
        try:
            grad_inputs = node.backward(*grad_outputs)
            if type(grad_inputs) is not tuple:
                grad_inputs = (grad_inputs,)
            if len(grad_inputs) != len(node.next_functions):
                raise RuntimeError(_wrong_number(node, grad_inputs))
            for (user, index), gradient in zip(node.next_functions, grad_inputs):  # noqa: B905 (just compared)
                if gradient is None or user is None:
                    continue
                shape, dtype = user.output_meta[index]
                if not (type(gradient) is ndarray or is_array(gradient)) or (gradient.shape, gradient.dtype) != (
                    shape,
                    dtype,
                ):
                    raise RuntimeError(_wrong_gradient(node, gradient, user.output_meta[index]))
                if (
                    user.keeps_gradient
                    and user not in pending
                    and _is_shared(gradient, node, grad_outputs, grad_inputs)
                ):
                    gradient = gradient.copy()  # (what is added to another gradient becomes a new array anyway)
                arrived = pending.get(user) or arrived_at(user)
                # Never in place: an operation may hand one array to two inputs.
                arrived[index] = gradient if arrived[index] is None else arrived[index] + gradient
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
    stack = [node for node, _ in roots]
    while stack:
        node = stack.pop()
        if node is not None and node not in reachable:
            reachable.add(node)
            stack.extend(used for used, _ in node.next_functions)
    ends = {node for node, _ in targets}
    leading: set[Function] = set()
    for node in sorted(reachable, key=lambda node: node.sequence):  # what a node uses comes before it
        if any(used in ends or used in leading for used, _ in node.next_functions):
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
    for index, (shape, dtype) in enumerate(node.output_meta):
        if grad_outputs[index] is None:
            grad_outputs[index] = xp.zeros(shape, dtype)


def _is_shared(gradient: Any, node: Function, grad_outputs: list, grad_inputs: tuple) -> bool:
    """True where something else holds the memory of `gradient`: a leaf then needs a copy of its own."""
    if gradient.base is not None:
        return True
    for others in (grad_outputs, node.saved or ()):
        for other in others:
            if other is gradient:
                return True
    return [other is gradient for other in grad_inputs].count(True) > 1


def _wrong_number(node: Function, grad_inputs: tuple) -> str:
    return (
        f"{node.name()}.backward returned an incorrect number of gradients "
        f"(expected {len(node.next_functions)}, got {len(grad_inputs)})\n"
        "  help: return one gradient for each input of forward, None where there is none"
    )


def _wrong_gradient(node: Function, gradient: Any, meta: tuple) -> str:
    shape, dtype = meta
    if not is_array(gradient):
        return f"{node.name()}.backward returned {type(gradient).__name__}, expected an array or None"
    return (
        f"{node.name()}.backward returned an invalid gradient: expected {dtype} {shape}, got {describe(gradient)}\n"
        "  help: the gradient of an input has the shape and dtype of that input; after broadcasting it is summed "
        "over the broadcast dimensions"
    )

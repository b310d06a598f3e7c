"""PyTorch's spelling of the core: `minidl.autograd.Function` sees Tensors, where `minidl.Function` sees arrays.

Both styles work, the lecture's and today's:

    class ReLU(minidl.autograd.Function):           class ReLU(minidl.autograd.Function):
        def forward(self, x):                           @staticmethod
            self.save_for_backward(x)                   def forward(ctx, x):
            return x.clamp(min=0)                           ctx.save_for_backward(x)
                                                            return x.clamp(min=0)
        def backward(self, grad_y):
            x, = self.saved_tensors                     @staticmethod
            grad_x = grad_y.clone()                     def backward(ctx, grad_y): ...
            grad_x[x < 0] = 0
            return grad_x

    y = ReLU()(x)                                   y = ReLU.apply(x)
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from minidl import engine
from minidl.anomaly import detect_anomaly, set_detect_anomaly
from minidl.backend import copied
from minidl.errors import explain
from minidl.events import observers
from minidl.function import Function as ArrayFunction
from minidl.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from minidl.gradcheck import GradcheckError, gradcheck
from minidl.tensor import Tensor, apply, require_tensors, root_gradient

__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """A leaf around the memory of a Tensor. (Until 2018 a Tensor needed this wrapper to have a gradient.)"""
    require_tensors("Variable", data=data)
    return data.detach().requires_grad_(requires_grad)


class _Node(ArrayFunction):
    """The node of the graph for one call of a tensor-level Function: wraps arrays on the way in, unwraps them out."""

    def forward(self, *arrays: Any, context: Function, values: tuple) -> Any:
        # `values` are the arguments as the user gave them: tensors among them are passed on without their history.
        self.context = context
        context.needs_input_grad = self.needs_input_grad
        with no_grad():
            result = context._run("forward", *[Tensor(v.data) if isinstance(v, Tensor) else v for v in values])
        self.save_for_backward(*[None if t is None else t.data for t in context._to_save])
        self.mark_non_differentiable(*[t.data for t in context._not_differentiable])
        context._to_save = context._not_differentiable = ()  # the graph holds the arrays, and frees them
        if isinstance(result, tuple):
            return tuple(_array_of(context, y) for y in result)
        return _array_of(context, result)

    def backward(self, *grad_outputs: Any) -> tuple:
        self.context.node = self
        try:
            with no_grad():
                result = self.context._run("backward", *[Tensor(g) for g in grad_outputs])
        finally:
            self.context.node = None  # the node holds the context: no cycle
        gradients = result if isinstance(result, tuple) else (result,)
        while len(gradients) > len(self.edges) and gradients[-1] is None:
            gradients = gradients[:-1]  # PyTorch lets a backward return more Nones than there were inputs
        return tuple(g.data if isinstance(g, Tensor) else g for g in gradients)

    def name(self) -> str:
        return type(self.options["context"] if self.options else self.context).__name__  # before forward: options


def _array_of(context: Function, output: Any) -> Any:
    if not isinstance(output, Tensor):
        raise TypeError(
            explain(f"{type(context).__name__}.forward", f"expected a Tensor or tuple of them, got {output!r}")
        )
    return output.data


class Function:
    """An operation with its own derivative, on Tensors. The object that forward and backward get is the context.

    save_for_backward(*tensors), saved_tensors, needs_input_grad, mark_non_differentiable(*outputs): as PyTorch's.
    Nothing inside forward or backward is recorded: gradients of gradients are not supported.
    """

    node: _Node | None = None  # while backward runs
    needs_input_grad: tuple[bool, ...] = ()
    _to_save: tuple = ()
    _not_differentiable: tuple = ()

    # Subclasses write forward(self, ...) and backward(self, ...), or both static with the context named ctx.
    forward: Any = None
    backward: Any = None

    def __call__(self, *args: Any) -> Any:
        """The lecture's style: ReLU()(x). Each call runs on a copy of the object, which is its context."""
        if _is_static(type(self)):
            raise RuntimeError(
                explain(
                    type(self).__name__,
                    "a Function with a static forward is not called through an object",
                    help=f"write {type(self).__name__}.apply(x)",
                )
            )
        context = type(self).__new__(type(self))
        context.__dict__.update(self.__dict__)
        return apply(_Node, *args, context=context, values=args)

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Today's style: ReLU.apply(x). Tensors among the arguments get a gradient, everything else None."""
        return apply(_Node, *args, context=cls(), values=args)

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs or outputs) for backward. TypeError for anything else."""
        require_tensors("save_for_backward", **{f"argument {i}": t for i, t in enumerate(tensors)})
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What save_for_backward kept, in backward. RuntimeError elsewhere, and once the graph has been freed."""
        if self.node is None:
            raise RuntimeError(explain("saved_tensors", "saved tensors can be read while backward runs"))
        return tuple(None if array is None else Tensor(array) for array in self.node.saved_tensors)

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say in forward that these outputs have no gradient."""
        self._not_differentiable = outputs

    def _run(self, name: str, *tensors: Any) -> Any:
        """Call forward or backward in the style they are written in."""
        method = getattr(self, name)
        if method is None:
            raise NotImplementedError(f"{type(self).__name__}.{name} is not defined")
        return method(self, *tensors) if _is_static(type(self)) else method(*tensors)


def _is_static(function: type[Function]) -> bool:
    return isinstance(inspect.getattr_static(function, "forward"), staticmethod)


def _sequence(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _roots(where: str, tensors: Any, gradients: Any) -> list[tuple[engine.Edge, Any]]:
    tensors = _sequence(tensors)
    gradients = (None,) * len(tensors) if gradients is None else _sequence(gradients)
    if len(tensors) != len(gradients):
        raise RuntimeError(explain(where, f"got {len(tensors)} tensors and {len(gradients)} gradients"))
    gradients = [root_gradient(where, t, g) for t, g in zip(tensors, gradients, strict=True)]
    for observer in observers:
        for tensor, gradient in zip(tensors, gradients, strict=True):
            observer.start_backward(tensor, gradient)
    return [(tensor.gradient_edge(), gradient) for tensor, gradient in zip(tensors, gradients, strict=True)]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add the gradients of the sum of `tensors` to the `.grad` of the leaves. See Tensor.backward."""
    _first_order_only("backward", create_graph)
    engine.run(_roots("backward", tensors, grad_tensors), retain_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of `outputs` with respect to each of `inputs`; no `.grad` changes.

    RuntimeError as Tensor.backward, and where an input requires no gradient or, without allow_unused, was not used.
    """
    _first_order_only("grad", create_graph)
    wanted = _sequence(inputs)
    require_tensors("grad", **{f"inputs[{i}]": t for i, t in enumerate(wanted)})
    for tensor in wanted:
        if not tensor.requires_grad:
            raise RuntimeError(
                explain("grad", "One of the differentiated Tensors does not require grad", {"input": tensor})
            )
    edges = [tensor.gradient_edge() for tensor in wanted]
    captured: dict[engine.Edge, Any] = dict.fromkeys(edges)
    engine.run(_roots("grad", outputs, grad_outputs), retain_graph, captured)
    if not allow_unused and None in [None if captured[edge] is None else 0 for edge in edges]:
        raise RuntimeError(
            explain(
                "grad",
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior.",
            )
        )
    return tuple(None if captured[edge] is None else Tensor(copied(captured[edge])) for edge in edges)


def _first_order_only(where: str, create_graph: bool) -> None:
    if create_graph:
        raise RuntimeError(
            explain(where, "create_graph=True is not supported: minidl computes first-order gradients only")
        )

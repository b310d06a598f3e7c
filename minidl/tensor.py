"""Tensor: an array that remembers how it was made, and apply: the one place where operations are recorded.

    y = apply(Mul, a, b)      runs Mul.forward on the arrays; if a gradient may be asked for, y.grad_fn is that Mul
    y.backward()              sends gradients back through the grad_fns (engine.py) into the .grad of the leaves

Operators and methods below are thin: they bring their arguments into one form, and apply an operation from ops/.
"""

from __future__ import annotations

import copy
import math
import operator
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy
from numpy import ndarray

from minidl import backend, engine, ops
from minidl.backend import (
    CPU,
    array_module,
    bool_,
    default_generator,
    device,
    device_of,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    is_array,
    uint8,
)
from minidl.checks import (
    check_broadcast,
    check_dtype,
    check_floating,
    check_number_fits,
    check_same,
    check_same_device,
    fit_shape,
    normalize_dim,
    normalize_dims,
    shape_of,
)
from minidl.errors import describe, explain
from minidl.events import observers
from minidl.function import Function
from minidl.grad_mode import grad_mode
from minidl.indexing import index_key
from minidl.memory import before_change, is_shared, mark_changed, mark_shared, next_sequence, owner

Number = (int, float, numpy.number, numpy.bool_)


def apply(operation: type[Function], *inputs: Any, **options: Any) -> Any:
    """Run `operation` on the arrays of `inputs` (Tensors, or numbers and None as they are) and record it.

    Returns a Tensor, or a tuple of Tensors where forward returns a tuple. Recorded means: where gradients are enabled
    and an input requires one, the outputs require one too, and their `grad_fn` is the object that ran.
    """
    node = operation()
    recording = grad_mode.enabled
    arrays: list[Any] = []
    edges: list[engine.Edge] = []
    recorded = 0  # inputs that need a gradient
    for x in inputs:
        if isinstance(x, Tensor):
            arrays.append(x._data)
            if x._requires_grad and recording:
                recorded += 1
                edges.append(x._edge or x._leaf or x._leaf_edge())
                continue
        else:
            arrays.append(x)
        edges.append(NO_EDGE)
    if recorded == len(inputs) < len(ALL_NEEDED):
        node.needs_input_grad = ALL_NEEDED[recorded]
    else:
        node.needs_input_grad = tuple([edge is not NO_EDGE for edge in edges])

    if observers:
        node.options = options
        for observer in observers:
            observer.before_forward(node, inputs, options)
        if options.get("in_place"):
            before_change(arrays[0])

    if backend.several_gpus:
        with backend.on_device_of(arrays):
            result = node.forward(*arrays, **options)
    else:
        result = node.forward(*arrays, **options)

    if recorded:
        node.edges = edges
        node.sequence = next_sequence()
        if type(result) is tuple:
            node.output_count = len(result)
            returned: Any = tuple([_record(node, index, array, inputs, arrays) for index, array in enumerate(result)])
            node.output_meta = tuple([(y._data.shape, y._data.dtype) for y in returned])
        else:
            returned = _record(node, 0, result, inputs, arrays)
    elif type(result) is tuple:
        returned = tuple([_wrap(array, node) for array in result])
    else:
        returned = _wrap(result, node)
    if observers:
        node.options = options
        for observer in observers:
            observer.after_forward(node, inputs, returned)
    return returned


# needs_input_grad of the calls in which every input does, by their number: one tuple for all of them, for Python's
# garbage collector looks through whatever is new.
ALL_NEEDED = ((), (True,), (True, True), (True, True, True))


def _record(node: Function, index: int, made: Any, inputs: tuple, arrays: list) -> Tensor:
    """The Tensor around output number `index` of a recorded call."""
    array = made if type(made) is ndarray else _as_array(made, node)
    y = Tensor.__new__(Tensor)
    y._data = array
    dtype = array.dtype
    if (dtype is float32 or dtype.kind == "f") and not (node.non_differentiable and node.is_marked(made)):
        y._requires_grad = True
        y._edge = node, index, array.shape, dtype
    if array.base is not None or _is_one_of(array, arrays):
        _note_view(y, inputs)
    return y


def _is_one_of(array: Any, arrays: list) -> bool:
    for other in arrays:  # noqa: SIM110 (`any` with a generator takes four times as long, once for each operation)
        if other is array:
            return True
    return False


def _note_view(output: Tensor, inputs: tuple) -> None:
    """Note it where an output lies in the memory of an input: a change of one is then a change of both."""
    memory = owner(output._data)
    for x in inputs:
        if isinstance(x, Tensor) and owner(x._data) is memory:
            mark_shared(memory, x, output)


def _wrap(array: Any, node: Function | None = None) -> Tensor:
    """A Tensor around an array (that `node` made), without a copy and without a history."""
    tensor = Tensor.__new__(Tensor)
    tensor._data = array if type(array) is ndarray else _as_array(array, node)
    return tensor


def _as_array(value: Any, node: Function | None = None) -> Any:
    """An array as it is; NumPy's scalars, which its functions return in place of arrays without dimensions, as one."""
    if not is_array(value):
        where = "Tensor" if node is None else f"{node.name()}.forward"
        help = "a minidl.Function works on arrays; minidl.autograd.Function is the form that works on Tensors"
        raise TypeError(
            explain(where, f"expected an array or a tuple of arrays, got {type(value).__name__}", help=help)
        )
    return numpy.asarray(value) if isinstance(value, numpy.generic) else value


NO_EDGE: engine.Edge = (None, 0, (), None)  # of an input that needs no gradient


class AccumulateGrad(Function):
    """The end of the graph at a leaf: adds the gradient that arrives to the leaf's `.grad`."""

    keeps_gradient = True

    def __init__(self, variable: Tensor):
        self._variable = weakref.ref(variable)  # which has this node as its `_leaf`
        self.sequence = next_sequence()
        if variable._hooks is not None:  # the list itself: hooks may come and go until backward
            self.hooks = {0: variable._hooks}

    @property
    def variable(self) -> Tensor | None:
        """The leaf; None if it is gone, and nobody can ask for its gradient."""
        return self._variable()

    def backward(self, grad_output: Any) -> tuple[()]:
        leaf = self.variable
        if leaf is None or not leaf._requires_grad:
            return ()
        if leaf._data.shape != grad_output.shape or leaf._data.dtype != grad_output.dtype:
            message = "the data of a leaf was replaced by other data since the graph was recorded"
            raise RuntimeError(
                explain("AccumulateGrad", message, {"gradient": grad_output, "leaf": leaf}, help="run forward again")
            )
        if self.hooks and self.hooks[0]:  # a hook may have kept the array
            grad_output = backend.copied(grad_output)
        if leaf._grad is None:
            leaf._grad = _wrap(grad_output)
        else:
            before_change(leaf._grad._data)
            leaf._grad._data += grad_output
            mark_changed(leaf._grad._data)
        for hook in list(leaf._after_accumulation or ()):
            hook(leaf)
        return ()


class RemovableHandle:
    """What `register_hook` returns: `handle.remove()` takes the hook away; so does the end of a `with handle:`."""

    def __init__(self, hooks: list, hook: Callable):
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


class ValuesAndIndices(NamedTuple):
    """What `x.max(dim)` and `x.min(dim)` return."""

    values: Tensor
    indices: Tensor


class _Conversions:
    """x.float(), x.cpu() and their kin. Apart from Tensor, where `float` shall go on to mean the type."""

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError

    def cpu(self) -> Tensor:
        return self.to(CPU)

    def cuda(self, index: Any = None) -> Tensor:
        return self.to(device("cuda", index))

    def float(self) -> Tensor:
        return self.to(float32)

    def double(self) -> Tensor:
        return self.to(float64)

    def long(self) -> Tensor:
        return self.to(int64)

    def int(self) -> Tensor:
        return self.to(int32)

    def byte(self) -> Tensor:
        return self.to(uint8)

    def bool(self) -> Tensor:
        return self.to(bool_)


class Tensor(_Conversions):
    """An array (`data`) with, where it is asked for, the history that `backward` follows.

    data            the NumPy or CuPy array
    requires_grad   True where a gradient is wanted
    grad            the gradient, a Tensor; None until backward has reached it. Leaves and `retain_grad` only
    grad_fn         the operation that made it; None for a leaf
    is_leaf         made by the user, not by a recorded operation
    """

    _data: Any
    _requires_grad: bool = False
    _edge: engine.Edge | None = None  # grad_fn, which of its outputs this is, and the shape and dtype of that
    _grad: Tensor | None = None
    _hooks: list | None = None
    _after_accumulation: list | None = None  # of a leaf: hooks that see it with its new `.grad`
    _leaf: engine.Edge | None = None  # of a leaf: its AccumulateGrad, once there is one
    _retains_grad: bool = False

    # (What stands above are the values of a tensor that nothing was done to: most live without setting them.)
    # NumPy must leave `array + tensor` to Tensor.__radd__.
    __array_ufunc__ = None

    def __init__(self, data: Any, requires_grad: bool = False):
        """A Tensor on the memory of an array, or of another Tensor. TypeError for lists and numbers: see `tensor`."""
        array = data._data if isinstance(data, Tensor) else data
        if not is_array(array):
            raise TypeError(
                explain(
                    "Tensor",
                    f"expected an array, got {type(data).__name__}",
                    help="minidl.tensor(...) makes a tensor from numbers and lists, minidl.zeros(2, 3) one of a shape",
                )
            )
        self._data = _as_array(array)
        check_dtype("Tensor", self._data.dtype)
        if requires_grad:
            self.requires_grad_()

    # ---------------------------------------------------------------------------------------------- the array

    @property
    def data(self) -> Any:
        """The array itself. What is written into it is not recorded; `x.data = a` or `x.data -= a` is allowed."""
        return self._data

    @data.setter
    def data(self, array: Any) -> None:
        if isinstance(array, Tensor):
            array = array._data
        if not is_array(array):
            raise TypeError(explain("Tensor.data", f"must be set to an array or a Tensor, got {type(array).__name__}"))
        if array is self._data:  # x.data -= a wrote into the array that it read
            mark_changed(array)
            for observer in observers:
                observer.overwritten(array)
        elif array.shape != self._data.shape or array.dtype != self._data.dtype:
            if self.grad_fn is not None:
                raise RuntimeError(
                    explain("Tensor.data", "a result keeps its shape and dtype", {"is": self, "new": array})
                )
            self._data, self._leaf = _as_array(array), None
        else:
            self._data = _as_array(array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> numpy.dtype:
        return self._data.dtype

    @property
    def device(self) -> device:
        return CPU if type(self._data) is ndarray else device_of(self._data)

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        return self.shape if dim is None else self.shape[normalize_dim("size", dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self._data.size

    def element_size(self) -> int:
        """The bytes of one element."""
        return self._data.itemsize

    def is_floating_point(self) -> bool:
        return self._data.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        return self._data.flags.c_contiguous

    def item(self) -> float | int | bool:
        """The one element as a Python number. RuntimeError if there are more."""
        if self._data.size != 1:
            words = f"a Tensor with {self.numel()} elements cannot be converted to Scalar"
            raise RuntimeError(explain("item", words, {"tensor": self}))
        return self._data.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._data.tolist()

    def numpy(self) -> ndarray:
        """The NumPy array, sharing memory. RuntimeError where a gradient is required, or on a GPU."""
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.is_cuda:
            raise RuntimeError(
                "can't convert a cuda tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return self._data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return numpy.array(self.numpy(), dtype=dtype, copy=copy)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise RuntimeError(
                explain(
                    "bool",
                    "Boolean value of Tensor with more than one value is ambiguous"
                    if self.numel()
                    else "Boolean value of Tensor with no values is ambiguous",
                    {"tensor": self},
                    help="ask for (x > 0).any() or (x > 0).all()",
                )
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iub" or self.ndim:
            raise TypeError(explain("index", "only integer tensors of a single element can be converted to an index"))
        return int(self.item())

    def __repr__(self) -> str:
        values = numpy.array2string(
            self._data if type(self._data) is ndarray else self._data.get(),
            separator=", ",
            precision=4,
            prefix="tensor(",
            threshold=1000,
            edgeitems=3,
        )
        suffixes = []
        if self.dtype not in (get_default_dtype(), int64, bool_):
            suffixes.append(f"dtype={self.dtype}")
        if self.is_cuda:
            suffixes.append(f"device='{self.device}'")
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        return f"tensor({', '.join([values, *suffixes])})"

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol.\n  "
                "help: copy x.detach(), or x.clone() to keep the history"
            )
        twin = copy.copy(self)
        memo[id(self)] = twin
        twin._data = backend.copied(self._data)
        twin._grad = copy.deepcopy(self._grad, memo)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        # A copy has no history of its own.
        for name in ("_edge", "_hooks", "_after_accumulation", "_leaf", "_retains_grad"):
            state.pop(name, None)
        return state

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if not self.ndim else object.__format__(self, spec)

    # ----------------------------------------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    @property
    def grad_fn(self) -> Function | None:
        return None if self._edge is None else self._edge[0]

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this is."""
        return 0 if self._edge is None else self._edge[1]

    @property
    def is_leaf(self) -> bool:
        return self._edge is None

    @property
    def grad(self) -> Tensor | None:
        if self._edge is not None and not self._retains_grad:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute "
                "won't be populated during backward(). Call .retain_grad() on it before backward() to have it kept.",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if gradient is not None:
            if not isinstance(gradient, Tensor):
                raise TypeError(explain("Tensor.grad", f"must be a Tensor or None, got {type(gradient).__name__}"))
            if (gradient.shape, gradient.dtype, gradient.device) != (self.shape, self.dtype, self.device):
                raise RuntimeError(
                    explain("Tensor.grad", "must be like the tensor itself", {"tensor": self, "grad": gradient})
                )
        self._grad = gradient

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf that it was computed from.

        gradient        the gradient of the final result with respect to this tensor; 1 if it has a single element
        retain_graph    keep what the operations saved, for a second backward

        RuntimeError: the tensor requires no gradient; it has many elements and `gradient` is not given, or is of
        another shape or dtype; the graph was already freed; a saved tensor was changed in place.
        """
        root = root_gradient("backward", self, gradient)
        if create_graph:
            raise RuntimeError(
                explain("backward", "create_graph=True is not supported: minidl computes first-order gradients only")
            )
        for observer in observers:
            observer.start_backward(self, root)
        engine.run([(self.gradient_edge(), root)], retain_graph)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(grad)` when the gradient of this tensor is computed; what it returns, if anything, replaces it.

        RuntimeError where the tensor requires no gradient.
        """

        def on_array(gradient: Any) -> Any:
            replaced = hook(_wrap(gradient))
            if replaced is None:
                return None
            if not isinstance(replaced, Tensor) or (replaced.shape, replaced.dtype) != (gradient.shape, gradient.dtype):
                raise RuntimeError(
                    explain(
                        "register_hook",
                        "a hook returns None or a gradient like the one it was given",
                        {"given": gradient, "returned": replaced},
                    )
                )
            return replaced._data

        hooks = self._hook_list("register_hook")
        hooks.append(on_array)
        return RemovableHandle(hooks, on_array)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook(self)` each time after backward has added to `.grad` of this leaf.

        RuntimeError where the tensor is no leaf, or requires no gradient.
        """
        if not self.requires_grad or not self.is_leaf:
            rule = "post accumulate grad hooks can only be registered on leaf tensors that require a gradient"
            raise RuntimeError(explain("register_post_accumulate_grad_hook", rule, {"tensor": self}))
        if self._after_accumulation is None:
            self._after_accumulation = []
        self._after_accumulation.append(hook)
        return RemovableHandle(self._after_accumulation, hook)

    def retain_grad(self) -> None:
        """Keep `.grad` of this tensor although it is not a leaf. RuntimeError where it requires no gradient."""
        if (self.is_leaf and self.requires_grad) or self._retains_grad:
            return
        if not self.requires_grad:
            raise RuntimeError(explain("retain_grad", "can't retain_grad on Tensor that has requires_grad=False"))
        self._retains_grad = True
        self._keep_gradient()

    def _keep_gradient(self) -> None:
        """Let the node that made this tensor store the gradient in `.grad`."""
        node, index = self.grad_fn, self.output_nr
        assert node is not None
        reference = weakref.ref(self)  # the node must not keep the tensor alive that keeps the node alive

        def keep(gradient: Any) -> None:
            tensor = reference()
            if tensor is not None:
                old = tensor._grad
                with backend.on_device_of((gradient,)):
                    tensor._grad = _wrap(gradient.copy() if old is None else old._data + gradient)

        node.keepers = {**node.keepers, index: keep}

    @property
    def retains_grad(self) -> bool:
        return self._retains_grad

    def _hook_list(self, where: str) -> list:
        """The hooks of this tensor's gradient, on the node that the gradient arrives at."""
        if not self.requires_grad:
            raise RuntimeError(explain(where, "cannot register a hook on a tensor that doesn't require gradient"))
        if self.grad_fn is not None:
            self.grad_fn.hooks = self.grad_fn.hooks or {}
            return self.grad_fn.hooks.setdefault(self.output_nr, [])
        if self._hooks is None:
            self._hooks = []
            if self._leaf is not None and (node := self._leaf[0]) is not None:
                node.hooks = {0: self._hooks}
        return self._hooks

    def gradient_edge(self) -> engine.Edge:
        """Where the gradient of this tensor goes: to its grad_fn, or for a leaf to the node that fills `.grad`."""
        if self._edge is not None:
            return self._edge
        return self._leaf_edge() if self.requires_grad else NO_EDGE

    def _leaf_edge(self) -> engine.Edge:
        if self._leaf is None:
            self._leaf = AccumulateGrad(self), 0, self._data.shape, self._data.dtype
        return self._leaf

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or no longer. RuntimeError for ints, and for a result of recorded operations."""
        if requires_grad and self._data.dtype.kind != "f":
            raise RuntimeError(
                explain(
                    "requires_grad_", "only Tensors of floating point dtype can require gradients", {"tensor": self}
                )
            )
        if not requires_grad and self.grad_fn is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        self._requires_grad = requires_grad
        return self

    def detach(self) -> Tensor:
        """The same array without the history."""
        return _wrap(self._data)

    def detach_(self) -> Tensor:
        """Forget the history: this tensor becomes a leaf that requires no gradient."""
        self._edge, self._requires_grad = None, False
        return self

    # ----------------------------------------------------------------------------------------- changes in place

    def _check_in_place(self, where: str, *operands: Any) -> None:
        """Refuse a change in place whose gradient would be wrong. Nothing has been computed yet."""
        if not getattr(self._data.flags, "writeable", True):  # CuPy's flags lack it: all its arrays are
            raise RuntimeError(
                explain(
                    where,
                    "the tensor cannot be written to: more than one of its elements refers to a single memory location",
                    {"tensor": self},
                    help="it was expanded, or its NumPy array is read-only; change a copy: x.clone()",
                )
            )
        if not grad_mode.enabled or not any(isinstance(t, Tensor) and t.requires_grad for t in (self, *operands)):
            return
        if self.is_leaf and self.requires_grad:
            raise RuntimeError(
                explain(
                    where,
                    "a leaf Variable that requires grad is being used in an in-place operation.",
                    {"tensor": self},
                    help="update parameters inside `with minidl.no_grad():`, or change x.data",
                )
            )
        if is_shared(self._data, self):
            raise RuntimeError(
                explain(
                    where,
                    "this tensor shares memory with another one that has a history (one is a view of the other): the "
                    "other's gradient would be wrong",
                    {"tensor": self},
                    help="change a copy: y = x.clone(), then change y; or write y = x + 1 rather than x += 1",
                )
            )

    def _become(self, where: str, result: Tensor) -> Tensor:
        """Take over the values and the history of `result`, in this tensor's own memory."""
        if result.shape != self.shape:
            raise RuntimeError(
                explain(where, "the result does not fit into the tensor", {"tensor": self, "result": result})
            )
        if "biuf".index(result.dtype.kind.replace("u", "i")) > "biuf".index(self.dtype.kind.replace("u", "i")):
            raise RuntimeError(
                explain(where, f"result type {result.dtype} can't be cast to the desired output type {self.dtype}")
            )
        node = result.grad_fn
        if result._data is not self._data:
            if node is not None and node.saved:  # what the operation saved of this tensor is overwritten next
                node.saved = tuple(backend.copied(array) if array is self._data else array for array in node.saved)
            before_change(self._data)
            backend.write(self._data, result._data)
            mark_changed(self._data)
        if result.requires_grad:
            if self._retains_grad:  # from now on, the gradient of the new values
                del self.grad_fn.keepers[self.output_nr]  # type: ignore[union-attr]
            self._requires_grad, self._edge = True, result._edge
            if self._retains_grad:
                self._keep_gradient()
        return self

    def _in_place(self, where: str, compute: Callable[..., Tensor], *operands: Any) -> Tensor:
        self._check_in_place(where, *operands)
        return self._become(where, compute(self, *operands))

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return self._in_place("add_", Tensor.add, other if alpha == 1 else alpha * other)

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return self._in_place("sub_", Tensor.sub, other if alpha == 1 else alpha * other)

    def mul_(self, other: Any) -> Tensor:
        return self._in_place("mul_", Tensor.mul, other)

    def div_(self, other: Any) -> Tensor:
        return self._in_place("div_", Tensor.div, other)

    def pow_(self, exponent: Any) -> Tensor:
        return self._in_place("pow_", Tensor.pow, exponent)

    def clamp_(self, min: float | None = None, max: float | None = None) -> Tensor:
        return self._in_place("clamp_", Tensor.clamp, min, max)

    def relu_(self) -> Tensor:
        self._check_in_place("relu_")
        mark_changed(self._data)  # now: what the operation saves are the new values
        return self._become("relu_", apply(ops.ReLU, self, in_place=True))

    def copy_(self, source: Tensor) -> Tensor:
        """Take the values of `source`, broadcast to this shape and cast to this dtype."""
        self[...] = source.to(self.device, self.dtype)
        return self

    def fill_(self, value: float) -> Tensor:
        self[...] = value
        return self

    def zero_(self) -> Tensor:
        return self.fill_(0)

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
        """Fill with draws from N(mean, std^2)."""
        check_floating("normal_", tensor=self)
        draws = (generator or default_generator).numpy.standard_normal(self.shape, self.dtype)
        return self.copy_(_wrap(draws * std + mean))

    def uniform_(self, low: float = 0.0, high: float = 1.0, *, generator: Any = None) -> Tensor:
        """Fill with draws from U[low, high)."""
        check_floating("uniform_", tensor=self)
        draws = (generator or default_generator).numpy.random(self.shape, self.dtype)
        return self.copy_(_wrap(draws * (high - low) + low))

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ipow__ = pow_

    # ----------------------------------------------------------------------------- dtype, device, and copies

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """x.to(dtype), x.to(device), x.to(device, dtype), x.to(other): itself where nothing changes."""
        to_device, dtype = parse_to(args, kwargs)
        tensor = self
        if dtype is not None and dtype != tensor.dtype:
            tensor = apply(ops.Cast, tensor, dtype=dtype)
        if to_device is not None and to_device != tensor.device:
            tensor = apply(ops.Transfer, tensor, device=to_device)
        return tensor

    def clone(self) -> Tensor:
        """A copy, through which gradients flow."""
        return apply(ops.Clone, self)

    def contiguous(self) -> Tensor:
        """Itself if its elements lie in C order, else a copy in which they do."""
        return self if self.is_contiguous() else self.clone()

    # ---------------------------------------------------------------------------------------------- arithmetic

    def __add__(self, other: Any) -> Tensor:
        return _binary(ops.Add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(ops.Add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary(ops.Sub, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(ops.Sub, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary(ops.Mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(ops.Mul, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(ops.Div, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(ops.Div, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _binary(ops.Pow, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(ops.Pow, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return self.matmul(other)

    def __neg__(self) -> Tensor:
        if self.dtype == bool_:
            raise RuntimeError(explain("neg", "the `-` operator on a bool tensor is not supported", help="use ~x"))
        return apply(ops.Neg, self)

    def __abs__(self) -> Tensor:
        return apply(ops.Abs, self)

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        return self + (other if alpha == 1 else alpha * other)

    def sub(self, other: Any, *, alpha: float = 1) -> Tensor:
        return self - (other if alpha == 1 else alpha * other)

    def mul(self, other: Any) -> Tensor:
        return self * other

    def div(self, other: Any) -> Tensor:
        return self / other

    def pow(self, exponent: Any) -> Tensor:
        return self**exponent

    def neg(self) -> Tensor:
        return -self

    def abs(self) -> Tensor:
        return apply(ops.Abs, self)

    def maximum(self, other: Tensor) -> Tensor:
        return _binary(ops.Maximum, self, other)

    def minimum(self, other: Tensor) -> Tensor:
        return _binary(ops.Minimum, self, other)

    def exp(self) -> Tensor:
        return apply(ops.Exp, _floating("exp", self))

    def log(self) -> Tensor:
        return apply(ops.Log, _floating("log", self))

    def sqrt(self) -> Tensor:
        return apply(ops.Sqrt, _floating("sqrt", self))

    def clamp(self, min: float | None = None, max: float | None = None) -> Tensor:
        """Every element brought into min..max. RuntimeError where both are None."""
        if min is None and max is None:
            raise RuntimeError(explain("clamp", "At least one of 'min' or 'max' must not be None"))
        for name, bound in (("min", min), ("max", max)):
            if bound is not None and not isinstance(bound, Number):
                raise TypeError(
                    explain("clamp", f"{name} must be a number, got {describe(bound)}", help="use maximum and minimum")
                )
        return apply(ops.Clamp, self, low=min, high=max)

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product, over the last two dimensions; the ones before broadcast; vectors as in NumPy."""
        other = _operand("matmul", other)
        check_same("matmul", left=self, right=other)
        if not self.ndim or not other.ndim:
            raise RuntimeError(
                explain("matmul", "both arguments need at least 1 dimension", {"left": self, "right": other})
            )
        if self.shape[-1] != other.shape[-2 if other.ndim > 1 else 0]:
            rows = f"{self.shape[-2] if self.ndim > 1 else 1}x{self.shape[-1]}"
            columns = f"{other.shape[-2]}x{other.shape[-1]}" if other.ndim > 1 else f"{other.shape[0]}x1"
            raise RuntimeError(
                explain(
                    "matmul",
                    f"mat1 and mat2 shapes cannot be multiplied ({rows} and {columns})",
                    {"left": self, "right": other},
                    help="the last dimension of the left operand must equal the second-last of the right one",
                )
            )
        if self.ndim > 2 or other.ndim > 2:
            try:
                numpy.broadcast_shapes(self.shape[:-2], other.shape[:-2])
            except ValueError:
                raise RuntimeError(
                    explain("matmul", "the batch dimensions do not broadcast", {"left": self, "right": other})
                ) from None
        return apply(ops.MatMul, self, other)

    def mm(self, other: Tensor) -> Tensor:
        """The product of two matrices. RuntimeError for other numbers of dimensions."""
        _check_matrices("mm", self, other, 2)
        return self.matmul(other)

    def bmm(self, other: Tensor) -> Tensor:
        """The products of two batches of matrices. RuntimeError for other numbers of dimensions or batches."""
        _check_matrices("bmm", self, other, 3)
        if self.shape[0] != other.shape[0]:
            raise RuntimeError(explain("bmm", "the batch sizes differ", {"input": self, "mat2": other}))
        return self.matmul(other)

    # --------------------------------------------------------------------------------------------- comparisons

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _compare("eq", self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _compare("ne", self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compare("lt", self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compare("le", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compare("gt", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compare("ge", self, other)

    def __and__(self, other: Any) -> Tensor:
        return _bits("bitwise_and", self, other)

    def __or__(self, other: Any) -> Tensor:
        return _bits("bitwise_or", self, other)

    def __invert__(self) -> Tensor:
        return _bits("bitwise_xor", self, self.dtype == bool_ or -1)

    __hash__ = object.__hash__  # tensors are keys by identity, although == compares elements

    def eq(self, other: Any) -> Tensor:
        return _compare_strictly("eq", self, other)

    def ne(self, other: Any) -> Tensor:
        return _compare_strictly("ne", self, other)

    def lt(self, other: Any) -> Tensor:
        return _compare_strictly("lt", self, other)

    def le(self, other: Any) -> Tensor:
        return _compare_strictly("le", self, other)

    def gt(self, other: Any) -> Tensor:
        return _compare_strictly("gt", self, other)

    def ge(self, other: Any) -> Tensor:
        return _compare_strictly("ge", self, other)

    def all(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        axis = None if dim is None else normalize_dim("all", dim, self.ndim)
        with backend.on_device_of((self._data,)):
            return _wrap(self._data.all(axis=axis, keepdims=keepdim))

    def any(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        axis = None if dim is None else normalize_dim("any", dim, self.ndim)
        with backend.on_device_of((self._data,)):
            return _wrap(self._data.any(axis=axis, keepdims=keepdim))

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the largest element: of the flattened tensor, or along `dim`."""
        return self._arg("argmax", dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the smallest element: of the flattened tensor, or along `dim`."""
        return self._arg("argmin", dim, keepdim)

    def _arg(self, where: str, dim: int | None, keepdim: bool) -> Tensor:
        axis = None if dim is None else normalize_dim(where, dim, self.ndim)
        if not self.numel():
            raise IndexError(explain(where, "the tensor has no elements", {"input": self}))
        xp = array_module(self._data)
        with backend.on_device_of((self._data,)):
            return _wrap(xp.asarray(getattr(xp, where)(self._data, axis=axis, keepdims=keepdim)).astype(int64))

    # ---------------------------------------------------------------------------------------------- reductions

    def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        dims = normalize_dims("sum", dim, self.ndim)
        tensor = self if self.is_floating_point() else self.to(int64)  # as PyTorch: a sum of bytes or bools counts
        return apply(ops.Sum, tensor, dim=dims, keepdim=keepdim)

    def mean(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return apply(ops.Mean, _floating("mean", self), dim=normalize_dims("mean", dim, self.ndim), keepdim=keepdim)

    def var(
        self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: int = 1
    ) -> Tensor:
        return self._spread(ops.Var, dim, unbiased, keepdim, correction)

    def std(
        self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: int = 1
    ) -> Tensor:
        return self._spread(ops.Std, dim, unbiased, keepdim, correction)

    def _spread(self, operation: type[Function], dim: Any, unbiased: Any, keepdim: bool, correction: int) -> Tensor:
        where = operation.__name__.lower()
        if isinstance(dim, bool):  # PyTorch's older x.var(unbiased)
            dim, unbiased = None, dim
        dims = normalize_dims(where, dim, self.ndim)
        correction = correction if unbiased is None else int(unbiased)
        return apply(operation, _floating(where, self), dim=dims, correction=correction, keepdim=keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The largest element; along `dim`, (values, indices); with a Tensor, the larger of each pair."""
        if isinstance(dim, Tensor):
            return self.maximum(dim)
        if dim is None:
            return self._extreme(ops.Amax, None, False)
        return ValuesAndIndices(*apply(ops.Max, self, dim=self._dim_with_elements("max", dim), keepdim=keepdim))

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The smallest element; along `dim`, (values, indices); with a Tensor, the smaller of each pair."""
        if isinstance(dim, Tensor):
            return self.minimum(dim)
        if dim is None:
            return self._extreme(ops.Amin, None, False)
        return ValuesAndIndices(*apply(ops.Min, self, dim=self._dim_with_elements("min", dim), keepdim=keepdim))

    def amax(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        """The largest element over the dimensions `dim`; its gradient is shared evenly where several are equal."""
        return self._extreme(ops.Amax, dim, keepdim)

    def amin(self, dim: Any = (), keepdim: bool = False) -> Tensor:
        """The smallest element over the dimensions `dim`; its gradient is shared evenly where several are equal."""
        return self._extreme(ops.Amin, dim, keepdim)

    def _extreme(self, operation: type[Function], dim: Any, keepdim: bool) -> Tensor:
        where = operation.__name__.lower()
        dims = normalize_dims(where, dim, self.ndim)
        if any(self.shape[d] == 0 for d in dims):
            raise IndexError(explain(where, "a dimension without elements has no extreme", {"input": self}))
        return apply(operation, self, dim=dims, keepdim=keepdim)

    def _dim_with_elements(self, where: str, dim: int) -> int:
        index = normalize_dim(where, dim, self.ndim)
        if self.ndim and self.shape[index] == 0:
            raise IndexError(explain(where, "a dimension without elements has no extreme", {"input": self}))
        return index

    def prod(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The product of all elements, or along one dimension."""
        dims = normalize_dims("prod", dim, self.ndim)
        tensor = self if self.is_floating_point() else self.to(int64)
        return apply(ops.Prod, tensor, dim=dims, keepdim=keepdim)

    def cumsum(self, dim: int) -> Tensor:
        """The running sum along `dim`."""
        tensor = self if self.is_floating_point() else self.to(int64)
        return apply(ops.CumSum, tensor, dim=normalize_dim("cumsum", dim, self.ndim))

    # --------------------------------------------------------------------------------------------------- shape

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1. RuntimeError where the numbers differ."""
        return apply(ops.Reshape, self, shape=fit_shape("reshape", self, shape_of("reshape", shape)))

    def view(self, *shape: Any) -> Tensor:
        """The same as reshape: where the memory does not allow a view, a copy is made."""
        return apply(ops.Reshape, self, shape=fit_shape("view", self, shape_of("view", shape)))

    def view_as(self, other: Tensor) -> Tensor:
        return self.view(other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        return self.reshape(other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The dimensions from start_dim to end_dim, both included, as one."""
        start = normalize_dim("flatten", start_dim, self.ndim)
        end = normalize_dim("flatten", end_dim, self.ndim)
        if start > end:
            raise RuntimeError(explain("flatten", "start_dim cannot come after end_dim", {"input": self}))
        middle = math.prod(self.shape[start : end + 1])
        return apply(ops.Reshape, self, shape=self.shape[:start] + (middle,) + self.shape[end + 1 :])

    def squeeze(self, dim: Any = None) -> Tensor:
        """Without the dimensions of size 1: all of them, or those among `dim`."""
        dims = range(self.ndim) if dim is None else normalize_dims("squeeze", dim, self.ndim)
        shape = tuple(size for i, size in enumerate(self.shape) if size != 1 or i not in dims)
        return apply(ops.Reshape, self, shape=shape)

    def unsqueeze(self, dim: int) -> Tensor:
        """With a new dimension of size 1 at `dim`."""
        index = normalize_dim("unsqueeze", dim, self.ndim + 1)
        return apply(ops.Reshape, self, shape=self.shape[:index] + (1,) + self.shape[index:])

    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in another order. RuntimeError where `dims` is not an order of all of them."""
        order = shape_of("permute", dims)
        order = tuple(normalize_dim("permute", dim, self.ndim) for dim in order)
        if sorted(order) != list(range(self.ndim)):
            raise RuntimeError(
                explain("permute", f"dims={order} does not name each of {self.ndim} dimensions once", {"input": self})
            )
        return apply(ops.Permute, self, dims=order)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged."""
        i, j = normalize_dim("transpose", dim0, self.ndim), normalize_dim("transpose", dim1, self.ndim)
        if not self.ndim:
            return self
        order = list(range(self.ndim))
        order[i], order[j] = order[j], order[i]
        return apply(ops.Permute, self, dims=tuple(order))

    def t(self) -> Tensor:
        """A matrix transposed. RuntimeError for more than two dimensions."""
        if self.ndim > 2:
            raise RuntimeError(explain("t", "expects a tensor with <= 2 dimensions", {"self": self}))
        return self.transpose(0, 1) if self.ndim == 2 else self

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return apply(ops.Permute, self, dims=tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        return self.transpose(-2, -1)

    def expand(self, *sizes: Any) -> Tensor:
        """Dimensions of size 1 repeated, without a copy; -1 keeps a size. RuntimeError where it does not fit."""
        shape = shape_of("expand", sizes)
        added = len(shape) - self.ndim
        if added >= 0:
            old = (1,) * added + self.shape
            new = tuple(o if n == -1 and i >= added else n for i, (o, n) in enumerate(zip(old, shape, strict=True)))
            if all(n == o or (o == 1 and n >= 0) for o, n in zip(old, new, strict=True)):
                return apply(ops.Expand, self, shape=new)
        raise RuntimeError(
            explain("expand", f"cannot expand to {shape}: only dimensions of size 1 can grow", {"input": self})
        )

    def expand_as(self, other: Tensor) -> Tensor:
        return self.expand(other.shape)

    def repeat(self, *repeats: Any) -> Tensor:
        """The tensor laid out `repeats` times along each dimension, as tiles."""
        times = shape_of("repeat", repeats)
        if len(times) < self.ndim or any(n < 0 for n in times):
            raise RuntimeError(
                explain(
                    "repeat", f"needs a number >= 0 for each of {self.ndim} dimensions, got {times}", {"input": self}
                )
            )
        return apply(ops.Repeat, self, repeats=times)

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Pieces of split_size along `dim` (the last may be smaller), or of the sizes in a list."""
        if not self.ndim:
            raise RuntimeError(explain("split", "expects at least a 1-dimensional tensor", {"input": self}))
        index = normalize_dim("split", dim, self.ndim)
        length = self.shape[index]
        if isinstance(split_size, (tuple, list)):
            sizes = tuple(split_size)
            if sum(sizes) != length or min(sizes, default=0) < 0:
                raise RuntimeError(
                    explain(
                        "split", f"the sizes {sizes} must add up to {length}, the size of dim {dim}", {"input": self}
                    )
                )
        else:
            split_size = operator.index(split_size)  # type: ignore[arg-type]
            if split_size < 1:
                raise RuntimeError(explain("split", f"split_size must be at least 1, got {split_size}"))
            full, rest = divmod(length, split_size)
            sizes = (split_size,) * full + ((rest,) if rest or not full else ())
        return apply(ops.Split, self, sizes=sizes, dim=index)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most `chunks` pieces of equal size along `dim`; the last may be smaller."""
        if not self.ndim:
            raise RuntimeError(explain("chunk", "expects at least a 1-dimensional tensor", {"input": self}))
        if chunks < 1:
            raise RuntimeError(explain("chunk", f"chunks must be at least 1, got {chunks}"))
        length = self.shape[normalize_dim("chunk", dim, self.ndim)]
        return self.split(max(1, -(-length // chunks)), dim)

    def __getitem__(self, key: Any) -> Tensor:
        return apply(ops.GetItem, self, key=index_key("getitem", self._data, _plain_key(key)))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_in_place("setitem", value)
        key = index_key("setitem", self._data, _plain_key(key))
        if isinstance(value, Tensor):
            if value.dtype.kind == "f" and self.dtype != value.dtype:
                check_same("setitem", tensor=self, value=value)
            check_same_device("setitem", tensor=self, value=value)
        else:
            check_number_fits("setitem", value, self.dtype)
        try:
            if grad_mode.enabled and (self.requires_grad or getattr(value, "requires_grad", False)):
                self._become("setitem", apply(ops.SetItem, self, value, key=key))
            else:
                before_change(self._data)
                with backend.on_device_of((self._data,)):
                    ops.assign(self._data, key, value._data if isinstance(value, Tensor) else value)
                mark_changed(self._data)
        except (ValueError, TypeError) as error:  # NumPy's words for shapes that do not fit
            raise RuntimeError(explain("setitem", str(error), {"tensor": self, "value": value})) from None

    # --------------------------------------------------------------------------------------------- activations

    def relu(self) -> Tensor:
        if self._data.dtype.kind == "b":
            raise RuntimeError(explain("relu", "Boolean inputs not supported for relu"))
        return apply(ops.ReLU, self)

    def sigmoid(self) -> Tensor:
        return apply(ops.Sigmoid, _floating("sigmoid", self))

    def tanh(self) -> Tensor:
        return apply(ops.Tanh, _floating("tanh", self))

    def softmax(self, dim: int) -> Tensor:
        return apply(ops.Softmax, _floating("softmax", self), dim=normalize_dim("softmax", dim, self.ndim))

    def log_softmax(self, dim: int) -> Tensor:
        return apply(ops.LogSoftmax, _floating("log_softmax", self), dim=normalize_dim("log_softmax", dim, self.ndim))


# ------------------------------------------------------------------------------------------ how arguments are read


def _plain_key(key: Any) -> tuple:
    """The parts of an index, with arrays in place of Tensors."""
    return tuple(
        part._data if isinstance(part, Tensor) else part for part in (key if isinstance(key, tuple) else (key,))
    )


def root_gradient(where: str, tensor: Tensor, gradient: Any) -> Any:
    """The array that backward starts from at `tensor`; raises PyTorch's errors where it cannot."""
    if not tensor.requires_grad:
        raise RuntimeError(
            explain(
                where,
                "element 0 of tensors does not require grad and does not have a grad_fn",
                {"tensor": tensor},
                help="nothing it was computed from requires a gradient, or it was computed inside no_grad()",
            )
        )
    if gradient is None:
        if tensor.numel() != 1:
            raise RuntimeError(
                explain(
                    where,
                    "grad can be implicitly created only for scalar outputs",
                    {"tensor": tensor},
                    help="reduce it first (loss.mean() or loss.sum()), or pass gradient=, a tensor of its shape",
                )
            )
        with backend.on_device_of((tensor._data,)):
            return array_module(tensor._data).ones(tensor.shape, tensor.dtype)
    if not isinstance(gradient, Tensor):
        raise TypeError(explain(where, f"gradients can be either Tensors or None, but got {type(gradient).__name__}"))
    if gradient.shape != tensor.shape or gradient.dtype != tensor.dtype or gradient.device != tensor.device:
        raise RuntimeError(
            explain(
                where,
                "Mismatch: the gradient must have the shape, dtype and device of the tensor",
                {"tensor": tensor, "gradient": gradient},
            )
        )
    return backend.copied(gradient._data)  # a leaf keeps it


def parse_to(args: tuple, kwargs: dict) -> tuple[device | None, numpy.dtype | None]:
    """The device and the dtype from the arguments of `Tensor.to` and `Module.to`."""
    to_device, dtype = kwargs.get("device"), kwargs.get("dtype")
    unknown = set(kwargs) - {"device", "dtype"}
    if unknown:
        raise TypeError(explain("to", f"got an unexpected keyword argument {unknown.pop()!r}"))
    for value in args:
        if isinstance(value, Tensor):
            to_device, dtype = value.device, value.dtype
        elif isinstance(value, (str, device)) and not _is_dtype_name(value):
            to_device = value
        elif value is not None:
            dtype = value
    try:
        dtype = None if dtype is None else numpy.dtype(dtype)
    except TypeError:
        raise TypeError(explain("to", f"expected a dtype, a device or a Tensor, got {dtype!r}")) from None
    if dtype is not None:
        check_dtype("to", dtype)
    return (None if to_device is None else device(to_device)), dtype


def _is_dtype_name(value: Any) -> bool:
    return isinstance(value, str) and value.rstrip("0123456789") in ("float", "int", "uint", "bool")


def require_tensors(where: str, **operands: Any) -> None:
    """Every operand is a Tensor. TypeError otherwise."""
    for name, operand in operands.items():
        if not isinstance(operand, Tensor):
            help = "wrap it: minidl.tensor(x) or minidl.from_numpy(x)" if is_array(operand) else None
            raise TypeError(
                explain(where, f"argument '{name}' must be Tensor, not {type(operand).__name__}", help=help)
            )


def optional_tensors(where: str, **operands: Any) -> None:
    """Every operand is a Tensor or None. TypeError otherwise."""
    require_tensors(where, **{name: operand for name, operand in operands.items() if operand is not None})


def _operand(where: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if is_array(value):
        return _wrap(value)
    raise TypeError(explain(where, f"expected a Tensor, got {type(value).__name__}"))


def _floating(where: str, tensor: Tensor) -> Tensor:
    check_floating(where, input=tensor)
    return tensor


def _binary(operation: type[Function], a: Any, b: Any) -> Tensor:
    """An operation on two operands, of which one may be a number, with PyTorch's type promotion.

    Ints take on the other operand's floating dtype. float32 and float64 together are an error: the result would
    silently be float64, and twice as slow from there on.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        x, y = a._data, b._data
        if x.dtype is y.dtype and x.dtype.kind == "f" and type(x) is type(y):  # the usual case: nothing to promote
            try:
                return apply(operation, a, b)
            except ValueError:  # NumPy's word for shapes that do not broadcast
                check_broadcast(operation.__name__.lower(), left=a, right=b)
                raise
    a, b = promote(operation, a, b)
    if b is NotImplemented:
        return NotImplemented  # type: ignore[return-value]
    if operation is ops.Sub and all(isinstance(x, Tensor) and x.dtype == bool_ for x in (a, b)):
        raise RuntimeError(explain("sub", "subtraction of two bool tensors is not supported", help="use a != b"))
    if operation is ops.Pow and isinstance(a, Tensor) and a.dtype.kind != "f" and isinstance(b, int) and b < 0:
        raise RuntimeError(
            explain(
                "pow", "Integers to negative integer powers are not allowed.", {"tensor": a}, help="x.float() ** -1"
            )
        )
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        check_broadcast(operation.__name__.lower(), left=a, right=b)
        check_same_device(operation.__name__.lower(), left=a, right=b)
    return apply(operation, a, b)


def promote(operation: type[Function], a: Any, b: Any) -> tuple[Any, Any]:
    """Both operands ready for `operation`: numbers as Python numbers, tensors of one kind of dtype."""
    operands = []
    for value in (a, b):
        if is_array(value) and not isinstance(value, numpy.generic):
            value = _wrap(value)
        elif isinstance(value, numpy.generic):
            value = value.item()
        if not isinstance(value, (Tensor, int, float)):
            return a, NotImplemented
        operands.append(value)
    tensors = [value for value in operands if isinstance(value, Tensor)]
    floating = {value.dtype for value in tensors if value.dtype.kind == "f"}
    if len(floating) > 1:
        where, named = operation.__name__.lower(), {"left": operands[0], "right": operands[1]}
        array = next((value for value in (a, b) if is_array(value)), None)
        if array is not None and array.dtype == float64:
            help = "NumPy's arrays are float64 unless told otherwise: a.astype(minidl.float32)"
            raise RuntimeError(explain(where, "expected all tensors to have the same dtype", named, help=help))
        check_same(where, **named)
    wanted = floating.pop() if floating else None
    if wanted is None and (operation is ops.Div or any(isinstance(value, float) for value in operands)):
        wanted = get_default_dtype()
    if wanted is not None:
        operands = [value.to(wanted) if isinstance(value, Tensor) else value for value in operands]
    return operands[0], operands[1]


_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def _compare(where: str, a: Tensor, b: Any) -> Tensor:
    """A comparison element by element: a Tensor of bools, without a gradient."""
    if is_array(b) and not isinstance(b, numpy.generic):
        b = _wrap(b)
    if isinstance(b, Tensor):
        check_broadcast(where, left=a, right=b)
        check_same_device(where, left=a, right=b)
        b = b._data
    elif not isinstance(b, Number):
        return NotImplemented
    with backend.on_device_of((a._data,)):
        return _wrap(getattr(array_module(a._data), _COMPARISONS[where])(a._data, b))


def _bits(where: str, a: Tensor, b: Any) -> Tensor:
    """An operation on the bits of ints, or on bools, element by element."""
    for operand in (a, b):
        if not isinstance(operand, (Tensor, int, numpy.integer, numpy.bool_)):
            return NotImplemented
        if isinstance(operand, Tensor) and operand.dtype.kind == "f":
            raise RuntimeError(explain(where, "takes ints and bools", {"tensor": operand}, help="compare first: x > 0"))
    if isinstance(b, Tensor):
        check_broadcast(where, left=a, right=b)
        check_same_device(where, left=a, right=b)
        b = b._data
    with backend.on_device_of((a._data,)):
        return _wrap(getattr(array_module(a._data), where)(a._data, b))


def _compare_strictly(where: str, a: Tensor, b: Any) -> Tensor:
    """The same for a method: what an operator leaves to its right operand is an error here."""
    result = _compare(where, a, b)
    if result is NotImplemented:
        raise TypeError(explain(where, f"argument 'other' must be Tensor or Number, not {type(b).__name__}"))
    return result


def _check_matrices(where: str, a: Tensor, b: Tensor, ndim: int) -> None:
    b = _operand(where, b)
    if a.ndim != ndim or b.ndim != ndim:
        raise RuntimeError(
            explain(where, f"both arguments must have {ndim} dimensions", {"input": a, "mat2": b}, help="see matmul")
        )

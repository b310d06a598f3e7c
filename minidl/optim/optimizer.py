"""Optimizer: the parameter groups, the state and the loop that every optimizer shares.

    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    for x, y in loader:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()                      # calls update(...) for every parameter with a gradient

A subclass is its `update`: the formulae of its paper, on the arrays, in place.
"""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Any

from minidl.backend import CPU, array_module, device_of, is_array, on_device_of, write
from minidl.errors import explain
from minidl.events import observers
from minidl.grad_mode import enable_grad
from minidl.memory import before_change, mark_changed
from minidl.tensor import Tensor

BLOCK = 1 << 16  # elements: three or four float32 arrays of this size stay in a core's second-level cache


class Optimizer:
    """Base class of optimizers.

    param_groups    list of dictionaries: "params", and the settings of these parameters (lr, weight_decay, ...)
    defaults        the settings of a group that does not say otherwise
    state           for each parameter what the optimizer remembers of it: buffers (Tensors) and counts

    TypeError: `params` is no list of Tensors or of dictionaries. ValueError: it is empty, or holds a tensor that is
    no leaf, or one that another group has too.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], defaults: dict[str, Any]):
        name = type(self).__name__
        if isinstance(params, (Tensor, dict)) or not isinstance(params, Iterable):
            raise TypeError(
                explain(
                    name,
                    "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                    f"but got {type(params).__name__}",
                    help="pass model.parameters(), or [tensor] for a single one",
                )
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(
                explain(
                    name,
                    "optimizer got an empty parameter list",
                    help="does the model hold its layers as attributes? A plain list of layers registers nothing: "
                    "use nn.ModuleList. An iterator such as model.parameters() can be read only once",
                )
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        for group in groups:
            self.add_param_group(group)

    def update(self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change `param.data` in place by one step down `grad`, its gradient's array. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__}.update is not defined")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for every parameter that has a gradient. Returns what `closure`, called first, returns."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for observer in observers:
            observer.before_step(self)
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    if observers:
                        self._before_update(param)
                    with on_device_of((param.data,)):
                        self.update(param, param.grad.data, self.state[param], group)
                    mark_changed(param.data)  # a graph that still needs the old values is refused
                    for observer in observers:
                        observer.after_update(self, param)
        for observer in observers:
            observer.after_step(self)
        return loss

    def _before_update(self, param: Tensor) -> None:
        for observer in observers:
            observer.before_update(self, param)
        for tensor in (param, *self.state[param].values()):  # the buffers are changed as well
            if isinstance(tensor, Tensor):
                before_change(tensor.data)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with `set_to_none=False`, keep their memory and fill it with zeros."""
        for observer in observers:
            observer.before_zero_grad(self)
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    before_change(param.grad.data)
                    write(param.grad.data, 0)
                    mark_changed(param.grad.data)
        for observer in observers:
            observer.after_zero_grad(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize these parameters too: {"params": [...], "lr": 0.1}; settings left out are the defaults."""
        where = f"{type(self).__name__}.add_param_group"
        if not isinstance(param_group, dict):
            raise TypeError(explain(where, f"param_group must be a dict, but got {type(param_group).__name__}"))
        if "params" not in param_group:
            raise KeyError(explain(where, 'a parameter group needs the key "params"', {"param_group": param_group}))
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                explain(
                    where,
                    "optimizer parameters need to be organized in ordered collections, but the ordering of tensors "
                    "in sets will change between runs",
                    help="use a list instead",
                )
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(
                    explain(
                        where,
                        f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}",
                        help="pass model.parameters(), not named_parameters() or state_dict()",
                    )
                )
            if not param.is_leaf and not param.retains_grad:
                raise ValueError(
                    explain(
                        where,
                        "can't optimize a non-leaf Tensor",
                        {"param": param},
                        help="optimize what it was computed from, or its own copy: x.detach().requires_grad_()",
                    )
                )
        identities = {id(param) for param in params}
        if len(identities) < len(params):
            warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=3)
        if any(id(param) in identities for group in self.param_groups for param in group["params"]):
            raise ValueError(explain(where, "some parameters appear in more than one parameter group"))
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    def state_dict(self) -> dict[str, Any]:
        """The state and the groups, with each parameter replaced by its number in the order of the groups.

        The buffers in it are the optimizer's own: copy them to keep them as they are now.
        """
        numbers = {param: number for number, param in enumerate(self._params())}
        return {
            "state": {numbers[param]: state for param, state in self.state.items() if state},
            "param_groups": [
                {**group, "params": [numbers[param] for param in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict()`: its settings, and copies of its buffers in the parameters' dtype and device.

        A "momentum_buffer" of None, as PyTorch saves it before the first step, is left out. ValueError where the
        groups, the parameters in them or the shapes differ, and for a buffer that is no Tensor.
        """
        where = f"{type(self).__name__}.load_state_dict"
        saved_groups = state_dict["param_groups"]
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                explain(
                    where,
                    "loaded state dict has a different number of parameter groups: "
                    f"{len(saved_groups)}, the optimizer has {len(self.param_groups)}",
                )
            )
        params: dict[int, Tensor] = {}  # by the number that the saved groups give them
        for saved, group in zip(saved_groups, self.param_groups, strict=True):
            if len(saved["params"]) != len(group["params"]):
                raise ValueError(
                    explain(
                        where,
                        "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                        f"group: {len(saved['params'])} parameters, the optimizer has {len(group['params'])}",
                    )
                )
            params.update(zip(saved["params"], group["params"], strict=True))
        state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number not in params:
                raise ValueError(
                    explain(
                        where,
                        f"loaded state dict has a state for parameter {number!r}, which is in none of its groups",
                        {"parameters": sorted(params)},
                    )
                )
            values = {key: value for key, value in values.items() if key != "momentum_buffer" or value is not None}
            state[params[number]] = {key: _like(where, key, value, params[number]) for key, value in values.items()}
        self.state = state
        self.param_groups = [
            {**self.defaults, **copy.deepcopy(saved), "params": group["params"]}
            for saved, group in zip(saved_groups, self.param_groups, strict=True)
        ]

    def _params(self) -> Iterator[Tensor]:
        return (param for group in self.param_groups for param in group["params"])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
            lines.append("")
        return "\n".join([*lines[:-1], ")"])


def _like(where: str, key: str, value: Any, param: Tensor) -> Any:
    """A copy of a saved value; of a tensor, in the dtype and on the device of the parameter that it belongs to."""
    if key == "step":
        return int(value)  # PyTorch counts in a tensor
    if value is None or is_array(value):
        raise ValueError(explain(where, f"the saved {key} must be a Tensor, but is {type(value).__name__}"))
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if value.shape != param.shape:
        raise ValueError(explain(where, f"the saved {key} has another shape", {"param": param, key: value}))
    return value.detach().to(param.dtype).clone().to(param.device)


def check_setting(optimizer: str, name: str, value: float, below: float = inf, up_to: float = inf) -> None:
    """A setting is a number, at least 0, less than `below` and at most `up_to`. TypeError, ValueError otherwise."""
    if not isinstance(value, (int, float)):
        raise TypeError(explain(optimizer, f"Invalid {name}: {value!r}", help="it must be a number"))
    if not (0 <= value < below and value <= up_to):
        bound = f" and less than {below}" if below < inf else f" and at most {up_to}" if up_to < inf else ""
        raise ValueError(explain(optimizer, f"Invalid {name}: {value}", help=f"it must be at least 0{bound}"))


def buffer(state: dict[str, Any], key: str, param: Tensor, value: float = 0.0) -> Any:
    """The array of `state[key]`, which starts as a tensor like `param` full of `value`.

    ValueError: the parameter has had another shape before. RuntimeError: it has been on another device.
    """
    if key not in state:
        state[key] = Tensor(array_module(param.data).full_like(param.data, value))
    if state[key].device != param.device:
        raise RuntimeError(
            explain(
                "step",
                "Expected all tensors to be on the same device: a parameter has moved since the steps before",
                {"param": param, key: state[key]},
                help="move the model first, or go on with a new optimizer: new.load_state_dict(old.state_dict())",
            )
        )
    if state[key].shape != param.shape:
        raise ValueError(
            explain(
                "step",
                "a parameter has another shape than in the steps before",
                {"param": param, key: state[key]},
                help="make a new optimizer for the changed model",
            )
        )
    return state[key].data


def count_step(state: dict[str, Any]) -> int:
    """The number of this step, from 1, as state["step"]."""
    state["step"] = state.get("step", 0) + 1
    return state["step"]


def descent(p: Any, g: Any, group: dict[str, Any]) -> Any:
    """The gradient to go down: g, its sign turned for `maximize`, plus the L2 penalty's weight_decay * p."""
    if group["maximize"]:
        g = -g
    return g + group["weight_decay"] * p if group["weight_decay"] else g


def blocks(*arrays: Any) -> Iterator[tuple]:
    """Matching pieces of arrays of one shape (None stays None), small enough that they stay in the cache.

    An update reads and writes each array several times; in pieces, only the first time goes to main memory. The pieces
    are views: what is written into them is in the array.
    """
    whole = arrays[0]
    if whole.size <= BLOCK or device_of(whole) != CPU:  # on a GPU every piece would be one more launch
        # With one more dimension: results of arrays without any are scalars, which cannot be changed in place.
        yield tuple(None if array is None else array[None] for array in arrays)
        return
    rows = max(1, BLOCK * len(whole) // whole.size)
    for start in range(0, len(whole), rows):
        yield tuple(None if array is None else array[start : start + rows] for array in arrays)

"""Module: what a layer and a network are. Parameters, buffers and modules set as attributes belong to it.

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 5)        # a Module: its parameters are "conv.weight" and "conv.bias"
            self.scale = nn.Parameter(array)      # a Parameter: "scale"
            self.register_buffer("mean", tensor)  # a tensor that is saved and moved along, but not learnt

        def forward(self, x):
            return self.conv(x - self.mean) * self.scale

There is no second book-keeping: the attributes are ordinary ones, and `parameters()`, `children()` and their kin
look through them in the order in which they were set. Only the names of the buffers are kept apart, and of what was
set to None: there, nothing but a Parameter or a Module may come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from textwrap import indent
from typing import Any, NamedTuple, Self

import numpy

from minidl.backend import device as Device
from minidl.backend import float32, float64, is_array
from minidl.errors import explain
from minidl.events import observers
from minidl.nn.backward_hook import BackwardWatch
from minidl.nn.parameter import Parameter
from minidl.nn.state_names import Rename, help_with_names, renamed
from minidl.tensor import RemovableHandle, Tensor, parse_to


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` returns: the names that only the module has, and those that only the dictionary has."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """Base class of layers and networks. A subclass calls `super().__init__()` first, and defines `forward`.

    training    what dropout and batch norm ask; `train()` and `eval()` set it here and in every module below
    """

    training: bool

    _hooks: dict[str, list] | None = None  # by kind: "forward_pre", "forward", "backward"; None until there is one
    _optional_keys: tuple[str, ...] = ()  # of the state dict: older checkpoints lack them

    def __init__(self) -> None:
        self._empty_places: dict[str, type] = {}  # of a Parameter or a Module that was set to None
        self._buffer_names: dict[str, bool] = {}  # of each buffer: is it part of the state dict?
        self.training = True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The computation; subclasses define it. Call the module itself, which also runs the hooks."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        try:
            if observers:
                return self._call_observed(inputs, kwargs)
            if self._hooks is None:
                return self.forward(*inputs, **kwargs)
            return self._call_with_hooks(self._hooks, inputs, kwargs)
        except Exception as error:
            _note_module(error, self)
            raise

    # -------------------------------------------------------------------------------- what belongs to the module

    def __setattr__(self, name: str, value: Any) -> None:
        if "_buffer_names" not in self.__dict__:
            if isinstance(value, (Parameter, Module)):
                kind = "parameters" if isinstance(value, Parameter) else "module"
                raise AttributeError(
                    f"cannot assign {kind} before Module.__init__() call\n"
                    f"  help: write super().__init__() as the first line of {type(self).__name__}.__init__"
                )
        elif isinstance(value, (Parameter, Module)):
            self._buffer_names.pop(name, None)
            self._empty_places.pop(name, None)
        elif (place := self._kind_at(name)) is not None:
            if value is not None:
                _check_replaces(place, name, value)
            elif place is not Tensor:
                self._empty_places[name] = place
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._buffer_names.pop(name, None)
        self._empty_places.pop(name, None)

    def _kind_at(self, name: str) -> type | None:
        """What belongs at this name: a Parameter, a Module, a Tensor (a buffer), or None for anything."""
        current = self.__dict__.get(name)
        for kind in (Parameter, Module):
            if isinstance(current, kind):
                return kind
        return Tensor if name in self._buffer_names else self._empty_places.get(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as setting an attribute, with a check of the name. None stands for a parameter that is left out."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{type(param).__name__}' object to parameter '{name}' (Parameter or None)")
        self._check_name("parameter", name, Parameter)
        self._empty_places[name] = Parameter
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """A tensor that is moved with the module, and saved with it if `persistent`, but not learnt."""
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None)")
        if name not in self._buffer_names:
            self._check_name("buffer", name, type(None))
        setattr(self, name, tensor)
        self._buffer_names[name] = persistent

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as setting an attribute, with a check of the name; also for names that are no identifiers ("0")."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_name_of(module)} is not a Module subclass{_how_to_add(module)}")
        self._check_name("module", name, Module)
        self._empty_places[name] = Module
        setattr(self, name, module)

    add_module = register_module

    def _check_name(self, kind: str, name: Any, replaceable: type) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if not isinstance(getattr(self, name, None), (replaceable, type(None))):
            raise KeyError(f"attribute '{name}' already exists")

    def _own(self, kind: type) -> list[tuple[str, Any]]:
        """The attributes that are a `kind` (Parameter or Module), by name, in the order in which they were set."""
        return [(name, value) for name, value in self.__dict__.items() if isinstance(value, kind)]

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        named = [(name, self.__dict__.get(name)) for name in self._buffer_names]
        return [(name, buffer) for name, buffer in named if buffer is not None]

    # ----------------------------------------------------------------------------------------------- the listings

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, by name; one that stands twice is listed once."""
        yield from _unique(self._own(Module))

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        for _, child in self.named_children():
            yield child

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, by dotted name, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._own(Module):
            yield from child.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters by dotted name; one that has several names is listed under the first."""
        yield from self._named_tensors(lambda module: module._own(Parameter), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters: what an optimizer takes."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers by dotted name."""
        yield from self._named_tensors(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _named_tensors(
        self, own: Callable[[Module], list], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        named = ((_join(path, name), tensor) for path, module in modules for name, tensor in own(module))
        return _unique(named) if remove_duplicate else named

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; itself for "". AttributeError where there is none."""
        if not target:
            return self
        module = self._get(target)
        if not isinstance(module, Module):
            raise AttributeError(f"`{target}` is not an nn.Module")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name. AttributeError where there is none."""
        parameter = self._get(target)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"`{target}` is not an nn.Parameter")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with this dotted name. AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        buffer = self._get(target)
        if name not in self.get_submodule(path)._buffer_names:
            raise AttributeError(f"`{target}` is not a buffer")
        return buffer

    def _get(self, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        return getattr(module, name)

    # --------------------------------------------------------------------------------- changes of the whole module

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below, then on this one. Returns the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and in every module below. Returns the module. ValueError if `mode` is no bool."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Learn the parameters, or freeze them. Returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the parameters, or fill them with zeros."""
        for observer in observers:
            observer.before_zero_grad(self)
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()
        for observer in observers:
            observer.after_zero_grad(self)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device, convert the floats to a dtype, or both; see Tensor.to. Returns the module.

        The Parameter objects stay the same, so an optimizer that has them keeps working. TypeError for a dtype that is
        not floating.
        """
        device, dtype = parse_to(args, kwargs)
        if dtype is not None and dtype.kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")
        for tensor in [*self.parameters(), *self.buffers()]:
            gradient, tensor.grad = tensor.grad, None
            new_dtype = dtype if tensor.is_floating_point() else None
            tensor.data = tensor.detach().to(device=device, dtype=new_dtype).data
            tensor.grad = None if gradient is None else gradient.to(device=device, dtype=new_dtype)
        return self

    def cpu(self) -> Self:
        """to("cpu")."""
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        """to("cuda"), or to the device with this number."""
        return self.to(Device("cuda", device))

    def float(self) -> Self:
        """to(float32)."""
        return self.to(float32)

    def double(self) -> Self:
        """to(float64)."""
        return self.to(float64)

    # --------------------------------------------------------------------------------------- saving and restoring

    def state_dict(self, *, prefix: str = "") -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name: detached, sharing memory with the module."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
            persistent = [(name, buffer) for name, buffer in module._own_buffers() if module._buffer_names[name]]
            for name, tensor in module._own(Parameter) + persistent:
                state[_join(path, name)] = tensor.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, *, rename: Rename | None = None
    ) -> IncompatibleKeys:
        """Copy values (Tensors, arrays or numbers) into the parameters and buffers of the same names.

        rename: what the names of `state_dict` are to become, before they are compared. {"module.": "", ...} replaces
        the beginning of a name, by the first rule that fits it; a function takes a name and returns one.

        RuntimeError that lists every problem, with nothing loaded: missing or unexpected names (unless `strict` is
        False), shapes that differ, floats for ints. float64 goes into float32 and back, as in PyTorch.
        ValueError: two names become one by `rename`.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        if rename is not None:
            state_dict = renamed(state_dict, rename)
        own = self.state_dict()
        optional = {
            _join(path, name)
            for path, module in self.named_modules(remove_duplicate=False)
            for name in module._optional_keys
        }
        missing = [name for name in own if name not in state_dict and name not in optional]
        unexpected = [name for name in state_dict if name not in own]
        values: dict[str, Any] = {name: _as_tensor(state_dict[name]) for name in own if name in state_dict}

        problems = []
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        for name, value in values.items():
            if value is None:
                problems.append(
                    f'While copying the parameter named "{name}", expected a Tensor, an array or a number '
                    f"from checkpoint but received {type(state_dict[name])}."
                )
            elif value.shape != own[name].shape:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {value.shape} from checkpoint, "
                    f"the shape in current model is {own[name].shape}."
                )
            elif value.is_floating_point() and not own[name].is_floating_point():
                problems.append(
                    f"dtype mismatch for {name}: copying a param with dtype {value.dtype} from checkpoint, "
                    f"the dtype in current model is {own[name].dtype}."
                )
        if problems:
            name = type(self).__name__
            help = help_with_names(own, state_dict) if strict else ""
            raise RuntimeError(f"Error(s) in loading state_dict for {name}:\n\t" + "\n\t".join(problems) + help)

        for name, value in values.items():
            own[name].copy_(value)  # detached, so not recorded, and in the memory of the parameter
        return IncompatibleKeys(missing, unexpected)

    # ------------------------------------------------------------------------------------------------------ hooks

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> RemovableHandle:
        """Call `hook(module, inputs)` before forward; what it returns, if anything, replaces the inputs."""
        return self._add_hook("forward_pre", hook)

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> RemovableHandle:
        """Call `hook(module, inputs, output)` after forward; what it returns, if anything, replaces the output."""
        return self._add_hook("forward", hook)

    def register_full_backward_hook(self, hook: Callable[[Module, tuple, tuple], Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` once the gradient of the inputs is known.

        Both are tuples with one entry for each positional input and for each output, None where there is no gradient.
        What the hook returns, if anything, replaces grad_input. Without an input that requires a gradient, it is
        called as soon as grad_output is known. Neither inputs nor outputs may be changed in place.
        """
        return self._add_hook("backward", hook)

    def _add_hook(self, kind: str, hook: Callable) -> RemovableHandle:
        if self._hooks is None:
            self._hooks = {"forward_pre": [], "forward": [], "backward": []}
        self._hooks[kind].append(hook)
        return RemovableHandle(self._hooks[kind], hook)

    def _call_observed(self, inputs: tuple, kwargs: dict[str, Any]) -> Any:
        for observer in observers:
            observer.enter_module(self, inputs)
        output = None
        try:
            if self._hooks is None:
                output = self.forward(*inputs, **kwargs)
            else:
                output = self._call_with_hooks(self._hooks, inputs, kwargs)
            return output
        finally:
            for observer in observers:
                observer.leave_module(self, output)

    def _call_with_hooks(self, hooks: dict[str, list], inputs: tuple, kwargs: dict[str, Any]) -> Any:
        for hook in list(hooks["forward_pre"]):
            replaced = hook(self, inputs)
            if replaced is not None:
                inputs = replaced if isinstance(replaced, tuple) else (replaced,)
        watch = BackwardWatch(self, hooks["backward"]) if hooks["backward"] else None
        if watch:
            inputs = watch.enter(inputs)
        output = self.forward(*inputs, **kwargs)
        for hook in list(hooks["forward"]):
            replaced = hook(self, inputs, output)
            if replaced is not None:
                output = replaced
        return watch.leave(output) if watch else output

    # -------------------------------------------------------------------------------------------------- in words

    def extra_repr(self) -> str:
        """What stands in the brackets of the repr: the settings of the layer."""
        return ""

    def __repr__(self) -> str:
        return in_brackets(self, [f"({name}): {child!r}" for name, child in self._own(Module)])


def in_brackets(module: Module, parts: list[str]) -> str:
    """Name(settings), or over several lines where the module has parts."""
    name, settings = type(module).__name__, module.extra_repr()
    if not parts and "\n" not in settings:
        return f"{name}({settings})"
    lines = "\n".join([settings, *parts] if settings else parts)
    return f"{name}(\n{indent(lines, '  ')}\n)"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unique(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each object once, under its first name."""
    seen = set()
    for name, value in named:
        if value not in seen:
            seen.add(value)
            yield name, value


def _check_replaces(kind: type, name: str, value: Any) -> None:
    """Refuse a plain value in the place of a Parameter, Module or buffer: a tensor there would not be learnt."""
    if not (kind is Tensor and isinstance(value, Tensor)):
        what = {Parameter: "parameter", Module: "child module", Tensor: "buffer"}[kind]
        raise TypeError(f"cannot assign '{type(value).__name__}' as {what} '{name}' ({kind.__name__} or None expected)")


def _name_of(value: Any) -> str:
    """Of a class or a function its own name, of anything else that of its class."""
    return getattr(value, "__name__", type(value).__name__)


def _how_to_add(value: Any) -> str:
    """The line of help for what was given in the place of a module."""
    if isinstance(value, type) and issubclass(value, Module):
        return f"\n  help: that is the class; call it to build one: nn.{value.__name__}()"
    if isinstance(value, (list, tuple)):
        return "\n  help: unpack the modules with *: nn.Sequential(*layers)"
    if callable(value):
        return f"\n  help: {_name_of(value)} is a function; use a layer (nn.ReLU() for F.relu), or call it in forward"
    return ""


def check_settings(layer: Module, *settings: Any) -> None:
    """TypeError for a Tensor given as a setting of a layer: nn.ReLU(x) for nn.ReLU()(x)."""
    if any(isinstance(setting, Tensor) for setting in settings):
        name = type(layer).__name__
        call = f"loss = nn.{name}()(out, y)" if name.endswith("Loss") else f"nn.{name}()(x)"
        raise TypeError(
            explain(name, "a setting of the layer must not be a Tensor", help=f"build it first, then call it: {call}")
        )


def _as_tensor(value: Any) -> Tensor | None:
    """A detached Tensor, from one or from an array or a number; None from anything else."""
    if isinstance(value, Tensor):
        return value.detach()
    try:
        return Tensor(value if is_array(value) else numpy.asarray(value))
    except TypeError:
        return None


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _note_module(error: Exception, module: Module) -> None:
    """Say in one note of `error` in which module it arose. Called by each module that the error passes, inside out.

    in module features.3 of AlexNet: Conv2d(64, 192, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """
    origin, old_note = getattr(error, "_arose_in", (module, None))
    path = next((path for path, other in module.named_modules() if other is origin), None)
    if path is None:  # the origin is not registered in this module: the old note says more
        return
    words = type(origin).__name__
    with suppress(Exception):  # extra_repr fails too: the error itself matters more
        words += f"({origin.extra_repr()})"
    note = f"in module {path} of {type(module).__name__}: {words}" if path else f"in module {words}"
    if old_note is not None:
        error.__notes__.remove(old_note)
    error.add_note(note)
    error._arose_in = origin, note  # type: ignore[attr-defined]

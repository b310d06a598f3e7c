"""Modules that hold modules or parameters: in a chain, a list, a dictionary."""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from minidl.nn.module import Module, in_brackets
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


class Identity(Module):
    """y = x, whatever arguments it was made with: stands in the place of a layer that is left out."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class _Numbered(Module):
    """Members with the names "0", "1", ...: what Sequential, ModuleList and ParameterList share."""

    kind: type = Module

    def _members(self) -> list:
        return [member for _, member in self._own(self.kind)]

    def _renumber(self, members: Iterable) -> None:
        """Hold exactly `members`, under the names "0", "1", ..."""
        members = list(members)
        for name, _ in self._own(self.kind):
            delattr(self, name)
        self.extend(members)

    def _name_at(self, index: int) -> str:
        """The name of the member at `index`. IndexError outside."""
        length, index = len(self), operator.index(index)
        if not -length <= index < length:
            raise IndexError(f"index {index} is out of range")
        return self._own(self.kind)[index][0]

    def __len__(self) -> int:
        return len(self._own(self.kind))

    def __iter__(self) -> Iterator:
        return iter(self._members())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._members()[index])  # type: ignore[call-arg]
        return getattr(self, self._name_at(index))

    def __setitem__(self, index: int, member: Any) -> None:
        self._set(self._name_at(index), member)

    def __delitem__(self, index: int | slice) -> None:
        members = self._members()
        del members[index]
        self._renumber(members)

    def __iadd__(self, members: Iterable) -> Self:
        return self.extend(members)

    def _set(self, name: str, member: Any) -> None:
        self.register_module(name, member)

    def append(self, member: Any) -> Self:
        """Put a member at the end."""
        self._set(str(len(self)), member)
        return self

    def extend(self, members: Iterable) -> Self:
        """Put every one of `members` at the end."""
        for member in list(members):
            self.append(member)
        return self

    def insert(self, index: int, member: Any) -> Self:
        """Put a member in front of the one at `index`."""
        members = self._members()
        members.insert(index, member)
        self._renumber(members)
        return self

    def pop(self, index: int | slice = -1) -> Any:
        """Take a member out."""
        member = self[index]
        del self[index]
        return member


class Sequential(_Numbered):
    """Modules in a chain, each called with the output of the one before.

    Sequential(a, b) names them "0" and "1"; an OrderedDict gives them names of its own. A slice is a Sequential of
    the same modules under the same names.
    """

    def __init__(self, *modules: Any):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            self.extend(modules)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(self._own(Module)[index]))
        return super().__getitem__(index)


class ModuleList(_Numbered):
    """Modules in a list. It has no forward: the module that owns it says what is called when."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self.extend(modules or ())

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """As in PyTorch, neighbours that look alike are written once: (0-2): 3 x ReLU()."""
        parts = []
        for text, run in itertools.groupby(enumerate(self), lambda numbered: repr(numbered[1])):
            numbers = [number for number, _ in run]
            first, last = numbers[0], numbers[-1]
            parts.append(f"({first}): {text}" if first == last else f"({first}-{last}): {len(numbers)} x {text}")
        return in_brackets(self, parts)


class ModuleDict(Module):
    """Modules in a dictionary, in the order in which they were put in."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        self.update(modules or ())

    def __getitem__(self, key: str) -> Module:
        return dict(self._own(Module))[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._own(Module))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def keys(self) -> Iterable[str]:
        """The names."""
        return dict(self._own(Module)).keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return dict(self._own(Module)).values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The pairs of name and module."""
        return dict(self._own(Module)).items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Put in every pair of `modules`, in place of those of the same name."""
        for key, module in modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules:
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out. KeyError where there is none."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Take every module out."""
        for key in list(self):
            del self[key]


class ParameterList(_Numbered):
    """Parameters in a list; a Tensor that is put in becomes a Parameter."""

    kind = Parameter

    def __init__(self, values: Iterable[Tensor] | None = None):
        super().__init__()
        self.extend(values or ())

    def _set(self, name: str, member: Any) -> None:
        if isinstance(member, Tensor) and not isinstance(member, Parameter):
            member = Parameter(member)
        self.register_parameter(name, member)

    def extra_repr(self) -> str:
        sizes = ("x".join(map(str, p.shape)) for p in self)
        return "\n".join(
            f"  ({i}): Parameter containing: [{p.dtype} of size {size}]"
            for i, (p, size) in enumerate(zip(self, sizes, strict=True))
        )

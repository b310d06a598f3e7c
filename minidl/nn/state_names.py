"""The names in a state dict: what `load_state_dict(..., rename=...)` makes of them, and help where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minidl.errors import explain
from minidl.tensor import Tensor

Rename = Mapping[str, str] | Callable[[str], str]


def renamed(state_dict: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
    """The same values under their new names. TypeError: no rule. ValueError: two names become one."""
    if not callable(rename) and not (
        isinstance(rename, Mapping) and all(isinstance(word, str) for rule in rename.items() for word in rule)
    ):
        raise TypeError(
            explain(
                "load_state_dict",
                "rename must be a dictionary of beginnings, or a function of a name",
                {"rename": rename},
                help='rename={"module.": ""} takes "module." away',
            )
        )
    result: dict[str, Any] = {}
    old_names: dict[str, str] = {}
    for old, value in state_dict.items():
        new = rename(old) if callable(rename) else _replaced(old, rename)
        if new in result:
            raise ValueError(explain("load_state_dict", f'rename makes "{new}" of both "{old_names[new]}" and "{old}"'))
        result[new], old_names[new] = value, old
    return result


def _replaced(name: str, rules: Mapping[str, str]) -> str:
    for beginning, replacement in rules.items():
        if name.startswith(beginning):
            return replacement + name[len(beginning) :]
    return name


def help_with_names(own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """A line of help for the error, or "": where a prefix is all that differs, or a whole checkpoint was given."""
    for key, value in given.items():
        if key not in own and isinstance(value, Mapping) and any(isinstance(each, Tensor) for each in value.values()):
            return f'\n  help: this is a checkpoint; its weights are in ["{key}"]: load_state_dict(checkpoint["{key}"])'
    foreign = common_prefix(given, own)
    if foreign:
        return f'\n  help: each name begins with "{foreign}": load_state_dict(state_dict, rename={{"{foreign}": ""}})'
    lacking = common_prefix(own, given)
    if lacking:
        return f'\n  help: each name lacks "{lacking}": load_state_dict(state_dict, rename={{"": "{lacking}"}})'
    return ""


def common_prefix(longer: Mapping[str, Any], shorter: Mapping[str, Any]) -> str:
    """What all names of `longer` begin with so that, without it, most of them stand in `shorter`; or ""."""
    names = list(longer)
    if not names or not all(isinstance(name, str) for name in names):
        return ""
    parts = names[0].split(".")
    for count in range(1, len(parts)):
        prefix = ".".join(parts[:count]) + "."
        if not all(name.startswith(prefix) for name in names):
            return ""
        if 2 * sum(name.removeprefix(prefix) in shorter for name in names) > len(names):
            return prefix
    return ""

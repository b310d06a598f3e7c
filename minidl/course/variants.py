"""The library with one function changed, for as long as a check takes: how planted bugs and single blanks are tried.

    with varied(file, changed_source):      the live function whose lines differ runs the changed code
        check.run()

Only the code object is exchanged, so nothing is imported again and a try costs nothing. Which functions differ is read
off the two syntax trees; a change outside functions is refused.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from minidl.course.assignment import AssignmentError

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@contextmanager
def varied(path: Path, module: str, changed: str) -> Iterator[None]:
    """Inside, the functions of `module`, which stands at `path`, run as they are written in the text `changed`.

    AssignmentError where the change is not inside functions, or one cannot be exchanged.
    """
    names = differing(path.read_text(encoding="utf-8"), changed)
    compiled = compile(changed, str(path), "exec")
    old: list[tuple[types.FunctionType, types.CodeType]] = []
    try:
        for name in names:
            function = live(module, name)
            code = _code(compiled, name)
            if code.co_freevars != function.__code__.co_freevars:
                raise AssignmentError(
                    f"{path.name}: {name} cannot be exchanged while it runs: it uses super() or a cell"
                )
            old.append((function, function.__code__))
            function.__code__ = code
        yield
    finally:
        for function, code in old:
            function.__code__ = code


def differing(before: str, after: str) -> list[str]:
    """The functions and methods, by dotted name, that differ between two texts. AssignmentError where more does."""
    (frame, ours), (other_frame, theirs) = _parts(before), _parts(after)
    if frame != other_frame or list(ours) != list(theirs):
        raise AssignmentError("the change is not inside a function: it cannot be tried")
    return [name for name in ours if ours[name] != theirs[name]]


def live(module: str, symbol: str) -> types.FunctionType:
    """The function object that runs as `symbol` of a module, without its decorators."""
    found: Any = importlib.import_module(module)
    for name in symbol.split("."):
        found = inspect.getattr_static(found, name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    found = inspect.unwrap(found)
    if not isinstance(found, types.FunctionType):
        raise AssignmentError(f"{module}: {symbol} is {type(found).__name__}, where a function is expected")
    return found


@contextmanager
def recorded(codes: dict[types.CodeType, str]) -> Iterator[set[str]]:
    """Inside, the names of those code objects that are called are collected in the set."""
    seen: set[str] = set()

    def watch(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in codes:
            seen.add(codes[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(before)


@lru_cache(maxsize=100)
def _parts(source: str) -> tuple[str, dict[str, str]]:
    """A file as text of its syntax tree: all but the bodies of its functions, and each function by its dotted name."""
    tree = ast.parse(source)
    nodes: dict[str, FunctionNode] = {}

    def visit(node: ast.AST, start: str) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{start}{inner.name}"
                nodes[name if name not in nodes else f"{name} ({len(nodes)})"] = inner
            elif isinstance(inner, ast.ClassDef):
                visit(inner, f"{start}{inner.name}.")

    visit(tree, "")
    functions = {name: ast.dump(node) for name, node in nodes.items()}
    for node in nodes.values():
        node.body = []
    return ast.dump(tree), functions


def _code(module: types.CodeType, symbol: str) -> types.CodeType:
    """The code object of a function in that of its module."""
    for name in symbol.split("."):
        found = [c for c in module.co_consts if isinstance(c, types.CodeType) and c.co_name == name]
        if len(found) != 1:
            raise AssignmentError(f"{symbol} stands there {len(found)} times")
        module = found[0]
    return module

"""The `call` functions of a checks file, and what they use of it: all of a check that a worker gets to see.

What a check draws as inputs, expects and verifies stays with the grader.
"""

from __future__ import annotations

import ast
from pathlib import Path


def calls_only(path: Path) -> str:
    """The text of a file with a class for each check of `path`, which has nothing but its `call`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checks, others = [], []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(_is_check(decorator) for decorator in node.decorator_list):
            calls: list[ast.stmt] = [
                part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "call"
            ]
            checks.append(ast.ClassDef(node.name, [], [], calls, []))
        else:
            others.append(node)
    needed: set[int] = set()
    queue: list[ast.AST] = [*checks]
    while queue:
        names = {node.id for node in ast.walk(queue.pop()) if isinstance(node, ast.Name)}
        for position, node in enumerate(others):
            if position not in needed and names & _defined(node):
                needed.add(position)
                queue.append(node)
    kept: list[ast.stmt] = [node for position, node in enumerate(others) if position in needed or _is_future(node)]
    return ast.unparse(ast.fix_missing_locations(ast.Module([*kept, *checks], [])))


def _is_check(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "check"


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement of the module gives a meaning to."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}

"""Bodies of functions, taken out of a file and put into it, through its syntax tree.

    cut(source, {"Conv2d.backward": "Task 2.3: ..."})   the file of a release: signature, hints and docstring stay
    body(source, "Conv2d.backward")                     what a student wrote there; None while it is blank
    put(source, "Conv2d.backward", text)                the file with that body. BlankError where it is not just that
    outline(source, blanks)                             a hash for every part of the file but the blanks

A body is whole lines, exactly as they stand there: comments and formatting stay. What is put in must parse, and must
change nothing but that one body: the rest of the syntax tree is compared before and after.
"""

from __future__ import annotations

import ast
import hashlib
import io
import textwrap
import threading
import tokenize
import warnings
from collections.abc import Iterable
from typing import NamedTuple

LONGEST_BODY = 100_000  # characters: more is no answer
WIDTH = 120
MODULE_LEVEL = "(outside functions and classes)"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


# Held while Python makes a syntax tree: threads that do so at the same time share one count of how deep they are, and
# some versions (3.11.7) then fail with a SystemError. Nor may two threads change the filters of warnings.
PARSING = threading.Lock()


class BlankError(ValueError):
    """A body cannot be taken out or put in; the message is for whoever wrote it."""


class _Place(NamedTuple):
    """The lines [start, end) of a function's body, counted from 0, without its docstring."""

    node: FunctionNode
    start: int
    end: int
    indent: str


def parse(source: str, file: str = "the file") -> ast.Module:
    """The syntax tree. BlankError, with the line, for whatever Python cannot read or compile."""
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, file, "exec", dont_inherit=True)  # `break` outside a loop is in no way against the grammar
            return ast.parse(source)
    except SyntaxError as error:
        line = (error.text or "").strip()
        where = f"{file}, line {error.lineno}" if error.lineno else file
        raise BlankError(f"{where}: {error.msg}" + (f"\n  {line[:200]}" if line else "")) from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; thousands of nested brackets
        raise BlankError(f"{file} cannot be read as Python: {error or type(error).__name__}") from None


def find(tree: ast.Module, symbol: str) -> FunctionNode:
    """The function with that dotted name. BlankError where there is none, or more than one."""
    scope: ast.AST = tree
    for name in symbol.split("."):
        found = [
            node
            for node in ast.iter_child_nodes(scope)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name
        ]
        if len(found) != 1:
            how_many = f"stands there {len(found)} times" if found else "is missing"
            raise BlankError(f"{symbol} {how_many}: its signature must stay as it was released")
        scope = found[0]
    if not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise BlankError(f"{symbol} is a class, where a function is expected")
    return scope


def cut(source: str, messages: dict[str, str]) -> str:
    """`source` with the body of each named function replaced by a NotImplementedError with that message."""
    source = _unix(source)
    tree = parse(source)
    lines = source.split("\n")
    places = [(_place(lines, find(tree, symbol)), message) for symbol, message in messages.items()]
    for place, message in sorted(places, key=lambda pair: pair[0].start, reverse=True):  # from the end to the front
        lines[place.start : place.end] = _stub(place.indent, message)
    return "\n".join(lines)


def hollow(source: str, symbol: str | None, message: str) -> str:
    """`source` with the bodies of all functions and methods replaced; of one class or function, where one is named.

    Their docstrings stay. BlankError where the symbol is missing.
    """
    source = _unix(source)
    scope: ast.AST = parse(source)
    for name in symbol.split(".") if symbol else ():
        found = [node for node in ast.iter_child_nodes(scope) if getattr(node, "name", None) == name]
        if len(found) != 1:
            raise BlankError(f"{symbol} stands there {len(found)} times")
        scope = found[0]
    lines = source.split("\n")
    places = [_place(lines, node) for node in _outermost(scope) if _without_docstring(node)]
    for place in sorted(places, key=lambda place: place.start, reverse=True):
        lines[place.start : place.end] = _stub(place.indent, message)
    return "\n".join(lines)


def body(source: str, symbol: str, file: str = "the file") -> str | None:
    """The lines of the body of `symbol`, without its docstring; None while it is blank. BlankError as `find`."""
    source = _unix(source)
    node = find(parse(source, file), symbol)
    if is_blank(node):
        return None
    lines = source.split("\n")
    place = _place(lines, node)
    return "\n".join(lines[place.start : place.end]) + "\n"


def is_blank(node: FunctionNode) -> bool:
    """True while the body is what `cut` left there (and perhaps comments)."""
    statements = _without_docstring(node)
    if len(statements) != 1 or not isinstance(raised := statements[0], ast.Raise):
        return False
    call = raised.exc
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "NotImplementedError"
        and len(call.args) == 1
        and isinstance(text := call.args[0], ast.Constant)
        and str(text.value).startswith("Task ")
    )


def put(source: str, symbol: str, text: str, file: str = "the file") -> str:
    """`source` with `text` as the body of `symbol`. BlankError where it does not parse, or is more than a body."""
    source, text = _unix(source), _unix(text)
    if len(text) > LONGEST_BODY:
        raise BlankError(f"{symbol}: {len(text):,} characters; at most {LONGEST_BODY:,} are taken")
    before = parse(source, file)
    lines = source.split("\n")
    place = _place(lines, find(before, symbol))
    lines[place.start : place.end] = _indented(text, place.indent)
    changed = "\n".join(lines)
    after = parse(changed, f"{file} with this {symbol}")
    try:
        same = _rest(before, [symbol]) == _rest(after, [symbol])
    except (BlankError, RecursionError):
        same = False
    if not same:
        raise BlankError(
            f"{symbol}: the code goes on outside the function. Only the body is handed in: keep every line of it "
            "indented, and helpers and imports inside it"
        )
    return changed


def outline(source: str, symbols: Iterable[str]) -> dict[str, str]:
    """A short hash for every function, method and class of the file and one for the rest; blanks' bodies do not count.

    Comments, spaces and line breaks do not count either. So two outlines tell which parts were changed.
    """
    source = _unix(source)
    tree = parse(source)
    lines = _without_comments(source).split("\n")
    for symbol in symbols:
        place = _place(source.split("\n"), find(tree, symbol))
        lines[place.start : place.end] = [""] * (place.end - place.start)
    parts: dict[str, list[str]] = {}
    claimed: set[int] = set()

    def take(name: str, node: ast.stmt) -> None:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        rows = [row for row in range(first - 1, node.end_lineno or node.lineno) if row not in claimed]
        claimed.update(rows)
        parts.setdefault(name, []).extend(lines[row] for row in rows)

    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    take(f"{node.name}.{inner.name}", inner)
            take(node.name, node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            take(node.name, node)
    parts[MODULE_LEVEL] = [line for row, line in enumerate(lines) if row not in claimed]
    return {name: short_hash("".join("".join(rows).split())) for name, rows in parts.items()}


def short_hash(text: str) -> str:
    """The first 16 digits of the sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normalised(text: str) -> str:
    """A body as a form in which only the computation counts: no comments, docstrings or formatting, and local names as
    numbers in the order of their appearance. "" for what does not parse.
    """
    try:
        with PARSING:
            function = ast.parse("def f():\n" + textwrap.indent(textwrap.dedent(_unix(text)), "    ")).body[0]
        assert isinstance(function, ast.FunctionDef)
        nodes = list(ast.walk(function))[1:]
        assigned = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        assigned |= {node.arg for node in nodes if isinstance(node, ast.arg)}  # of functions inside, and of lambdas
        assigned |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        numbers: dict[str, str] = {}

        def number(name: str) -> str:
            return numbers.setdefault(name, f"v{len(numbers)}") if name in assigned else name

        for node in nodes:
            if isinstance(node, ast.Name):
                node.id = number(node.id)
            elif isinstance(node, ast.arg):
                node.arg = number(node.arg)
            elif isinstance(node, ast.FunctionDef):
                node.name = number(node.name)
        return "\n".join(ast.unparse(node) for node in _without_docstring(function))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


# ----------------------------------------------------------------------------------------------------------- helpers


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def _outermost(scope: ast.AST) -> list[FunctionNode]:
    """The functions and methods below `scope`, or itself, but none that stand inside another."""
    if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [scope]
    return [function for node in ast.iter_child_nodes(scope) for function in _outermost(node)]


def _without_docstring(node: FunctionNode) -> list[ast.stmt]:
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def _place(lines: list[str], node: FunctionNode) -> _Place:
    """Where the body stands: from the line after signature and docstring, with comments that follow it."""
    header = _header_end(lines, node)
    has_docstring = len(_without_docstring(node)) < len(node.body)
    start = (node.body[0].end_lineno or 0) if has_docstring else header
    end = node.end_lineno or node.lineno
    statements = _without_docstring(node)
    first = statements[0] if statements else node.body[0]
    if first.lineno <= header or (has_docstring and statements and first.lineno <= start):
        raise BlankError(f"{node.name} is written on one line: put its body on lines of its own")
    indent = lines[node.body[0].lineno - 1][: node.body[0].col_offset]
    row = end
    while row < len(lines) and (not lines[row].strip() or lines[row].startswith(indent + "#")):
        row += 1
        if lines[row - 1].strip():
            end = row
    return _Place(node, start, end, indent)


def _header_end(lines: list[str], node: FunctionNode) -> int:
    """The number of the line, counted from 1, on which the signature ends."""
    text = "\n".join(lines[node.lineno - 1 :]) + "\n"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE:
            return node.lineno - 1 + token.end[0]
    raise BlankError(f"{node.name} has no body")


def _stub(indent: str, message: str) -> list[str]:
    line = f'{indent}raise NotImplementedError("{message}")'
    if len(line) <= WIDTH:
        return [line]
    return [f"{indent}raise NotImplementedError(", f'{indent}    "{message}"', f"{indent})"]


def _indented(text: str, indent: str) -> list[str]:
    """The lines of `text`, moved to that indentation unless they have it already."""
    lines = text.rstrip("\n").split("\n")
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    if first[: len(first) - len(first.lstrip())] == indent:
        return lines
    return textwrap.indent(textwrap.dedent("\n".join(lines)), indent).split("\n")


def _rest(tree: ast.Module, symbols: Iterable[str]) -> str:
    """The syntax tree, as text, with the bodies of these functions left out."""
    functions = [find(tree, symbol) for symbol in symbols]
    bodies = [function.body for function in functions]
    for function in functions:
        function.body = []
    text = ast.dump(tree)
    for function, statements in zip(functions, bodies, strict=True):
        function.body = statements
    return text


def _without_comments(source: str) -> str:
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)

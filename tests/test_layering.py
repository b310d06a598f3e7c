"""The architecture document: which file may import which. A file imports only from lines above its own.

Checked on the syntax trees, so an import inside a function counts as well.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = [
    "minidl.errors minidl.events minidl.source",
    "minidl.buffers minidl.parallel",
    "minidl.memory",
    "minidl.backend",
    "minidl.algorithm",
    "minidl.gpu",
    "minidl.elementwise minidl.products",
    "minidl.checks minidl.cuda minidl.diagnosis minidl.grad_mode",
    "minidl.indexing minidl.function",
    "minidl.engine",
    "minidl.ops",
    "minidl.tensor",
    "minidl.anomaly minidl.creation minidl.distributed minidl.functional minidl.gradcheck",
    "minidl.autograd",
    "minidl.nn minidl.serialization",
    "minidl.optim minidl.data",
    "minidl.checkpoint minidl.inspect",
    "minidl.training",
    "minidl.debug",
    "minidl.onnx minidl.recipes",
    "minidl",  # the public face: minidl/__init__.py
    "architectures",
    "minidl.course",
    "minidl.cli",
    "minidl.__main__",
    "assignments",
]
RANK = {name: rank for rank, line in enumerate(LAYERS) for name in line.split()}


def modules():
    """Every module of the project: dotted name -> path."""
    found = {}
    for package in ("minidl", "architectures", "assignments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def layer(module):
    """The line of LAYERS that a module belongs to: its own, or that of its nearest package."""
    name = module
    while name not in RANK or (name == "minidl" and module != "minidl"):
        assert "." in name, f"{module} has no line in LAYERS"
        name = name.rpartition(".")[0]
        if name == "minidl" and module != "minidl":
            pytest.fail(f"{module} has no line in LAYERS")
    return name


def imports(module):
    """The modules of the project that `module` imports, anywhere in the file."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute here"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in submodules]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_upwards(module):
    for imported, line in imports(module):
        ours, theirs = layer(module), layer(imported)
        assert theirs == ours or RANK[theirs] < RANK[ours], f"{module}:{line} imports {imported}, which lies below it"


def test_no_import_cycles():
    graph = {module: {name for name, _ in imports(module) if name != module} for module in MODULES}
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            path.append(module)
            for imported in sorted(graph[module]):
                visit(imported)
            done.add(path.pop())

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    if module.startswith("assignments.") and module.endswith("checks"):
        return  # a check's `call` imports for itself: it is all of the file that runs beside a student's code
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = [node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom))]
            assert not inner, f"{module}:{inner[0].lineno}: an import inside a function"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_backend_knows_cupy_and_ops_know_no_numpy(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    assert "cupy" not in names, "the backend imports CuPy by name, when it is first needed"
    if module != "minidl.backend":
        assert "cupy" not in MODULES[module].read_text(encoding="utf-8"), "the module comes from array_module(x)"
    if module.startswith(("minidl.ops", "architectures")):
        assert "numpy" not in names, "an operation computes with xp = array_module(x)"
    if module.startswith("architectures."):
        assert names - sys.stdlib_module_names <= {"minidl", "architectures"}


def test_every_module_says_where_the_reader_is():
    for module, path in MODULES.items():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{module} has no docstring"

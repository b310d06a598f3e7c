"""minidl with every place cut out at which it asks whether somebody listens: what to measure that question against.

    deaf = Deaf()
    deaf.cut(True)      the loaded functions run without `if observers:`, `for observer in observers:` and their kin
    deaf.cut(False)     ... and as they stand in the files

Both ways run in one process, on the same objects in the same memory: two processes of the same program already differ
by more than the question costs.
"""

import ast
import gc
import sys
from types import CodeType, FunctionType

ASKED = ("observers", "events")  # the list, and what engine.walk calls it


class _Cutter(ast.NodeTransformer):
    """Takes out the statements that only an observer needs; counts them."""

    count = 0

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id in ASKED:
            self.count += 1
            node.test = ast.copy_location(ast.Constant(False), node.test)  # not compiled; a generator still is one
        return self.generic_visit(node)

    def visit_For(self, node):
        if isinstance(node.iter, ast.Name) and node.iter.id == "observers":
            self.count += 1
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Expr(self, node):
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "before_change":
            self.count += 1
            return ast.copy_location(ast.Pass(), node)
        return node


def cut_source(text, name="<source>"):
    """The code object of a module without the question, and at how many places that was."""
    cutter = _Cutter()
    tree = ast.fix_missing_locations(cutter.visit(ast.parse(text)))
    return compile(tree, name, "exec"), cutter.count


def _functions(code):
    """All code objects in one, by name and line."""
    found = {(code.co_qualname, code.co_firstlineno): code}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _functions(constant)
    return found


class Deaf:
    """The functions of minidl that are loaded now, each as it is and without the question."""

    def __init__(self):
        self.places = 0
        without = {}
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] != "minidl" or name.startswith("minidl.training"):  # its observers are others
                continue
            with open(module.__file__, encoding="utf-8") as file:
                code, count = cut_source(file.read(), module.__file__)
            self.places += count
            if count:
                without |= {(module.__file__, *key): code for key, code in _functions(code).items()}
        functions = [f for f in gc.get_objects() if type(f) is FunctionType]  # isinstance would wake lazy objects up
        keys = {f: (f.__code__.co_filename, f.__code__.co_qualname, f.__code__.co_firstlineno) for f in functions}
        self.pairs = [(f, f.__code__, without[key]) for f, key in keys.items() if key in without]

    def cut(self, cut):
        for function, whole, without in self.pairs:
            function.__code__ = without if cut else whole

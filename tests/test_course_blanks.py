"""Blanks: bodies come out of a file and into it, and nothing else does."""

import ast
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from minidl.course import blanks
from minidl.course.assignment import LIBRARY

SOURCE = '''"""A file."""

import functools


class Pool(Base):
    """A pool."""

    @functools.cache
    def forward(
        self, x: "array",  # (N, C)
        *, size: int = 2,
    ) -> "array":
        """y = max x

        x: (N, C)
        """
        # the maximum
        y = x.max()
        text = """
  less indented
        """
        return y, text
        # an end that tells

    def backward(self, grad_output):
        return grad_output


def helper(a):
    def inner(b):
        return b

    return inner(a)


LAST = 1
'''


def test_cut_keeps_everything_but_the_body():
    cut = blanks.cut(SOURCE, {"Pool.forward": "Task 2.3: Pool.forward, see README.md"})
    assert '@functools.cache\n    def forward(\n        self, x: "array",  # (N, C)' in cut
    assert (
        '        x: (N, C)\n        """\n        raise NotImplementedError("Task 2.3: Pool.forward, see README.md")\n'
        in cut
    )
    assert "maximum" not in cut and "tells" not in cut and "less indented" not in cut
    assert cut.endswith(SOURCE[SOURCE.index("    def backward") :])


@pytest.mark.parametrize("symbol", ["Pool.forward", "Pool.backward", "helper"])
def test_a_body_comes_out_and_goes_in_again(symbol):
    cut = blanks.cut(SOURCE, {symbol: "Task 1.1: x"})
    assert blanks.body(cut, symbol) is None
    assert blanks.put(cut, symbol, blanks.body(SOURCE, symbol)) == SOURCE


def test_every_function_of_the_library_comes_out_and_goes_in_again():
    count = 0
    for path in ("minidl/ops/activation.py", "minidl/ops/convolution.py", "architectures/googlenet.py"):
        source = (LIBRARY / path).read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            for method in node.body if isinstance(node, ast.ClassDef) else [node]:
                if isinstance(method, ast.FunctionDef):
                    symbol = method.name if method is node else f"{node.name}.{method.name}"
                    cut = blanks.cut(source, {symbol: "Task 1.1: it is long enough to need three lines " * 3})
                    assert blanks.put(cut, symbol, blanks.body(source, symbol)) == source
                    assert blanks.outline(cut, [symbol]) == blanks.outline(source, [symbol])
                    count += 1
    assert count > 40


@pytest.mark.parametrize("text", ["return 1", "  return 1\n", "\t# why\n\treturn 1\n", "            return 1\r\n"])
def test_another_indentation_is_moved(text):
    cut = blanks.cut(SOURCE, {"Pool.backward": "Task 1.1: x"})
    assert "    def backward(self, grad_output):\n" in blanks.put(cut, "Pool.backward", text)
    assert "        return 1\n" in blanks.put(cut, "Pool.backward", text)


@pytest.mark.parametrize(
    "text, words",
    [
        ("        return (1", "the file with this Pool.backward, line"),
        ("", "line"),
        ("        # nothing but a comment\n", "line"),
        ("        return 1\n\nimport os\n", "outside the function"),
        ("        return 1\n\n    def forward(self):\n        return 2\n", "outside the function"),
        ("        return 1\n    size = 3\n", "outside the function"),
        ('        text = """\n', "line"),
        ("        break\n", "'break' outside loop"),
        ("        nonlocal size\n", "no binding for nonlocal"),
        ("        return '\0'\n", "Pool.backward"),
        ("        return " + "(" * 5000 + ")" * 5000, "Pool.backward"),
        ("        return " + "-" * 200_000 + "1", "at most"),
        ("        return " + "-" * 90_000 + "1", "Pool.backward"),
    ],
)
def test_what_is_more_or_less_than_a_body_is_refused(text, words):
    cut = blanks.cut(SOURCE, {"Pool.backward": "Task 1.1: x"})
    with pytest.raises(blanks.BlankError, match="(?s)" + words.replace("(", "\\(")):
        blanks.put(cut, "Pool.backward", text)


def test_a_signature_that_is_gone_is_said():
    with pytest.raises(blanks.BlankError, match=r"Pool\.sideways is missing: its signature must stay"):
        blanks.body(SOURCE, "Pool.sideways")
    with pytest.raises(blanks.BlankError, match="stands there 2 times"):
        blanks.body(SOURCE + "\ndef helper(a):\n    return 1\n", "helper")
    with pytest.raises(blanks.BlankError, match="written on one line"):
        blanks.body("def f(x): return x\n", "f")


def test_an_outline_tells_which_parts_were_changed():
    before = blanks.outline(SOURCE, ["Pool.forward"])
    assert set(before) == {"Pool", "Pool.forward", "Pool.backward", "helper", blanks.MODULE_LEVEL}

    def changed(old, new):
        after = blanks.outline(SOURCE.replace(old, new), ["Pool.forward"])
        return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}

    assert changed("y = x.max()", "y = x.min()") == set()
    assert changed("return inner(a)", "return  inner( a )  # called") == set()
    assert changed("size: int = 2", "size: int = 3") == {"Pool.forward"}
    assert changed("return inner(a)", "return inner(-a)") == {"helper"}
    assert changed("LAST = 1", "LAST = 2") == {blanks.MODULE_LEVEL}
    assert changed("\n\nLAST", "\n\ndef new():\n    pass\n\n\nLAST") == {"new"}


def test_normalised_bodies_differ_only_in_what_they_compute():
    first = "        total = 0  # begin\n        for value in x:\n            total += value\n        return total\n"
    same = "    '''doc'''\n    s = 0\n    for v in x:\n        s += v\n\n    return s\n"
    assert blanks.normalised(first) == blanks.normalised(same) != ""
    assert blanks.normalised(first) != blanks.normalised(same.replace("+=", "-="))
    assert blanks.normalised("return (") == ""
    inside = "def part(step, k=2):\n    return step * k\nreturn sorted(map(part, x), key=lambda pair: pair[0])"
    renamed = inside.replace("step", "h").replace("part", "piece").replace("pair", "p")
    assert blanks.normalised(inside) == blanks.normalised(renamed) != ""
    assert blanks.normalised(inside) != blanks.normalised(renamed.replace("h * k", "h + k"))


def test_hollow_empties_a_class_or_a_file():
    hollow = blanks.hollow(SOURCE, "Pool", "left out")
    assert hollow.count('raise NotImplementedError("left out")') == 2 and "return inner(a)" in hollow
    hollow = blanks.hollow(SOURCE, None, "left out")
    assert hollow.count('raise NotImplementedError("left out")') == 3 and "LAST = 1" in hollow


def test_threads_do_not_parse_at_the_same_time(monkeypatch):
    """Python 3.11.7 now and then gives "AST constructor recursion depth mismatch" then, and a student no points."""
    at_once, most, parse = 0, 0, ast.parse

    def slowly(*given, **named):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.01)
        at_once -= 1
        return parse(*given, **named)

    monkeypatch.setattr(blanks.ast, "parse", slowly)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(read, "x = 1") for read in (blanks.parse, blanks.normalised) * 5]:
            done.result()
    assert most == 1

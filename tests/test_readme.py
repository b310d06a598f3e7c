"""The README's Python: every block runs as it is printed, and does what its comments say."""

import re
from pathlib import Path

import pytest

from minidl.cli import COMMANDS

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_tour():
    scope = {}
    exec(BLOCKS[0], scope)
    assert scope["loss"].item() < 0.2
    x = scope["minidl"].tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
    (x**2).sum().backward()
    assert x.grad.tolist() == [[2.0, -4.0], [6.0, 8.0]]


def test_the_lectures_relu():
    scope = {}
    exec(BLOCKS[1], scope)
    assert scope["y"].tolist() == [0.0, 2.0]


def test_the_training_in_python():
    scope = {}
    exec(BLOCKS[2], scope)
    assert scope["history"].test_accuracy[-1] > 0.85


def test_its_commands_exist():
    code, prose = [], []
    fence = None  # the language of the block that a line stands in
    for line in README.splitlines():
        if line.startswith("```"):
            fence = line[3:] if fence is None else None
        else:
            (prose if fence is None else code).append(line)
    named = re.findall(r"^minidl ([a-z-]+)", "\n".join(code), re.MULTILINE)
    named += re.findall(r"`minidl ([a-z-]+)", "\n".join(prose))
    assert len(set(named)) >= 10 and set(named) <= set(COMMANDS)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((\.assets/[^)]+)\)", README))))
def test_its_pictures_are_there(path):
    assert (Path(__file__).resolve().parent.parent / path).stat().st_size > 1000


def test_what_it_names_exists():
    root = Path(__file__).resolve().parent.parent
    for name in re.findall(r"^\| `((?:minidl|architectures|tests)/[\w/.]*)`", README, re.MULTILINE):
        assert (root / name).exists(), name

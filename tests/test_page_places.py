"""Where the page of a tape turns up by itself: beside a failing test, and in a notebook."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minidl import nn, randn
from minidl.debug import Stepper

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 180  # seconds: on a machine that does much else

TEST = """
import minidl
from minidl import nn

def test_wrong():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    y = model(minidl.ones(1, 1, 5, 5)).sum()
    y.backward()
    assert model[0].weight.grad.shape == (9,)

def test_right():
    assert float(minidl.ones(2).sum()) == 2

def test_wrong_without_an_operation():
    assert 1 + 1 == 3
"""

TESTS_OF_LIKE_NAMES = """
import minidl
import pytest

@pytest.mark.parametrize("name", ["a/b", "a-b", "a" * 300])
def test_wrong(name):
    assert float(minidl.ones(2).sum()) == 3
"""


def run(folder, *options, test=TEST):
    (folder / "test_mine.py").write_text(test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "minidl.debug.pytest_plugin", *options, "test_mine.py"]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_a_failing_test_leaves_a_page(tmp_path):
    done = run(tmp_path, "--minidl-trace-dir=pages", "--minidl-trace")  # followed by the name of a file
    assert done.returncode == 1 and "2 failed, 1 passed" in done.stdout
    (path,) = (tmp_path / "pages").iterdir()
    assert path.name == "test_mine.py-test_wrong.html" and path.name in done.stdout
    text = path.read_text(encoding="utf-8")
    assert "<title>test_mine.py::test_wrong</title>" in text and "AssertionError" in text
    assert '"op":"Conv2d"' in text and '"phase":"backward"' in text


def test_tests_of_like_and_of_long_names_have_a_page_each(tmp_path):
    assert "3 failed" in run(tmp_path, "--minidl-trace", test=TESTS_OF_LIKE_NAMES).stdout
    assert len(list((tmp_path / "out").glob("test_mine.py-test_wrong-*.html"))) == 3


def test_a_page_that_cannot_be_written_leaves_the_tests_alone(tmp_path):
    (tmp_path / "pages").write_text("a file")
    done = run(tmp_path, "--minidl-trace", "--minidl-trace-dir=pages")
    assert "2 failed, 1 passed" in done.stdout and "could not be written: FileExistsError" in done.stdout


def test_nobody_asked_for_pages(tmp_path):
    assert "2 failed, 1 passed" in run(tmp_path).stdout
    assert [path.name for path in tmp_path.glob("**/*.html")] == []


def test_a_stepper_shows_the_page_at_its_event():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    x = randn(4, 3)
    with Stepper(lambda: model(x).sum().backward(), model) as stepper:
        assert "No operation" in stepper._repr_html_()
        stepper.run_until("op:Tanh")
        stepper.step()
        shown = stepper._repr_html_()
    page = html.unescape(re.fullmatch(r'<iframe srcdoc="([^"]*)" .*></iframe>', shown, re.DOTALL)[1])
    assert page.startswith("<!DOCTYPE html>") and '"start":1,' in page
    assert '"op":"Linear"' in page and '"op":"Tanh"' in page and '"op":"Sum"' not in page


@pytest.mark.page
def test_a_notebook_shows_it():
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel: make test-page")
    pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel: make test-page")
    nbformat = pytest.importorskip("nbformat")
    cell = """
import minidl
from minidl import nn
from minidl.debug import Stepper
model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
stepper = Stepper(lambda: model(minidl.ones(4, 3)).sum().backward(), model)
stepper.run_until("phase:bwd")
stepper.step()
stepper
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbclient.NotebookClient(notebook, timeout=PATIENCE, startup_timeout=PATIENCE, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert '"op":"Tanh"' in html.unescape(output["data"]["text/html"])

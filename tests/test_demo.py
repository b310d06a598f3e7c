"""The command line: the demo from end to end, its picture, and how it answers mistakes."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import minidl
from minidl import cli
from minidl.cli import demo
from minidl.cli.report import Mistake, confusion_text, training_figure
from minidl.training import History

needs_digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")


def png_size(path):
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


@needs_digits
def test_demo_reads_digits(tmp_path, capsys, monkeypatch):
    """The whole of `minidl demo`, as a user runs it: its folder is out/ below the current one."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo"]) == 0
    output = capsys.readouterr().out
    accuracy = float(re.search(r"Test accuracy ([\d.]+)%", output).group(1))
    assert accuracy >= 97.5
    assert "61,706 parameters" in output
    assert output.count("images/s") == 20
    rows = re.findall(r"^ *(\d)((?: +[\d.]+){10}) +[\d.]+%$", output, re.MULTILINE)
    assert [row[0] for row in rows] == list("0123456789")
    counts = numpy.array([[int(cell.replace(".", "0")) for cell in row[1].split()] for row in rows])
    assert counts.sum() == 360
    assert counts.trace() == round(accuracy * 3.6)
    assert f"Curves, matrix and mistakes: {Path('out', 'demo.png')}" in output
    width, height = png_size(tmp_path / "out" / "demo.png")
    assert width >= 1200
    assert height >= 800


@needs_digits
def test_one_seed_gives_one_result(tmp_path, capsys):
    outputs = []
    for seed in ("3", "3", "4"):
        options = [
            "--epochs",
            "1",
            "--batch-size",
            "64",
            "--lr",
            "0.02",
            "--seed",
            seed,
            "--out",
            str(tmp_path / "a" / "b"),
        ]
        assert cli.main(["demo", *options]) == 0
        outputs.append(re.sub(r"[\d,]+ images/s|[\d.]+ s$|seed \d", "", capsys.readouterr().out, flags=re.MULTILINE))
    assert outputs[0] == outputs[1] != outputs[2]
    assert (tmp_path / "a" / "b" / "demo.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["demo", "--epochs", "0"], "argument --epochs: must be at least 1, got 0"),
        (["demo", "--epochs", "two"], "argument --epochs: must be an int, got 'two'"),
        (["demo", "--batch-size", "-3"], "argument --batch-size: must be at least 1, got -3"),
        (["demo", "--lr", "nan"], "argument --lr: must be above 0, got nan"),
        (["demo", "--seed", "-1"], "argument --seed: must be at least 0, got -1"),
    ],
)
def test_wrong_options(arguments, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    assert leaving.value.code == 2
    assert words in capsys.readouterr().err


def assert_one_line(captured, words):
    assert captured.err.startswith("minidl demo: error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_unwritable_folder_is_noticed_before_the_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "fit", lambda *_, **__: pytest.fail("trained before it looked"))
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["demo", "--out", str(tmp_path / "file" / "out")]) == 1
    assert_one_line(capsys.readouterr(), "cannot write into the folder")


def test_without_scikit_learn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    assert_one_line(capsys.readouterr(), 'pip install ".[digits]" in your clone of minidl')


@needs_digits
def test_divergence(tmp_path, capsys):
    assert cli.main(["demo", "--lr", "1e30", "--out", str(tmp_path)]) == 1
    assert_one_line(capsys.readouterr(), "lower the learning rate")


@needs_digits
@pytest.mark.parametrize("epochs", [0, 1])
def test_interrupt(tmp_path, capsys, monkeypatch, epochs):
    """Ctrl-C: what is complete is reported, and the exit code is the shell's for it."""
    full = {name: [0.5] * epochs for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")}
    monkeypatch.setattr(demo, "fit", lambda *_, **__: History(**full, interrupted=True))
    assert cli.main(["demo", "--out", str(tmp_path)]) == 130
    captured = capsys.readouterr()
    assert (tmp_path / "demo.png").exists() == bool(epochs)
    if epochs:
        assert "Interrupted part-way through epoch 2: what follows is measured with the weights of" in captured.out
    else:
        assert "interrupted" in captured.err


@needs_digits
def test_a_failure_leaves_no_empty_folder(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(demo, "fit", lambda *_, **__: History(interrupted=True))
    assert cli.main(["demo", "--out", str(tmp_path / "mine" / "a" / "b")]) == 130
    assert cli.main(["demo", "--out", str(tmp_path / "mine")]) == 130
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["demo", "--out", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()


def test_help_and_version(capsys):
    for arguments, words in ((["--help"], "demo"), (["demo", "--help"], "--batch-size"), (["--version"], "minidl ")):
        with pytest.raises(SystemExit) as leaving:
            cli.main(arguments)
        assert leaving.value.code == 0
        assert words in capsys.readouterr().out


def test_python_m_minidl():
    root = Path(minidl.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "minidl", "--version"], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"minidl {minidl.__version__}\n"


def test_import_minidl_leaves_matplotlib_alone():
    root = Path(minidl.__file__).parent.parent
    code = "import sys, minidl, minidl.training; sys.exit('matplotlib' in sys.modules or 'sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_confusion_text():
    text = confusion_text(numpy.array([[12, 0], [1, 3]]), ["a", "b"])
    assert text.splitlines() == ["      a   b", "  a  12   .    100.0%", "  b   1   3     75.0%"]


@pytest.mark.parametrize("mistakes", [0, 2, 9])
@pytest.mark.parametrize("epochs", [1, 30])
def test_the_figure_has_room_for_everything(tmp_path, mistakes, epochs):
    curve = [2.0 * 0.7**epoch for epoch in range(epochs)]
    history = History(curve, curve, curve, curve, curve)
    wrong = [Mistake(numpy.eye(8), "3", "5", 0.999)] * mistakes
    figure = training_figure("A title", history, numpy.array([[5, 1], [0, 0]]), ["no", "yes"], wrong)
    places = [axes for axes in figure.get_axes() if axes.images and "read as" in axes.get_title()]
    assert len(places) == mistakes  # no empty one
    loss, accuracy = (axes for axes in figure.get_axes() if axes.get_title(loc="left").startswith(("Loss", "Accuracy")))
    words = [text.get_text() for text in accuracy.figure.legends[0].get_texts()]
    assert words == ["training (average while learning)", "test (after the epoch)"]
    assert ("logarithmic scale" in loss.get_title(loc="left")) == (loss.get_yscale() == "log") == (epochs == 30)
    figure.savefig(tmp_path / "figure.png")
    assert png_size(tmp_path / "figure.png")[0] == 1800

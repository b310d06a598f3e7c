"""`minidl train`: end to end on the digits, stopped and resumed, and what it says to mistakes."""

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from PIL import Image

import minidl
from architectures.catalog import NETWORKS
from minidl import checkpoint, cli
from minidl.checkpoint import read_checkpoint
from minidl.cli import train, train_report
from minidl.cli.preprocessing import finished as finished_steps
from minidl.cli.preprocessing import photograph
from minidl.cli.train import interval, part
from minidl.cli.weights import trained_on
from minidl.data import Digits, ImageNet, described
from minidl.data.transforms import Compose
from minidl.parallel import one_blas_thread
from minidl.recipes import default_recipe, load_recipe
from minidl.training import Evaluation, evaluate, loop
from minidl.training.lock import locked
from tests.test_demo import png_size
from tests.trainings import log_lines

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")

SHORT = ["--batch-size", "256", "--lr", "0.05"]  # 6 steps in an epoch


ONE_THREAD = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # LeNet's products are small


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test stands in an empty folder. Only `finished` draws its pictures: that takes half of the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_report, "save_figure", lambda figure, path: path.touch())
    with one_blas_thread():
        yield tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder and the output of a whole run of two epochs."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    output = io.StringIO()
    with one_blas_thread(), contextlib.redirect_stdout(output):
        options = ["--data", "digits", "--epochs", "2", *SHORT, "--out", str(folder)]
        assert cli.main(["train", "lenet5", *options]) == 0
    return folder, output.getvalue()


def begin(*options, epochs="2"):
    return cli.main(["train", "lenet5", "--data", "digits", "--epochs", epochs, "--out", "run", *SHORT, *options])


def error_of(capsys, *arguments, code=1):
    """The error that the command ends with, in one line."""
    capsys.readouterr()
    assert cli.main(["train", *map(str, arguments)]) == code
    _, prefix, text = capsys.readouterr().err.rpartition("minidl train: error: ")
    assert prefix
    return " ".join(text.splitlines())


def same_weights(path, other):
    """Of model and optimizer, to the last bit."""
    ours, theirs = read_checkpoint(path)[1], read_checkpoint(other)[1]
    return {name: array.tobytes() for name, array in ours.items()} == {n: a.tobytes() for n, a in theirs.items()}


# ------------------------------------------------------------------------------------------------------- end to end


def test_what_it_prints(finished):
    folder, output = finished
    assert "lenet5 on digits: 61,706 parameters, 10 classes\n" in output
    assert "images: 1,437 to train on, 360 to test on\n" in output
    assert "recipe lenet: SGD, lr 0.05, momentum 0.9, weight_decay 0.0005; inv, by step" in output
    assert f"2 epochs in batches of 256; seed 0; on cpu; everything goes to {folder}" in output
    assert re.findall(
        r"^epoch (\d)/2   loss [\d.]+   train +[\d.]+%   test +[\d.]+%   [\d,]+ images/s$", output, re.M
    ) == [
        "1",
        "2",
    ]
    assert "Confusion matrix of the test images" in output
    assert re.search(r"Test accuracy [\d.]+% \(\d+ of 360\) with the weights of the last epoch; trained in", output)


def test_what_it_leaves(finished):
    folder, _ = finished
    names = ["best.safetensors", "curves.png", "last.safetensors", "lock", "log.jsonl", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "recipe.toml", "report.png"]
    for picture in ("curves.png", "report.png"):
        assert min(png_size(folder / picture)) >= 450
    recipe = load_recipe(str(folder / "recipe.toml"))
    assert (recipe.epochs, recipe.iterations, recipe.batch_size, recipe.optimizer["lr"]) == (2, None, 256, 0.05)


def test_the_weights_that_it_leaves_have_the_accuracy_that_it_prints(finished):
    folder, output = finished
    model = NETWORKS["lenet5"].build()
    model.load_state_dict(minidl.load(folder / "model.safetensors"))
    images = Digits(train=False)
    right = round(360 * evaluate(model, minidl.data.DataLoader(images, 90)).accuracy)
    printed = int(re.search(r"\((\d+) of 360\)", output)[1])
    assert abs(right - printed) <= 1  # normalised in another order of operations


def test_evaluate_and_classify_know_what_it_trained_on(finished, capsys):
    """The weights say which classes, mean and deviation; on the test images they have the accuracy of the report."""
    folder, output = finished
    weights = folder / "model.safetensors"
    assert cli.main(["evaluate", "lenet5", "--weights", str(weights), "--data", "digits"]) == 0
    right = re.search(r"\((\d+) of 360\)", output)[1]
    assert f"   {right} of 360   " in capsys.readouterr().out
    assert trained_on(weights) == described("digits")
    assert trained_on(folder / "last.safetensors") is trained_on(folder / "log.jsonl") is None
    pixels = Digits(train=False)[0][0].numpy()[0]
    Image.fromarray((255 * pixels).astype("uint8")).save("digit.png")
    assert cli.main(["classify", "lenet5", "--weights", str(weights), "--no-maps", "digit.png"]) == 0
    assert len(set(re.findall(r"%  (\d)$", capsys.readouterr().out, re.M))) == 5


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.input_shape[1] > 100])
def test_evaluate_brings_photographs_to_a_network_as_its_recipe_does(name):
    wanted = NETWORKS[name].input_shape[1:]
    photo = minidl.tensor(numpy.random.default_rng(0).integers(256, size=(3, 70, 90), dtype=numpy.uint8))
    steps = load_recipe(default_recipe(name)).pipeline("evaluate", wanted, wanted, ImageNet.mean, ImageNet.std)
    expected = Compose(steps)(photo).numpy()
    assert (finished_steps(photograph(wanted), ImageNet.mean, ImageNet.std)(photo).numpy() == expected).all()


def test_the_log(finished):
    folder, _ = finished
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "epoch", "step", "epoch"]
    assert lines[0]["settings"]["network"] == "lenet5"
    assert lines[0]["versions"]["minidl"]
    assert (lines[2]["epoch"], lines[2]["step"]) == (2, 10)
    assert lines[3]["step"] == 12
    assert {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"} <= set(lines[3])


def test_pieces_give_the_same_bits(finished, capsys):
    """Three pieces, with other numbers of workers, against one: weights, log and recipe."""
    assert begin("--max-steps", "4", "--workers", "0") == 0
    output = capsys.readouterr().out
    assert "stopped in epoch 1, after step 4; saved. To go on:\n  minidl train --resume run --workers 0\n" in output
    assert not Path("run/model.safetensors").exists()
    assert cli.main(["train", "lenet5", "--data", "digits", "--out", "run", "--resume", "--max-steps", "9"]) == 0
    output = capsys.readouterr().out
    assert f"resumed from {Path('run', 'last.safetensors')}: epoch 1, step 4" in output
    assert cli.main(["train", "--resume", "run", "--workers", "3"]) == 0
    output = capsys.readouterr().out
    assert re.sub(r"trained in .*", "", output.partition("Confusion")[2]) == re.sub(
        r"trained in .*", "", finished[1].partition("Confusion")[2]
    ).replace(str(finished[0]), "run")
    for name in ("model.safetensors", "recipe.toml"):
        assert Path("run", name).read_bytes() == (finished[0] / name).read_bytes()
    assert same_weights("run/last.safetensors", finished[0] / "last.safetensors")
    assert log_lines("run") == log_lines(finished[0])


def test_a_finished_run_is_reported_once_more(finished, capsys):
    shutil.copytree(finished[0], "run")
    Path("run/report.png").unlink()
    assert cli.main(["train", "--resume", "run"]) == 0
    output = capsys.readouterr().out
    assert "nothing is left to do" in output
    assert "images/s" not in output
    assert "Test accuracy" in output
    assert Path("run/report.png").exists()
    assert same_weights("run/last.safetensors", finished[0] / "last.safetensors")


def test_more_epochs_for_a_finished_run(finished, capsys):
    """The schedule stays as it was; and the new end is not forgotten when that is stopped, too."""
    shutil.copytree(finished[0], "run")
    assert cli.main(["train", "--resume", "run", "--epochs", "4", "--max-steps", "15"]) == 0
    assert "epoch 3/4" not in capsys.readouterr().out
    assert cli.main(["train", "--resume", "run"]) == 0
    assert "epoch 4/4" in capsys.readouterr().out
    assert load_recipe("run/recipe.toml").schedule == load_recipe(str(finished[0] / "recipe.toml")).schedule
    assert [line["step"] for line in log_lines("run") if line["event"] == "epoch"] == [6, 12, 18, 24]


@pytest.mark.parametrize(("seconds", "drawn"), [(0.0, [1, 2, 3]), (1e9, [1, 3])])
def test_the_curves_are_drawn_while_it_trains_but_not_all_the_time(monkeypatch, seconds, drawn):
    titles = []
    monkeypatch.setattr(train_report, "REDRAW", seconds)
    monkeypatch.setattr(train_report, "curves_figure", lambda title, history, watched: titles.append(len(history)))
    assert begin(epochs="3") == 0
    assert titles == drawn


def test_validation_images_choose_the_epoch(capsys, monkeypatch):
    """1,000 images are kept back, on which the curves, the checkpoint and the weights that are tested depend."""
    monkeypatch.setattr(checkpoint.os, "fsync", lambda _: None)
    assert begin("--validation", "1000", epochs="3") == 0
    output = capsys.readouterr().out
    assert "images: 437 to train on, 1,000 to validate on, 360 to test on" in output
    assert re.search(r"epoch 3/3 .* validation +[\d.]+%", output)
    content, _ = read_checkpoint("run/best.safetensors")
    history = read_checkpoint("run/last.safetensors")[0]["state"]["training"]["history"]
    best = 1 + int(numpy.argmax(history["test_accuracy"]))
    assert content["state"]["training"]["position"]["epoch"] == best
    words = "the last epoch" if best == 3 else f"epoch {best}, the best on the validation images"
    assert f"with the weights of {words}" in output


def test_list_recipes(capsys):
    assert cli.main(["train", "--list-recipes"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^resnet_cifar +SGD 0\.1 +MultiStepLR +128 +64,000 steps +resnet20 ", output, re.M)


# ---------------------------------------------------------------------------------------------------------- signals


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to a process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_to_a_real_process(folder, capsys, number, code):
    """It saves, and says the command to go on with."""
    program = [sys.executable, "-m", "minidl"]
    command = [
        *program,
        "train",
        "lenet5",
        "--data",
        "digits",
        "--epochs",
        "200",
        *SHORT,
        "--out",
        str(folder / "a run"),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env=ONE_THREAD, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("epoch   2/200"):
                break
        try:
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # one that does not end must not keep the tests from ending
    assert process.returncode == code
    assert errors in ("\nstopping after this step (once more: at once)\n", "")  # "": it came while a test ran
    said = re.search(r"stopped in epoch (\d+), after step (\d+); saved\. To go on:\n  minidl (.*)\n$", output)
    words = shlex.split(said[3])
    assert words == ["train", "--resume", str(folder / "a run")]
    position = read_checkpoint(folder / "a run" / "last.safetensors")[0]["state"]["training"]["position"]
    assert (position["epoch"] + 1, position["step"]) == (int(said[1]), int(said[2]))
    steps = [line["step"] for line in log_lines(folder / "a run")[1:]]
    assert steps == sorted(steps)
    if number == signal.SIGINT:
        more = position["step"] + 3
        assert cli.main([*words, "--max-steps", str(more)]) == 0
        assert f"after step {more}; saved" in capsys.readouterr().out


def test_a_second_signal_leaves_at_once(capsys, monkeypatch):
    def twice(training):
        if training.position.step == 8:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(train.StopAfter, "step", lambda self, training: twice(training))
    assert begin() == 130
    output = capsys.readouterr().out
    assert "left at once; last.safetensors and best.safetensors in run are from before that" in output
    assert output.endswith("  minidl train --resume run\n")
    assert read_checkpoint("run/last.safetensors")[0]["state"]["training"]["position"]["step"] == 6


# --------------------------------------------------------------------------------------------------------- mistakes


def test_networks_and_data_that_do_not_exist(capsys):
    assert "there is no network 'lenet'; did you mean lenet5" in error_of(capsys, "lenet", "--data", "digits")
    assert "there is no data set 'digit'" in error_of(capsys, "lenet5", "--data", "digit")
    assert "NET is missing: `minidl train NET --data D`" in error_of(capsys)
    assert "--data is missing" in error_of(capsys, "lenet5")
    assert "NET is missing" in error_of(capsys, "--resume")
    assert not any(Path().iterdir())  # nothing was begun


def test_data_that_is_not_there(capsys, tmp_path):
    text = error_of(capsys, "resnet20", "--data", f"imagefolder:{tmp_path}")
    assert str(tmp_path / "train") in text


def test_images_that_do_not_fit(capsys):
    text = error_of(capsys, "alexnet", "--data", "digits")
    assert "the images of digits are 32x32, and the recipe alexnet makes 227x227 of them: --resize" in text
    text = error_of(capsys, "nin", "--data", "digits", "--recipe", "resnet_cifar", "--validation", 0)
    assert "nin reads images of 224x224, and these are 32x32: --resize scales them, or take a network" in text


def test_too_little_to_train_on(capsys):
    lenet = ["lenet5", "--data", "digits"]
    assert "a batch of 2000 is more than the 1437 images" in error_of(capsys, *lenet, "--batch-size", 2000)
    assert "2000 images to validate on leave none of the 1437" in error_of(capsys, *lenet, "--validation", 2000)


def test_recipes_that_are_wrong(capsys):
    lenet = ["lenet5", "--data", "digits", "--recipe"]
    assert "did you mean resnet_cifar?" in error_of(capsys, *lenet, "resnet_cifer")
    Path("mine.toml").write_text('epochs = 1\n[optimizer]\nname = "SGD"\nlearning_rate = 1')
    assert "mine.toml: [optimizer]: unknown key 'learning_rate'" in error_of(capsys, *lenet, "mine.toml")
    Path("mine.toml").write_text('epochs = 1\n[optimizer]\nname = "SGD"\n[network]\nwings = 2')
    assert "lenet5 cannot be built: " in error_of(capsys, *lenet, "mine.toml")
    Path("mine.toml").write_text(
        'epochs = 1\nbatch_size = 256\n[optimizer]\nname = "SGD"\nmomentum = 0.9\n'
        '[schedule]\nname = "OneCycleLR"\nby = "step"\nmax_lr = 0.1\ntotal_steps = 5'
    )
    text = error_of(capsys, *lenet, "mine.toml")
    assert "the schedule has total_steps = 5, and the training would take 6 of them" in text


def test_a_device_that_is_not_there(capsys):
    text = error_of(capsys, "lenet5", "--data", "digits", "--device", "tpu")
    assert "unknown device 'tpu'" in text


def test_a_folder_that_holds_a_run(finished, capsys):
    shutil.copytree(finished[0], "run")
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    text = error_of(capsys, "lenet5", "--data", "digits", "--out", "run")
    assert "there is a run in run already: `minidl train --resume run` goes on with it, --out DIR" in text
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before


def test_nothing_to_resume(capsys):
    text = error_of(capsys, "--resume", "run")
    assert "there is no run in run: it has no last.safetensors and no best.safetensors" in text
    assert not Path("run").exists()


def test_options_that_contradict_the_run(finished, capsys):
    shutil.copytree(finished[0], "run")
    options = ["--resume", "run", "--lr", "0.1", "--seed", "3", "--batch-size", "256", "--resize"]
    text = error_of(capsys, "lenet5", "--data", "mnist", *options)
    assert (
        "the run in run was begun otherwise: --data mnist (not digits), --seed 3 (not 0), --lr 0.1 (not 0.05)" in text
    )
    assert "--resize True (not False)" in text
    assert "batch" not in text
    assert "NET resnet20 (not lenet5)" in error_of(capsys, "resnet20", "--data", "digits", "--out", "run", "--resume")


def test_another_recipe_on_resume(finished, capsys):
    shutil.copytree(finished[0], "run")
    assert cli.main(["train", "--resume", "run", "--recipe", "lenet", *SHORT]) == 0
    assert "--recipe vgg (not lenet)" in error_of(capsys, "--resume", "run", "--recipe", "vgg")
    text = load_recipe("lenet").to_toml()
    Path("lenet.toml").write_text(text.replace("gamma = 0.0001", "gamma = 0.001"))
    text = error_of(capsys, "--resume", "run", "--recipe", "lenet.toml", *SHORT)
    assert "--recipe lenet as it is now (not lenet)" in text
    assert "did you mean vgg?" in error_of(capsys, "--resume", "run", "--recipe", "vggg")


def test_a_limit_of_steps_that_are_done_already(capsys):
    assert begin("--max-steps", "4") == 0
    before = read_checkpoint("run/last.safetensors")[1]
    assert cli.main(["train", "--resume", "run", "--max-steps", "3"]) == 0
    assert "stopped in epoch 1, after step 4; saved" in capsys.readouterr().out
    assert all((array == before[name]).all() for name, array in read_checkpoint("run/last.safetensors")[1].items())


def test_damaged_checkpoints(finished, capsys):
    shutil.copytree(finished[0], "run")
    last = Path("run/last.safetensors")
    last.write_bytes(last.read_bytes()[:-5])
    assert cli.main(["train", "--resume", "run"]) == 0
    captured = capsys.readouterr()
    assert "last.safetensors is damaged" in captured.err
    assert "going on from run/best.safetensors instead" in captured.err.replace(os.sep, "/")
    assert log_lines("run") == log_lines(finished[0])
    for path in (last, Path("run/best.safetensors")):
        path.write_bytes(b"")
    assert "last.safetensors is damaged" in error_of(capsys, "--resume", "run")


def test_a_checkpoint_that_minidl_train_did_not_make(capsys):
    model = NETWORKS["lenet5"].build()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    checkpoint.save_checkpoint("last.safetensors", model, optimizer, {"epoch": 3})
    assert "was not begun by `minidl train`" in error_of(capsys, "--resume", ".")


def test_two_trainings_in_one_folder(capsys):
    Path("run").mkdir()
    with locked(Path("run")):
        text = error_of(capsys, "lenet5", "--data", "digits", "--out", "run")
    assert "another training is writing into run: wait for it, or --out DIR for another run" in text


def test_a_folder_that_cannot_be_written_to(capsys):
    Path("file").write_text("in the way")
    assert "cannot write into the folder" in error_of(capsys, "lenet5", "--data", "digits", "--out", "file/run")


def test_a_training_that_diverges(capsys):
    options = ["lenet5", "--data", "digits", "--out", "run", "--epochs", 2, "--lr", "1e12"]
    text = error_of(capsys, *options)
    assert re.search(r"(the loss is|a gradient is not finite).*it began in the (forward|backward) pass of \w+", text)
    assert "there is no checkpoint in run yet" in text


def test_a_first_loss_that_is_wrong(capsys, monkeypatch):
    lenet = NETWORKS["lenet5"]

    def large(**options):
        model = lenet.build(**options)
        for parameter in model.parameters():
            parameter.data *= 8
        return model

    monkeypatch.setitem(NETWORKS, "lenet5", replace(lenet, build=large))
    assert begin("--max-steps", "1") == 0
    assert "the loss of the first batch is" in capsys.readouterr().err


def test_a_disk_that_is_full_in_the_end(capsys, monkeypatch):
    """The training took hours: its result is shown all the same, and the exit code says that it is not saved."""

    def replace_file(source, target):
        if Path(target).name in ("last.safetensors", "best.safetensors"):
            raise OSError(28, os.strerror(28))
        os.rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", replace_file)
    assert begin(epochs="1") == 1
    captured = capsys.readouterr()
    assert "Test accuracy" in captured.out
    assert captured.err.count("the disk is full") == 1
    assert captured.err.endswith("last.safetensors could not be written: there is no checkpoint in run yet\n")
    names = {path.name for path in Path("run").iterdir()}
    assert names == {"curves.png", "lock", "log.jsonl", "model.safetensors", "recipe.toml", "report.png"}


def test_a_best_epoch_that_could_not_be_saved(capsys, monkeypatch):
    """The disk is full after the second epoch, which is the best: the weights of the first are not taken for its."""
    accuracies, bests = iter((0.1, 0.5, 0.3)), iter((False, True))
    tested = Evaluation(0.0, numpy.zeros((10, 10), int), 1.0)
    monkeypatch.setattr(loop, "evaluate", lambda *_: tested._replace(accuracy=next(accuracies)))

    def replace_file(source, target):
        if Path(target).name == "best.safetensors" and next(bests):
            raise OSError(28, os.strerror(28))
        os.rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", replace_file)
    assert begin("--validation", "1000", epochs="3") == 0
    words = "epoch 1, the best on the validation images of those that could be saved (epoch 2 was better)"
    assert f"with the weights of {words}; trained in" in capsys.readouterr().out


def test_an_image_that_cannot_be_read(capsys, monkeypatch):
    """In the middle of an epoch; the steps before it are not lost."""
    loads = iter(range(1000))
    real = minidl.data.DataLoader._load

    def load(self, indices, keys):
        if next(loads) == 8:
            raise OSError("image file is truncated")
        return real(self, indices, keys)

    monkeypatch.setattr(minidl.data.DataLoader, "_load", load)
    text = error_of(
        capsys, "lenet5", "--data", "digits", "--out", "run", "--epochs", 2, "--workers", 0, *SHORT, "--device", "cpu"
    )
    assert "image file is truncated; last.safetensors" in text
    monkeypatch.setattr(minidl.data.DataLoader, "_load", real)
    assert cli.main(["train", "--resume", "run"]) == 0


def test_kinds_of_options():
    assert interval("90s") == (90, None, "90s")
    assert interval("1.5min") == (90, None, "1.5min")
    assert interval("500") == (float("inf"), 500, "500")
    assert (part("0.1"), part("500"), part("0")) == (0.1, 500, 0)
    for text in ("0", "5 days", "s", "-3"):
        with pytest.raises(train.argparse.ArgumentTypeError):
            interval(text)
    for text in ("1.5", "-1", "x"):
        with pytest.raises(train.argparse.ArgumentTypeError):
            part(text)

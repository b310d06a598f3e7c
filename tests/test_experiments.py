"""The lecture's experiments: each from end to end in a tiny setting, the rule that decides, and the runner."""

import importlib
import importlib.util
import json
import math
import re

import numpy
import pytest
import safetensors.numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg

import minidl
from architectures.resnet_cifar import resnet20
from minidl import cli
from minidl.cli import experiment as command
from minidl.cli.arguments import CommandError
from minidl.cli.experiment import EXPERIMENTS, lesson, listing
from minidl.cli.experiments import degradation, features, filters, images, inception, nets, runner, smaller_filters
from minidl.cli.experiments.images import draw_images
from minidl.cli.experiments.options import Settings
from minidl.cli.experiments.results import Results, Variant
from minidl.cli.experiments.verdict import Claim, half_width, judge, standard_error, student_quantile
from minidl.cli.train_report import save_figure

needs_digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
TINY = ["--quick", "--jobs", "1"]


def experiment(name, folder, *options):
    return cli.main(["experiment", name, *TINY, "--out", str(folder), *options])


def results_in(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------- from end to end


@needs_digits
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment(name, tmp_path, capsys, monkeypatch):
    """Two seeds, an epoch, forty images: table, words and file say what the runs measured; and nothing is run twice."""
    module = EXPERIMENTS[name]
    figures = []
    monkeypatch.setattr(command, "save_figure", lambda *figure: figures.append(figure[0]) or save_figure(*figure))
    assert experiment(name, tmp_path) == 0
    output = capsys.readouterr().out
    record = results_in(tmp_path)
    files = [json.loads(path.read_text()) for path in (tmp_path / "runs").iterdir()]
    variants = [variant["name"] for variant in record["variants"]]
    assert len(files) == len(record["runs"]) == 2 * len(variants)
    assert record["seeds"] == [0, 1]
    assert record["settings"]["images"] == 40
    assert set(record["versions"]) >= {"minidl", "numpy", "python"}

    for number, variant in enumerate(variants):
        label = record["variants"][number]["label"]
        (row,) = [line for line in output.splitlines() if re.match(rf"{re.escape(label)}  ", line)]
        cells = re.split(r"\s{2,}", row.strip())[1:]
        for column, cell in zip(module.COLUMNS, cells, strict=True):
            measured = [file["measures"][column.measure] for file in files if file["variant"]["name"] == variant]
            mean = sum(measured) / 2
            entry = record["table"][variant][column.measure]
            assert entry["mean"] == pytest.approx(mean)
            assert entry["standard_error"] == pytest.approx(abs(measured[0] - measured[1]) / 2)
            printed = [float(part.replace(",", "")) for part in cell.split(" ± ")]
            assert printed[0] == pytest.approx(mean, abs=0.51 * 10**-column.digits)
            assert len(printed) == (1 if column.exact else 2)

    text = " ".join(output.replace("\u00a0", " ").split())
    for claim in record["claims"]:
        assert " ".join(claim["words"].replace("\u00a0", " ").split()) in text
        assert claim["words"].startswith(claim["answer"])
    shown = sum(claim["answer"] == "shows" for claim in record["claims"])
    assert f"At this scale {shown} of {len(record['claims'])} claim" in output
    assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    for text in figures[0].texts:
        box = text.get_window_extent(FigureCanvasAgg(figures[0]).get_renderer())
        assert 0 <= box.x0 < box.x1 <= figures[0].bbox.x1, text
        assert 0 <= box.y0 < box.y1 <= figures[0].bbox.y1, text

    monkeypatch.setattr(module, "run", lambda *_: pytest.fail("ran again what is done"))
    before = (tmp_path / "results.json").read_bytes()
    assert experiment(name, tmp_path) == 0
    assert "runs are in" in capsys.readouterr().out
    assert (tmp_path / "results.json").read_bytes() == before


@needs_digits
def test_one_seed_gives_one_result(tmp_path):
    assert experiment("ensemble", tmp_path) == 0
    first = (tmp_path / "results.json").read_bytes()
    assert experiment("ensemble", tmp_path, "--again") == 0
    assert (tmp_path / "results.json").read_bytes() == first
    assert len({run["single_error"] for run in results_in(tmp_path)["runs"]}) == 2


@needs_digits
def test_only_what_is_missing_is_run(tmp_path, capsys, monkeypatch):
    made = []
    run = smaller_filters.run

    def counted(variant, seed, settings):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append((variant.name, seed))
        return run(variant, seed, settings)

    monkeypatch.setattr(smaller_filters, "run", counted)
    assert experiment("smaller-filters", tmp_path) == 130
    assert "3 of 6 runs are done and kept: the same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "results.json").exists()
    assert made == [("one-7x7", 0), ("three-3x3", 0), ("three-3x3-linear", 0)]  # a seed after the other

    damaged = next((tmp_path / "runs").glob("three-3x3-seed0*"))
    damaged.write_text(damaged.read_text()[:-20])
    monkeypatch.setattr(smaller_filters, "run", lambda *task: made.append((task[0].name, task[1])) or run(*task))
    assert experiment("smaller-filters", tmp_path) == 0
    assert made[3:] == [("three-3x3", 0), ("one-7x7", 1), ("three-3x3", 1), ("three-3x3-linear", 1)]

    made.clear()
    assert experiment("smaller-filters", tmp_path, "--seeds", "3") == 0
    assert [seed for _, seed in made] == [2, 2, 2]
    made.clear()
    assert experiment("smaller-filters", tmp_path, "--epochs", "2", "--seeds", "1") == 0
    assert len(made) == 3
    assert len(list((tmp_path / "runs").iterdir())) == 12  # other settings lie beside the first
    made.clear()
    assert experiment("smaller-filters", tmp_path, "--again", "--seeds", "1") == 0
    assert len(made) == 3


@needs_digits
def test_filters_of_a_file(tmp_path, capsys):
    minidl.manual_seed(3)
    weights = {name: tensor.numpy() for name, tensor in resnet20().state_dict().items()}
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(weights, path)
    options = ["--net", "resnet20", "--weights", str(path), "--size", "32"]
    assert experiment("filters", tmp_path / "out", *options) == 0
    output = capsys.readouterr().out
    assert "resnet20 with weights.safetensors" in output
    assert "error %" not in output  # nothing was trained
    run = next((tmp_path / "out" / "runs").iterdir())
    pictures = json.loads(run.read_text())["measures"]["pictures"]
    norms = (weights["conv1.weight"] ** 2).sum(axis=(1, 2, 3))
    strongest = weights["conv1.weight"][norms >= numpy.sort(norms)[-8]]
    assert numpy.array(pictures["after"]) == pytest.approx(strongest, abs=1e-3)
    assert numpy.array(pictures["image"]).shape == (3, 32, 32)
    assert [numpy.array(maps).shape for maps in pictures["maps"]] == [(8, 32, 32), (8, 16, 16)]


# ------------------------------------------------------------------------------------------------- the verdict


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (7, 2.36462), (10, 2.22814), (30, 2.04227)],
)
def test_student_quantile(freedom, quantile):
    """A table of every textbook."""
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, rel=1e-5)


def test_interval_by_hand():
    """1, 2, 3: s = 1, so the half width is 4.30265 / sqrt 3."""
    assert standard_error((1, 2, 3)) == pytest.approx(1 / math.sqrt(3))
    assert half_width((1, 2, 3)) == pytest.approx(2.48414, rel=1e-5)
    assert half_width((2, 2, 2), step=1.0) == pytest.approx(2.48414, rel=1e-5)
    assert half_width((5,)) == math.inf
    assert math.isnan(standard_error((5,)))


@pytest.mark.parametrize(
    ("differences", "options", "answer", "words"),
    [
        ((3.0, 4.0, 3.5), {}, "shows", "+3.50 points; 95\u00a0% interval +2.26 to +4.74, 3 seeds"),
        ((-3.0, -4.0, -3.5), {}, "the opposite shows", "-3.50 points; 95\u00a0% interval -4.74 to -2.26, 3 seeds"),
        ((3.0, -4.0, 3.5), {}, "does not show", "+0.83 points"),
        ((0.0, 0.0, 0.0), {}, "does not show", "0 points; 95\u00a0% interval 0 to 0, 3 seeds"),
        ((0.2, 0.2), {}, "shows", "+0.20 points"),
        ((0.2, 0.2), {"step": 0.1}, "does not show", "+0.20 points"),  # both by two images: may be chance
        ((-0.2, -0.3, -0.1), {"threshold": -1.0}, "shows", "-0.20 points (to be above -1.00)"),
        ((-2.2, -2.3, -2.1), {"threshold": -1.0}, "the opposite shows", "-2.20 points (to be above -1.00)"),
        ((7.0,), {}, "does not show", "one seed says nothing about chance"),
        ((7.0,), {"exact": True}, "shows", "+7.00 points"),
        ((0.0,), {"exact": True}, "does not show", "0 points"),
        ((-7.0,), {"exact": True}, "the opposite shows", "-7.00 points"),
    ],
)
def test_the_rule(differences, options, answer, words):
    verdict = judge(Claim("it falls", "one minus two", differences, **options))
    assert verdict.answer == answer
    assert str(verdict).startswith(f"{answer}: it falls (one minus two: ")
    assert words in str(verdict)
    record = json.loads(json.dumps(verdict.as_record(), allow_nan=False))
    assert record["answer"] == answer
    assert record["differences"] == list(differences)


def test_a_claim_needs_numbers():
    with pytest.raises(ValueError, match="'it falls' has no differences"):
        judge(Claim("it falls", "", ()))


def made_up(module, options=None, **measures):
    """Results of three seeds, as if these had been measured: `measures[name][variant]` is the value of seed 0.

    Seed by seed they rise by a hundredth, in all variants alike.
    """
    settings = Settings(**({option.name: option.default for option in module.OPTIONS} | (options or {})))
    variants = module.variants(settings)

    def of_seed(variant, seed):
        values = {name: by_variant[variant.name] for name, by_variant in measures.items()}
        return {name: value if isinstance(value, list) else value + 0.01 * seed for name, value in values.items()}

    runs = {variant.name: {seed: of_seed(variant, seed) for seed in range(3)} for variant in variants}
    return Results(settings, variants, [0, 1, 2], runs)


@pytest.mark.parametrize(
    ("deep_plain", "deep_residual", "answers"),
    [
        (60.0, 1.0, ["shows", "shows", "shows", "shows"]),
        (1.0, 1.0, ["does not show", "does not show", "shows", "does not show"]),
        (0.2, 60.0, ["the opposite shows"] * 4),
    ],
)
def test_the_words_of_degradation_follow_the_numbers(deep_plain, deep_residual, answers):
    errors = {f"{kind}-{depth}": 1.0 for kind in ("plain", "residual") for depth in (8, 20, 32, 56)}
    errors |= {"plain-56": deep_plain, "residual-56": deep_residual}
    results = made_up(degradation, train_error=errors, test_error=errors)
    verdicts = [judge(claim) for claim in degradation.claims(results)]
    assert [verdict.answer for verdict in verdicts] == answers
    text = lesson(verdicts)
    assert f"At this scale {answers.count('shows')} of 4 claims show" in text
    assert ("cannot be told from chance" in text) == ("does not show" in answers)
    assert ("the opposite shows." in text) == ("the opposite shows" in answers)


@pytest.mark.parametrize("name", sorted(set(EXPERIMENTS) - {"degradation", "filters", "ensemble"}))
@pytest.mark.parametrize("better", [True, False])
def test_the_words_follow_the_numbers(name, better):
    """The same numbers given to one variant and to the other: what showed must not show any more."""
    module = EXPERIMENTS[name]
    sample = Settings(**{option.name: option.default for option in module.OPTIONS})
    names = [variant.name for variant in module.variants(sample)]
    favoured = {
        "smaller-filters": "three-3x3",
        "inception": "bottleneck",
        "stochastic-depth": "stochastic",
        "dropout-and-augmentation": "both",
        "features": "learnt",
    }[name]
    low = {each: 1.0 if (each == favoured) == better else 9.0 for each in names}
    cost = {each: 100 if (each == favoured) == better else 900 for each in names}
    counted = ["stack_weights", "parameters", "multiply_adds", "field", "channels", "seconds"]
    measured = ["train_error", "test_error", "gap", "mean_error", "fewest_error", "most_error"]
    depths = {each: [4, 8, 12] if (each == favoured) != better else [12, 8, 4] for each in names}
    results = made_up(
        module,
        **dict.fromkeys(measured, low),
        **dict.fromkeys(counted, cost),
        channels_by_module=depths,
    )
    answers = {claim.text: judge(claim).answer for claim in module.claims(results)}
    about_favoured = {text: answer for text, answer in answers.items() if "overfits" not in text}
    if name == "dropout-and-augmentation":
        about_favoured = {text: answer for text, answer in about_favoured.items() if text.startswith("both")}
    assert about_favoured
    for text, answer in about_favoured.items():
        assert answer == ("shows" if better else "the opposite shows"), text


@pytest.mark.parametrize(("together", "answer"), [(5.0, "shows"), (9.0, "the opposite shows")])
def test_the_words_of_the_ensemble_follow_the_numbers(together, answer):
    one = {"ensemble": 8.0}
    module = EXPERIMENTS["ensemble"]
    results = made_up(module, single_error=one, best_error={"ensemble": 7.0}, ensemble_error={"ensemble": together})
    assert [judge(claim).answer for claim in module.claims(results)] == [answer, answer]


@pytest.mark.parametrize(("after", "answer"), [(0.8, "shows"), (-0.4, "the opposite shows"), (0.0, "does not show")])
def test_the_words_of_the_filters_follow_the_numbers(after, answer):
    module = EXPERIMENTS["filters"]
    results = made_up(module, smoothness_before={"filters": 0.0}, smoothness={"filters": after})
    assert [judge(claim).answer for claim in module.claims(results)] == [answer]


# ------------------------------------------------------------------------------------------------- their parts


@needs_digits
def test_images_of_a_seed():
    settings = Settings(data="digits", size=8, images=1200, test_images=500, partial=False)
    first, again, other = (draw_images(settings, seed) for seed in (0, 0, 1))
    assert (first.train.data == again.train.data).all()
    assert (first.test.targets == again.test.targets).all()
    assert not (first.train.data == other.train.data).all()
    assert (len(first.train), len(first.test)) == (1200, 500)  # 360 to test on, and 140 that are not drawn
    trained = {image.tobytes() for image in first.train.data}
    assert len(trained & {image.tobytes() for image in first.test.data}) <= 2  # digits has some images twice
    batch, _ = first.normalized(first.train).batch(range(1200))
    assert abs(float(batch.mean())) < 1e-4
    assert float(batch.std()) == pytest.approx(1, abs=1e-3)
    half = first.of_classes(5, 10)
    assert sorted(set(half.train.targets.tolist())) == [0, 1, 2, 3, 4]
    assert half.classes == ("5", "6", "7", "8", "9")


def test_images_of_bytes_are_scaled(monkeypatch):
    numbers = numpy.random.default_rng(0)
    data = numbers.integers(256, size=(30, 3, 12, 12), dtype=numpy.uint8)
    labels = numpy.arange(30) % 10
    source = images._Source(data, labels, data[:10], labels[:10], tuple("abcdefghij"))
    monkeypatch.setattr(images, "_source", lambda *_: source)
    drawn = draw_images(Settings(data="colours", size=8, images=10, test_images=30, partial=False), 0)
    assert drawn.train.data.shape == (10, 3, 8, 8)
    assert drawn.test.data.shape == (30, 3, 8, 8)
    assert drawn.train.data.dtype == numpy.float32
    assert 0 <= drawn.train.data.min() < drawn.train.data.max() <= 1
    assert len(drawn.mean) == len(drawn.std) == 3
    exact = draw_images(Settings(data="colours", size=12, images=30, test_images=5, partial=False), 0)
    assert len(exact.test) == 5


def test_the_stacks_see_the_same_and_cost_what_the_lecture_says():
    """3 (3^2 C^2) and 7^2 C^2."""
    for name, weights in (("one-7x7", 49 * 36), ("three-3x3", 27 * 36), ("three-3x3-linear", 27 * 36)):
        stack = smaller_filters.stack(name, 6)
        assert nets.field_of(stack, (6, 16, 16)) == 7
        assert smaller_filters.stack_weights(stack) == weights


def test_the_inception_nets():
    naive, depths = inception.network("naive", 1, 16, 4, 10)
    assert depths == [16, 56, 96, 136, 176]
    reduced, depths = inception.network("bottleneck", 1, 16, 4, 10)
    assert depths == [16, 48, 48, 48, 48]
    x = minidl.randn(2, 1, 16, 16)
    assert naive(x).shape == reduced(x).shape == (2, 10)
    costs = nets.cost(naive, (1, 16, 16)), nets.cost(reduced, (1, 16, 16))
    assert costs[0]["multiply_adds"] > 2 * costs[1]["multiply_adds"]


def test_smoothness():
    ramp = numpy.tile(numpy.arange(9.0), (2, 1, 9, 1))
    assert filters.smoothness(ramp) > 0.85
    assert abs(filters.smoothness(numpy.random.default_rng(0).standard_normal((400, 1, 7, 7)))) < 0.05
    chess = (numpy.indices((8, 8)).sum(axis=0) % 2)[None, None] * 1.0
    assert filters.smoothness(chess) == pytest.approx(-1)
    assert filters.smoothness(numpy.ones((1, 1, 3, 3))) == 0


@needs_digits
def test_the_images_of_both_tasks_lie_anywhere_and_whole():
    settings = Settings(
        data="digits", size=8, images=300, test_images=100, partial=False, source="", shots=[1], shift=2
    )
    tasks = features._tasks(settings, 0)
    source, target = features._anywhere(*tasks, 2, 0)
    assert source.shape == target.shape == (1, 12, 12)
    assert (source.train.data[..., 2:-2, 2:-2] == tasks[0].train.data).all()  # in the middle: training moves them
    for before, after in ((tasks[0].test, source.test), (tasks[1].train, target.train), (tasks[1].test, target.test)):
        assert (after.targets == before.targets).all()
        assert numpy.allclose(after.data.sum(axis=(1, 2, 3)), before.data.sum(axis=(1, 2, 3)))
        rows = after.data.max(axis=(1, 3)).argmax(axis=1)
        assert len(set(rows.tolist())) > 5
    batch, _ = source.normalized(source.train).batch(range(len(source.train)))
    assert abs(float(batch.mean())) < 1e-4
    still = features._anywhere(*tasks, 0, 0)
    assert (still[1].test.data == tasks[1].test.data).all()


def test_the_linear_classifier_separates_what_a_line_separates():
    numbers = numpy.random.default_rng(0)
    labels = numpy.arange(60) % 3
    points = numpy.eye(3)[labels] + 0.1 * numbers.standard_normal((60, 3))
    points = points.astype(numpy.float32)
    assert features._linear_error(points[:30], labels[:30], points[30:], labels[30:], 3) == 0
    wrong = features._linear_error(points[:30], labels[:30], points[30:], (labels[30:] + 1) % 3, 3)
    assert wrong == 100


def test_a_run_of_another_kind_is_not_taken(tmp_path):
    task = runner.Task(degradation, Variant("plain-8", "plain"), 0, Settings(lr=0.1))
    path = tmp_path / task.filename
    runner.write_run(path, task, {"train_error": 1.5}, 2.0)
    assert runner.read_run(path, task) == {"train_error": 1.5}
    for other in (
        runner.Task(degradation, Variant("plain-8", "plain"), 1, Settings(lr=0.1)),
        runner.Task(degradation, Variant("plain-8", "plain"), 0, Settings(lr=0.2)),
        runner.Task(inception, Variant("plain-8", "plain"), 0, Settings(lr=0.1)),
    ):
        assert other.filename != task.filename
        assert runner.read_run(path, other) is None
    assert runner.read_run(tmp_path / "nothing.json", task) is None


def of_a_module(name, run, folder, monkeypatch):
    """Two runs of an experiment that consists of these lines."""
    (folder / f"{name}.py").write_text(f"import os\nimport minidl\n\n\ndef run(variant, seed, settings):\n    {run}\n")
    monkeypatch.syspath_prepend(folder)
    return [runner.Task(importlib.import_module(name), Variant("x", "x"), seed, Settings()) for seed in (0, 1)]


def test_no_result_depends_on_the_number_of_processes(tmp_path, monkeypatch):
    tasks = of_a_module("drawing", "return {'drawn': minidl.rand(3).tolist()}", tmp_path, monkeypatch)
    here = {task.seed: measures for task, measures, _ in map(runner._made, tasks)}
    elsewhere = {task.seed: measures for task, measures, _ in runner._in_processes(tasks, 2)}
    assert here == elsewhere
    assert here[0] != here[1]


def test_a_process_that_is_killed_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "LOOK", 0.1)
    tasks = of_a_module("deadly", "os._exit(1)", tmp_path, monkeypatch)
    with pytest.raises(CommandError, match="ended from outside"):
        list(runner._in_processes(tasks, 2))


# ------------------------------------------------------------------------------------------------- mistakes


def test_the_list(capsys):
    assert cli.main(["experiment"]) == 0
    assert capsys.readouterr().out == listing() + "\n"
    for name, module in EXPERIMENTS.items():
        assert f"  {name} " in listing()
        assert module.DESCRIPTION.partition("\n")[0] in listing()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_help(name, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["experiment", name, "--help"])
    assert leaving.value.code == 0
    assert "--seeds N" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dance"], "invalid choice: 'dance'"),
        (["degradation", "--depths", "8,x"], "must be ints of at least 1 such as 8,20,32, got '8,x'"),
        (["degradation", "--seeds", "0"], "must be at least 1, got 0"),
        (["ensemble", "--lr", "-1"], "must be above 0, got -1"),
        (["features", "--frobnicate"], "unrecognized arguments"),
        (["features", "--shift", "-1"], "must be at least 0, got -1"),
    ],
)
def test_wrong_options(arguments, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["experiment", *arguments])
    assert leaving.value.code == 2
    assert words in capsys.readouterr().err


@needs_digits
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["degradation", "--depths", "8,9"], "--depths takes two numbers or more of 8, 14, 20, ... 6n + 2, got 8,9"),
        (["degradation", "--depths", "8"], "takes two numbers or more"),
        (["stochastic-depth", "--depth", "10"], "--depth is one of 8, 14, 20"),
        (["ensemble", "--members", "1"], "--members 2 or more"),
        (["ensemble", "--members", "11"], "--members 10 at most"),
        (["ensemble", "--images", "5000"], "--images 5,000 is too many: digits has 1,437 to train on"),
        (["ensemble", "--test-images", "5000"], "digits has 360 to test on, and 1,397 more"),
        (["ensemble", "--size", "4"], "--size must be at least 8, got 4"),
        (["ensemble", "--data", "dogs"], "there is no data set 'dogs'"),
        (["ensemble", "--partial"], "only cifar10 and cifar100 can be used in part"),
        (["ensemble", "--device", "quantum"], "quantum"),
        (["ensemble", "--lr", "1e30"], "2 nets, seed 0: "),
        (["features", "--shots", "1,500"], "too few images to label: of some class "),
        (["filters", "--kernel", "4"], "--kernel must be odd, got 4"),
        (["filters", "--net", "resnet20"], "--net and --weights go together"),
        (["filters", "--net", "resnet21", "--weights", "x"], "there is no network 'resnet21'; did you mean"),
        (["filters", "--net", "resnet20", "--weights", "nowhere.pth"], "there is no file nowhere.pth"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, words, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["experiment", *arguments, *TINY, "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("minidl experiment: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not list(tmp_path.rglob("*.json"))


def test_data_that_is_not_there(tmp_path, capsys, monkeypatch):
    def named(name, **_):
        raise RuntimeError("FashionMNIST(): the files are not here\n  help: put them there")

    images._source.cache_clear()
    monkeypatch.setattr(images, "named", named)
    assert experiment("ensemble", tmp_path / "out", "--data", "fashion-mnist") == 1
    assert "the files are not here" in capsys.readouterr().err
    with pytest.raises(CommandError, match="not here"):
        draw_images(Settings(data="mnist", size=8, images=1, test_images=1, partial=False), 0)

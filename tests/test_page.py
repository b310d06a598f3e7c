"""The web page of a tape, without a browser: its document, and that it needs nothing but itself."""

import base64
import json
import re
from importlib.resources import files

import numpy
import pytest

import minidl
from architectures.lenet import lenet5
from architectures.resnet_cifar import resnet20
from minidl import cli, nn, optim
from minidl.debug import page, trace
from minidl.debug.page.data import document
from minidl.debug.page.page import assemble
from minidl.debug.page.words import formula, settings


def traced(model, shape, record="full", **options):
    """A training step on random images."""
    minidl.manual_seed(0)
    x, labels = minidl.randn(*shape), minidl.Tensor(numpy.arange(shape[0]) % 10)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step():
        loss = nn.CrossEntropyLoss()(model(x), labels)
        loss.backward()
        optimizer.step()

    return trace(step, model, record=record, **options)


@pytest.fixture(scope="module")
def tape():
    minidl.manual_seed(1)
    return traced(resnet20(), (2, 3, 32, 32))


@pytest.fixture(scope="module")
def found(tape):
    return document(tape, "resnet20")


def named(document, phase, path, op=None):
    """The only such step."""
    (step,) = [
        step
        for step in document["steps"]
        if (step["phase"], step["path"]) == (phase, path) and op in (None, step["op"])
    ]
    return step


def tensor(document, step, role, side="takes"):
    (number,) = [part["tensor"] for part in step[side] if role in part["role"].split(", ")]
    return document["tensors"][number]


def numbers(data):
    raw = base64.b64decode(data["base64"])
    if data["type"] == "f4":
        return numpy.frombuffer(raw, "<f4").reshape(data["shape"])
    q = numpy.frombuffer(raw, numpy.int8).astype(float)
    return numpy.where(q == -128, numpy.nan, q / 127 * data["scale"]).reshape(data["shape"])


# ------------------------------------------------------------------------------------------------------------ steps


def test_steps_go_forward_backward_and_through_the_update(tape, found):
    assert [phase["name"] for phase in found["phases"]] == ["forward", "backward", "update"]
    forward, backward, update = (
        [s for s in found["steps"] if s["phase"] == phase["name"]] for phase in found["phases"]
    )
    assert [(s["path"], s["op"]) for s in forward[:3]] == [("conv1", "Conv2d"), ("bn1", "BatchNorm"), ("relu", "ReLU")]
    assert sum(s["op"] == "Conv2d" for s in forward) == sum(s["op"] == "Conv2d" for s in backward) == 19
    assert forward[-1]["op"] == backward[0]["op"] == "CrossEntropy"
    assert {s["path"] for s in update} == {name.rpartition(".")[0] for name, _ in tape.model.named_parameters()}
    assert forward[0]["settings"] == "stride 1, padding 1, dilation 1, groups 1"


def test_running_statistics_are_no_steps(found):
    assert [s["op"] for s in found["steps"] if s["path"] == "bn1" and s["phase"] == "forward"] == ["BatchNorm"]


def test_without_backward_every_operation_is_a_step():
    x = minidl.randn(2, 3)
    steps = document(trace(lambda: (x * 2 + 1).relu()), "three")["steps"]
    assert [step["op"] for step in steps] == ["Mul", "Add", "ReLU"]


def test_made_and_used_lead_there_and_back(found):
    for number, each in enumerate(found["tensors"]):
        for side, steps in (("gives", [each["made"]] if each["made"] is not None else []), ("takes", each["used"])):
            for step in steps:
                assert number in [part["tensor"] for part in found["steps"][step][side]]
    y = tensor(found, named(found, "forward", "conv1"), "y", "gives")
    assert [found["steps"][k]["path"] for k in y["used"] if found["steps"][k]["phase"] == "forward"] == ["bn1"]
    gradient = found["tensors"][y["gradient"]]
    assert found["steps"][gradient["made"]]["path"] == "bn1"
    assert found["tensors"][gradient["of"]] is y


def test_a_shortcut_has_a_sum_of_gradients(found):
    y = tensor(found, named(found, "forward", "relu"), "y", "gives")
    assert found["tensors"][y["gradient"]]["note"] == "the sum of 2 gradients"
    parts = [
        tensor(found, named(found, "backward", "layer1.0.conv1"), "grad_x", "gives"),
        tensor(found, named(found, "backward", "layer1.0", "Add"), "grad_b", "gives"),
    ]
    assert [part["note"] for part in parts] == ["one of 2 gradients that are added up"] * 2


def test_an_array_that_is_handed_on_is_one_tensor(found):
    """The sum gives the gradient that it takes to both of its inputs."""
    step = named(found, "backward", "layer1.2", "Add")
    assert len({part["tensor"] for part in step["takes"] + step["gives"]}) == 1 and [
        part["role"] for part in step["gives"]
    ] == ["grad_a, grad_b"]
    users = tensor(found, step, "grad_a", "gives")["used"]
    assert "layer1.2.bn2" in [found["steps"][k]["path"] for k in users]


def test_a_parameters_gradient_goes_from_backward_to_the_update(found):
    made = tensor(found, named(found, "backward", "layer1.0.conv1"), "grad_weight", "gives")
    taken = tensor(found, named(found, "update", "layer1.0.conv1"), "weight.grad")
    assert made is taken and made["note"] == "goes to layer1.0.conv1.weight.grad"
    step = named(found, "update", "bn1")
    assert [part["role"] for part in step["takes"]] == ["weight", "weight.grad", "bias", "bias.grad"]
    assert "weight.momentum_buffer" in [part["role"] for part in step["gives"]]


def test_the_users_line_stands_at_each_forward_step(found):
    source = named(found, "forward", "linear")["source"]
    assert "linear" in source["line"] and source["place"].startswith("resnet_cifar.py:")


# ---------------------------------------------------------------------------------------------------------- tensors


def test_pictures_hold_the_numbers_of_the_first_images(tape, found):
    step = named(found, "forward", "layer2.0.conv1")
    event = next(e for e in tape if (e.path, e.kind, e.operation) == ("layer2.0.conv1", "after", "Conv2d"))
    for role, value in zip(("x", "weight"), event.inputs, strict=False):
        data = tensor(found, step, role)["data"]
        assert data["type"] == "f4"
        numpy.testing.assert_array_equal(numbers(data), value.array)  # both images of the batch
    y = tensor(found, named(found, "forward", "layer2.0.bn1"), "y0", "gives")["data"]
    whole = next(e for e in tape if (e.path, e.operation, e.kind) == ("layer2.0.bn1", "BatchNorm", "after")).outputs[0]
    shown = numbers(y)
    wanted = numpy.clip(whole.array[:, : shown.shape[1]], -y["scale"], y["scale"])
    assert y["type"] == "i1" and numpy.abs(shown - wanted).max() <= 0.51 / 127 * y["scale"]


def test_the_sum_of_a_window_is_the_output(found):
    """As window.js adds it up, for every pixel of a filter: with stride 2, padding, and several channels."""
    step = named(found, "forward", "layer2.0.conv1")
    window = step["window"]
    x, weight, y = (numbers(found["tensors"][window[name]]["data"]) for name in ("x", "weight", "y"))
    (sy, sx), sides = window["stride"], window["padding"]
    padded = numpy.pad(x, ((0, 0), (0, 0), *sides))
    for image in range(2):
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                seen = padded[image, :, i * sy : i * sy + 3, j * sx : j * sx + 3]
                assert (seen * weight[5]).sum() == pytest.approx(y[image, 5, i, j], abs=1e-5)
    assert window["kind"] == "conv" and window["bias"] is None and (sy, sx) == (2, 2)


def test_windows_of_pooling_and_of_the_gradient_of_a_convolutions_input(found):
    kinds = {(s["phase"], s["op"]): s["window"]["kind"] for s in found["steps"] if s["window"]}
    assert kinds[("forward", "AdaptiveAvgPool2d")] == "adaptive"
    assert kinds[("backward", "Conv2d")] == "conv_input"
    window = named(found, "backward", "layer2.0.conv1")["window"]
    shapes = [found["tensors"][window[name]]["shape"] for name in ("x", "weight", "y")]
    assert shapes == [(2, 32, 16, 16), (32, 16, 3, 3), (2, 16, 32, 32)]
    model = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, count_include_pad=False))
    steps = document(trace(lambda: model(minidl.randn(1, 2, 9, 8)), model), "pools")["steps"]
    assert steps[0]["window"] | {"kernel": (3, 3), "stride": (2, 2), "padding": ((1, 1), (1, 1))} == steps[0]["window"]
    assert [s["window"]["kind"] for s in steps] == ["max", "mean"] and steps[1]["window"]["count"] == "inside"


def test_a_weight_that_is_no_parameter_is_no_batch_of_images():
    weight = minidl.randn(8, 3, 2, 2, requires_grad=True)
    x = minidl.randn(2, 3, 5, 5)
    found = document(trace(lambda: minidl.nn.functional.conv2d(x, weight).sum().backward()), "raw")
    window = found["steps"][0]["window"]
    assert found["tensors"][window["weight"]]["data"]["shape"] == (8, 3, 2, 2)
    gradient = found["tensors"][found["tensors"][window["weight"]]["gradient"]]["data"]
    assert (gradient["kind"], gradient["shape"]) == ("filters", (8, 3, 2, 2))


def test_four_images_of_a_batch_at_most_and_fewer_where_there_is_no_room(monkeypatch):
    tape = traced(lenet5(), (6, 1, 32, 32))
    data = document(tape, "six")["tensors"][0]["data"]
    assert data["shape"] == (4, 1, 32, 32)
    numpy.testing.assert_array_equal(numbers(data), tape[0].inputs[0].array[:4])
    monkeypatch.setattr("minidl.debug.page.pictures.ROOM_EXACT", 150_000)
    assert document(tape, "six")["tensors"][0]["data"]["shape"] == (2, 1, 32, 32)
    monkeypatch.setattr("minidl.debug.page.pictures.ROOM_EXACT", 0)
    found = document(tape, "six")
    assert found["tensors"][0]["data"]["shape"] == (1, 1, 32, 32) and found["steps"][0]["window"] is None


def test_gradients_of_outputs_that_nothing_used_are_left_out(found):
    """Batch norm gives its mean and variance as well: the zeros that stand for their gradients say nothing."""
    step = named(found, "backward", "bn1")
    assert [part["role"] for part in step["takes"] if part["role"].startswith("grad")] == ["grad_output"]

    def split():
        a, b = (minidl.ones(4, requires_grad=True) * 2).split(2)
        (a.sum() * 0 + b.sum()).backward()  # used, and zero: that is to be seen

    split = next(s for s in document(trace(split), "x")["steps"] if (s["phase"], s["op"]) == ("backward", "Split"))
    assert [part["role"] for part in split["takes"]] == ["grad_output0", "grad_output1"]


def test_an_update_has_the_numbers_that_it_was_computed_from(tape, found):
    step = named(found, "update", "layer1.0.conv1")
    assert step["settings"] == "lr 0.1, momentum 0.9"
    (parameter,) = step["update"]["parameters"]
    assert list(parameter) == ["param", "grad", "new_param", "new_momentum_buffer"]  # the first step has no momentum
    before, grad, after, momentum = (found["tensors"][number]["data"] for number in parameter.values())
    assert {data["type"] for data in (before, grad, after, momentum)} == {"f4"}
    numpy.testing.assert_array_equal(numbers(momentum), numbers(grad))
    expected = numbers(before)[:16, :16] - numpy.float32(0.1) * numbers(momentum)
    numpy.testing.assert_allclose(numbers(after), expected, rtol=1e-6, atol=1e-8)
    assert step["update"]["settings"]["lr"] == 0.1 and step["update"]["settings"]["nesterov"] is False


def test_statistics_are_those_of_the_whole_tensor(tape, found):
    event = next(e for e in tape if (e.path, e.kind) == ("conv1", "after"))
    stats = tensor(found, named(found, "forward", "conv1"), "y", "gives")["stats"]
    y = event.outputs[0].array
    assert (stats["low"], stats["high"]) == (y.min(), y.max())
    assert stats["mean"] == pytest.approx(y.mean(), abs=1e-6) and stats["std"] == pytest.approx(y.std(), rel=1e-4)


def test_numbers_that_are_none_stay_visible_and_the_document_is_json():
    x = minidl.Tensor(numpy.array([[1.0, -1.0, 0.0, numpy.inf]], "float32"))
    with numpy.errstate(all="ignore"):
        found = document(trace(lambda: x.log()), "bad")
    text = json.dumps(found, allow_nan=False)
    y = json.loads(text)["tensors"][1]
    assert (y["stats"]["nan"], y["stats"]["inf"]) == (1, 2)
    assert numpy.isnan(numbers(y["data"])).sum() == 3


def test_shapes_of_all_kinds_have_a_picture_or_say_why_not():
    def step():
        for shape in [(), (1,), (7,), (3, 4), (2, 3, 4), (2, 0), (1, 2, 2, 2, 2), (600, 700), (2, 3, 100, 300)]:
            minidl.ones(*shape) * 2

    for each in document(trace(step), "shapes")["tensors"]:
        assert "value" in each or each["data"] or each["left_out"]
        if each.get("data"):
            assert numbers(each["data"]).size <= 1 << 14
    assert [
        each["value"] for each in document(trace(lambda: minidl.ones(1) * 2), "x")["tensors"] if "value" in each
    ] == [
        1.0,
        2.0,
    ]


@pytest.mark.parametrize("operation", [lambda x: 2 * x, lambda x: 1 - x, lambda x: 1 / x])
def test_a_number_may_be_the_first_input(operation):
    found = document(trace(lambda: operation(minidl.ones(3, requires_grad=True)).sum().backward()), "", (), None)
    assert [part["role"] for part in found["steps"][0]["takes"]] == ["b"]
    assert found["steps"][0]["settings"] in ("a 1", "a 2")


def test_a_tape_of_statistics_alone_makes_a_page_without_pictures():
    found = document(traced(lenet5(), (2, 1, 32, 32), record="stats"), "lenet5")
    assert all(each["data"] is None and each["left_out"] and each["stats"] for each in found["tensors"])
    assert not any(step["window"] for step in found["steps"])


def test_large_tensors_are_thinned_and_the_page_stays_small():
    model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.Flatten())
    x = minidl.randn(1, 3, 112, 112)
    found = document(trace(lambda: model(x).sum().backward(), model), "large")
    assert found["steps"][0]["window"] is None  # its output is too large to be here whole
    y = tensor(found, found["steps"][0], "y", "gives")["data"]
    assert y["every"] == (3, 3) and y["shape"][2:] == (38, 38)
    assert len(assemble(found)) < 4e6


# ------------------------------------------------------------------------------------------------------------ graph


def test_the_graph_has_every_operation_once_and_all_at_its_place(found):
    graph = found["graph"]
    for number, step in enumerate(found["steps"]):
        assert number in graph["nodes"][step["node"]]["steps"]
    bands = [band["node"] for box in graph["boxes"] for band in box["bands"]]
    assert sorted(bands) == list(range(len(graph["nodes"])))
    for each in (*graph["boxes"], *graph["frames"]):
        if each["parent"] >= 0:
            frame = graph["frames"][each["parent"]]
            assert frame["x"] < each["x"] and each["x"] + each["width"] < frame["x"] + frame["width"]
            assert frame["y"] < each["y"] and each["y"] + each["height"] < frame["y"] + frame["height"]
    assert [frame["path"] for frame in graph["frames"] if frame["parent"] < 0] == ["layer1", "layer2", "layer3"]
    assert len(graph["order"]) == len(graph["boxes"]) + len(graph["frames"])


def test_lines_are_followed_through_frames(found):
    """From the first convolution of the second stage back to where its input was made, in another frame."""
    graph = found["graph"]
    number = {band["node"]: k for k, box in enumerate(graph["boxes"]) for band in box["bands"]}
    box = number[named(found, "forward", "layer2.0.conv1")["node"]]
    before = graph["boxes"][number[named(found, "forward", "layer1.2", "Add")["node"]]]
    tops = [graph["lines"][line]["points"][0][1] for line in graph["into"][box]]
    assert len(tops) > 3 and before["y"] < min(tops) < graph["boxes"][box]["y"]
    assert set(graph["into"][box]) & {line for lines in graph["out_of"][: box + 1] for line in lines}


# ------------------------------------------------------------------------------------------------------------- page


def test_the_page_needs_nothing_but_itself(found):
    text = assemble(found)
    assert len(text.encode()) < 20e6
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]+\"|@import|url\(", text)
    outside = re.findall(
        r"https?://(?!www\.w3\.org/2000/svg)[^\s\"']+", re.sub(r'<script type="app.*?</script>', "", text)
    )
    assert outside == []


def test_no_text_can_end_the_script_that_holds_it():
    found = document(trace(lambda: minidl.ones(3) * 2), "<b>&</script><script>alert(1)</script>")
    text = assemble(found)
    held = re.search(r'<script type="application/json" id="document">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(held)["title"] == found["title"]
    assert text.count("<script") == 2 and "<title>&lt;b&gt;" in text


def test_nothing_to_step_through_is_an_error():
    with pytest.raises(ValueError, match="no operation ran"):
        page.html(trace(lambda: None))


def test_formula_and_settings_in_words():
    found = formula(minidl.ops.Conv2d)
    assert found["formula"].startswith("y[n, f, oh, ow] =") and "dweight = dy columns^T" in found["formula"]
    assert "LeCun" in found["note"] and "LeCun" not in found["formula"]
    assert formula(None) == {"formula": "", "note": ""}
    assert settings({"stride": (2, 2), "padding": ((1, 1), (0, 0)), "reduction": "mean"}) == (
        "stride 2, padding (1, 0), reduction 'mean'"
    )
    assert settings({"key": (slice(None), 3, slice(1, None, 2), ...)}) == "key [:, 3, 1::2, ...]"
    assert settings({"weight": numpy.ones((2, 3)), "dim": None}) == "weight array of 2×3, dim None"
    assert len(settings({"index": tuple(range(200))})) == 160


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_words_stand_out_from_the_ground(mode):
    """4.5 : 1, as WCAG 2.2 asks (1.4.3)."""
    css = files(page).joinpath("page.css").read_text(encoding="utf-8")
    colours = {name: pair[mode] for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", css)}
    for ink in ("ink", "muted", "forward", "backward", "update", "mark"):
        for ground in ("paper", "panel", "raised"):
            low, high = sorted((luminance(colours[ink]), luminance(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


# ---------------------------------------------------------------------------------------------------------- command


def test_command_writes_the_page(tmp_path, capsys):
    path = tmp_path / "new" / "lenet.html"
    assert cli.main(["trace", "lenet5", "--html", str(path), "--after", "2", "--batch-size", "4"]) == 0
    assert "13 operations forward, 13 backward" in capsys.readouterr().out
    text = path.read_text(encoding="utf-8")
    held = json.loads(re.search(r'id="document">(.*?)</script>', text, re.DOTALL)[1])
    assert held["title"] == "lenet5" and ["trained", "2 steps"] in held["facts"]
    assert held["tensors"][held["steps"][0]["takes"][0]["tensor"]]["shape"] == [4, 1, 32, 32]
    assert all(step["source"] for step in held["steps"])  # the loss and the update too
    assert {"op": "CrossEntropy", "line": "loss = loss_fn(scores, labels)"} in [
        {"op": step["op"], "line": step["source"]["line"]} for step in held["steps"]
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nonet"], "there is no network"), (["lenet5", "--data", "nodata"], "nodata")],
)
def test_command_says_what_is_wrong(arguments, message, tmp_path, capsys):
    assert cli.main(["trace", *arguments, "--html", str(tmp_path / "x.html")]) == 1
    assert message in capsys.readouterr().err

"""The debugger on a GPU: on a stand-in for CuPy, and on a real one where there is one (make test-gpu)."""

import contextlib
import io
import json

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from architectures.lenet import lenet5
from minidl import backend, nn, optim
from minidl.backend import array_module
from minidl.debug import AnomalyError, LintWarning, check, detect_anomaly, diff, lint, trace, why
from minidl.debug.lines import stop_lines
from minidl.debug.page import html
from minidl.debug.page.data import document
from minidl.debug.prompt import Pdb
from minidl.debug.watch import step
from tests import standin_gpu

NO_COMPILER = pytest.mark.skipif(standin_gpu.COMPILER is None, reason="no C++ compiler to run the kernels")
PLACES = [pytest.param(f"stand-in, cuda:{index}", marks=NO_COMPILER) for index in (0, 1)]
if minidl.cuda.is_available():
    PLACES.append(pytest.param("real, cuda:0", marks=pytest.mark.gpu))


@pytest.fixture(scope="module", autouse=True, params=PLACES)
def gpu(request):
    """The device. cuda:1 is not the current one, whose arrays the stand-in refuses in a computation on the other."""
    kind, _, name = request.param.partition(", ")
    before = backend.several_gpus
    with contextlib.nullcontext() if kind == "real" else standin_gpu.installed():
        yield name
    backend.several_gpus = before


def lenet_step(device):
    minidl.manual_seed(0)
    model = lenet5()
    x, labels = minidl.randn(2, 1, 32, 32), minidl.tensor([1, 2])
    model.to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def run():
        loss = F.cross_entropy(model(x.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()

    return run, model


def traced(device, record="full"):
    run, model = lenet_step(device)
    run()  # so that the transfers of the first step are no events of the second
    return trace(run, model, record=record)


@pytest.fixture(scope="module")
def tape(gpu):
    return traced(gpu)


@pytest.mark.parametrize("record", ["full", "stats"])
def test_a_run_on_the_host_and_one_on_the_gpu_do_not_part(record, gpu):
    host, there = traced("cpu", record), traced(gpu, record)
    assert {value.device for value in host.values} == {"cpu"}
    assert diff(host, there, rtol=1e-3) is None


def test_they_part_where_the_gpu_computes_something_else(monkeypatch, gpu):
    right = minidl.ops.ReLU.backward

    def wrong_there(self, grad_output):
        return right(self, grad_output) * (1 if array_module(grad_output) is numpy else 1.05)

    host, _ = lenet_step("cpu")
    there, _ = lenet_step(gpu)
    monkeypatch.setattr(minidl.ops.ReLU, "backward", wrong_there)
    parted = diff(trace(host), trace(there), rtol=1e-3)
    assert (parted.left.phase, parted.left.kind, parted.left.operation) == ("backward", "after", "ReLU")
    assert "gx differs" in str(parted)
    assert f"on {gpu}" in str(parted)


def event_of(tape, operation, phase, kind="after", path=None):
    return next(
        e for e in tape if (e.operation, e.phase, e.kind) == (operation, phase, kind) and path in (None, e.path)
    )


def test_a_stop_says_where_its_tensors_are(tape, gpu):
    lines = stop_lines(event_of(tape, "Conv2d", "forward"), tape)
    assert any(line.strip().startswith("y ") and f"on {gpu}" in line and "mean" in line for line in lines)


def test_check_and_why(tape):
    assert "right" in str(check(event_of(tape, "Linear", "backward", path="fc3")))
    event = event_of(tape, "Conv2d", "backward", path="conv2")
    y = event_of(tape, "Conv2d", "forward", path="conv2").values["y"]
    assert "the window of x" in str(why(y, (1, 3, 5, 7), tape))
    assert "what Conv2d (conv2) adds to it" in str(why(event.values["gweight"], (0, 1, 2, 3), tape))


def test_the_page(tape):
    found = json.loads(json.dumps(document(tape, "gpu")))
    host = json.loads(json.dumps(document(traced("cpu"), "cpu")))
    kinds = lambda page: [step["window"] and step["window"]["kind"] for step in page["steps"]]  # noqa: E731
    of_operations = [k for k, step in zip(kinds(found), found["steps"], strict=True) if step["op"] != "Transfer"]
    assert of_operations == kinds(host)
    assert len(html(tape)) > 100_000


def test_the_prompt(gpu):
    run, _ = lenet_step(gpu)
    written = io.StringIO()
    typed = ["s", "pt x[0,0,:2,:2]", "hist y", "im x", "y.max()", "unt phase:update", "n", "s", "s", "a", "rs 4", "q"]
    reader = io.StringIO("".join(f"{line}\n" for line in typed))

    class Prompt(Pdb):
        def __init__(self, **kwargs):
            super().__init__(stdin=reader, stdout=written, readrc=False, **kwargs)

    with pytest.raises(SystemExit), step(prompt=Prompt):
        run()
    text = written.getvalue()
    assert "\n*** " not in text
    assert "2 of 32x32" in text
    assert "events back" in text
    assert f"on {gpu}" in text


def test_anomalies(gpu):
    x = minidl.tensor([4.0, -1.0]).to(gpu).requires_grad_()
    with pytest.raises(AnomalyError, match=r"first at \[1\], where x is -1, output is nan"), detect_anomaly():
        x.sqrt()
    with numpy.errstate(all="ignore"):
        loss = x.sqrt().sum()
    with pytest.raises(AnomalyError, match="nan in the tensor that backward was called on"), detect_anomaly():
        loss.backward()


def test_lint(gpu):
    run, _ = lenet_step(gpu)
    with lint() as linter:
        run()
    assert not linter.found
    layer, x, y = nn.Linear(3, 1).to(gpu), minidl.randn(8, 3).to(gpu), minidl.randn(8).to(gpu)
    with lint() as linter, pytest.warns(LintWarning):
        ((layer(x) - y) ** 2).mean().backward()
    assert [finding.rule for finding in linter.found] == ["BroadcastLoss"]
    with lint() as linter, pytest.warns(UserWarning):
        F.mse_loss(layer(x), y)
    assert [finding.rule for finding in linter.found] == ["BroadcastLoss"]


def test_a_gradient_check(gpu):
    """Also of a function that finds some of its tensors elsewhere."""
    layer, x = nn.Linear(3, 2).double().to(gpu), minidl.randn(4, 3, dtype=minidl.float64).to(gpu).requires_grad_()
    for fast_mode in (False, True):
        assert minidl.gradcheck(lambda x: layer(x).tanh(), x, fast_mode=fast_mode)
        assert minidl.gradcheck(lambda x, w: (x @ w.t()).tanh(), (x, layer.weight), fast_mode=fast_mode)

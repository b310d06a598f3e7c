"""LeNet-5: its numbers, its gradient, and that its file is PyTorch once the import says so."""

import importlib
import importlib.util
from pathlib import Path

import numpy
import pytest

import architectures.lenet
import minidl
from architectures.lenet import lenet5

torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


def images(*shape, dtype=numpy.float64):
    return minidl.Tensor(numpy.random.default_rng(0).standard_normal(shape).astype(dtype))


def test_parameters():
    counts = {}
    for name, parameter in lenet5().named_parameters():
        layer = name.partition(".")[0]
        counts[layer] = counts.get(layer, 0) + parameter.numel()
    assert counts == {"conv1": 156, "conv2": 2416, "fc1": 48120, "fc2": 10164, "fc3": 850}
    assert sum(counts.values()) == 61706
    assert sum(p.numel() for p in lenet5(num_classes=7, in_channels=3).parameters()) == 61706 + 2 * 150 - 3 * 85


def test_stage_shapes():
    model = lenet5()
    seen = []
    for name in ("conv1", "conv2", "pool", "flatten", "fc1", "fc2", "fc3"):
        getattr(model, name).register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model(images(2, 1, 32, 32, dtype=numpy.float32))
    assert seen == [
        (2, 6, 28, 28),
        (2, 6, 14, 14),
        (2, 16, 10, 10),
        (2, 16, 5, 5),
        (2, 400),
        (2, 120),
        (2, 84),
        (2, 10),
    ]


def test_another_size_is_refused():
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        lenet5()(images(1, 1, 28, 28, dtype=numpy.float32))


def test_gradient():
    """Of the whole network, with respect to the images and to every parameter."""
    minidl.manual_seed(0)
    model = lenet5().double()
    parameters = list(model.parameters())
    x = images(2, 1, 32, 32).requires_grad_()
    assert minidl.autograd.gradcheck(lambda *inputs: model(inputs[0]), (x, *parameters), fast_mode=True)


@needs_torch
@pytest.mark.torch
def test_the_file_is_pytorch():
    source = Path(architectures.lenet.__file__).read_text(encoding="utf-8").replace("minidl", "torch")
    namespace = {"__name__": "lenet"}
    exec(compile(source, "lenet.py with torch", "exec"), namespace)
    ours, theirs = lenet5(num_classes=7, in_channels=2).double(), namespace["lenet5"](num_classes=7, in_channels=2)
    theirs = theirs.double()
    theirs.load_state_dict({name: torch.tensor(value.data) for name, value in ours.state_dict().items()})

    x = images(3, 2, 32, 32).requires_grad_()
    cotangent = images(3, 7)
    y = ours(x)
    y.backward(cotangent)
    their_x = torch.tensor(x.data, requires_grad=True)
    their_y = theirs(their_x)
    their_y.backward(torch.tensor(cotangent.data))

    close(y.data, their_y)
    close(x.grad.data, their_x.grad)
    for (name, mine), (their_name, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == their_name
        close(mine.grad.data, other.grad)


def close(array, tensor):
    """Equal to 1e-9 of the largest value."""
    expected = tensor.detach().numpy()
    numpy.testing.assert_allclose(array, expected, rtol=0, atol=1e-9 * numpy.abs(expected).max())

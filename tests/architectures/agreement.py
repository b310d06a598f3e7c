"""What every test of an architecture does: measure a network, check its gradients, run its file on PyTorch.

    with undrawn(): model = resnet152()              weights 0: much faster, for what is only counted and measured
    count_parameters(model)                          trainable numbers
    measure(model, (3, 224, 224), "layer1", "fc")    one forward: its multiply-adds, the shapes after these modules
    assert_gradients(model, (2, 3, 8, 8))            backward against differences, in training mode, all parameters
    assert_learns(model, (8, 3, 8, 8), classes=3)    a few steps on one batch make the loss smaller
    assert_agrees(build, "resnet", (2, 3, 32, 32))   architectures/resnet.py on both libraries, same weights

Networks may return one tensor, or a tuple of tensors.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy
import pytest

import minidl
from minidl import optim
from minidl.events import listening
from minidl.nn import functional as F
from minidl.nn import init

FOLDER = Path(__file__).resolve().parents[2] / "architectures"

# -------------------------------------------------------------------------------------------------------- measuring


class Measured(NamedTuple):
    multiply_adds: int
    shapes: list[tuple[int, ...]]  # without the batch; a list of them for a module that returns a tuple


@contextmanager
def undrawn() -> Iterator[None]:
    """Inside, initial weights that would be random are 0."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("uniform_", "normal_", "trunc_normal_"):
            patch.setattr(init, name, lambda tensor, *args, **kwargs: init.zeros_(tensor))
        yield


def count_parameters(model: Any) -> int:
    """How many numbers are learnt: running statistics do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def measure(model: Any, image_shape: Sequence[int], *stages: str, training: bool = False) -> Measured:
    """Run `model` on one image (C, H, W), in evaluation mode unless `training`, without recording.

    stages   dotted names of modules, "" for the model itself. A module that runs several times gives several shapes.
    """
    shapes: list = []
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda module, inputs, output: shapes.append(_shape(output)))
        for name in stages
    ]
    counts: list[int] = []
    model.train(training)
    with minidl.no_grad(), listening(lambda node, inputs, outputs: counts.append(node.multiply_adds)):
        model(minidl.zeros(1, *image_shape))
    for hook in hooks:
        hook.remove()
    return Measured(sum(counts), shapes)


def multiply_adds(model: Any, image_shape: Sequence[int]) -> int:
    """Of one forward of one image, counted by the operations."""
    return measure(model, image_shape).multiply_adds


def stage_shapes(model: Any, image_shape: Sequence[int], *stages: str) -> list[tuple[int, ...]]:
    """The shapes after these modules, without the batch, in the order in which they ran."""
    return measure(model, image_shape, *stages).shapes


def _shape(output: Any) -> Any:
    return [part.shape[1:] for part in output] if isinstance(output, (tuple, list)) else output.shape[1:]


# -------------------------------------------------------------------------------------------------------- gradients


def random_images(*shape: int, dtype: Any = numpy.float64, seed: int = 0) -> Any:
    """A batch of normal draws."""
    return minidl.from_numpy(numpy.random.default_rng(seed).standard_normal(shape).astype(dtype))


def jitter(model: Any, seed: int = 0) -> Any:
    """Move what starts at exactly 0 or 1 (biases, batch norm's weights and statistics) by up to 0.3. Returns the model.

    Where all are equal, a wrong gradient can look right, and a weight taken for another is not noticed.
    """
    random = numpy.random.default_rng(seed)
    for tensor in model.state_dict().values():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.add_(minidl.tensor(random.uniform(-0.3, 0.3, tuple(tensor.shape)), dtype=tensor.dtype))
    return model


def assert_gradients(model: Any, input_shape: Sequence[int], training: bool = True, **options: Any) -> None:
    """Check the gradients of all parameters and of the input against differences, in float64.

    input_shape   with the batch
    options       of minidl.gradcheck
    What is random is seeded before each forward: dropout and its kin draw the same numbers each time.
    """
    model = jitter(model.double().train(training))
    x = random_images(*input_shape).requires_grad_()

    def run(*_: Any) -> Any:
        minidl.manual_seed(0)
        return model(x)

    assert minidl.gradcheck(run, (x, *model.parameters()), fast_mode=True, **options)


def assert_learns(
    model: Any, input_shape: Sequence[int], classes: int, steps: int = 5, lr: float = 0.05, part: float = 0.9
) -> None:
    """Steps of SGD on one batch, in training mode: the loss falls below `part` of what it was, all gradients arrive."""
    x = random_images(*input_shape, dtype=numpy.float32)
    target = minidl.tensor(numpy.arange(input_shape[0]) % classes)
    optimizer = optim.SGD(model.train().parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps + 1):
        loss = sum((F.cross_entropy(output, target) for output in _flat(model(x))), start=minidl.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
            assert not without, f"no gradient arrives at {without}"
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < part * losses[0], f"the loss does not fall: {losses}"


# ------------------------------------------------------------------------------------------- the same file on PyTorch


@functools.cache
def run_on_torch(stem: str) -> ModuleType:
    """architectures/<stem>.py with `torch` in place of the word `minidl`, as a module. Skips where torch is missing."""
    pytest.importorskip("torch")
    path = FOLDER / f"{stem}.py"
    module = ModuleType(f"architectures_on_torch.{stem}")
    text = re.sub(r"\bminidl\b", "torch", path.read_text(encoding="utf-8"))
    exec(compile(text, f"{path} on torch", "exec"), module.__dict__)
    return module


def assert_agrees(
    build: Callable[[Any], Any],
    stem: str,
    input_shape: Sequence[int],
    *,
    training: bool = True,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> None:
    """Run the network of `build` on minidl and on PyTorch, with the same weights and the same input, in float64.

    build         given the module architectures.<stem>, or the same file on torch, returns the network
    input_shape   with the batch
    training      the mode. What is random must have probability 0 in training mode: the two draw different numbers

    Compared, to `tolerance` of the largest element of each tensor: outputs; the gradients of the input and of every
    parameter, from one random cotangent; the running statistics afterwards. Before: names, shapes and order of the
    state dict.
    """
    torch = pytest.importorskip("torch")
    random = numpy.random.default_rng(seed)
    minidl.manual_seed(seed)
    model = jitter(build(importlib.import_module(f"architectures.{stem}")).double().train(training), seed)
    twin = build(run_on_torch(stem)).double().train(training)

    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    shapes = [(name, array.shape) for name, array in state.items()]
    expected = [(name, tuple(tensor.shape)) for name, tensor in twin.state_dict().items()]
    assert shapes == expected, f"the state dicts differ: {shapes} and on torch {expected}"
    twin.load_state_dict({name: torch.tensor(array) for name, array in state.items()})

    x = random.standard_normal(tuple(input_shape))
    cotangents: list = []
    ours = _run(model, minidl.tensor(x), minidl.tensor, cotangents, random)
    theirs = _run(twin, torch.tensor(x), torch.tensor, cotangents, random)

    assert list(ours) == list(theirs), f"only one of the two has {set(ours) ^ set(theirs)}"
    largest = max(abs(value).max(initial=0) for name, value in theirs.items() if name.startswith("gradient"))
    for name, value in theirs.items():
        assert ours[name].shape == value.shape, f"{name}: {ours[name].shape} and {value.shape}"
        # A bias before batch norm has gradient 0, which both libraries miss by their own rounding.
        limit = tolerance * abs(value).max(initial=0) + 1e-12 * largest
        off = abs(ours[name] - value).max(initial=0)
        assert off <= limit, f"{name} differs by {off:.2e}, allowed is {limit:.2e}"


def _run(model: Any, x: Any, tensor: Callable, cotangents: list, random: numpy.random.Generator) -> dict[str, Any]:
    """One forward and backward: outputs, gradients and buffers by name. Draws the cotangents, if there are none yet."""
    x.requires_grad_()
    outputs = _flat(model(x))
    if not cotangents:
        cotangents += [random.standard_normal(tuple(output.shape)) for output in outputs]
    sum((output * tensor(v)).sum() for output, v in zip(outputs, cotangents, strict=True)).backward()
    found = {f"output {i}": output for i, output in enumerate(outputs)}
    found["gradient of the input"] = x.grad
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient of {name}"] = parameter.grad
    found.update(model.named_buffers())
    return {name: value.detach().numpy() for name, value in found.items()}


def _flat(output: Any) -> list:
    return list(output) if isinstance(output, (tuple, list)) else [output]

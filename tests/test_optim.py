"""Optimizers: against their recurrences on plain numbers, against PyTorch, and what they refuse.

The recurrences below are written from the formulae, one weight at a time; they share nothing with minidl/optim/.
"""

import copy
import importlib
import importlib.util
import math

import numpy
import pytest

import minidl
from minidl import optim
from minidl.backend import cuda_is_available
from minidl.optim import optimizer as base

torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

STEPS = 20
SHAPES = [(3, 4), (5,), (), (2, 1, 3)]


# ------------------------------------------------------------------------------------- recurrences on plain numbers


def sgd(p, gradients, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    velocity = None
    for g in gradients:
        g = (-g if maximize else g) + weight_decay * p
        velocity = g if velocity is None else momentum * velocity + (1 - dampening) * g
        p = p - lr * (g + momentum * velocity if nesterov else velocity if momentum else g)
    return p


def adam(
    p, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False, decoupled=False
):
    m = v = largest = 0.0
    for t, g in enumerate(gradients, 1):
        g = -g if maximize else g
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = max(largest, v)
        used = largest if amsgrad else v
        p = p - lr * (m / (1 - betas[0] ** t)) / (math.sqrt(used / (1 - betas[1] ** t)) + eps)
    return p


def adamw(p, gradients, lr, weight_decay=1e-2, **options):
    return adam(p, gradients, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(p, gradients, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, maximize=False):
    square = average = velocity = 0.0
    for g in gradients:
        g = (-g if maximize else g) + weight_decay * p
        square = alpha * square + (1 - alpha) * g**2
        average = alpha * average + (1 - alpha) * g
        step = g / (math.sqrt(square - average**2 if centered else square) + eps)
        velocity = momentum * velocity + step
        p = p - lr * velocity
    return p


def adagrad(p, gradients, lr, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, maximize=False):
    total = initial_accumulator_value
    for t, g in enumerate(gradients, 1):
        g = (-g if maximize else g) + weight_decay * p
        total += g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (math.sqrt(total) + eps)
    return p


def adadelta(p, gradients, lr, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False):
    square = moved = 0.0
    for g in gradients:
        g = (-g if maximize else g) + weight_decay * p
        square = rho * square + (1 - rho) * g**2
        step = math.sqrt(moved + eps) / math.sqrt(square + eps) * g
        moved = rho * moved + (1 - rho) * step**2
        p = p - lr * step
    return p


CASES = [
    ("SGD", sgd, {"lr": 0.1}),
    ("SGD", sgd, {"lr": 0.1, "weight_decay": 0.3}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.7, "dampening": 0.4}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.7, "nesterov": True, "weight_decay": 0.3}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.7, "maximize": True, "weight_decay": 0.3}),
    ("Adam", adam, {"lr": 0.1}),
    ("Adam", adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.2, "weight_decay": 0.3}),
    ("Adam", adam, {"lr": 0.1, "betas": (0.5, 0.7), "amsgrad": True, "maximize": True}),
    ("AdamW", adamw, {"lr": 0.1}),
    ("AdamW", adamw, {"lr": 0.1, "weight_decay": 0.4, "betas": (0.5, 0.7), "amsgrad": True}),
    ("AdamW", adamw, {"lr": 0.1, "weight_decay": 0.4, "maximize": True, "eps": 0.1}),
    ("RMSprop", rmsprop, {"lr": 0.1}),
    ("RMSprop", rmsprop, {"lr": 0.1, "alpha": 0.6, "eps": 0.1, "weight_decay": 0.3, "momentum": 0.8}),
    ("RMSprop", rmsprop, {"lr": 0.1, "alpha": 0.6, "centered": True, "eps": 0.1}),
    ("RMSprop", rmsprop, {"lr": 0.1, "alpha": 0.6, "centered": True, "eps": 0.1, "momentum": 0.8, "maximize": True}),
    ("Adagrad", adagrad, {"lr": 0.1}),
    (
        "Adagrad",
        adagrad,
        {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.3, "initial_accumulator_value": 0.5, "eps": 0.1},
    ),
    ("Adagrad", adagrad, {"lr": 0.1, "maximize": True}),
    ("Adadelta", adadelta, {"lr": 1.0}),
    ("Adadelta", adadelta, {"lr": 0.7, "rho": 0.6, "eps": 0.1, "weight_decay": 0.3, "maximize": True}),
]
NAMES = [f"{name}-{'-'.join(options)}" for name, _, options in CASES]


def starts_and_gradients():
    rng = numpy.random.default_rng(0)
    starts = [rng.standard_normal(shape) for shape in SHAPES]
    return starts, [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]


def run(name, options, dtype=numpy.float64, device="cpu"):
    """The parameters after each of the steps, and the optimizer."""
    starts, gradients = starts_and_gradients()
    params = [minidl.Tensor(numpy.array(start, dtype)).to(device).requires_grad_() for start in starts]
    optimizer = getattr(optim, name)(params, **options)
    path = []
    for step in gradients:
        for param, gradient in zip(params, step, strict=True):
            param.grad = minidl.Tensor(numpy.array(gradient, dtype)).to(device)
        optimizer.step()
        path.append([param.data.copy() for param in params])
    return path, optimizer


@pytest.mark.parametrize(("name", "recurrence", "options"), CASES, ids=NAMES)
def test_recurrence(name, recurrence, options):
    starts, gradients = starts_and_gradients()
    path, _ = run(name, options)
    for number, start in enumerate(starts):
        for index in numpy.ndindex(start.shape):
            history = [float(step[number][index]) for step in gradients]
            for t in (1, 2, STEPS):
                expected = recurrence(float(start[index]), history[:t], **options)
                assert path[t - 1][number][index] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_hand_computed():
    """p = 1, g = 1, then g = 2, to be followed with a pencil."""
    assert sgd(1, [1, 2], lr=0.1, momentum=0.5) == pytest.approx(1 - 0.1 - 0.1 * 2.5)
    assert sgd(1, [1], lr=0.1, momentum=0.5, nesterov=True) == pytest.approx(1 - 0.1 * 1.5)
    assert adam(1, [1], lr=0.1) == pytest.approx(0.9, abs=1e-8)  # m' = v' = 1: a step of lr, whatever g was
    assert adam(1, [50], lr=0.1) == pytest.approx(0.9, abs=1e-8)
    assert adamw(1, [1], lr=0.1, weight_decay=0.5) == pytest.approx(0.95 - 0.1, abs=1e-8)
    assert rmsprop(1, [2], lr=0.1, alpha=0.75) == pytest.approx(1 - 0.1 * 2, abs=1e-8)  # sqrt(0.25 * 4) = 1
    assert adagrad(1, [3, 4], lr=0.1) == pytest.approx(1 - 0.1 - 0.1 * 4 / 5, abs=1e-8)
    assert adadelta(1, [2], lr=1, rho=0.75, eps=3) == pytest.approx(1 - math.sqrt(3) / 2 * 2)


@needs_torch
@pytest.mark.torch
@pytest.mark.parametrize(("name", "recurrence", "options"), CASES, ids=NAMES)
def test_like_pytorch(name, recurrence, options):
    starts, gradients = starts_and_gradients()
    path, ours = run(name, options)
    params = [torch.tensor(start, requires_grad=True) for start in starts]
    theirs = getattr(torch.optim, name)(params, **options)
    for step, mine in zip(gradients, path, strict=True):
        for param, gradient in zip(params, step, strict=True):
            param.grad = torch.tensor(gradient)
        theirs.step()
        for param, array in zip(params, mine, strict=True):
            numpy.testing.assert_allclose(array, param.detach().numpy(), rtol=1e-12, atol=1e-12)

    our_state, their_state = ours.state_dict(), theirs.state_dict()
    assert our_state["state"].keys() == their_state["state"].keys()
    for number, state in their_state["state"].items():
        assert our_state["state"][number].keys() == state.keys()
        for key, value in state.items():
            mine = our_state["state"][number][key]
            numpy.testing.assert_allclose(getattr(mine, "data", mine), value.numpy(), rtol=1e-12, atol=1e-12)
    for group, other in zip(our_state["param_groups"], their_state["param_groups"], strict=True):
        assert {key: other[key] for key in group} == group


@needs_torch
@pytest.mark.torch
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"])
def test_defaults_are_pytorchs(name):
    param, other = minidl.Tensor(numpy.ones(2), requires_grad=True), torch.ones(2, requires_grad=True)
    ours, theirs = getattr(optim, name)([param]).defaults, getattr(torch.optim, name)([other]).defaults
    assert {key: theirs[key] for key in ours} == ours
    assert set(theirs) - set(ours) <= {"foreach", "differentiable", "fused", "capturable"}


@pytest.mark.parametrize(("name", "recurrence", "options"), CASES, ids=NAMES)
def test_float32_stays_float32(name, recurrence, options):
    _, optimizer = run(name, options, numpy.float32)
    for group in optimizer.param_groups:
        assert all(param.dtype == numpy.float32 for param in group["params"])
    for state in optimizer.state.values():
        assert all(value.dtype == numpy.float32 for value in state.values() if isinstance(value, minidl.Tensor))


@pytest.mark.parametrize(("name", "recurrence", "options"), CASES, ids=NAMES)
def test_in_blocks_as_in_one(name, recurrence, options, monkeypatch):
    whole, _ = run(name, options)
    monkeypatch.setattr(base, "BLOCK", 2)
    pieces, _ = run(name, options)
    for a, b in zip(whole[-1], pieces[-1], strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_layout_does_not_matter(order, monkeypatch):
    monkeypatch.setattr(base, "BLOCK", 5)
    rng = numpy.random.default_rng(0)
    start, gradient = rng.standard_normal((7, 3)), rng.standard_normal((7, 3))
    param = minidl.Tensor(numpy.array(start, order=order), requires_grad=True)
    array = param.data
    param.grad = minidl.Tensor(numpy.asfortranarray(gradient))
    optim.SGD([param], lr=0.5, momentum=0.9).step()
    assert param.data is array  # in place
    numpy.testing.assert_allclose(array, start - 0.5 * gradient)
    numpy.testing.assert_array_equal(param.grad.data, gradient)  # the gradient is only read


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("name", "recurrence", "options"), CASES, ids=NAMES)
def test_on_a_gpu(name, recurrence, options):
    ours, optimizer = run(name, options, device="cuda")
    on_the_host, _ = run(name, options)
    for a, b in zip(ours[-1], on_the_host[-1], strict=True):
        numpy.testing.assert_allclose(a.get(), b, rtol=1e-12, atol=1e-12)
    moved = [minidl.Tensor(numpy.zeros(shape), requires_grad=True) for shape in SHAPES]
    onto_the_host = getattr(optim, name)(moved, **options)
    onto_the_host.load_state_dict(optimizer.state_dict())
    for state in onto_the_host.state.values():
        assert all(value.device.type == "cpu" for value in state.values() if isinstance(value, minidl.Tensor))


# ---------------------------------------------------------------------------------------------- the base class


def leaf(*values):
    return minidl.Tensor(numpy.array(values, dtype=numpy.float64), requires_grad=True)


def test_parameters_without_gradient_stay():
    with_gradient, without = leaf(1.0), leaf(1.0)
    with_gradient.grad = minidl.Tensor(numpy.ones(1))
    optimizer = optim.Adam([with_gradient, without], lr=0.1, weight_decay=0.5)
    optimizer.step()
    assert with_gradient.data[0] != 1
    assert without.data[0] == 1
    assert without not in optimizer.state


def test_groups_have_their_own_settings():
    a, b, c = leaf(1.0), leaf(1.0), leaf(1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "lr": 0.25})
    for param in (a, b, c):
        param.grad = minidl.Tensor(numpy.ones(1))
    optimizer.step()
    assert [param.item() for param in (a, b, c)] == [0.9, 0.5, 0.75]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5, 0.25]
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert a.item() == pytest.approx(-0.1)


def test_zero_grad():
    param = leaf(1.0, 2.0)
    optimizer = optim.SGD([param, leaf(1.0)], lr=0.1)
    (param * 3).sum().backward()
    gradient = param.grad
    optimizer.zero_grad(set_to_none=False)
    assert param.grad is gradient
    assert param.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert param.grad is None


def test_closure_is_called_with_gradients_enabled():
    param = leaf(3.0)
    optimizer = optim.SGD([param], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with minidl.no_grad():
        assert optimizer.step(closure).item() == 9
    assert param.item() == 1.5


def test_a_graph_that_needs_the_old_weights_is_refused():
    param, x = leaf(2.0, 3.0), leaf(1.0, 1.0)
    loss = (param * x).sum()
    loss.backward(retain_graph=True)
    optim.SGD([param], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_state_of_a_resumed_optimizer():
    """Ten steps, saved and loaded, then ten more: exactly the twenty steps."""
    _, gradients = starts_and_gradients()
    for name, _, options in CASES:
        path, _ = run(name, options)
        starts, _ = starts_and_gradients()
        params = [minidl.Tensor(start.copy(), requires_grad=True) for start in starts]
        optimizer = getattr(optim, name)(params, **options)
        for t, step in enumerate(gradients):
            if t == STEPS // 2:
                saved = copy.deepcopy(optimizer.state_dict())
                params = [minidl.Tensor(param.data.copy(), requires_grad=True) for param in params]
                optimizer = getattr(optim, name)(params)
                optimizer.load_state_dict(saved)
            for param, gradient in zip(params, step, strict=True):
                param.grad = minidl.Tensor(numpy.array(gradient))
            optimizer.step()
        for a, b in zip(params, path[-1], strict=True):
            numpy.testing.assert_array_equal(a.data, b)


def test_state_dict_numbers_the_parameters():
    a, b = leaf(1.0), leaf(1.0)
    a.grad = b.grad = minidl.Tensor(numpy.ones(1))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1, momentum=0.9)
    optimizer.step()
    state = optimizer.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert sorted(state["state"]) == [0, 1]
    assert state["state"][1]["momentum_buffer"].tolist() == [1.0]
    assert optim.SGD([a], lr=0.1).state_dict()["state"] == {}


def test_loaded_buffers_are_copies_in_the_dtype_of_the_parameter():
    a = leaf(1.0)
    a.grad = minidl.Tensor(numpy.ones(1))
    first = optim.SGD([a], lr=0.1, momentum=0.9)
    first.step()
    b = minidl.Tensor(numpy.ones(1, numpy.float32), requires_grad=True)
    second = optim.SGD([b], lr=7, momentum=0.1)
    second.load_state_dict(first.state_dict())
    buffer = second.state[b]["momentum_buffer"]
    assert buffer.dtype == numpy.float32
    first.step()
    assert buffer.tolist() == [1.0]
    assert second.param_groups[0]["lr"] == 0.1
    assert second.param_groups[0]["params"] == [b]


def test_load_state_dict_refuses():
    a, b = leaf(1.0), leaf(1.0, 2.0)
    one = optim.SGD([a], lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict(optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1).state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        one.load_state_dict(optim.SGD([a, b], lr=0.1).state_dict())
    b.grad = minidl.Tensor(numpy.ones(2))
    other = optim.SGD([b], lr=0.1, momentum=0.9)
    other.step()
    with pytest.raises(ValueError, match="momentum_buffer has another shape"):
        one.load_state_dict(other.state_dict())
    groups = one.state_dict()["param_groups"]
    with pytest.raises(ValueError, match=r"a state for parameter 7, which is in none of its groups"):
        one.load_state_dict({"state": {7: {}}, "param_groups": groups})
    for value, name in ((None, "NoneType"), (numpy.ones(1), "ndarray")):
        with pytest.raises(ValueError, match=f"the saved exp_avg must be a Tensor, but is {name}"):
            one.load_state_dict({"state": {0: {"exp_avg": value}}, "param_groups": groups})


def test_a_momentum_buffer_of_none_is_not_there_yet():
    a = leaf(1.0)
    a.grad = minidl.Tensor(numpy.ones(1))
    optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": {0: {"momentum_buffer": None}}, "param_groups": groups})
    optimizer.step()
    assert a.tolist() == [0.9]


def test_a_parameter_of_another_shape_is_refused():
    a = leaf(1.0)
    a.grad = minidl.Tensor(numpy.ones(1))
    optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
    optimizer.step()
    a.grad, a.data = None, numpy.ones(3)
    a.grad = minidl.Tensor(numpy.ones(3))
    with pytest.raises(ValueError, match="a parameter has another shape than in the steps before"):
        optimizer.step()


def test_repr():
    text = repr(optim.SGD([{"params": [leaf(1.0)]}, {"params": [leaf(2.0)], "lr": 0.5}], lr=0.1))
    settings = "    dampening: 0\n    lr: {}\n    maximize: False\n    momentum: 0\n    nesterov: False\n"
    settings += "    weight_decay: 0\n"
    assert text == f"SGD (\nParameter Group 0\n{settings.format(0.1)}\nParameter Group 1\n{settings.format(0.5)})"


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        (list, ValueError, "empty parameter list"),
        (lambda: leaf(1.0), TypeError, "should be an iterable of Tensors or dicts, but got Tensor"),
        (lambda: {"params": [leaf(1.0)]}, TypeError, "should be an iterable of Tensors or dicts, but got dict"),
        (lambda: 5, TypeError, "should be an iterable"),
        (lambda: [1.0], TypeError, "can only optimize Tensors, but one of the params is float"),
        (lambda: [("weight", leaf(1.0))], TypeError, "one of the params is tuple"),
        (lambda: [leaf(1.0) * 2], ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: [{"params": {leaf(1.0)}}], TypeError, "ordered collections"),
        (lambda: [{"lr": 1}], KeyError, "params"),
        (lambda: [{"params": [leaf(1.0)]}, leaf(1.0)], TypeError, "param_group must be a dict"),
    ],
)
def test_params_are_checked(params, error, words):
    with pytest.raises(error, match=words):
        optim.SGD(params(), lr=0.1)


def test_a_parameter_belongs_to_one_group():
    a = leaf(1.0)
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        optim.SGD([{"params": [a]}, {"params": [a]}], lr=0.1)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([a, a], lr=0.1)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("SGD", {"lr": -1.0}, "Invalid learning rate: -1"),
        ("SGD", {"lr": math.nan}, "Invalid learning rate: nan"),
        ("SGD", {"momentum": -1.0}, "Invalid momentum value: -1"),
        ("SGD", {"weight_decay": -1.0}, "Invalid weight_decay value: -1"),
        ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
        ("Adam", {"lr": -1.0}, "Invalid learning rate: -1"),
        ("Adam", {"eps": -1.0}, "Invalid epsilon value: -1"),
        ("Adam", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1"),
        ("Adam", {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1"),
        ("Adam", {"weight_decay": -1.0}, "Invalid weight_decay value: -1"),
        ("AdamW", {"weight_decay": -1.0}, "Invalid weight_decay value: -1"),
        ("RMSprop", {"lr": -1.0}, "Invalid learning rate: -1"),
        ("RMSprop", {"eps": -1.0}, "Invalid epsilon value: -1"),
        ("RMSprop", {"momentum": -1.0}, "Invalid momentum value: -1"),
        ("RMSprop", {"weight_decay": -1.0}, "Invalid weight_decay value: -1"),
        ("RMSprop", {"alpha": -1.0}, "Invalid alpha value: -1"),
        ("Adagrad", {"lr": -1.0}, "Invalid learning rate: -1"),
        ("Adagrad", {"lr_decay": -1.0}, "Invalid lr_decay value: -1"),
        ("Adagrad", {"weight_decay": -1.0}, "Invalid weight_decay value: -1"),
        ("Adagrad", {"initial_accumulator_value": -1.0}, "Invalid initial_accumulator_value value: -1"),
        ("Adagrad", {"eps": -1.0}, "Invalid epsilon value: -1"),
        ("Adadelta", {"lr": -1.0}, "Invalid learning rate: -1"),
        ("Adadelta", {"rho": 1.5}, "Invalid rho value: 1.5"),
        ("Adadelta", {"eps": -1.0}, "Invalid epsilon value: -1"),
        ("Adadelta", {"weight_decay": -1.0}, "Invalid weight_decay value: -1"),
    ],
)
def test_settings_are_checked(name, options, words):
    with pytest.raises(ValueError, match=words):
        getattr(optim, name)([leaf(1.0)], **options)
    if torch is not None and not math.isnan(options.get("lr", 0)):  # PyTorch lets nan through
        with pytest.raises(ValueError, match=words):
            getattr(torch.optim, name)([torch.ones(1, requires_grad=True)], **options)


def test_a_setting_is_a_number():
    with pytest.raises(TypeError, match=r"Invalid learning rate: '0\.1'"):
        optim.SGD([leaf(1.0)], lr="0.1")

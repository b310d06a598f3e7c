"""Every operation, by the list in tests/op_samples: forward, gradient, dtype, memory, and agreement with PyTorch."""

import importlib.util
import math

import numpy
import pytest

import minidl
from minidl import elementwise, ops, parallel
from minidl.elementwise import masked
from minidl.function import Function
from tests.op_samples import HAND_COMPUTED, SAMPLES
from tests.op_samples.running import Call, flat, gradients, type_like

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def to_numpy(tensor):
    return tensor.detach().cpu().numpy()


def cotangents(outputs, seed=1):
    """Random, never all ones: ones cannot see a wrong softmax or batch norm."""
    rng = numpy.random.default_rng(seed)
    return [rng.standard_normal(tuple(y.shape)) for y in outputs]


def graph_of(outputs):
    """Every Function in the graph above the leaves."""
    found, stack = set(), [y.grad_fn for y in outputs if y.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack.extend(used for used, _ in node.next_functions)
    return found


# Nothing to check in float64 on one device: their derivative is checked in tests/test_conversion.py.
ELSEWHERE = {ops.Cast, ops.Transfer}


def test_every_function_has_a_sample():
    functions = {value for value in vars(ops).values() if isinstance(value, type) and issubclass(value, Function)}
    assert len(functions) > 60
    assert functions - {sample.op for sample in SAMPLES} == ELSEWHERE


def test_sample_names_are_unique():
    names = [str(sample) for sample in SAMPLES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("example", HAND_COMPUTED, ids=lambda e: getattr(e.naive, "__name__", "naive"))
def test_naive_loops_equal_examples_by_hand(example):
    results = example.naive(*example.arrays, **example.options)
    for result, expected in zip(flat(results), flat(example.expected), strict=True):
        numpy.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_every_naive_loop_has_an_example_by_hand():
    checked = {example.naive for example in HAND_COMPUTED}
    assert {sample.naive.__qualname__ for sample in SAMPLES if sample.naive not in checked} == set()


@each_sample
def test_forward_equals_naive_loops(sample):
    call = Call(sample)
    results = flat(call())
    assert any(isinstance(node, sample.op) for node in graph_of(results)), f"{sample.op.__name__} is not in the graph"
    arrays = sample.arrays if isinstance(sample.arrays, dict) else {}
    positional = () if arrays else sample.arrays
    expected = flat(sample.naive(*positional, **arrays, **sample.options))
    assert len(results) == len(expected)
    for result, value in zip(results, expected, strict=True):
        value = numpy.asarray(value)
        assert result.shape == value.shape
        assert result.dtype.kind == value.dtype.kind
        numpy.testing.assert_allclose(to_numpy(result), value, rtol=1e-10, atol=1e-12)


@each_sample
def test_gradient(sample):
    call = Call(sample)
    assert minidl.gradcheck(call, call.inputs)


def scaled(gradient):
    return gradient * 1.001


def one_element_changed(gradient):
    changed = gradient.copy()
    changed.flat[changed.size // 2] += 0.01
    return changed


SPOILED = {"scaled by 1.001": scaled, "one element changed": one_element_changed}


@each_sample
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_spoiled_backward_is_caught(sample, spoil, monkeypatch):
    backward = sample.op.backward

    def spoiled(self, *grad_outputs):
        results = backward(self, *grad_outputs)
        if not isinstance(results, tuple):
            return spoil(numpy.asarray(results))
        return tuple(None if g is None else spoil(numpy.asarray(g)) for g in results)

    call = Call(sample)
    if not any(
        g is not None and numpy.any(to_numpy(g)) for g in gradients(call, cotangents(call.differentiable_outputs()))
    ):
        assert spoil is scaled, "a zero gradient scaled is still right"
    monkeypatch.setattr(sample.op, "backward", spoiled)
    with pytest.raises(minidl.autograd.GradcheckError):
        minidl.gradcheck(call, call.inputs)


@each_sample
def test_dropped_term_is_caught(sample, monkeypatch):
    """One element of the output, chosen so that the gradient depends on it, no longer sends its gradient back."""
    backward = sample.op.backward
    call = Call(sample)
    outputs = call.differentiable_outputs()
    chosen = next(index for index in range(outputs[0].numel()) if _reaches_an_input(sample, index))

    def spoiled(self, *grad_outputs):
        if grad_outputs[0].size != outputs[0].numel():  # another node of the same operation on the way
            return backward(self, *grad_outputs)
        first = numpy.array(grad_outputs[0])
        first.flat[chosen] = 0
        return backward(self, first, *grad_outputs[1:])

    monkeypatch.setattr(sample.op, "backward", spoiled)
    with pytest.raises(minidl.autograd.GradcheckError):
        minidl.gradcheck(call, call.inputs)


def _reaches_an_input(sample, index):
    call = Call(sample)
    outputs = call.differentiable_outputs()
    one_hot = [numpy.zeros(y.shape) for y in outputs]
    one_hot[0].flat[index] = 1
    return any(g is not None and numpy.abs(to_numpy(g)).max(initial=0) > 1e-3 for g in gradients(call, one_hot))


@each_sample
def test_float32_stays_float32(sample):
    double, single = Call(sample), Call(sample, "float32")
    vs = cotangents(double.differentiable_outputs())
    for y32, y64 in zip(flat(single()), flat(double()), strict=True):
        assert y32.dtype == (minidl.float32 if y64.dtype == minidl.float64 else y64.dtype)
        numpy.testing.assert_allclose(to_numpy(y32), to_numpy(y64), rtol=2e-5, atol=2e-5)
    for g32, g64 in zip(gradients(single, vs), gradients(double, vs), strict=True):
        assert (g32 is None) == (g64 is None)
        if g32 is not None:
            assert g32.dtype == minidl.float32
            scale = max(1.0, float(numpy.abs(to_numpy(g64)).max(initial=0)))
            numpy.testing.assert_allclose(to_numpy(g32), to_numpy(g64), rtol=2e-4, atol=2e-5 * scale)


@each_sample
def test_inputs_and_cotangents_are_not_changed(sample):
    call = Call(sample)
    before = [x.data.copy() for x in call.inputs]
    outputs = call.differentiable_outputs()
    values = [y.data.copy() for y in outputs]
    vs = [minidl.from_numpy(v) for v in cotangents(outputs)]
    for y, v in zip(outputs, vs, strict=True):
        kept = v.data.copy()
        y.backward(v, retain_graph=True)
        numpy.testing.assert_array_equal(v.data, kept)
    for x, old in zip(call.inputs, before, strict=True):
        numpy.testing.assert_array_equal(x.data, old)
    for y, old in zip(outputs, values, strict=True):
        numpy.testing.assert_array_equal(y.data, old)


@each_sample
def test_memory_order_makes_no_difference(sample):
    c_order, fortran = Call(sample), Call(sample, order="F")
    vs = cotangents(c_order.differentiable_outputs())
    for a, b in zip(flat(c_order()), flat(fortran()), strict=True):
        numpy.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-12, atol=1e-12)
    for a, b in zip(gradients(c_order, vs), gradients(fortran, vs), strict=True):
        if a is not None:
            numpy.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-12, atol=1e-12)


@each_sample
def test_nothing_is_recorded_without_gradients(sample):
    call = Call(sample)
    with minidl.no_grad():
        assert not any(y.requires_grad for y in flat(call()))


@each_sample
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_agrees_with_torch(sample):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    if sample.no_torch:
        pytest.skip(sample.no_torch)
    ours, theirs = Call(sample), Call(sample, library=torch)
    results, expected = flat(ours()), flat(theirs())
    assert len(results) == len(expected)
    for y, t in zip(results, expected, strict=True):
        assert y.shape == tuple(t.shape)
        assert str(y.dtype) == str(t.dtype).removeprefix("torch.")
        numpy.testing.assert_allclose(to_numpy(y), to_numpy(t), rtol=1e-9, atol=1e-11)
    vs = cotangents(ours.differentiable_outputs())
    for g, t in zip(gradients(ours, vs), gradients(theirs, vs), strict=True):
        assert (g is None) == (t is None)
        if g is not None:
            numpy.testing.assert_allclose(to_numpy(g), to_numpy(t), rtol=1e-9, atol=1e-11)


# Where a branch or a bound of these is not taken, the gradient is 0: also where the one above is infinite.
KINKED = {
    ops.AdaptiveMaxPool2d,
    ops.Amax,
    ops.Amin,
    ops.Clamp,
    ops.Hardsigmoid,
    ops.Hardswish,
    ops.Hardtanh,
    ops.LeakyReLU,
    ops.Max,
    ops.MaxPool2d,
    ops.Maximum,
    ops.Min,
    ops.Minimum,
    ops.ReLU,
    ops.Where,
}


@pytest.mark.parametrize("infinity", [math.inf, -math.inf])
@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.op in KINKED], ids=str)
def test_an_infinite_gradient_stays_on_its_side_of_a_kink(sample, infinity):
    def gradients_of(call):
        outputs = [y for y in flat(call()) if y.requires_grad]
        for y in outputs:
            y.backward(type_like(y, numpy.full(tuple(y.shape), infinity)), retain_graph=True)
        return [to_numpy(x.grad) for x in call.inputs]

    ours = gradients_of(Call(sample))
    assert not any(numpy.isnan(g).any() for g in ours)
    if importlib.util.find_spec("torch") and not sample.no_torch:
        for g, expected in zip(ours, gradients_of(Call(sample, library=importlib.import_module("torch"))), strict=True):
            is_number = ~numpy.isnan(expected)  # PyTorch's own amax multiplies by 0
            numpy.testing.assert_array_equal(g[is_number], expected[is_number])


@pytest.mark.parametrize("small, large", [(512, 1 << 19), (0, 1 << 19), (0, 1)], ids=["few", "many", "on all cores"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masked(dtype, small, large, monkeypatch):
    monkeypatch.setattr(elementwise, "SMALL", small)
    monkeypatch.setattr(parallel, "LARGE", large)
    gradient = numpy.array([[1.5, math.inf, -math.inf], [math.nan, -0.0, 3.0]], dtype)
    mask = numpy.array([[True, True, False], [False, True, False]])
    expected = numpy.array([[1.5, math.inf, 0], [0, 0, 0]], dtype)
    for way in (
        lambda a: a,
        numpy.transpose,
        lambda a: a[::-1, ::2],
        lambda a: a[0, 1],
        lambda a: a[1, :1].reshape(()),
    ):
        result = masked(way(gradient), way(mask))
        assert result.dtype == dtype
        numpy.testing.assert_array_equal(result, way(expected))


def test_relu_below_a_root():
    x = minidl.tensor([-1.0, 4.0], requires_grad=True)
    with numpy.errstate(divide="ignore"):
        x.relu().sqrt().sum().backward()
    assert x.grad.tolist() == [0, 0.25]


def test_the_spread_of_equal_values_below_an_infinite_gradient():
    x = minidl.tensor([1.0, 1.0], requires_grad=True)
    x.std().backward(minidl.tensor(math.inf))
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("exponent", [0, minidl.tensor([0.0, 0.0])])
def test_a_power_of_0_is_flat(exponent):
    x = minidl.tensor([0.0, math.inf], requires_grad=True)
    (x**exponent).backward(minidl.tensor([math.inf, 1.0]))
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("verb", ["maximum", "minimum"])
def test_nan_takes_no_gradient_away(verb):
    """As in PyTorch: both could have been it."""
    a = minidl.tensor([math.nan, 1.0, 2.0], requires_grad=True)
    b = minidl.tensor([1.0, math.nan, 2.0], requires_grad=True)
    getattr(minidl, verb)(a, b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [1, 1, 0.5]


@pytest.mark.parametrize("function", [minidl.nn.functional.relu, minidl.nn.functional.relu6])
def test_nan_passes_on(function):
    x = minidl.tensor([math.nan], requires_grad=True)
    y = function(x)
    y.backward(minidl.tensor([2.0]))
    assert math.isnan(y.item())
    assert x.grad.tolist() == [2]


@pytest.mark.parametrize(
    "function, gradient",
    [
        (lambda x: x**2, [2, 4]),
        (lambda x: 2 / x, [-2, -0.5]),
        (lambda x: x / 2, [0.5, 0.5]),
        (minidl.nn.functional.relu6, [1, 1]),
        (lambda x: minidl.nn.functional.hardtanh(x, 0.0, 1.5), [1, 0]),
    ],
)
def test_a_result_that_backward_does_not_need_may_change_in_place(function, gradient):
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    y = function(x)
    y += 1
    y.sum().backward()
    assert x.grad.tolist() == gradient

"""Every operation, by the list in tests/op_samples: forward, gradient, dtype, memory, and agreement with PyTorch."""

import math

import numpy
import pytest

import minidl
from minidl import ops
from minidl.function import Function
from tests.op_samples import HAND_COMPUTED, SAMPLES
from tests.op_samples.running import Call, flat, gradients

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
        if math.prod(self.output_meta[0][0]) != outputs[0].numel():  # another node of the same operation on the way
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
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
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

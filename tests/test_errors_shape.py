"""Shapes, indices, joining, splitting, padding at their edges: what is refused, what shares memory."""

import numpy
import pytest

import minidl
import minidl.nn.functional as F
from minidl import ops

X = minidl.zeros(2, 3, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: minidl.reshape(x, (6,)),
        minidl.flatten,
        minidl.squeeze,
        lambda x: minidl.unsqueeze(x, 0),
        lambda x: minidl.transpose(x, 0, 1),
        lambda x: minidl.permute(x, (1, 0)),
        minidl.t,
        lambda x: minidl.split(x, 1),
        lambda x: minidl.chunk(x, 2),
        lambda x: F.pad(x, (1, 1)),
        F.one_hot,
    ],
)
def test_an_array_is_refused(call):
    with pytest.raises(TypeError, match="must be Tensor, not ndarray"):
        call(numpy.zeros((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: minidl.reshape(X, (5, -1)),
            RuntimeError,
            r"reshape\(\): shape \(5, -1\) is invalid for input of size 24",
        ),
        (lambda: minidl.flatten(X, 2, 1), RuntimeError, "start_dim cannot come after end_dim"),
        (lambda: minidl.unsqueeze(X, 4), IndexError, "Dimension out of range"),
        (lambda: minidl.squeeze(X, 3), IndexError, "Dimension out of range"),
        (lambda: minidl.transpose(X, 0, 3), IndexError, "Dimension out of range"),
        (lambda: minidl.permute(X, (0, 1)), RuntimeError, "does not name each of 3 dimensions once"),
        (lambda: minidl.t(X), RuntimeError, "<= 2 dimensions"),
        (lambda: minidl.split(X, (1, 1), 1), RuntimeError, "must add up to 3"),
        (lambda: minidl.split(X, 0), RuntimeError, "at least 1"),
        (lambda: minidl.chunk(X, 0), RuntimeError, "at least 1"),
    ],
)
def test_shapes(call, error, words):
    with pytest.raises(error, match=words):
        call()


A, B = minidl.zeros(2, 3), minidl.zeros(2, 4)


@pytest.mark.parametrize(
    ("tensors", "dim", "error", "words"),
    [
        ([], 0, ValueError, "non-empty list of Tensors"),
        (A, 0, TypeError, "must be a list or tuple of Tensors, not Tensor"),
        ([A, 3], 0, TypeError, "expected Tensor as element 1 of 'tensors', but got int"),
        ([A, A, B], 0, RuntimeError, "must match except in dimension 0. Expected size 3 but got size 4 .* number 2"),
        ([A, X], 0, RuntimeError, "same number of dimensions: got 2 and 3"),
        ([A, minidl.tensor(1.0)], 0, RuntimeError, r"zero-dimensional tensor \(at position 1\)"),
        ([A, A], 2, IndexError, "Dimension out of range"),
        ([A, A.double()], 0, RuntimeError, "same dtype"),
    ],
)
def test_cat(tensors, dim, error, words):
    with pytest.raises(error, match=words):
        minidl.cat(tensors, dim)


def test_cat_names_both_shapes():
    with pytest.raises(RuntimeError) as info:
        minidl.cat([A, A, B])
    assert "tensors[0]: float32 (2, 3) on cpu" in str(info.value)
    assert "tensors[2]: float32 (2, 4) on cpu" in str(info.value)


@pytest.mark.parametrize(
    ("tensors", "dim", "error", "words"),
    [
        ([], 0, RuntimeError, "non-empty list of Tensors"),
        (A, 0, TypeError, "must be a list or tuple of Tensors, not Tensor"),
        ([A, None], 0, TypeError, "expected Tensor as element 1 of 'tensors', but got NoneType"),
        ([A, B], 0, RuntimeError, r"equal size, but got \(2, 3\) at entry 0 and \(2, 4\) at entry 1"),
        ([A, A], 3, IndexError, "Dimension out of range"),
        ([A, A.double()], 0, RuntimeError, "same dtype"),
    ],
)
def test_stack(tensors, dim, error, words):
    with pytest.raises(error, match=words):
        minidl.stack(tensors, dim)


IMAGE = minidl.zeros(1, 2, 4, 5)


@pytest.mark.parametrize(
    ("input", "pad", "options", "error", "words"),
    [
        (IMAGE, 1, {}, TypeError, "must be a tuple of ints, not 1"),
        (IMAGE, (1.0, 1), {}, TypeError, "must be a tuple of ints"),
        (IMAGE, (1,), {}, RuntimeError, "divisible by 2"),
        (IMAGE, (1,) * 10, {}, RuntimeError, "padding length 10 and input of dimension 4"),
        (IMAGE, (-3, -3), {}, RuntimeError, r"cut off more than there is.*\(-3, -3\) at dimension 3 of size 5"),
        (IMAGE, (1, 1), {"mode": "mirror"}, NotImplementedError, "Unrecognised padding mode 'mirror'"),
        (IMAGE, (1, 1), {"mode": "reflect"}, NotImplementedError, "padding size 2 is not supported for 4D"),
        (minidl.zeros(5), (1, 1), {"mode": "circular"}, NotImplementedError, "not supported for 1D"),
        (IMAGE, (1, 1, 1, 4), {"mode": "reflect"}, RuntimeError, r"less than .* \(1, 4\) at dimension 2 of size 4"),
        (IMAGE, (6, 1, 1, 1), {"mode": "circular"}, RuntimeError, "wrapping around more than once"),
        (IMAGE, (-1, 1, 1, 1), {"mode": "circular"}, RuntimeError, "circular cannot cut off"),
        (minidl.zeros(1, 2, 0), (1, 1), {"mode": "replicate"}, RuntimeError, "nothing to replicate"),
        (IMAGE, (1, 1, 1, 1), {"mode": "reflect", "value": 2.0}, RuntimeError, "doesn't take in value argument"),
    ],
)
def test_pad(input, pad, options, error, words):
    with pytest.raises(error, match=words):
        F.pad(input, pad, **options)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_pad_that_leaves_nothing(mode):
    x = minidl.ones(2, 2, 3, 2, requires_grad=True)
    y = F.pad(x, (-1, -1, -1, 2), mode)
    y.sum().backward()
    assert y.shape == (2, 2, 4, 0)
    assert not x.grad.any().item()


def test_an_ellipsis():
    x = minidl.tensor([[0.0], [1.0]])
    assert x[None, [True, True], ..., [-1, 0]].tolist() == [[0, 1]]
    assert x[None, [0, 1], ..., [-1, 0]].shape == (1, 2)
    with pytest.raises(IndexError, match="a single ellipsis"):
        x[..., ...]
    x[..., 0] = minidl.tensor([5.0, 6.0])
    assert x.tolist() == [[5], [6]]


@pytest.mark.parametrize(
    ("labels", "num_classes", "words"),
    [
        (minidl.zeros(3), -1, "dtype int64"),
        (minidl.tensor([0, -1]), -1, "non-negative, got -1"),
        (minidl.tensor([0, 3]), 3, "smaller than num_classes, got 3 and num_classes=3"),
        (minidl.tensor([0, 3]), -2, "smaller than num_classes"),
        (minidl.zeros(0, dtype=minidl.int64), -1, "Can not infer"),
    ],
)
def test_one_hot(labels, num_classes, words):
    with pytest.raises(RuntimeError, match=words):
        F.one_hot(labels, num_classes)


def test_one_hot_values():
    assert F.one_hot(minidl.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot(minidl.tensor(1), 3).tolist() == [0, 1, 0]
    assert F.one_hot(minidl.zeros(0, dtype=minidl.int64), 3).shape == (0, 3)


@pytest.mark.parametrize("indices", [minidl.tensor([0]), [0]])
def test_index_put_takes_tensors_of_indices(indices):
    with pytest.raises(TypeError, match="index_put"):
        minidl.index_put(X, indices, minidl.zeros(1))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.reshape(4, 3),
        lambda x: x.flatten(),
        lambda x: x.t(),
        lambda x: x.unsqueeze(0),
        lambda x: x[1],
        lambda x: x[:, ::2],
        lambda x: x[1, 2],
        lambda x: x.split(2)[1],
        lambda x: x.expand(2, 3, 4),
    ],
)
def test_views_share_memory(view):
    x = minidl.ones(3, 4)
    assert numpy.shares_memory(view(x).data, x.data)


def test_a_slice_can_be_sent_back_through_twice():
    x = minidl.ones(3, requires_grad=True)
    y = x[1:].reshape(2, 1)
    y.backward(minidl.ones(2, 1))
    y.backward(minidl.ones(2, 1))
    assert x.grad.tolist() == [0, 2, 2]


def test_changed_indices_are_noticed():
    x, indices = minidl.ones(3, requires_grad=True), minidl.tensor([0, 2])
    y = x[indices].sum()
    indices[0] = 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ((0,), (4,)),
        ((slice(None), slice(1, 3)), (2, 1)),
        ((Ellipsis, None, 0), ()),
        ((0, 1), ()),
        ((0, slice(None), numpy.array([0, 2])), (3, 2)),
        ((numpy.array([1, 0]), slice(None), 2), (2, 3)),
        ((numpy.arange(24).reshape(2, 3, 4) % 5 == 0,), (5,)),
        ((1,), (1, 1, 3, 4)),
    ],
)
def test_gradient_of_setitem(key, value):
    rng = numpy.random.default_rng(0)
    x, v, w = (minidl.from_numpy(rng.standard_normal(shape)) for shape in ((2, 3, 4), value, (2, 3, 4)))
    x.requires_grad_()
    v.requires_grad_()

    def changed(x, v):
        y = x * 1
        y[key] = v
        return y * w

    assert any(isinstance(used, ops.SetItem) for used, _ in changed(x, v).grad_fn.next_functions)
    assert minidl.gradcheck(changed, (x, v))

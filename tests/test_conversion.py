"""Cast and Transfer: they change what a gradient check in float64 needs unchanged, and so have no sample."""

import numpy
import pytest

import minidl
from minidl.backend import cuda_is_available

rng = numpy.random.default_rng(2)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.to(minidl.float32),
        lambda x: x.to("cpu", minidl.float32),
        lambda x: x.to(dtype=minidl.float32),
        lambda x: x.to(minidl.ones(1)),
        lambda x: x.float(),
    ],
)
def test_gradient_comes_back_in_the_dtype_of_the_input(call):
    x = minidl.from_numpy(rng.standard_normal((2, 3))).requires_grad_()
    y = call(x)
    assert y.grad_fn.name() == "Cast"
    assert (y.dtype, y.shape) == (minidl.float32, (2, 3))
    numpy.testing.assert_array_equal(y.detach().numpy(), x.data.astype("float32"))
    cotangent = rng.standard_normal((2, 3)).astype("float32")
    y.backward(minidl.from_numpy(cotangent))
    assert x.grad.dtype == minidl.float64
    numpy.testing.assert_array_equal(x.grad.numpy(), cotangent)


def test_there_and_back_is_exact_for_numbers_of_float32():
    x = minidl.from_numpy(rng.standard_normal((3, 2)).astype("float32")).requires_grad_()
    y = x.double()
    cotangent = rng.standard_normal((3, 2))
    (y * y).float().backward(minidl.from_numpy(cotangent.astype("float32")))
    assert x.grad.dtype == minidl.float32
    numpy.testing.assert_allclose(x.grad.numpy(), 2 * cotangent * x.data, rtol=1e-6)


def test_a_cast_to_ints_ends_the_graph():
    x = minidl.tensor([-1.5, 2.7], requires_grad=True)
    for y, values in ((x.long(), [-1, 2]), (x.int(), [-1, 2]), (x.bool(), [True, True]), (x.to("int64"), [-1, 2])):
        assert not y.requires_grad
        assert y.tolist() == values


def test_to_returns_the_tensor_itself_where_nothing_changes():
    x = minidl.ones(2, requires_grad=True)
    assert x.to("cpu") is x
    assert x.to(minidl.float32) is x
    assert x.to("cpu", minidl.float32) is x
    assert x.float() is x
    assert x.cpu() is x


def test_a_clone_has_memory_of_its_own():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    y.data[0] = 5
    assert x.tolist() == [1, 2]


@pytest.mark.gpu
def test_transfer_there_and_back():
    if not cuda_is_available():
        pytest.skip("no CUDA device")
    x = minidl.from_numpy(rng.standard_normal((2, 3))).requires_grad_()
    y = x.to("cuda")
    assert y.grad_fn.name() == "Transfer"
    cotangent = rng.standard_normal((2, 3))
    (y * 3).cpu().backward(minidl.from_numpy(cotangent))
    assert x.grad.device == x.device
    numpy.testing.assert_array_equal(x.grad.numpy(), 3 * cotangent)

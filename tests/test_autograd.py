"""minidl.autograd.Function: both styles of PyTorch's tensor-level Function on top of the array-level one."""

import gc
import weakref

import pytest

import minidl
from minidl.autograd import Function, Variable


class Scale(Function):
    """y = s x, in today's style, with a plain number among the arguments."""

    @staticmethod
    def forward(ctx, x, s):
        ctx.s = s
        ctx.save_for_backward(x)
        return x * s

    @staticmethod
    def backward(ctx, grad_y):
        assert not minidl.is_grad_enabled()
        (x,) = ctx.saved_tensors
        assert x.shape == grad_y.shape
        return grad_y * ctx.s, None


class Polar(Function):
    """Two inputs, two outputs and one that has no gradient, in the lecture's style."""

    def forward(self, x, y):
        r2, larger = x * x + y * y, (x > y).double()
        self.mark_non_differentiable(larger)
        self.save_for_backward(x, y)
        return r2, x - y, larger

    def backward(self, grad_r2, grad_d, grad_larger):
        x, y = self.saved_tensors
        return 2 * x * grad_r2 + grad_d, 2 * y * grad_r2 - grad_d


def leaf(*values):
    return minidl.tensor(list(values), dtype=minidl.float64, requires_grad=True)


def test_static_style():
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 3.0)
    assert y.grad_fn.name() == "Scale"
    assert y.grad_fn.needs_input_grad == (True, False)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert minidl.gradcheck(lambda x: Scale.apply(x, -0.5), (leaf(1.0, 2.0),))


def test_instance_style_with_several_outputs():
    x, y = leaf(1.0, 2.0), leaf(3.0, -1.0)
    r2, d, larger = Polar()(x, y)
    assert not larger.requires_grad
    assert (r2.tolist(), d.tolist(), larger.tolist()) == ([10, 5], [-2, 3], [0, 1])
    assert minidl.gradcheck(lambda x, y: Polar()(x, y)[:2], (x, y))


def test_nothing_is_recorded_under_no_grad():
    with minidl.no_grad():
        assert not Scale.apply(leaf(1.0), 2.0).requires_grad


def test_styles_that_are_mixed_up():
    with pytest.raises(RuntimeError, match=r"write Scale.apply\(x\)"):
        Scale()(leaf(1.0), 2.0)

    class Empty(Function):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty\.forward is not defined"):
        Empty.apply(leaf(1.0))


def test_errors_inside_a_function():
    class Wrong(Scale):
        @staticmethod
        def backward(ctx, grad_y):
            return grad_y, None, None, grad_y

    with pytest.raises(RuntimeError, match=r"Wrong.backward returned an incorrect number of gradients \(expected 2"):
        Wrong.apply(leaf(1.0), 2.0).sum().backward()

    class NotATensor(Function):
        def forward(self, x):
            return x.data

    with pytest.raises(TypeError, match="expected a Tensor"):
        NotATensor()(leaf(1.0))
    with pytest.raises(TypeError, match="save_for_backward"):
        Function().save_for_backward(3.0)
    with pytest.raises(RuntimeError, match="while backward runs"):
        Function().saved_tensors  # noqa: B018


def test_saved_tensors_are_guarded():
    x = leaf(1.0)
    y = Scale.apply(x, 2.0)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    x = leaf(1.0)
    y = Scale.apply(x, 2.0)
    with minidl.no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_graph_of_such_functions_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        y = Scale.apply(Scale.apply(leaf(1.0), 2.0), 3.0)
        node = weakref.ref(y.grad_fn.next_functions[0][0])
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_variable_is_a_leaf_on_the_same_memory():
    x = minidl.zeros(2)
    v = Variable(x, requires_grad=True)
    assert v.is_leaf
    assert v.requires_grad
    assert v.data is x.data
    with pytest.raises(TypeError, match="must be Tensor"):
        Variable([1.0])

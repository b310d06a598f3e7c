"""The walk of the graph: order, depth, memory, hooks, and what it refuses."""

import gc
import weakref

import numpy
import pytest

import minidl
from minidl import engine, ops
from minidl.function import Function
from minidl.tensor import apply


def leaf(*values):
    return minidl.tensor(list(values), dtype=minidl.float64, requires_grad=True)


def test_gradient_of_a_small_expression_by_hand():
    x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
    z = (x * y + x**2).sum()
    z.backward()
    assert x.grad.tolist() == [9.0, 13.0]  # y + 2x
    assert y.grad.tolist() == [2.0, 3.0]  # x


def test_gradients_accumulate_until_they_are_cleared():
    x = leaf(1.0)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0]
    x.grad = None
    (x * 4).sum().backward()
    assert x.grad.tolist() == [4.0]


def test_fifty_thousand_operations_deep():
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y  # the graph is taken down without recursion as well


def test_sixty_stacked_diamonds_take_sixty_steps():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    events = list(engine.walk([(y.gradient_edge(), numpy.ones(1))]))
    assert len([phase for phase, _, _ in events if phase == "before"]) == 61
    assert x.grad.tolist() == [2.0**60]


def test_events_come_newest_first_and_in_the_same_order_each_time():
    def run():
        x = leaf(1.0, 2.0)
        a, b = x * 2, x * 3
        loss = (a * b + a).sum()
        return [(phase, node.name()) for phase, node, _ in engine.walk([(loss.gradient_edge(), numpy.ones(()))])]

    events = run()
    assert events == run()
    before = [name for phase, name in events if phase == "before"]
    assert before == ["Sum", "Add", "Mul", "Mul", "Mul", "AccumulateGrad"]
    assert events[::2] == [("before", name) for name in before]
    assert events[1::2] == [("after", name) for name in before]


def test_a_leaf_is_filled_right_after_its_first_user():
    """Not at the end of the walk: what waits for a gradient (an all-reduce, say) can start early."""
    first, second = leaf(1.0), leaf(1.0)
    y = (minidl.ones(1, dtype=minidl.float64) * first) * second
    names = []
    for phase, node, _ in engine.walk([(y.gradient_edge(), numpy.ones(1))]):
        if phase == "after":
            names.append(node.variable is second if node.name() == "AccumulateGrad" else node.name())
    assert names == ["Mul", True, "Mul", False]


def test_saved_arrays_are_freed_as_the_walk_passes():
    class Keeps(Function):
        def forward(self, x):
            y = x * 2
            self.save_for_backward(y)
            return y.copy()

        def backward(self, grad_output):
            (y,) = self.saved_tensors
            kept.append(weakref.ref(y))
            return grad_output * 2

    kept = []
    x = leaf(1.0)
    y = apply(Keeps, apply(Keeps, apply(Keeps, x)))
    for phase, node, _ in engine.walk([(y.gradient_edge(), numpy.ones(1))]):
        if phase == "after" and node.name() == "Keeps":
            assert kept[-1]() is None


def test_a_graph_without_backward_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        w = leaf(1.0, 2.0)
        y = (w * 3).relu().sum()
        saved = weakref.ref(y.grad_fn.next_functions[0][0].saved[0])
        del y
        assert saved() is None
    finally:
        gc.enable()


def test_no_work_for_inputs_that_need_no_gradient():
    x, y = leaf(1.0), minidl.tensor([2.0], dtype=minidl.float64)
    node = (x * y).grad_fn
    assert node.needs_input_grad == (True, False)
    assert node.next_functions[1] == (None, 0)
    assert node.backward(numpy.ones(1))[1] is None


def test_second_backward_says_what_to_do():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"Trying to backward through the graph a second time[\s\S]*retain_graph=True"
    ):
        y.backward()


def test_retain_graph_allows_a_second_backward():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


def test_roots_that_are_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        minidl.tensor([1.0]).sum().backward()
    with pytest.raises(RuntimeError, match=r"shape[\s\S]*gradient: +float64 \(3,\)"):
        (x * 2).backward(minidl.zeros(3, dtype=minidl.float64))
    with pytest.raises(RuntimeError, match=r"dtype[\s\S]*gradient: +float32 \(2,\)"):
        (x * 2).backward(minidl.zeros(2))
    with pytest.raises(TypeError, match="gradients can be either Tensors or None, but got float"):
        (x * 2).sum().backward(1.0)
    with pytest.raises(RuntimeError, match="first-order gradients only"):
        (x * 2).sum().backward(create_graph=True)
    assert x.grad is None


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda g: (g, g), r"incorrect number of gradients \(expected 1, got 2\)"),
        (lambda g: g[:1], r"invalid gradient: expected float64 \(2,\), got float64 \(1,\)"),
        (lambda g: g.astype("float32"), r"invalid gradient: expected float64 \(2,\), got float32 \(2,\)"),
        (lambda g: 1.0, "returned float, expected an array or None"),
    ],
)
def test_a_backward_that_returns_something_wrong(returned, words):
    class Wrong(Function):
        def forward(self, x):
            return x * 1

        def backward(self, grad_output):
            return returned(grad_output)

    with pytest.raises(RuntimeError, match=words) as info:
        apply(Wrong, leaf(1.0, 2.0)).sum().backward()
    assert info.value.__notes__ == ["in the backward of Wrong"]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda x: [1.0], "Odd.forward\\(\\): expected an array or a tuple of arrays, got list"),
        (lambda x: None, "got NoneType"),
        (lambda x: minidl.from_numpy(x), "got Tensor"),
        (lambda x: (x * 1, 2.0), "got float"),
    ],
)
def test_a_forward_that_returns_something_wrong(returned, words):
    class Odd(Function):
        def forward(self, x):
            return returned(x)

    with pytest.raises(TypeError, match=words):
        apply(Odd, leaf(1.0))


def test_a_backward_that_returns_a_tensor():
    class Odd(Function):
        def forward(self, x):
            return x * 1

        def backward(self, grad_output):
            return minidl.from_numpy(grad_output)

    with pytest.raises(RuntimeError, match="returned Tensor, expected an array or None"):
        apply(Odd, leaf(1.0)).sum().backward()


def test_a_function_is_not_called_but_applied():
    for use in (lambda: ops.ReLU.apply(leaf(1.0)), lambda: ops.ReLU()(leaf(1.0))):
        with pytest.raises(TypeError, match=r"minidl\.apply\(ReLU, x\)"):
            use()


def test_outputs_that_are_marked_have_no_gradient_also_without_dimensions():
    class Marks(Function):
        def forward(self, x):
            y, k = x.sum(), x.max()
            self.mark_non_differentiable(k)
            return y, k

    y, k = apply(Marks, leaf(1.0, 2.0))
    assert y.requires_grad
    assert not k.requires_grad


def test_an_output_that_is_an_input_is_known_to_share_its_memory():
    class Second(Function):
        def forward(self, a, b):
            return b

    p = leaf(1.0)
    c = p * 2
    d = apply(Second, p, c)
    with pytest.raises(RuntimeError, match="shares memory"):
        d += 1
    assert c.tolist() == [2.0]


def test_requires_grad_can_be_set_where_it_makes_sense():
    x = minidl.zeros(2)
    x.requires_grad = True
    assert x.requires_grad
    with pytest.raises(RuntimeError, match="floating point"):
        minidl.tensor([1]).requires_grad = True
    with pytest.raises(RuntimeError, match="leaf variables"):
        (x * 2).requires_grad = False


def test_leaves_do_not_share_their_gradients():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).backward(minidl.ones(2, dtype=minidl.float64))
    a.grad.data *= 5
    assert b.grad.tolist() == [1.0, 1.0]
    gradient = minidl.ones(2, dtype=minidl.float64)
    c = leaf(1.0, 2.0)
    c.backward(gradient)
    c.grad.data *= 5
    assert gradient.tolist() == [1.0, 1.0]


def test_a_gradient_that_is_a_saved_array_is_copied_for_the_leaf():
    class Saved(Function):
        def forward(self, x):
            self.save_for_backward(x)
            return x * 1

        def backward(self, grad_output):
            return self.saved_tensors[0]

    x = leaf(1.0, 2.0)
    apply(Saved, x).sum().backward()
    x.grad.data *= 5
    assert x.tolist() == [1.0, 2.0]


def test_outputs_that_nothing_used_get_zeros():
    x = leaf(1.0, 2.0, 3.0)
    first, _ = x.split([1, 2])
    (first * 7).sum().backward()
    assert x.grad.tolist() == [7.0, 0.0, 0.0]


def test_grad_leaves_the_leaves_alone():
    x, y = leaf(2.0), leaf(3.0)
    middle = x * y
    z = (middle**2).sum()
    gx, gm = minidl.autograd.grad(z, (x, middle), retain_graph=True)
    assert (gx.tolist(), gm.tolist()) == ([36.0], [12.0])
    assert x.grad is None
    assert y.grad is None
    unused = leaf(1.0)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        minidl.autograd.grad(z, unused, retain_graph=True)
    assert minidl.autograd.grad(z, (unused, y), retain_graph=True, allow_unused=True)[0] is None
    assert minidl.autograd.grad(z, (x, x))[1].tolist() == [36.0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        minidl.autograd.grad((x * 2).sum(), minidl.ones(1))


def test_grad_runs_only_what_leads_to_the_inputs():
    class Never(Function):
        def forward(self, x):
            return x * 1

        def backward(self, grad_output):
            raise AssertionError("this branch does not lead to the input")

    x, y = leaf(1.0), leaf(1.0)
    z = (x * 2 + apply(Never, y)).sum()
    assert minidl.autograd.grad(z, x)[0].tolist() == [2.0]


def test_backward_of_several_roots():
    x = leaf(1.0)
    minidl.autograd.backward([(x * 2).sum(), x * 3], [None, minidl.full((1,), 10.0, dtype=minidl.float64)])
    assert x.grad.tolist() == [32.0]


# ------------------------------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    y = x * 3
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [31.0, 31.0]
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_a_hook_on_a_leaf_sees_the_whole_gradient_once():
    x = leaf(1.0)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g))
    (x * 2 + x * 3).sum().backward()
    assert [g.tolist() for g in seen] == [[5.0]]
    x.grad.data *= 2
    assert seen[0].tolist() == [5.0]
    with handle:
        pass
    (x * 2).sum().backward()
    assert len(seen) == 1


def test_hooks_that_are_refused():
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        minidl.zeros(2).register_hook(print)
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: g[:0])
    with pytest.raises(RuntimeError, match="a hook returns None or a gradient like the one"):
        y.sum().backward()


def test_retain_grad_keeps_the_gradient_of_a_result():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    (y**2).sum().backward()
    assert y.grad.tolist() == [4.0, 8.0]


def test_retain_grad_comes_after_the_hooks_and_follows_changes_in_place():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0]
    y = x * 2
    y.retain_grad()
    y *= 3
    y.sum().backward()
    assert y.grad.tolist() == [1.0]
    with pytest.raises(RuntimeError, match="can't retain_grad"):
        minidl.ones(1).retain_grad()


def test_the_grad_of_a_result_warns():
    y = leaf(1.0) * 2
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert y.grad is None


# -------------------------------------------------------------------------------------------------- grad modes


def test_grad_modes_nest_and_decorate():
    x = leaf(1.0)
    with minidl.no_grad():
        assert not (x * 2).requires_grad
        with minidl.enable_grad():
            assert (x * 2).requires_grad
        assert not minidl.is_grad_enabled()
    assert (x * 2).requires_grad

    @minidl.no_grad()
    def quiet():
        return x * 2

    @minidl.no_grad
    def quiet_too():
        return x * 2

    @minidl.inference_mode()
    def quiet_as_well():
        return x * 2

    assert not quiet().requires_grad
    assert not quiet_too().requires_grad
    assert not quiet_as_well().requires_grad
    with minidl.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert minidl.is_grad_enabled()
    minidl.set_grad_enabled(False)
    assert not minidl.is_grad_enabled()
    minidl.set_grad_enabled(True)
    assert minidl.is_grad_enabled()


def test_a_generator_function_is_not_decorated():
    with pytest.raises(TypeError, match=r"generator function[\s\S]*with minidl\.no_grad"):

        @minidl.no_grad()
        def numbers():
            yield 1


def test_grad_mode_comes_back_after_an_exception():
    with pytest.raises(ZeroDivisionError), minidl.no_grad():
        raise ZeroDivisionError
    assert minidl.is_grad_enabled()


# ---------------------------------------------------------------------------------------------- changes in place


def test_a_change_in_place_of_a_saved_tensor_is_refused():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.data.__setitem__(0, 9.0) or setattr(w, "data", w.data),
        lambda w: setattr(w, "data", w.data.__imul__(2)),
        lambda w: minidl.no_grad()(lambda: w.add_(1))(),
        lambda w: minidl.no_grad()(lambda: w.__setitem__(0, 9.0))(),
        lambda w: minidl.no_grad()(lambda: w.detach().zero_())(),
        lambda w: minidl.no_grad()(lambda: w[:1].fill_(3.0))(),
    ],
    ids=["data = data", "data *=", "add_", "setitem", "through detach", "through a view"],
)
def test_every_way_of_changing_a_saved_leaf_is_noticed(change):
    w, x = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (w * x).sum()
    change(w)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_replacing_the_array_of_a_saved_leaf_is_harmless():
    w, x = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (w * x).sum()
    w.data = numpy.array([7.0, 8.0])
    y.backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_changes_in_place_that_are_recorded():
    x = leaf(1.0, 2.0)
    y = x * 2
    y += 1
    y *= 3
    y[0] = 10.0
    y.sum().backward()  # y = (10, 3 (2 x1 + 1))
    assert x.grad.tolist() == [0.0, 6.0]


def test_a_recorded_value_written_into_a_tensor_gets_its_gradient():
    x, base = leaf(3.0), minidl.zeros(2, 2, dtype=minidl.float64)
    base[1] = x * 2
    base.sum().backward()
    assert x.grad.tolist() == [4.0]


def test_what_is_refused_is_allowed_again_once_the_other_tensor_is_gone():
    x = leaf(1.0, 2.0)
    y = x * 2
    assert y[0].item() == 2.0
    y.detach()
    assert y.reshape(2, 1).shape == (2, 1)
    copied = y.detach()
    y += 1
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert copied.tolist() == [3.0, 5.0]  # it shares the memory, and has no history that could be wrong


IN_PLACE = [
    lambda y, w: y.add_(w),
    lambda y, w: y.sub_(w),
    lambda y, w: y.mul_(w),
    lambda y, w: y.div_(w),
    lambda y, w: y.mul_(y),
    lambda y, w: y.pow_(2),
    lambda y, w: y.clamp_(0.0),
    lambda y, w: y.relu_(),
    lambda y, w: y.copy_(w),
    lambda y, w: y.__setitem__(1, w[0]),
]


@pytest.mark.torch
@pytest.mark.parametrize("change", IN_PLACE)
def test_recorded_changes_in_place_equal_torch(change):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    results = []
    for library in (minidl, torch):
        x = library.from_numpy(numpy.array([-1.0, 2.0, 3.0])).requires_grad_()
        w = library.from_numpy(numpy.array([0.5, -2.0, 4.0]))  # (PyTorch refuses y.mul_(w) where w wants a gradient)
        y = x * 3
        y.retain_grad()
        change(y, w)
        z = (y * y * library.from_numpy(numpy.array([1.0, 10.0, 100.0]))).sum()
        try:
            z.backward()
        except RuntimeError:
            assert library is torch, "minidl refuses what PyTorch does"
            pytest.skip("PyTorch refuses this change in place")
        results.append([t.detach().numpy().tolist() for t in (x.grad, y.grad, y)])
    assert results[0] == results[1]


def test_an_in_place_product_keeps_what_it_needs():
    x, w = leaf(2.0, 3.0), leaf(5.0, 7.0)
    y = x * 1
    y *= w
    y.sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([5.0, 7.0], [2.0, 3.0])


def test_changes_in_place_that_are_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        x += 1
    y = x * 2
    view = y[:1]
    with pytest.raises(RuntimeError, match="shares memory"):
        view += 1
    with pytest.raises(RuntimeError, match="shares memory"):
        y += 1
    with pytest.raises(RuntimeError, match="does not fit"):
        minidl.zeros(2).add_(minidl.zeros(3, 2))
    with pytest.raises(RuntimeError, match="can't be cast"):
        minidl.arange(3).add_(0.5)
    assert x.tolist() == [1.0, 2.0]


def test_the_function_object_is_the_context():
    x = leaf(-1.0, 2.0)
    y = x.relu()
    assert isinstance(y.grad_fn, ops.ReLU)
    assert y.grad_fn.saved_tensors[0] is y.data
    assert y.grad_fn.next_functions[0][0].variable is x
    assert repr(y.grad_fn) == f"<ReLU {y.grad_fn.sequence}>"


def test_a_breakpoint_inside_backward_is_ordinary_python(monkeypatch):
    import sys

    stopped = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stopped.append(sys._getframe(1).f_code.co_name))

    class Stops(Function):
        def forward(self, x):
            breakpoint()
            return x * 1

        def backward(self, grad_output):
            breakpoint()
            return grad_output

    apply(Stops, leaf(1.0)).sum().backward()
    assert stopped == ["forward", "backward"]


# ------------------------------------------------------------------------------------------------------ listeners


def test_listeners_see_every_operation_recorded_or_not():
    seen = []
    x = leaf(1.0, 2.0)
    with minidl.events.listening(lambda node, inputs, outputs: seen.append((node.name(), inputs[0] is x, outputs))):
        y = x * 2
        with minidl.no_grad():
            parts = x.split(1)
    x * 3
    assert [(name, first) for name, first, _ in seen] == [("Mul", True), ("Split", True)]
    assert seen[0][2] is y
    assert seen[1][2] is parts


@pytest.mark.parametrize("retain", [False, True])
def test_a_leaf_keeps_no_array_that_backward_still_holds(retain):
    """As students write it: the derivative is a constant, on `self` or outside."""
    slope = numpy.array([1.0, 2.0, 3.0], "float32")

    class Scale(Function):
        def forward(self, x):
            self.slope = slope
            return x * slope

        def backward(self, grad_output):
            return self.slope

    x = minidl.ones(3, requires_grad=True)
    for times in (1, 2, 3):
        y = apply(Scale, x).sum()
        y.backward(retain_graph=retain)
        assert x.grad.tolist() == [times, 2 * times, 3 * times]
    assert slope.tolist() == [1, 2, 3]
    (found,) = minidl.autograd.grad(apply(Scale, x).sum(), x)
    found.data[...] = 0
    assert slope.tolist() == [1, 2, 3]


def test_hooks_of_a_leaf_that_come_and_go():
    x = minidl.ones(3, requires_grad=True)
    x.register_hook(lambda gradient: gradient * 100).remove()
    y = (x * 2).sum()
    seen = []
    x.register_hook(lambda gradient: seen.append(gradient.tolist()))
    y.backward()
    assert seen == [[2, 2, 2]] and x.grad.tolist() == [2, 2, 2]


def test_a_leaf_that_changed_since_forward():
    x = minidl.ones(3, requires_grad=True)
    y = (x * 2).sum()
    x.requires_grad_(False)
    y.backward()  # nobody asks for the gradient any more, as in PyTorch
    assert x.grad is None
    x.requires_grad_()
    y = (x * 2).sum()
    x.data = numpy.ones(1, "float32")
    with pytest.raises(RuntimeError, match="data of a leaf was replaced"):
        y.backward()
    assert x.grad is None


@pytest.mark.parametrize("wrong", [(5, 3), (4, 2, 3), (1, 3)])
def test_only_a_gradient_in_the_shape_of_the_output_is_summed(wrong):
    class Wrong(minidl.ops.Mul):
        def backward(self, grad_output):
            return numpy.ones(wrong, "float32"), None

    a, b = minidl.ones(1, 3, requires_grad=True), minidl.ones(2, 3)
    y = apply(Wrong, a, b).sum()
    if wrong == (1, 3):
        y.backward()
    else:
        with pytest.raises(RuntimeError, match="invalid gradient"):
            y.backward()

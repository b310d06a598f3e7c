"""gradcheck: passes right gradients, also at kinks, and says of each wrong one what is wrong with it."""

import numpy
import pytest

from minidl import ops
from minidl.backend import Generator, default_generator, manual_seed
from minidl.function import Function
from minidl.gradcheck import GradcheckError, gradcheck
from minidl.tensor import Tensor, apply

rng = numpy.random.default_rng(0)
both_modes = pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])


def leaf(*shape):
    return Tensor(rng.standard_normal(shape), requires_grad=True)


def positive(*shape):
    return Tensor(rng.uniform(0.5, 2, shape), requires_grad=True)


def given(values):
    return Tensor(numpy.array(values, dtype="float64"), requires_grad=True)


class Square(Function):
    """y = x^2; subclasses spoil the gradient 2 x dy."""

    def forward(self, x):
        self.save_for_backward(x)
        return x * x

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        return self.spoil(grad_output, x)

    def spoil(self, grad_output, x):
        return 2 * grad_output * x


def spoiled(spoil):
    """The square with another backward: spoil(grad_output, x)."""
    operation = type("Wrong", (Square,), {"spoil": lambda self, grad_output, x: spoil(grad_output, x)})
    return lambda x: apply(operation, x)


def message(function, inputs, **options):
    assert gradcheck(function, inputs, raise_exception=False, **options) is False
    with pytest.raises(GradcheckError) as caught:
        gradcheck(function, inputs, **options)
    return str(caught.value)


# ------------------------------------------------------------------------------------------- right gradients pass


@both_modes
@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (spoiled(lambda g, x: 2 * g * x), leaf(4, 3)),
        (lambda a, b: a * b - a / b + b**3, (leaf(3, 4), positive(4))),
        (lambda a, b: (a + b, a * b, a.exp().sum()), (leaf(2, 1, 3), leaf(4, 1))),
        (lambda x: x.exp() / x.exp().sum(1, keepdim=True), leaf(3, 4)),  # softmax
        (lambda x: x - x.sum() / 12 + 1e-9 * x, leaf(3, 4)),
        (lambda x: (x.log() + x.sqrt()) ** -2, positive(5)),
        (lambda x: x, leaf(3)),
        (lambda x: (x, x, x * 2), leaf(3)),
        (lambda x: (x > 0, x.detach(), 2 * x), leaf(3)),  # two outputs are passed over
        (lambda x, n, mode: x * n if mode == "times" else x, (leaf(2), 3, "times")),
        (lambda xs, y: xs[0] * xs[1] + y, ([leaf(3), leaf(3)], leaf(3))),
        (lambda x, y: x * 1e6 + y, (leaf(3), leaf(3))),  # rounding of large values: a larger step sees y
        (lambda x: x + 1e5, leaf(3)),
        (lambda x: x * x, Tensor(rng.standard_normal(3) * 1e4, requires_grad=True)),
        (lambda x: (x * 1e-7).exp(), leaf(3)),  # tiny gradients
        (lambda x: x * 2, leaf()),
        (lambda x: x * 2, leaf(0, 3)),
        (lambda x: x.sum() * 0 + 1, leaf(3)),
        (lambda x, unused: x * 2, (leaf(3), leaf(2))),
        (lambda x: apply(ops.Where, numpy.array([True, False]), x, -numpy.inf), leaf(2)),
    ],
)
def test_right_gradients_pass(function, inputs, fast_mode):
    assert gradcheck(function, inputs, fast_mode=fast_mode) is True


@both_modes
def test_same_tensor_twice(fast_mode):
    x = leaf(3)
    assert gradcheck(lambda a, b: a * b.exp(), (x, x), fast_mode=fast_mode)


@both_modes
def test_tensors_found_by_the_function_itself(fast_mode):
    weight, bias, x = leaf(4, 3), leaf(3), leaf(4, 1)
    assert gradcheck(lambda *_: (x * weight + bias).relu().sum(0), (weight, bias), fast_mode=fast_mode)


def test_result_of_an_operation_is_an_input_too():
    x = leaf(3)
    assert gradcheck(lambda y: y * y, x * 2)


@both_modes
def test_nothing_of_the_users_is_touched(fast_mode):
    array = rng.standard_normal((3, 2))
    before = array.copy()
    array.flags.writeable = False
    x = Tensor(array, requires_grad=True)
    x.grad = gradient = Tensor(numpy.ones((3, 2)))
    state = default_generator.get_state()
    gradcheck(lambda x: x.exp(), x, fast_mode=fast_mode)
    message(spoiled(lambda g, x: g), x, fast_mode=fast_mode)
    assert x.data is array
    assert (array == before).all()
    assert x.grad is gradient
    assert (gradient.data == 1).all()
    assert default_generator.get_state() == state


def test_the_array_comes_back_after_an_exception():
    x = leaf(2)
    array = x.data
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: 1 / 0, x)
    assert x.data is array


def test_generator():
    x = leaf(2, 2)
    first = message(spoiled(lambda g, x: g), x)
    assert message(spoiled(lambda g, x: g), x) == first
    with pytest.raises(GradcheckError) as caught:
        gradcheck(spoiled(lambda g, x: g), x, generator=Generator(7))
    assert str(caught.value) != first


# ------------------------------------------------------------------------------------------- wrong gradients fail


@both_modes
def test_every_small_error_is_caught(fast_mode):
    hint = message(spoiled(lambda g, x: 2.002 * g * x), leaf(4, 3), fast_mode=fast_mode)
    assert "the gradient of input 0 (x) is wrong" in hint
    assert "relative error: 1.0e-03 (limit 1.0e-05" in hint
    assert "analytical = 1.001 x numerical everywhere" in hint
    assert "1e-2 to 1e-4 uncomfortable" in hint


@both_modes
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0, 1e3])
def test_a_thousandth_is_caught_in_gradients_of_every_size(size, fast_mode):
    square = spoiled(lambda g, x: 2.002 * g * x)
    assert not gradcheck(lambda x: square(x) * size, leaf(6), raise_exception=False, fast_mode=fast_mode)
    right = spoiled(lambda g, x: 2 * g * x)
    assert gradcheck(lambda x: right(x) * size, leaf(6), fast_mode=fast_mode)


def one_element(grad_output, x):
    gradient = 2 * grad_output * x
    gradient[1, 2] += 1e-3
    return gradient


def no_border(grad_output, x):
    gradient = numpy.zeros_like(x)
    gradient[1:-1, 1:-1] = (2 * grad_output * x)[1:-1, 1:-1]
    return gradient


@both_modes
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda g, x: -2 * g * x, "analytical = -1 x numerical everywhere: the sign is wrong"),
        (lambda g, x: 2 * x, "backward does not use grad_output: another one gives the same gradient"),
        (lambda g, x: g * x, "analytical = 0.5 x numerical everywhere: did you average twice, or forget the 2"),
        (lambda g, x: 2 * g * x / 4, "4 is the size of axis 0 of output 0"),
        (lambda g, x: 2 * g * x / 20, "20 is the number of elements of output 0: a mean where"),
        (one_element, "only the element (1, 2) is wrong; the other 19 are right"),
        (no_border, "wrong only in a border 1 wide (zero there)"),
        (lambda g, x: None, "no gradient arrives, although the result depends on this input"),
        (lambda g, x: 0 * x, "analytical = 0 everywhere"),
        (lambda g, x: 2 * g * x * numpy.nan, "nan in 20 of 20 elements"),
        (lambda g, x: (2 * g * x).astype("float32"), "float32 came back for float64: a hidden cast"),
        (lambda g, x: (2 * g * x).T, "right after a transpose of the last two axes"),
        (lambda g, x: numpy.pad(2 * g * x, 1), "the middle is right: crop the padding, 1 on each side of axis 0 and 1"),
        (lambda g, x: (2 * g * x).sum(0), "the gradient has shape (5,), its input has shape (4, 5)"),
        (lambda g, x: (g, x), "incorrect number of gradients (expected 1, got 2)"),
        (lambda g, x: 3.0, "returned float, expected an array or None"),
    ],
)
def test_spoiled_backwards_are_explained(spoil, words, fast_mode):
    assert words in message(spoiled(spoil), leaf(4, 5), fast_mode=fast_mode)


class Difference(Function):
    """y = x^2 - weight, whose backward returns its two gradients in the wrong order."""

    def forward(self, x, weight):
        self.save_for_backward(x)
        return x * x - weight

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        return -grad_output.sum(axis=tuple(range(grad_output.ndim - self.dims))), 2 * grad_output * x

    dims = 2


@both_modes
def test_gradients_in_the_wrong_order(fast_mode):
    hint = message(lambda x, weight: apply(Difference, x, weight), (leaf(2, 3), leaf(2, 3)), fast_mode=fast_mode)
    assert "likely cause:   this is right for input 1 (weight): are the gradients returned in the wrong order?" in hint
    assert "likely cause:   this is right for input 0 (x): are" in hint
    row = type("Row", (Difference,), {"dims": 1})
    hint = message(lambda x, weight: apply(row, x, weight), (leaf(2, 3), leaf(3)), fast_mode=fast_mode)
    assert "this is right for input 1 (weight)" in hint


def test_the_limit_is_explained():
    hint = message(spoiled(lambda g, x: 200 * g * x), leaf(3))
    assert "(limit 1.0e-07: atol + rtol |numerical|, over the larger of the two)" in hint


def test_pytorchs_other_settings():
    x = leaf(2)
    assert gradcheck(lambda x: x * x, x, check_undefined_grad=False, check_batched_grad=False, masked=False)
    for setting in ("check_batched_grad", "check_batched_forward_grad", "check_forward_ad", "masked"):
        with pytest.raises(NotImplementedError, match=f"{setting}=True is not there: what is checked is backward"):
            gradcheck(lambda x: x * x, x, **{setting: True})
    with pytest.raises(NotImplementedError, match="check_backward_ad=False is not there"):
        gradcheck(lambda x: x * x, x, check_backward_ad=False)


def test_the_message_names_the_place():
    def function(scale, weight):
        return scale * spoiled(one_element)(weight)

    text = message(function, (leaf(4, 5), leaf(4, 5)))
    assert "the gradient of input 1 (weight) is wrong" in text
    assert "input 0" not in text
    assert "shape:          (4, 5)" in text
    assert "worst element:  (1, 2): analytical" in text
    assert "wrong:          1 of 20 elements" in text


@both_modes
def test_every_wrong_input_is_named(fast_mode):
    half = spoiled(lambda g, x: g * x)
    text = message(lambda a, b, *c: half(a) + b + half(c[1]), (leaf(3), leaf(3), leaf(3), leaf(3)), fast_mode=fast_mode)
    assert "input 0 (a) is wrong" in text
    assert "input 3 is wrong" in text
    assert "input 1" not in text
    assert "input 2" not in text


def test_square_matrix_transposed():
    assert "W for W^T" in message(spoiled(lambda g, x: (2 * g * x).T.copy()), leaf(4, 4))


class AddBias(Function):
    """y = x + b, whose backward treats b as if it had the shape of x, or averages."""

    def forward(self, x, b, *, reduce):
        self.reduce = reduce
        return x + b

    def backward(self, grad_output):
        return grad_output, self.reduce(grad_output)


@both_modes
@pytest.mark.parametrize(
    ("reduce", "words"),
    [
        (lambda g: g, "which is the broadcast shape: sum over axes (0,) (the sum is right); axis 0 is often the batch"),
        (lambda g: g.mean(0), "6 is the size of axis 0 of output 0: a mean where a sum is meant"),
    ],
)
def test_broadcasting(reduce, words, fast_mode):
    text = message(lambda x, b: apply(AddBias, x, b, reduce=reduce), (leaf(6, 4), leaf(4)), fast_mode=fast_mode)
    assert words in text
    assert "input 1 (b)" in text
    assert "input 0" not in text


def test_misfit_inside_the_graph():
    # The wrong node is not next to an input: no numbers to compare with, but the shapes speak.
    text = message(lambda x, b: apply(AddBias, x.exp(), b.exp(), reduce=lambda g: g), (leaf(6, 4), leaf(4)))
    assert "AddBias.backward returned an invalid gradient" in text
    assert "which is the broadcast shape: sum over axes (0,)" in text


def test_only_ones_would_miss_a_wrong_softmax():
    class Softmax(Function):
        """y_i = e^(x_i) / sum_j e^(x_j), with a gradient twice too large."""

        def forward(self, x):
            y = numpy.exp(x) / numpy.exp(x).sum(1, keepdims=True)
            self.save_for_backward(y)
            return y

        def backward(self, grad_output):
            (y,) = self.saved_tensors
            return 2 * y * (grad_output - (grad_output * y).sum(1, keepdims=True))

    x = leaf(3, 4)
    apply(Softmax, x).backward(Tensor(numpy.ones((3, 4))))
    assert abs(x.grad.data).max() < 1e-15  # right, with a wrong backward: rows of a softmax sum to 1
    assert "analytical = 2 x numerical everywhere" in message(lambda x: apply(Softmax, x), x)
    assert not gradcheck(lambda x: apply(Softmax, x), x, fast_mode=True, raise_exception=False)


# --------------------------------------------------------------------- memory, randomness, dtype: before comparing


def in_place_output(grad_output, x):
    grad_output *= 2
    return grad_output * x


def in_place_saved(grad_output, x):
    x *= 2
    return grad_output * x


def test_changes_in_place():
    text = message(spoiled(in_place_output), leaf(3))
    assert "Wrong.backward: grad_output was changed in place" in text
    assert "Wrong.backward: a saved array was changed in place" in message(spoiled(in_place_saved), leaf(3))
    # Also in the middle of a graph, where the array belongs to another branch too.
    assert "grad_output was changed" in message(lambda x: (spoiled(in_place_output)(x.exp()) + x).exp(), leaf(3))


def test_input_and_output_changed_in_place():
    class Forward(Square):
        """Writes into its input."""

        def forward(self, x):
            y = super().forward(x.copy())
            x += 1
            return y

    class Backward(Function):
        """Keeps x on itself, not among the saved arrays, and writes into it."""

        def forward(self, x):
            self.x, self.y = x, x * x
            return self.y

        def backward(self, grad_output):
            gradient = 2 * grad_output * self.x
            self.x += 1
            return gradient

    class BackwardOutput(Backward):
        """The same with its output."""

        def backward(self, grad_output):
            self.y += 1
            return 2 * grad_output * self.x

    assert "func: input 0 (x) was changed in place" in message(lambda x: apply(Forward, x), leaf(3))
    assert "backward: input 0 (x) was changed in place" in message(lambda x: apply(Backward, x), leaf(3))
    assert "backward: output 0 was changed in place" in message(lambda x: apply(BackwardOutput, x), leaf(3))


def test_randomness():
    def dropout(x):
        return x * Tensor((default_generator.numpy.random(x.shape) < 0.5) * 2.0)

    def seeded(x):
        manual_seed(0)
        return dropout(x)

    text = message(dropout, leaf(20))
    assert "output 0 differs between two calls" in text
    assert "dropout" in text
    assert "manual_seed" in text
    state = default_generator.get_state()
    assert gradcheck(seeded, leaf(20))
    default_generator.set_state(state)
    noisy = spoiled(lambda g, x: 2 * g * x + 1e-12 * rng.standard_normal(x.shape))
    assert "differs between two backwards" in message(noisy, leaf(3))
    assert gradcheck(noisy, leaf(3), nondet_tol=1e-9)
    noise = spoiled(lambda g, x: 2 * g * x)
    assert "differs between two calls" in message(lambda x: noise(x) + 1e-13 * float(rng.random()), leaf(3))
    shapes = iter([(2, 3), (3, 2)] * 2)
    assert "differs between two calls" in message(lambda x: (2 * x).reshape(next(shapes)), leaf(6))


def test_hidden_casts():
    assert "output 0 is float32 although" in message(lambda x: x.float(), leaf(3))
    text = message(lambda x: (x.float() * 2).double(), leaf(3, 4))
    assert "every result is a float32 number in a float64 array: a hidden cast" in text
    assert "a kink" not in text


# ----------------------------------------------------------------------------------------------------------- kinks


class MaxOfRow(Function):
    """y = max_j x_j of each row; at a tie the gradient goes to `at_ties(ties)`, an array of parts."""

    def forward(self, x, *, at_ties):
        y = x.max(1)
        self.parts = at_ties(x == y[:, None])
        return y

    def backward(self, grad_output):
        return grad_output[:, None] * self.parts


def first(ties):
    return (ties & (ties.cumsum(1) == 1)).astype("float64")


def shared(ties):
    return ties / ties.sum(1, keepdims=True)


def to_each(ties):
    return ties.astype("float64")


def too_little(ties):
    return first(ties) * numpy.where(ties.sum(1) > 1, 0.7, 1.0)[:, None]


TIES = given([[1, 1, 0], [2, 2, 2], [0, 1, 5], [-1, -3, -1]])
NEAR_TIES = given([[1, 1 + 3e-7, 0], [2, 2 - 2e-7, 2 + 2e-7]])


@both_modes
@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda x: x.relu(), given([[0, 0, 1], [-1, 0, 0]])),
        (lambda x: x.relu(), given([3e-7, -3e-7, 9e-7, -9e-7, 1])),
        (lambda x: -3 * x.relu(), given([0, 0])),
        (lambda x: x.relu().sum(), given([[0, 0, 1], [-1, 0, 0]])),
        (lambda x: abs(x), given([0, 1, -1, 4e-7])),
        (lambda x: x.clamp(-1, 1), given([-1, 1, 0, 1 + 2e-7])),
        (lambda x: x.clamp(min=0.5), given([0.5, 2])),
        (lambda a, b: a.maximum(b), (given([1, 2, 3]), given([1, 2, 0]))),
        (lambda a, b: a.minimum(b) * 2, (given([1, 2, 3]), given([1, 2, 0]))),
        (lambda x: apply(MaxOfRow, x, at_ties=first), TIES),
        (lambda x: apply(MaxOfRow, x, at_ties=shared), TIES),
        (lambda x: apply(MaxOfRow, x, at_ties=first), NEAR_TIES),
    ],
)
def test_kinks_pass(function, inputs, fast_mode):
    assert gradcheck(function, inputs, fast_mode=fast_mode)


class WrongReLU(Function):
    """max(x, 0) with the slope `wrong` at places that `where` finds."""

    def forward(self, x, *, where, wrong):
        self.slope = numpy.where(where(x), wrong, x > 0)
        return numpy.maximum(x, 0)

    def backward(self, grad_output):
        return grad_output * self.slope


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (lambda x: x == 0, 2.0),  # wrong at the kink alone: not between the slopes of its sides
        (lambda x: x == 0, -0.1),
        (lambda x: x >= 0, 0.7),  # between the slopes at the kink, and wrong beside it
        (lambda x: x <= 0, 0.3),
        (lambda x: x > 0, 1.001),
        (lambda x: abs(x) < 1e-3, 0.5),
        (lambda x: abs(x) < 1e-3, 0.3),  # right again where the furthest look beside the kink would be
    ],
)
def test_wrong_gradients_do_not_hide_at_kinks(where, wrong):
    text = message(lambda x: apply(WrongReLU, x, where=where, wrong=wrong), given([0, 0, 1e-7, -1e-7, 1, -1]))
    assert "is wrong" in text


@pytest.mark.parametrize("wrong", [-0.1, 0.3, 2.0])
def test_a_wrong_gradient_around_a_kink_is_found_at_the_kink_alone(wrong):
    message(lambda x: apply(WrongReLU, x, where=lambda x: abs(x) < 1e-3, wrong=wrong), given([0.0]))


def test_at_a_kink_the_slopes_of_both_sides_are_told():
    text = message(lambda x: apply(WrongReLU, x, where=lambda x: x == 0, wrong=2.0), given([0.0, 1, -1]))
    assert "a kink:         the slopes of its two sides are" in text
    assert "only the element (0,) is wrong; the other 2 are right" in text
    assert "wrong:          1 of 3 elements" in text


def test_a_tie_counted_twice_is_caught():
    text = message(lambda x: apply(MaxOfRow, x, at_ties=to_each), TIES)
    assert "right one by one, but not together" in text
    assert "the parts given to the elements of a tie must add up to one" in text
    assert "not together" in message(
        lambda x: apply(MaxOfRow, x, at_ties=lambda ties: ties * 0.5 + 0.5 * first(ties)), TIES
    )
    message(lambda x: apply(MaxOfRow, x, at_ties=too_little), TIES)


def test_a_jump_is_no_kink():
    # The slope is 0 on both sides, and the gradient of the jump itself is nowhere 1.
    class Step(Function):
        """[x > 0] with the gradient of x."""

        def forward(self, x):
            return (x > 0).astype(x.dtype)

        def backward(self, grad_output):
            return grad_output.copy()

    text = message(lambda x: apply(Step, x), given([0, 1, -1]))
    assert "numerical = 0 everywhere" in text or "float32" not in text


# ------------------------------------------------------------------------------------------------------ fast mode


def test_fast_mode_checks_a_network_in_few_calls():
    weights = [Tensor(rng.standard_normal((30, 30)) / 30**0.5, requires_grad=True) for _ in range(4)]
    x = Tensor(rng.standard_normal((8, 30)))
    calls = []

    def network(*weights):
        calls.append(1)
        y = x
        for weight in weights:
            y = (y.unsqueeze(2) * weight).sum(1).relu()
        return (y * y).sum() / 8

    assert gradcheck(network, tuple(weights), fast_mode=True)
    assert len(calls) < 20
    scaled = spoiled(lambda g, x: 2.02 * g * x)
    text = message(lambda *w: network(w[0], w[1], scaled(w[2]) * 0.1 + w[2], w[3]), tuple(weights), fast_mode=True)
    assert "the gradient of input 2 is wrong" in text
    assert "input 0" not in text
    assert "along a random direction: analytical" in text


# ---------------------------------------------------------------------------------------------- what it cannot check


def test_errors():
    with pytest.raises(ValueError, match="expects at least one input tensor to require gradient, but none"):
        gradcheck(lambda x: x, Tensor(numpy.ones(3)))
    with pytest.raises(ValueError, match=r"input 1 \(y\) requires a gradient, but is float32[\s\S]*double\(\)"):
        gradcheck(lambda x, y: x, (leaf(3), Tensor(numpy.ones(3, "float32"), requires_grad=True)))
    with pytest.raises(ValueError, match="no output of the function requires a gradient"):
        gradcheck(lambda x: x.detach(), leaf(3))
    with pytest.raises(ValueError, match="no output of the function requires a gradient"):
        gradcheck(lambda x: (x > 0, 3.0), leaf(3), raise_exception=False)
    with pytest.raises(ValueError, match="eps=1e-06 vanishes beside the inputs"):
        gradcheck(lambda x: x * 2, given([1e15]))


def test_exceptions_of_a_backward_pass_through():
    def missing(grad_output, x):
        raise NotImplementedError("Task 1")

    def broken(grad_output, x):
        raise RuntimeError("my own")

    with pytest.raises(NotImplementedError, match="Task 1"):
        gradcheck(spoiled(missing), leaf(3), raise_exception=False)
    with pytest.raises(RuntimeError, match="my own") as caught:
        gradcheck(spoiled(broken), leaf(3), raise_exception=False)
    assert not isinstance(caught.value, GradcheckError)

"""A check: what it takes for right, and the words that a student reads where it is wrong."""

import itertools

import numpy
import pytest

from minidl import nn
from minidl.course.calling import Outcome, call_checked, pack, unpack
from minidl.course.checks import FAILED, PASSED, WAITS, check
from minidl.course.comparing import difference, relative_errors
from minidl.course.exceptions import hint_for
from minidl.course.probes import filled, seen_by

RNG = numpy.random.default_rng(0)
COUNTER = itertools.count(1.0)
X = RNG.standard_normal((3, 4))


def made(call, *, inputs=None, task="2.3", **settings):
    """A check of one call."""
    parts = {name: settings.pop(name) for name in ("expected", "verify") if name in settings}
    space = {"__doc__": "a doubled array\n\nmore", "inputs": lambda rng: inputs or {"x": X}, "call": call, **parts}
    return check(task, **settings)(type("Doubled", (), space))


def result(call, right=lambda x: {"y": 2 * x}, **settings):
    one = made(call, **settings)
    inputs = one.inputs()
    expected = pack(right(**unpack(inputs))) if one.compares else None
    return one.judge(call_checked(one.call, inputs, one.repeat), inputs, expected)


def test_what_is_right_passes():
    assert result(lambda x: {"y": x + x}).status == PASSED
    assert made(lambda x: {"y": x + x}).sentence == "a doubled array"


# Each row of the table of hints in the design of the kit, as far as values alone show it.
@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: {"y": -2 * x}, ["-1 x expected everywhere", "the sign is wrong"]),
        (lambda x: {"y": 4 * x}, ["2 x expected everywhere"]),
        (lambda x: {"y": x}, ["0.5 x expected everywhere", "average twice"]),
        (lambda x: {"y": 2 * x / 3}, ["3 is the batch size", "a mean where a sum is meant"]),
        (lambda x: {"y": 2 * x.T}, ["wrong shape: (4, 3) came back, (3, 4) is expected", "transpose"]),
        (lambda x: {"y": 2 * x[:, ::-1]}, ["flipped over axis -1"]),
        (lambda x: {"y": 0 * x}, ["y = 0 everywhere"]),
        (lambda x: {"y": None}, ["y is None", "is a `return` missing"]),
        (lambda x: {"z": x}, ["y did not come back"]),
        (
            lambda x: {"y": numpy.tile(2 * x, (5, 1, 1)) / 5},
            ["the broadcast shape: sum over axes (0,) (the sum is right)"],
        ),
        (lambda x: {"y": (2 * x).astype("float32")}, ["float32 came back for float64", "hidden cast"]),
        (
            lambda x: {"y": (2 * x).astype("float32").astype(float)},
            ["right to 7 digits only", "every value is a float32 number"],
        ),
        (lambda x: {"y": numpy.where(x > 1, numpy.nan, 2 * x)}, ["nan in"]),
        (lambda x: {"y": (2 * x).round().astype(int)}, ["int64 came back", "integer dtype"]),
        (lambda x: {"y": 2 * x + 0j}, ["complex128 came back", "power of a negative number"]),
        (lambda x: {"y": x.__imul__(2)}, ["x was changed in place"]),
        (lambda x: {"y": 2 * x + next(COUNTER)}, ["a second call", "not seeded"]),
        (lambda x: {"y": 2 * x * (1 + 1e-6 * numpy.sin(x))}, ["right to 6 digits only", "a difference in place"]),
        (lambda x: {"y": 2 * x + numpy.exp(1000 * x)}, ["inf in"]),
        (lambda x: {"y": object()}, ["y is object, where an array of numbers should come back"]),
        (lambda x: {"y": (2 * x, x[0])}, ["y is a tuple of 2, where one array should come back"]),
        (lambda x: 1 / 0, ["ZeroDivisionError: division by zero"]),
        (lambda x: exit(), ["exit was called"]),
    ],
)
def test_the_words_for_what_is_wrong(call, words):
    found = result(call, repeat=True, sizes={"the batch size": 3})
    assert found.status == FAILED
    for word in words:
        assert word in found.message, found.message


def test_the_worst_place_is_named_with_both_values():
    wrong = 2 * X
    wrong[1, 2] += 0.5
    message = result(lambda x: {"y": wrong}).message
    assert f"worst at (1, 2): {wrong[1, 2]:.8g} came back, {2 * X[1, 2]:.8g} is expected" in message
    assert "relative error" in message and "limit 1e-07" in message and "float64 (3, 4), 1 of 12 elements" in message


def test_an_input_may_change_where_a_check_says_so():
    assert result(lambda x: {"y": x.__imul__(2)}, unchanged=()).status == PASSED
    assert "x was changed in place" in result(lambda x: {"y": x.__imul__(2)}, unchanged=("x",)).message


def test_a_blank_of_the_task_fails_and_one_of_another_task_is_waited_for():
    def blank(task):
        def call(x):
            raise NotImplementedError(f"Task {task}: Conv2d.forward, see README.md")

        return call

    own, other = result(blank("2.3")), result(blank("1.5"))
    assert (own.status, own.message) == (FAILED, "not written yet: Task 2.3: Conv2d.forward, see README.md")
    assert (other.status, other.waits_for, other.points) == (WAITS, "1.5", 0)


def test_what_is_right_but_slow_fails():
    one = made(lambda x: {"y": 2 * x}, seconds=0.1)
    inputs = one.inputs()
    found = one.judge(Outcome({"y": 2 * X}, seconds=0.3), inputs, {"y": 2 * X})
    assert (
        found.status == FAILED
        and "right, but too slow: 0.3 s of processor time, and the limit is 0.1 s" in found.message
    )


def test_verify_judges_alone_unless_something_is_expected_too():
    def verify(outputs, x):
        return None if outputs["y"].shape == x.shape else "another shape"

    assert result(lambda x: {"y": 7 * x}, verify=verify).status == PASSED
    assert result(lambda x: {"y": x[0]}, verify=verify).message == "another shape"
    both = result(lambda x: {"y": 7 * x}, verify=verify, expected=lambda x: {"y": 2 * x})
    assert both.status == FAILED and "y is wrong" in both.message


def test_a_verify_that_fails_itself_is_a_failed_check():
    found = result(lambda x: {"y": x}, verify=lambda outputs, x: outputs["z"])
    assert (
        found.status == FAILED and "cannot be judged: KeyError" in found.message and "y float64 (3, 4)" in found.message
    )


def test_a_sentence_for_one_output():
    found = result(lambda x: {"y": x}, hints={"y": "twice, not once"})
    assert found.message.endswith("hint: twice, not once")


def test_an_independent_expectation_is_what_the_library_is_held_to():
    right = made(lambda x: {"y": x + x}, expected=lambda x: {"y": 2 * x})
    wrong = made(lambda x: {"y": x * x}, expected=lambda x: {"y": 2 * x})
    assert right.run().status == PASSED and wrong.run().status == FAILED


@pytest.mark.parametrize(
    "space, settings, words",
    [
        ({"call": len}, {}, "'inputs' is missing"),
        ({"inputs": len, "call": len, "helper": len}, {}, "'helper' is no part of a check"),
        ({"inputs": len, "call": len}, {"pading": 1}, "'pading' is no setting"),
        ({"inputs": len, "call": len}, {"points": 0.5}, "points = 0.5 must be a whole number"),
        ({"inputs": len, "call": len, "__doc__": None}, {}, "the docstring is missing"),
    ],
)
def test_what_is_no_check_is_refused(space, settings, words):
    with pytest.raises(TypeError, match=words):
        check("1.1", **settings)(type("Bad", (), {"__doc__": "a sentence", **space}))


def test_only_what_an_npz_holds_travels():
    assert unpack(pack({"n": 3, "f": 0.5, "s": "relu", "b": True})) == {"n": 3, "f": 0.5, "s": "relu", "b": True}
    with pytest.raises(TypeError, match="bias is NoneType"):
        pack({"bias": None})


# ---------------------------------------------------------------------------------------------------- the comparison


def test_small_elements_beside_large_ones_are_measured_against_a_hundredth_of_the_largest():
    expected = numpy.array([1.0, 1e-9])
    assert relative_errors(numpy.array([1.0, 2e-9]), expected).max() == pytest.approx(1e-9 / 0.01)
    assert relative_errors(numpy.array([1.0, 0.5]), expected).max() == pytest.approx(1.0)


@pytest.mark.parametrize("value", [numpy.inf, -numpy.inf, numpy.nan])
def test_infinite_and_nan_are_right_where_they_are_expected_only(value):
    expected = numpy.array([value, 1.0])
    assert not relative_errors(expected, expected).any()
    assert relative_errors(numpy.array([2.0, 1.0]), expected)[0] == numpy.inf
    assert relative_errors(expected, numpy.array([2.0, 1.0]))[0] == numpy.inf


def test_zero_is_compared_absolutely():
    options = {"rtol": 1e-7, "atol": 1e-12}
    assert difference("y", numpy.array([1e-13, 0.0]), numpy.zeros(2), **options) is None
    assert "y is wrong" in difference("y", numpy.array([1e-9, 0.0]), numpy.zeros(2), **options)


def test_whole_numbers_are_compared_exactly():
    options = {"rtol": 1e-7, "atol": 1e-12}
    right = numpy.array(36_479_194)
    assert difference("parameters", numpy.array(36_479_194.0), right, **options) is None
    assert "36479195 came back" in difference("parameters", right + 1, right, **options)
    assert "1 of 2 elements" in difference(
        "lines", numpy.array([7, 481_689_601]), numpy.array([7, 481_689_600]), **options
    )


def test_a_float32_sum_in_another_order_is_as_right():
    terms = RNG.uniform(1, 2, (50, 1000)).astype("float32")
    forward, backward = terms.sum(axis=0), terms[::-1].reshape(5, 10, 1000).sum(axis=0).sum(axis=0)
    assert (forward != backward).any()
    assert difference("y", backward, forward, rtol=1e-7, atol=1e-12) is None
    assert "y is wrong" in difference("y", backward * numpy.float32(1 + 1e-5), forward, rtol=1e-7, atol=1e-12)


def test_a_wrong_element_is_found_among_a_million():
    expected = RNG.standard_normal(1_000_000)
    actual = expected.copy()
    actual[77] *= 1 + 1e-5
    assert "worst at (77,)" in difference("y", actual, expected, rtol=1e-7, atol=1e-12)
    assert difference("y", expected * (1 + 1e-9), expected, rtol=1e-7, atol=1e-12) is None


# What `describe_exception` gives, and a word of the hint.
@pytest.mark.parametrize(
    "code, error, word",
    [
        (
            "(x,) = self.saved_tensors",
            "ValueError: not enough values to unpack (expected 1, got 0)",
            "save_for_backward",
        ),
        ("x, w = self.saved_tensors", "ValueError: too many values to unpack (expected 2, got 3)", "here not 2"),
        (
            "grad_a, grad_b = node.backward(dy)",
            "ValueError: not enough values to unpack (expected 2, got 1)",
            "for each",
        ),
        ("grad_a, grad_b = node.backward(dy)", "TypeError: cannot unpack non-iterable NoneType object", "for each"),
        ("y, mean = node.forward(x)", "ValueError: too many values to unpack (expected 2)", "forward returns 2 things"),
        ("x > 0", "TypeError: '>' not supported between instances of 'tuple' and 'int'", "(x,) ="),
        ("len(pieces)", "TypeError: object of type 'generator' has no len()", "tuple("),
        ("x.grad.numpy()", "AttributeError: 'NoneType' object has no attribute 'numpy'", "requires_grad=True"),
        ("rows[-1]", "IndexError: index -1 is out of bounds for axis 0 with size 0", "is empty"),
        ("dy * b", "TypeError: unsupported operand type(s) for *: 'float' and 'NoneType'", "needs_input_grad"),
        ("dy / b^2", "TypeError: ufunc 'bitwise_xor' not supported for the input types", "b**2"),
        ("max(x, 0)", "ValueError: The truth value of an array with more than one element is ambiguous.", "xp.maximum"),
        ("x - x.max(1)", "ValueError: operands could not be broadcast together with shapes (3,4) (3,)", "keepdims"),
        (
            "(w * x).sum()",
            "ValueError: operands could not be broadcast together with shapes (3,0) (3,2)",
            "beyond the end",
        ),
        (
            "(w * x).sum()",
            "ValueError: operands could not be broadcast together with shapes (7,2) (3,2)",
            "from the right",
        ),
        ("x - y", "ValueError: operands could not be broadcast together with shapes (3,4) (3,)", "from the right"),
        ("y[0] = x", "ValueError: could not broadcast input array from shape (2,3) into shape (3,2)", "axis by axis"),
        ("x.reshape(3, 4)", "ValueError: cannot reshape array of size 5 into shape (3,4)", "number of elements"),
        ("dy @ w.T", "ValueError: matmul: Input operand 1 has a mismatch in its core dimension 0", "inner sizes"),
        ("x.clamp(0)", "AttributeError: 'numpy.ndarray' object has no attribute 'clamp'", "calls clamp"),
        ("np.exp(x)", "NameError: name 'np' is not defined", "np is not known here"),
        ("range(h / 2)", "TypeError: 'float' object cannot be interpreted as an integer", "//"),
        ("visit(node)", "RecursionError: maximum recursion depth exceeded", "a loop"),
        (
            "x += y",
            "RuntimeError: add_(): a leaf Variable that requires grad is being used in an in-place",
            "x = x + y",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero", None),
    ],
)
def test_the_hint_beside_an_exception(code, error, word):
    text = f"minidl/ops/linear.py:12, in backward\n    {code}\n{error}"
    hint = hint_for(text)
    assert hint is None if word is None else word in hint
    found = made(lambda x: {"y": x}).judge(Outcome(error=text), {"x": X}, {"y": X})
    assert found.message.endswith(error if word is None else f"\n  hint: {hint}")


def test_a_single_number_has_no_ratio_that_means_something():
    def number(value):
        return result(lambda x: {"y": value}, lambda x: {"y": 2.0}).message

    assert "the sign is wrong" in number(-2.0)
    assert "hint" not in number(-0.247)  # the sign differs, and so does everything else


def test_one_axis_too_many_is_no_broadcast():
    message = result(lambda x: {"y": 2 * x[:1, 0]}, lambda x: {"y": 2 * x[0, 0]}).message
    assert "a reshape is missing" in message and "sum over" not in message


def test_a_mask_in_place_of_numbers():
    assert "True and False came back" in result(lambda x: {"y": x > 0}).message


def test_an_image_that_is_one_short():
    right = RNG.standard_normal((2, 3, 5, 4))
    message = result(lambda x: {"y": right[..., 1:, 1:]}, lambda x: {"y": right}).message
    assert "one less in rows and columns" in message


def test_fractions_in_place_of_whole_numbers():
    def shape(*sizes):
        return result(lambda x: {"y": numpy.array(sizes)}, lambda x: {"y": numpy.array([96, 55, 55])}).message

    assert "/ gives a float" in shape(96, 55.0, 55.0) and "float32" not in shape(96, 55.0, 55.0)
    assert "/ gives a float" in shape(96, 54.5, 54.5)
    assert "55 is expected" in shape(96, 54, 54) and "hint" not in shape(96, 54, 54)


def test_of_many_wrong_outputs_the_first_are_told():
    def call(x, count=12, factor=1.5):
        return {f"layer {i}": factor * x for i in range(count)}

    message = result(call, lambda x: call(x, factor=2.0)).message
    assert "layer 0 is wrong" in message and "layer 7 is wrong" in message and "layer 8" not in message
    assert message.endswith("... and 4 more that are wrong")
    message = result(lambda x: call(x, 9), lambda x: call(x, 9, 2.0)).message
    assert "layer 8 is wrong" in message and "more that" not in message


# -------------------------------------------------------------------------------------------------------- the probes


def test_networks_are_filled_whatever_the_order_in_which_their_layers_were_made():
    class Net(nn.Module):
        def __init__(self, order, branch):
            super().__init__()
            layers = {"conv1": nn.Conv2d(3, 3, 1), "conv2": nn.Conv2d(3, 3, 1), "bn": nn.BatchNorm2d(3)}
            for name in order:
                setattr(self, name, layers[name])
            self.branch = branch

        def forward(self, x):
            return self.branch(self.conv2(self.bn(self.conv1(x))))

    flat = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 1))
    nested = nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), nn.Sequential(nn.Conv2d(2, 4, 1)))
    x = RNG.standard_normal((2, 3, 4, 5))
    first, second = filled(Net(("conv1", "bn", "conv2"), flat)), filled(Net(("bn", "conv2", "conv1"), nested))
    numpy.testing.assert_array_equal(seen_by(first, x)[0], seen_by(second, x)[0])
    assert (first.conv1.weight.data != first.conv2.weight.data).all()
    assert (filled(nn.Linear(4, 3), seed=1).weight.data != filled(nn.Linear(4, 3), seed=2).weight.data).all()

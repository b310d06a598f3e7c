"""diagnose: each row of the table of usual mistakes is recognised, and nothing is said where nothing is plain."""

import numpy
import pytest

from minidl.diagnosis import changed_in_place, diagnose, relative_error

rng = numpy.random.default_rng(0)
matrix = rng.standard_normal((4, 5))
square = rng.standard_normal((4, 4))
images = rng.standard_normal((3, 2, 8, 9))


def spoiled(array, key, value=7.0):
    wrong = array.copy()
    wrong[key] += value
    return wrong


@pytest.mark.parametrize(
    ("actual", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([1.0, 2.0], [-1.0, 2.0], 2.0),
        ([0.0], [0.0], 0.0),
        ([1e-12], [-1e-12], 2e-4),  # both below 1e-8: measured against that
        ([numpy.inf, numpy.nan], [numpy.inf, numpy.nan], 0.0),
        ([numpy.nan], [1.0], numpy.inf),
        ([numpy.inf], [1.0], numpy.inf),
        ([[1.0]], [1.0], numpy.inf),
        ([], [], 0.0),
    ],
)
def test_relative_error(actual, expected, error):
    assert relative_error(numpy.array(actual), numpy.array(expected)) == pytest.approx(error)


def test_nothing_is_said_about_what_is_right():
    assert diagnose(matrix, matrix) is None
    assert diagnose(matrix * (1 + 1e-7), matrix) is None
    assert diagnose(numpy.zeros((2, 3)), numpy.zeros((2, 3))) is None
    assert diagnose(numpy.zeros((0, 3)), numpy.zeros((0, 3))) is None
    assert diagnose(numpy.float64(2.0), numpy.float64(2.0)) is None


def test_nothing_is_said_where_nothing_is_plain():
    assert diagnose(rng.standard_normal((4, 5)), matrix) is None
    assert diagnose(rng.standard_normal((3, 2, 8, 9)), images) is None
    assert diagnose(numpy.array(3.0), numpy.array(1.7)) is None  # one number: every ratio is constant
    assert diagnose(matrix, matrix * numpy.inf) is None


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (-1, "analytical = -1 x numerical everywhere: the sign is wrong"),
        (2, "analytical = 2 x numerical everywhere: counted twice"),
        (0.5, "analytical = 0.5 x numerical everywhere: did you average twice, or forget the 2 of a square?"),
        (-2, "the sign is wrong; counted twice"),
        (20, "20 is the number of elements: a sum where a mean is meant?"),
        (1 / 20, "20 is the number of elements: a mean where a sum is meant"),
        (8, "8 is the batch size: a sum where a mean is meant?"),
        (-1 / 8, "the sign is wrong; 8 is the batch size: a mean where a sum is meant"),
        (1.001, "analytical = 1.001 x numerical everywhere: a factor is missing"),
    ],
)
def test_constant_ratio(ratio, words):
    assert words in diagnose(ratio * matrix, matrix, sizes={"the batch size": 8})


def test_a_number_that_is_several_sizes_is_named_once():
    hint = diagnose(square / 4, square, sizes={"the batch size": 4, "the number of classes": 4, "nothing": 1})
    assert "4 is the batch size and the number of classes: a mean" in hint


def test_ratio_of_a_single_element_speaks_only_where_it_is_known():
    assert "did you average twice" in diagnose(numpy.array([1.0]), numpy.array([2.0]))


def test_names():
    assert diagnose(-matrix, matrix, names=("yours", "right")).startswith("yours = -1 x right")


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (matrix.T, matrix, "shape (5, 4), its input has shape (4, 5): right after a transpose of the last two"),
        (square.T, square, "transpose of the last two axes"),
        (images.swapaxes(2, 3), images, "transpose of the last two axes"),
        (images.transpose(1, 0, 2, 3), images, "in the order (1, 0, 2, 3)"),
        (square[:, ::-1], square, "flipped over axis -1"),
        (images[..., ::-1, ::-1], images, "flipped over axes -2, -1: convolution where correlation"),
        (images[..., ::-1, :], images, "flipped over axis -2"),
        (images[:, ::-1], images, "flipped over axis -3"),
        (matrix.reshape(-1), matrix, "a reshape is missing"),
        (matrix.T * 1.7, matrix, "which is reversed"),
        (rng.standard_normal((2, 5)), matrix, "has shape (2, 5), its input has shape (4, 5)"),
    ],
)
def test_order_of_elements(actual, expected, words):
    assert words in diagnose(actual, expected)


def test_not_summed_over_broadcast_axes():
    assert "broadcast shape: sum over axes (0,) (the sum is right)" in diagnose(matrix, matrix.sum(0))
    assert "sum over axes (1,) (the sum is right)" in diagnose(matrix, matrix.sum(1, keepdims=True))
    assert "sum over axes (0, 2, 3) (the sum is right)" in diagnose(images, images.sum((0, 2, 3))[:, None, None])
    hint = diagnose(matrix, matrix.mean(0))
    assert "sum over axes (0,)" in hint
    assert "the sum is right" not in hint


def test_padding_that_is_not_cropped():
    padded = numpy.pad(images, [(0, 0), (0, 0), (1, 1), (2, 2)], constant_values=3.0)
    assert "the middle is right: crop the padding, 1 on each side of axis 2 and 2 on each side of axis 3" in diagnose(
        padded, images
    )
    assert "crop" not in diagnose(padded[..., 1:, :], images)
    assert "larger by 1 on each side of axis 2 and 2 on each side of axis 3: is the padding cropped?" in diagnose(
        padded + 1, images
    )
    assert "crop" not in diagnose(numpy.ones((6, 5)), matrix)


def test_shifted():
    padded = numpy.zeros_like(images)
    padded[..., 1:, :] = images[..., :-1, :]
    assert "shifted by +1 along axis 2" in diagnose(padded, images)
    padded = numpy.zeros_like(images)
    padded[..., :-1, 2:] = images[..., 1:, :-2]
    assert "shifted by -1 along axis 2 and +2 along axis 3" in diagnose(padded, images)


def test_zeros():
    assert "analytical = 0 everywhere: the branch is not reached" in diagnose(0 * matrix, matrix)
    assert "does not depend on this input" in diagnose(matrix, 0 * matrix)
    assert "no gradient was returned (None)" in diagnose(None, matrix)


def test_one_sample_for_the_batch():
    per_sample = rng.standard_normal((6, 4, 5))
    total = per_sample.sum(0)
    assert "the gradient of sample 5 alone: not summed over the batch" in diagnose(
        per_sample[5], total, per_sample=per_sample
    )
    assert "not summed" not in (diagnose(matrix, total, per_sample=per_sample) or "")


def test_single_places():
    assert "only the element (1, 0, 2, 3) is wrong; the other 431" in diagnose(spoiled(images, (1, 0, 2, 3)), images)
    assert "wrong only at index 2 of axis 0" in diagnose(spoiled(matrix, 2), matrix)
    assert "wrong only at index 1 of axis 1" in diagnose(spoiled(images, (slice(None), 1)), images)
    zeroed = images.copy()
    zeroed[1] = 0
    assert "wrong only at index 1 of axis 0 (a row, a channel or a sample) (zero there)" in diagnose(zeroed, images)
    first_only = numpy.zeros_like(images)
    first_only[0] = images[0]
    assert "right only at index 0 of axis 0" in diagnose(first_only, images)


@pytest.mark.parametrize("width", [1, 2])
def test_border(width):
    wrong = images + 1
    wrong[..., width:-width, width:-width] -= 1
    assert diagnose(wrong, images).startswith(f"wrong only in a border {width} wide: the padding, or")
    assert "as wide as the padding" in diagnose(wrong, images, padding=width)
    last_row_and_column = images.copy()
    last_row_and_column[..., -1, :] = last_row_and_column[..., -1] = 0
    assert "wrong only in a border 1 wide (zero there)" in diagnose(last_row_and_column, images)


def test_stride_lattice():
    assert "wrong only at the indices 1, 3, ... of axis 3: the stride" in diagnose(
        spoiled(images, (..., slice(1, None, 2))), images
    )
    scattered = numpy.zeros_like(images)
    scattered[..., ::2, ::2] = images[..., ::2, ::2]
    hint = diagnose(scattered, images)
    assert "right only at the indices 0, 2, ... of axis 2 and 0, 2, ... of axis 3" in hint
    assert "(zero there)" in hint
    assert "0, 3, ... of axis 2" in diagnose(spoiled(images, (..., slice(0, None, 3), slice(None))), images, stride=3)


def test_changed_in_place_and_aliased():
    after = matrix.copy()
    assert changed_in_place("x", matrix, after) is None
    assert changed_in_place("x", numpy.array([numpy.nan]), numpy.array([numpy.nan])) is None
    after[0, 0] = 3
    assert changed_in_place("x", matrix, after).startswith("x was changed in place")
    assert diagnose(matrix, matrix, changed={"x": (matrix, after)}).startswith("x was changed in place")
    assert diagnose(matrix, matrix, changed={"x": (matrix, matrix.copy())}) is None
    assert "lies in the memory of the input" in diagnose(after[::2], after[::2], input=after)
    assert diagnose(after, after.copy(), input=matrix) is None


def test_dtype():
    assert "float32 came back for float64: a hidden cast" in diagnose(matrix.astype("float32"), matrix)
    assert "every analytical value is a float32 number" in diagnose(matrix.astype("float32").astype(float), matrix)
    whole = numpy.arange(6.0)
    assert diagnose(whole, whole.copy()) is None  # small integers are float32 numbers by themselves


def test_not_finite():
    wrong = matrix.copy()
    wrong[1, 3], wrong[2, 0] = numpy.nan, numpy.inf
    assert diagnose(wrong, matrix).startswith("nan and inf in 2 of 20 elements, first at (1, 3), where ")
    assert diagnose(wrong, wrong) is None


def test_two_right_rows_are_no_stride():
    """Rows 1 and 2 of four exchanged: rows 0 and 3 are right by chance, not because a stride of 3 was forgotten."""
    expected = numpy.arange(16.0).reshape(4, 4) ** 2 + 1
    assert "stride" not in (diagnose(expected[[0, 2, 1, 3]], expected) or "")
    spoiled = numpy.arange(49.0).reshape(7, 7) ** 2 + 1
    right = spoiled.copy()
    spoiled[[1, 2, 4, 5]] *= numpy.linspace(2, 3, 7)
    assert "0, 3, ... of axis 0: the stride" in diagnose(spoiled, right)


def test_another_factor_for_each_channel():
    weights = numpy.arange(1.5, 1.5 + images.shape[1])[:, None, None]
    hint = diagnose(images, images * weights)
    assert "another number for each index of axis 1 (0.6667, 0.4" in hint
    assert "another number" not in (diagnose(images, images + weights) or "")


def test_zeros_on_both_sides_are_no_place_that_is_right():
    expected, other = rng.standard_normal((2, 2, 4, 5, 6))
    expected[:, 1] = other[:, 1] = 0
    assert "right only" not in (diagnose(other, expected) or "")
    expected[:, 1] = other[:, 1] = 1
    assert "right only at index 1 of axis 1" in diagnose(other, expected)

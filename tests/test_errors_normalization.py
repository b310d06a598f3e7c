"""What the normalizations refuse, and in which words."""

import pytest

import minidl
from minidl.functional.normalization import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm


def ones(*shape, dtype=minidl.float32):
    return minidl.ones(*shape, dtype=dtype)


x, four, three = ones(2, 4, 3), ones(4), ones(3)
double = ones(4, dtype=minidl.float64)
ints = minidl.ones(2, 4, 3, dtype=minidl.int64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: batch_norm(x, None, None), RuntimeError, "running_mean and running_var must be defined"),
        (lambda: batch_norm(x, four, None), RuntimeError, "running_mean and running_var must be defined"),
        (lambda: batch_norm(x, four, None, training=True), ValueError, "both be None or neither"),
        (lambda: batch_norm(x, three, four), RuntimeError, "running_mean should contain 4 elements"),
        (lambda: batch_norm(x, four, three), RuntimeError, "running_var should contain 4 elements"),
        (lambda: batch_norm(x, four, four, three), RuntimeError, "weight should contain 4 elements"),
        (lambda: batch_norm(x, four, four, four, three), RuntimeError, "bias should contain 4 elements"),
        (lambda: batch_norm(x, four, four, ones(1, 4)), RuntimeError, "weight should contain 4 elements"),
        (lambda: batch_norm(four, None, None, training=True), IndexError, "at least 2 dimensions, got 1"),
        (lambda: batch_norm(ones(()), None, None, training=True), IndexError, "at least 2 dimensions, got 0"),
        (
            lambda: batch_norm(ones(1, 4), None, None, training=True),
            ValueError,
            r"Expected more than 1 value per channel when training, got input size \(1, 4\)",
        ),
        (lambda: batch_norm(ones(1, 4, 1, 1), None, None, training=True), ValueError, "drop_last=True"),
        (lambda: batch_norm(x, double, double), RuntimeError, "same dtype"),
        (lambda: batch_norm(x, four, four, double), RuntimeError, "same dtype"),
        (lambda: batch_norm(ints, four, four), RuntimeError, "input must be floating point"),
        (lambda: batch_norm(x, four, four, training=True, momentum=None), TypeError, "momentum must be a number"),
        (lambda: batch_norm(x, four, four, eps=-1.0), ValueError, "eps must be non-negative"),
        (lambda: batch_norm([1.0], four, four), TypeError, "'input' must be Tensor, not list"),
        (lambda: batch_norm(x, 0.0, four), TypeError, "'running_mean' must be Tensor, not float"),
        (lambda: instance_norm(x, use_input_stats=False), RuntimeError, "running_mean and running_var"),
        (lambda: instance_norm(x, four), ValueError, "both be None or neither"),
        (lambda: instance_norm(x, three, three), RuntimeError, "running_mean should contain 4 elements"),
        (lambda: instance_norm(x, None, None, three), RuntimeError, "weight should contain 4 elements"),
        (lambda: instance_norm(ones(2, 4, 1)), ValueError, "Expected more than 1 spatial element when training"),
        (lambda: instance_norm(ones(2, 4)), ValueError, "Expected more than 1 spatial element when training"),
        (lambda: instance_norm(ints), RuntimeError, "input must be floating point"),
        (
            lambda: layer_norm(x, 3),
            TypeError,
            r"'normalized_shape' must be tuple of ints, not int.*\n.*help: write \(3,\)",
        ),
        (lambda: layer_norm(x, (3.0,)), TypeError, "sizes must be ints"),
        (lambda: layer_norm(x, (4,)), RuntimeError, r"expected input with shape \[\*, 4\], but got .*\[2, 4, 3\]"),
        (lambda: layer_norm(x, (1, 2, 4, 3)), RuntimeError, r"expected input with shape \[\*, 1, 2, 4, 3\]"),
        (lambda: layer_norm(x, ()), RuntimeError, "at least 1-dimensional"),
        (lambda: layer_norm(x, (3,), four), RuntimeError, "Expected weight to be of same shape as normalized_shape"),
        (lambda: layer_norm(x, (3,), three, ones(1, 3)), RuntimeError, "Expected bias to be of same shape"),
        (lambda: layer_norm(ones(2, 4), (4,), double), RuntimeError, "same dtype"),
        (lambda: layer_norm(ints, (3,)), RuntimeError, "input must be floating point"),
        (lambda: group_norm(x, 3), RuntimeError, "divisible by num_groups, but got 4 channels and num_groups=3"),
        (lambda: group_norm(x, 0), RuntimeError, "num_groups must be at least 1, got 0"),
        (lambda: group_norm(x, -2), RuntimeError, "num_groups must be at least 1, got -2"),
        (lambda: group_norm(x, 2.0), TypeError, "num_groups must be an int, got 2.0"),
        (lambda: group_norm(x, 2, three), RuntimeError, "weight should contain 4 elements"),
        (lambda: group_norm(x, 2, None, three), RuntimeError, "bias should contain 4 elements"),
        (lambda: group_norm(four, 2), RuntimeError, "Expected at least 2 dimensions for input tensor but received 1"),
        (lambda: group_norm(ones(1, 4), 4), ValueError, "Expected more than 1 value per channel"),
        (lambda: group_norm(x, 2, double), RuntimeError, "same dtype"),
        (lambda: group_norm(ints, 2), RuntimeError, "input must be floating point"),
        (lambda: local_response_norm(ones(2, 3), 5), ValueError, "Expected 3D or higher dimensionality"),
        (lambda: local_response_norm(x, 0), RuntimeError, "size must be at least 1, got 0"),
        (lambda: local_response_norm(x, 2.0), TypeError, "size must be an int, got 2.0"),
        (lambda: local_response_norm(ints, 3), RuntimeError, "input must be floating point"),
        (lambda: local_response_norm(1.0, 3), TypeError, "'input' must be Tensor, not float"),
    ],
)
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_refused_call_leaves_the_running_statistics_alone():
    mean, var = minidl.zeros(4), minidl.ones(4)
    with pytest.raises(ValueError, match="more than 1 value"):
        batch_norm(ones(1, 4), mean, var, training=True)
    with pytest.raises(TypeError, match="momentum"):
        batch_norm(x, mean, var, training=True, momentum=None)
    assert mean.tolist() == [0.0] * 4
    assert var.tolist() == [1.0] * 4

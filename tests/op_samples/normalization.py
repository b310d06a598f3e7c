"""Normalization: naive loops, examples by hand, samples."""

import math

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, normal, positive

rng = numpy.random.default_rng(9)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    y = numpy.empty_like(input)
    for n, c, *rest in numpy.ndindex(input.shape):
        total = 0.0
        for j in range(c - size // 2, c - size // 2 + size):
            if 0 <= j < input.shape[1]:
                total += input[(n, j, *rest)] ** 2
        y[(n, c, *rest)] = input[(n, c, *rest)] / (k + alpha * total / size) ** beta
    return y


def by_sets(x, set_of, eps):
    """Each element less the mean of its set, over the root of the set's variance: set_of(index) names the set."""
    members = {}
    for index in numpy.ndindex(x.shape):
        members.setdefault(set_of(index), []).append(x[index])
    y = numpy.empty_like(x)
    for index in numpy.ndindex(x.shape):
        values = members[set_of(index)]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        y[index] = (x[index] - mean) / math.sqrt(variance + eps)
    return y


def with_channel_parameters(y, weight, bias):
    for index in numpy.ndindex(y.shape):
        if weight is not None:
            y[index] *= weight[index[1]]
        if bias is not None:
            y[index] += bias[index[1]]
    return y


def batch_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    if training:
        y = by_sets(input, lambda index: index[1], eps)
    else:
        y = numpy.empty_like(input)
        for index in numpy.ndindex(input.shape):
            c = index[1]
            y[index] = (input[index] - running_mean[c]) / math.sqrt(running_var[c] + eps)
    return with_channel_parameters(y, weight, bias)


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    return with_channel_parameters(by_sets(input, lambda index: index[:2], eps), weight, bias)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    channels = input.shape[1] // num_groups
    y = by_sets(input, lambda index: (index[0], index[1] // channels), eps)
    return with_channel_parameters(y, weight, bias)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    first = input.ndim - len(normalized_shape)
    y = by_sets(input, lambda index: index[:first], eps)
    for index in numpy.ndindex(y.shape):
        if weight is not None:
            y[index] *= weight[index[first:]]
        if bias is not None:
            y[index] += bias[index[first:]]
    return y


two_by_two = numpy.array([[1.0, 10.0], [3.0, 14.0]])  # columns: mean 2, variance 1; mean 12, variance 4
signal = numpy.array([[[1.0, 3.0], [10.0, 14.0]]])  # (1, 2, 2), with the same two sets

HAND_COMPUTED = [
    # size 2: the channel in front and the channel itself; alpha / size = 1
    HandComputed(
        local_response_norm,
        (numpy.array([1.0, 2.0, 3.0]).reshape(1, 3, 1),),
        {"size": 2, "alpha": 2.0, "beta": 1.0, "k": 1.0},
        numpy.array([1 / 2, 2 / 6, 3 / 14]).reshape(1, 3, 1),
    ),
    # size 3: 1 + 1 + 4, 1 + 1 + 4 + 9, 1 + 4 + 9, to the power of 1/2
    HandComputed(
        local_response_norm,
        (numpy.array([1.0, 2.0, 3.0]).reshape(1, 3, 1),),
        {"size": 3, "alpha": 3.0, "beta": 0.5, "k": 1.0},
        numpy.array([1 / math.sqrt(6), 2 / math.sqrt(15), 3 / math.sqrt(14)]).reshape(1, 3, 1),
    ),
    HandComputed(batch_norm, (two_by_two,), {"training": True, "eps": 0.0}, numpy.array([[-1.0, -1.0], [1.0, 1.0]])),
    HandComputed(
        batch_norm,
        (two_by_two,),
        {"training": True, "eps": 3.0, "weight": numpy.array([4.0, 1.0]), "bias": numpy.array([0.5, 0.0])},
        numpy.array([[-1.5, -2 / math.sqrt(7)], [2.5, 2 / math.sqrt(7)]]),
    ),
    HandComputed(
        batch_norm,
        (two_by_two,),
        {"running_mean": numpy.array([1.0, 10.0]), "running_var": numpy.array([3.0, 15.0]), "eps": 1.0},
        numpy.array([[0.0, 0.0], [1.0, 1.0]]),
    ),
    HandComputed(instance_norm, (signal,), {"eps": 0.0}, numpy.array([[[-1.0, 1.0], [-1.0, 1.0]]])),
    HandComputed(
        group_norm,
        (numpy.array([[1.0, 3.0, 10.0, 14.0]]), 2),
        {"weight": numpy.array([1.0, 2.0, 3.0, 4.0]), "bias": numpy.array([0.0, 0.0, 0.0, 5.0]), "eps": 0.0},
        numpy.array([[-1.0, 2.0, -3.0, 9.0]]),
    ),
    HandComputed(
        layer_norm,
        (two_by_two.T, (2,)),
        {"weight": numpy.array([2.0, 3.0]), "bias": numpy.array([0.0, 1.0]), "eps": 0.0},
        numpy.array([[-2.0, 4.0], [-2.0, 4.0]]),
    ),
    HandComputed(
        layer_norm, (numpy.array([[1.0, 1.0], [3.0, 3.0]]), (2, 2)), {"eps": 3.0}, numpy.array([[-0.5] * 2, [0.5] * 2])
    ),
]

LOUD = {"alpha": 1.0, "beta": 0.6, "k": 0.5}

SAMPLES = [
    OpSample(
        ops.LocalResponseNorm,
        "nn.functional.local_response_norm",
        (normal(rng, *shape),),
        {"size": size, **options},
        local_response_norm,
        name,
    )
    for name, shape, size, options in (
        ("loud", (2, 7, 2, 3), 5, LOUD),
        ("defaults", (2, 6, 1, 2), 5, {}),
        ("alexnet", (1, 7, 2, 1), 5, {"alpha": 5e-4, "beta": 0.75, "k": 2.0}),
        ("even", (2, 6, 2, 1), 4, LOUD),
        ("pair", (2, 5, 2), 2, LOUD),
        ("one_channel_wide", (2, 3, 2), 1, LOUD),
        ("wider_than_channels", (2, 3, 2, 2), 9, LOUD),
        ("volume", (1, 4, 2, 1, 3), 3, LOUD),
    )
]

BATCH_SHAPES = {"matrix": (5, 3), "signal": (3, 2, 4), "image": (2, 3, 2, 3), "volume": (2, 2, 1, 3, 2)}


def channel_parameters(shape):
    return {"weight": normal(rng, shape[1]), "bias": normal(rng, shape[1])}


def running_statistics(shape):
    return {"running_mean": normal(rng, shape[1]), "running_var": positive(rng, shape[1])}


for name, shape in BATCH_SHAPES.items():
    x = {"input": 3 + 2 * normal(rng, *shape)}
    none = {"running_mean": None, "running_var": None}
    norm = "nn.functional.batch_norm"
    SAMPLES += [
        OpSample(
            ops.BatchNorm,
            norm,
            x | channel_parameters(shape),
            none | {"training": True, "eps": 0.3},
            batch_norm,
            f"training_{name}",
        ),
        OpSample(
            ops.BatchNorm,
            norm,
            x | channel_parameters(shape),
            running_statistics(shape) | {"training": False, "eps": 0.3},
            batch_norm,
            f"evaluation_{name}",
        ),
    ]

image = (2, 4, 2, 3)
SAMPLES += [
    OpSample(
        ops.BatchNorm,
        "nn.functional.batch_norm",
        {"input": normal(rng, *image)},
        running_statistics(image) | {"training": True},
        batch_norm,
        "training_running_no_parameters",
    ),
    OpSample(
        ops.BatchNorm,
        "nn.functional.batch_norm",
        {"input": normal(rng, *image)},
        running_statistics(image),
        batch_norm,
        "evaluation_no_parameters",
    ),
    OpSample(
        ops.BatchNorm,
        "nn.functional.batch_norm",
        {"input": normal(rng, *image), "weight": normal(rng, 4)},
        running_statistics(image) | {"training": True},
        batch_norm,
        "training_no_bias",
    ),
    OpSample(
        ops.GroupNorm,
        "nn.functional.group_norm",
        {"input": normal(rng, *image), "weight": normal(rng, 4)},
        {"num_groups": 2},
        group_norm,
        "no_bias",
    ),
    OpSample(
        ops.GroupNorm,
        "nn.functional.group_norm",
        {"input": normal(rng, *image)},
        {"num_groups": 2, "eps": 0.3},
        group_norm,
        "no_parameters",
    ),
    *(
        OpSample(
            ops.GroupNorm,
            "nn.functional.group_norm",
            {"input": 3 + 2 * normal(rng, *shape)} | channel_parameters(shape),
            {"num_groups": num_groups, "eps": 0.3},
            group_norm,
            name,
        )
        for name, shape, num_groups in (
            ("image", (2, 6, 2, 1), 2),
            ("thirds", (2, 6, 1, 2), 3),
            ("one_group", (2, 3, 2, 2), 1),
            ("each_channel", (2, 3, 2, 2), 3),
            ("matrix", (3, 6), 2),
            ("volume", (1, 4, 2, 1, 3), 2),
        )
    ),
    OpSample(
        ops.GroupNorm,
        "nn.functional.instance_norm",
        {"input": 3 + 2 * normal(rng, *image)} | channel_parameters(image),
        {"eps": 0.3},
        instance_norm,
        "image",
    ),
    OpSample(
        ops.GroupNorm,
        "nn.functional.instance_norm",
        {"input": normal(rng, 2, 3, 5)},
        {},
        instance_norm,
        "signal_no_parameters",
    ),
    OpSample(
        ops.BatchNorm,
        "nn.functional.instance_norm",
        {"input": normal(rng, 1, 4, 5)} | channel_parameters(image),  # N = 2: tests/test_normalization.py
        running_statistics(image) | {"eps": 0.3},
        instance_norm,
        "running",
    ),
    OpSample(
        ops.BatchNorm,
        "nn.functional.instance_norm",
        {"input": normal(rng, *image)} | channel_parameters(image),
        running_statistics(image) | {"use_input_stats": False, "eps": 0.3},
        instance_norm,
        "evaluation",
    ),
    *(
        OpSample(
            ops.LayerNorm,
            "nn.functional.layer_norm",
            {
                "input": 3 + 2 * normal(rng, *before, *normalized),
                "weight": normal(rng, *normalized),
                "bias": normal(rng, *normalized),
            },
            {"normalized_shape": normalized, "eps": 0.3},
            layer_norm,
            name,
        )
        for name, before, normalized in (
            ("matrix", (3,), (5,)),
            ("sequence", (2, 3), (4,)),
            ("image", (2,), (3, 2, 2)),
            ("two_dims", (2, 3), (2, 3)),
            ("vector", (), (5,)),
        )
    ),
    OpSample(
        ops.LayerNorm,
        "nn.functional.layer_norm",
        {"input": normal(rng, 2, 5)},
        {"normalized_shape": (5,)},
        layer_norm,
        "no_parameters",
    ),
    OpSample(
        ops.LayerNorm,
        "nn.functional.layer_norm",
        {"input": normal(rng, 2, 5), "bias": normal(rng, 5)},
        {"normalized_shape": (5,)},
        layer_norm,
        "no_weight",
    ),
]

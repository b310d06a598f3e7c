"""Matrix products: naive loops, examples by hand, samples."""

import numpy

from minidl import ops
from tests.op_samples.arithmetic import element
from tests.op_samples.sample import HandComputed, OpSample, normal

rng = numpy.random.default_rng(6)


def matmul(a, b):
    left = a.reshape(1, -1) if a.ndim == 1 else a
    right = b.reshape(-1, 1) if b.ndim == 1 else b
    batch = numpy.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    y = numpy.zeros(batch + (left.shape[-2], right.shape[-1]))
    for *before, i, j in numpy.ndindex(y.shape):
        for k in range(left.shape[-1]):
            y[(*before, i, j)] += element(left, (*before, i, k)) * element(right, (*before, k, j))
    rows = batch if a.ndim == 1 else batch + (left.shape[-2],)
    return y.reshape(rows if b.ndim == 1 else rows + (right.shape[-1],))


def linear(input, weight, bias=None):
    y = numpy.zeros(input.shape[:-1] + (weight.shape[0],))
    for *before, f in numpy.ndindex(y.shape):
        for k in range(weight.shape[1]):
            y[(*before, f)] += input[(*before, k)] * weight[f, k]
        if bias is not None:
            y[(*before, f)] += bias[f]
    return y


HAND_COMPUTED = [
    HandComputed(
        matmul,
        (numpy.array([[1.0, 2.0], [3.0, 4.0]]), numpy.array([[5.0, 6.0, 0.0], [7.0, 8.0, 1.0]])),
        {},
        numpy.array([[19.0, 22.0, 2.0], [43.0, 50.0, 4.0]]),
    ),
    HandComputed(matmul, (numpy.array([1.0, 2.0]), numpy.array([3.0, 4.0])), {}, numpy.array(11.0)),
    HandComputed(
        matmul, (numpy.array([[1.0, 2.0], [0.0, 1.0]]), numpy.array([3.0, 4.0])), {}, numpy.array([11.0, 4.0])
    ),
    HandComputed(
        matmul,
        (numpy.array([1.0, 2.0]), numpy.array([[[1.0], [1.0]], [[3.0], [4.0]]])),
        {},
        numpy.array([[3.0], [11.0]]),
    ),
    HandComputed(
        linear,
        (numpy.array([[1.0, 2.0]]), numpy.array([[3.0, 4.0], [5.0, 6.0], [0.0, 1.0]]), numpy.array([0.5, 0.0, -1.0])),
        {},
        numpy.array([[11.5, 17.0, 1.0]]),
    ),
    HandComputed(linear, (numpy.array([1.0, 2.0]), numpy.array([[3.0, 4.0]])), {}, numpy.array([11.0])),
]

SHAPES = {
    "matrices": ((2, 3), (3, 4)),
    "vectors": ((3,), (3,)),
    "matrix_vector": ((2, 3), (3,)),
    "vector_matrix": ((3,), (3, 4)),
    "batch": ((2, 3, 4), (2, 4, 5)),
    "batch_matrix": ((2, 3, 4), (4, 2)),
    "matrix_batch": ((3, 4), (2, 4, 2)),
    "batch_vector": ((2, 3, 4), (4,)),
    "vector_batch": ((4,), (2, 4, 3)),
    "broadcast_left": ((1, 2, 3), (4, 3, 2)),
    "broadcast_both": ((3, 1, 2, 3), (2, 3, 1)),
    "inner_product": ((1, 3), (3, 1)),
}

SAMPLES = [
    *(
        OpSample(ops.MatMul, "matmul", (normal(rng, *a), normal(rng, *b)), naive=matmul, name=name)
        for name, (a, b) in SHAPES.items()
    ),
    OpSample(ops.MatMul, "Tensor.__matmul__", (normal(rng, 2, 3), normal(rng, 3, 4)), naive=matmul),
    OpSample(ops.MatMul, "mm", (normal(rng, 2, 3), normal(rng, 3, 4)), naive=matmul),
    OpSample(ops.MatMul, "bmm", (normal(rng, 2, 1, 3), normal(rng, 2, 3, 4)), naive=matmul),
    OpSample(
        ops.MatMul, "nn.functional.linear", (normal(rng, 2, 3), normal(rng, 3)), naive=matmul, name="vector_weight"
    ),
    *(
        OpSample(
            ops.Linear,
            "nn.functional.linear",
            (normal(rng, *x), normal(rng, 4, 3), normal(rng, 4)),
            naive=linear,
            name=name,
        )
        for name, x in {"batch": (5, 3), "vector": (3,), "sequence": (2, 4, 3), "images": (2, 1, 2, 3)}.items()
    ),
    OpSample(ops.Linear, "nn.functional.linear", (normal(rng, 2, 3), normal(rng, 4, 3)), naive=linear, name="no_bias"),
    OpSample(
        ops.Linear,
        "nn.functional.linear",
        (normal(rng, 2, 3), normal(rng, 1, 3), normal(rng, 1)),
        naive=linear,
        name="one_feature",
    ),
]

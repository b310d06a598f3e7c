"""Shapes, indices, joining, splitting, padding: naive loops, examples by hand, samples."""

import numpy

from minidl import ops
from tests.op_samples.sample import HandComputed, OpSample, normal

rng = numpy.random.default_rng(12)


def reshape(x, shape):
    y = numpy.zeros(x.size)
    for place, index in enumerate(numpy.ndindex(x.shape)):
        y[place] = x[index]
    return y.reshape(shape)


def flatten(x, start_dim=0, end_dim=-1):
    shape, middle = [], 1
    for dim, size in enumerate(x.shape):
        if start_dim <= dim <= end_dim % x.ndim:
            middle *= size
            if dim == end_dim % x.ndim:
                shape.append(middle)
        else:
            shape.append(size)
    return reshape(x, shape)


def squeeze(x, dim):
    return reshape(x, [size for d, size in enumerate(x.shape) if d != dim])


def unsqueeze(x, dim):
    shape = list(x.shape)
    shape.insert(dim, 1)
    return reshape(x, shape)


def permute(x, dims):
    y = numpy.zeros([x.shape[d] for d in dims])
    for index in numpy.ndindex(y.shape):
        source = [0] * x.ndim
        for position, d in enumerate(dims):
            source[d] = index[position]
        y[index] = x[tuple(source)]
    return y


def transpose(x, dim0, dim1):
    dims = list(range(x.ndim))
    dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return permute(x, dims)


def expand(x, size):
    y = numpy.zeros(size)
    for index in numpy.ndindex(y.shape):
        y[index] = x[tuple(0 if n == 1 else i for i, n in zip(index[y.ndim - x.ndim :], x.shape, strict=True))]
    return y


def repeat(x, repeats):
    shape = (1,) * (len(repeats) - x.ndim) + x.shape
    y = numpy.zeros([n * size for n, size in zip(repeats, shape, strict=True)])
    for index in numpy.ndindex(y.shape):
        y[index] = x.reshape(shape)[tuple(i % size for i, size in zip(index, shape, strict=True))]
    return y


def getitem(x, key):
    """One part of the key after the other; from arrays of indices one element at a time."""
    if not key:
        return x
    part, rest = key[0], key[1:]
    if isinstance(part, int):
        return getitem(x[part], rest)
    if part is None:
        return numpy.stack([getitem(x, rest)])
    if part is Ellipsis:
        return getitem(x, (slice(None),) * (x.ndim - sum(r is not None for r in rest)) + rest)
    if isinstance(part, slice):
        return numpy.stack([getitem(x[i], rest) for i in range(*part.indices(len(x)))])
    if part.dtype == bool:
        places = [index for index in numpy.ndindex(part.shape) if part[index]]
        return numpy.stack([getitem(x, index + rest) for index in places])
    if not part.ndim:
        return getitem(x, (int(part), *rest))
    chosen = []
    for k in range(len(part)):
        together = tuple(r[k] if isinstance(r, numpy.ndarray) else r for r in rest)
        chosen.append(getitem(x, (numpy.asarray(part[k]), *map(numpy_int, together))))
    return numpy.stack(chosen)


def numpy_int(part):
    return int(part) if isinstance(part, numpy.integer) else part


def index_put(x, indices, values):
    y = x.copy()
    places = getitem(numpy.arange(x.size).reshape(x.shape), tuple(indices))
    for index in numpy.ndindex(places.shape):
        y.flat[places[index]] = numpy.broadcast_to(values, places.shape)[index]
    return y


def cat(tensors, dim=0):
    shape = list(tensors[0].shape)
    shape[dim] = sum(x.shape[dim] for x in tensors)
    y, start = numpy.zeros(shape), 0
    for x in tensors:
        for index in numpy.ndindex(x.shape):
            place = list(index)
            place[dim] += start
            y[tuple(place)] = x[index]
        start += x.shape[dim]
    return y


def stack(tensors, dim=0):
    dim %= tensors[0].ndim + 1
    shape = list(tensors[0].shape)
    shape.insert(dim, len(tensors))
    y = numpy.zeros(shape)
    for i, x in enumerate(tensors):
        for index in numpy.ndindex(x.shape):
            y[index[:dim] + (i,) + index[dim:]] = x[index]
    return y


def split(x, sizes, dim=0):
    if isinstance(sizes, int):
        sizes = [min(sizes, x.shape[dim] - start) for start in range(0, x.shape[dim], sizes)]
    pieces, start = [], 0
    for size in sizes:
        piece = numpy.zeros(x.shape[:dim] + (size,) + x.shape[dim + 1 :])
        for index in numpy.ndindex(piece.shape):
            piece[index] = x[index[:dim] + (start + index[dim],) + index[dim + 1 :]]
        pieces.append(piece)
        start += size
    return tuple(pieces)


def chunk(x, chunks, dim=0):
    size = 1
    while size * chunks < x.shape[dim]:
        size += 1
    return split(x, size, dim)


def pad(x, pad, mode="constant", value=None):
    widths = [(0, 0)] * x.ndim
    for i in range(len(pad) // 2):
        widths[x.ndim - 1 - i] = (pad[2 * i], pad[2 * i + 1])
    y = numpy.zeros([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    for index in numpy.ndindex(y.shape):
        source = [walk(i - widths[d][0], x.shape[d], mode) for d, i in enumerate(index)]
        y[index] = (value or 0) if None in source else x[tuple(source)]
    return y


def walk(i, n, mode):
    """The place in 0..n-1 that place i is a copy of."""
    while not 0 <= i < n:
        if mode == "constant":
            return None
        if mode == "reflect":
            i = -i if i < 0 else 2 * (n - 1) - i
        elif mode == "replicate":
            i += 1 if i < 0 else -1
        else:
            i += n if i < 0 else -n
    return i


def a(*values):
    return numpy.array(values)


M = a([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
V = a(1.0, 2.0, 3.0)

HAND_COMPUTED = [
    HandComputed(reshape, (M, (3, 2)), {}, a([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])),
    HandComputed(flatten, (M,), {}, a(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)),
    HandComputed(squeeze, (a([1.0, 2.0]),), {"dim": 0}, a(1.0, 2.0)),
    HandComputed(unsqueeze, (a(1.0, 2.0),), {"dim": 1}, a([1.0], [2.0])),
    HandComputed(permute, (M, (1, 0)), {}, a([1.0, 4.0], [2.0, 5.0], [3.0, 6.0])),
    HandComputed(transpose, (M, 0, 1), {}, a([1.0, 4.0], [2.0, 5.0], [3.0, 6.0])),
    HandComputed(expand, (a([1.0], [2.0]), (2, 3)), {}, a([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])),
    HandComputed(repeat, (a(1.0, 2.0), (2, 2)), {}, a([1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0])),
    HandComputed(getitem, (M, (1, slice(0, 2))), {}, a(4.0, 5.0)),
    HandComputed(getitem, (M, (Ellipsis, None, 0)), {}, a([1.0], [4.0])),
    HandComputed(getitem, (M, (a(1, 0, 1), a(0, 2, 2))), {}, a(4.0, 3.0, 6.0)),
    HandComputed(getitem, (M, (M > 2.5,)), {}, a(3.0, 4.0, 5.0, 6.0)),
    HandComputed(index_put, (M, (a(1, 0), a(0, 2)), a(7.0, 8.0)), {}, a([1.0, 2.0, 8.0], [7.0, 5.0, 6.0])),
    HandComputed(cat, ([V, a(4.0)],), {}, a(1.0, 2.0, 3.0, 4.0)),
    HandComputed(stack, ([V, V + 3],), {"dim": 1}, a([1.0, 4.0], [2.0, 5.0], [3.0, 6.0])),
    HandComputed(split, (V, 2), {}, (a(1.0, 2.0), a(3.0))),
    HandComputed(chunk, (V, 2), {}, (a(1.0, 2.0), a(3.0))),
    HandComputed(pad, (V, (1, 2)), {"value": 9.0}, a(9.0, 1.0, 2.0, 3.0, 9.0, 9.0)),
    HandComputed(pad, (V, (-1, 1)), {}, a(2.0, 3.0, 0.0)),
    HandComputed(pad, (V, (2, 1), "reflect"), {}, a(3.0, 2.0, 1.0, 2.0, 3.0, 2.0)),
    HandComputed(pad, (V, (2, 1), "replicate"), {}, a(1.0, 1.0, 1.0, 2.0, 3.0, 3.0)),
    HandComputed(pad, (V, (2, 1), "circular"), {}, a(2.0, 3.0, 1.0, 2.0, 3.0, 1.0)),
]


def x(*shape):
    return normal(rng, *shape)


Y = x(3, 4, 2)
F_PAD = "nn.functional.pad"

SAMPLES = [
    OpSample(ops.Reshape, "reshape", (x(2, 3, 4), (4, -1)), naive=reshape),
    OpSample(ops.Reshape, "Tensor.view", (x(2, 6), (3, 1, 4)), naive=reshape),
    OpSample(ops.Reshape, "flatten", (x(2, 3, 4),), naive=flatten),
    OpSample(ops.Reshape, "flatten", (x(2, 3, 2, 2),), {"start_dim": 1, "end_dim": 2}, flatten, "middle"),
    OpSample(ops.Reshape, "squeeze", (x(2, 1, 3),), {"dim": 1}, squeeze),
    OpSample(ops.Reshape, "unsqueeze", (x(2, 3),), {"dim": 1}, unsqueeze),
    OpSample(ops.Permute, "permute", (x(2, 3, 4), (2, 0, 1)), naive=permute),
    OpSample(ops.Permute, "transpose", (x(2, 3, 4), 0, 2), naive=transpose),
    OpSample(ops.Expand, "Tensor.expand", (x(3, 1), (3, 4)), naive=expand),
    OpSample(ops.Expand, "Tensor.expand", (x(3, 1, 2), (2, 3, 4, 2)), naive=expand, name="in front"),
    OpSample(ops.Repeat, "Tensor.repeat", (x(2, 3), (3, 2)), naive=repeat),
    OpSample(ops.Repeat, "Tensor.repeat", (x(2, 3), (2, 1, 2)), naive=repeat, name="in front"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (1,)), naive=getitem, name="int"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (slice(None), slice(1, 4, 2))), naive=getitem, name="slice"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (None, Ellipsis, 1)), naive=getitem, name="new dimension"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (1, 2, 0)), naive=getitem, name="one element"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (a(0, 2, 2),)), naive=getitem, name="repeated rows"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (a([0, 2], [2, 2]),)), naive=getitem, name="table of rows"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (a(0, 2, 0), a(-1, 1, 3))), naive=getitem, name="repeated places"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (0, slice(None), a(1, 1, 0))), naive=getitem, name="int and array"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (Ellipsis, a(1, 1, 0))), naive=getitem, name="last dimension"),
    OpSample(
        ops.GetItem,
        "Tensor.__getitem__",
        (Y, (slice(None), a(1, 3, 0), Ellipsis, a(0, 1, 1))),
        naive=getitem,
        name="empty ellipsis",
    ),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (Y > 0,)), naive=getitem, name="mask"),
    OpSample(ops.GetItem, "Tensor.__getitem__", (Y, (a(True, False, True), 1)), naive=getitem, name="mask of rows"),
    OpSample(ops.SetItem, "index_put", (x(3, 4), (a(2, 0),), x(2, 4)), naive=index_put),
    OpSample(ops.SetItem, "index_put", (x(3, 4), (a(2, 0), a(1, 3)), x(2)), naive=index_put, name="places"),
    OpSample(ops.SetItem, "index_put", (Y, (Y > 0,), x()), naive=index_put, name="mask"),
    OpSample(ops.SetItem, "index_put", (Y, (a(2, 0),), x(4, 1)), naive=index_put, name="broadcast"),
    OpSample(ops.Cat, "cat", ([x(2, 3), x(1, 3), x(3, 3)],), naive=cat),
    OpSample(ops.Cat, "cat", ((x(2, 3, 2), x(2, 1, 2)),), {"dim": -2}, cat, "middle"),
    OpSample(ops.Stack, "stack", ([x(2, 3), x(2, 3)],), naive=stack),
    OpSample(ops.Stack, "stack", ((x(2, 3), x(2, 3), x(2, 3)),), {"dim": -1}, stack, "last"),
    OpSample(ops.Split, "split", (x(5, 3), 2), naive=split),
    OpSample(ops.Split, "split", (x(2, 6), (1, 3, 2)), {"dim": 1}, split, "sizes"),
    OpSample(ops.Split, "chunk", (x(5, 3), 3), naive=chunk),
    OpSample(ops.Split, "Tensor.chunk", (x(2, 4), 2), {"dim": 1}, chunk, "method"),
    OpSample(ops.Pad, F_PAD, (x(2, 3, 4), (1, 2)), naive=pad),
    OpSample(ops.Pad, F_PAD, (x(2, 3, 4), (1, 0, 0, 2)), {"value": -1.5}, pad, "value"),
    OpSample(ops.Pad, F_PAD, (x(2, 4, 5), (-1, 2, 1, -2)), naive=pad, name="cut off"),
    OpSample(ops.Pad, F_PAD, (x(2, 3, 4), (2, 3)), {"mode": "reflect"}, pad, "reflect"),
    OpSample(ops.Pad, F_PAD, (x(1, 2, 3, 4), (3, 1, 1, 2)), {"mode": "reflect"}, pad, "reflect images"),
    OpSample(ops.Pad, F_PAD, (x(1, 2, 3, 4), (5, 1, 1, 2)), {"mode": "replicate"}, pad, "replicate"),
    OpSample(ops.Pad, F_PAD, (x(1, 2, 3, 4), (-1, 2, 1, -1)), {"mode": "reflect"}, pad, "reflect and cut off"),
    OpSample(ops.Pad, F_PAD, (x(1, 2, 3, 4), (-1, 2, 1, -2)), {"mode": "replicate"}, pad, "replicate and cut off"),
    OpSample(ops.Pad, F_PAD, (x(1, 2, 3, 4), (4, 1, 0, 2)), {"mode": "circular"}, pad, "circular"),
]

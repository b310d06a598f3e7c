"""The same elements in another arrangement: shapes, indices, joining, splitting, padding.

Where NumPy gives a view, so do these: no element is copied, and the Tensors share memory.
"""

from __future__ import annotations

from minidl.backend import array_module, empty_like, is_array
from minidl.elementwise import over_images, sum_to_shape
from minidl.function import Function


def along(dim, index):
    """The key of `index` along dimension `dim`: x[along(1, 3)] is x[:, 3]."""
    return (slice(None),) * dim + (index,)


class Reshape(Function):
    """y = x in another shape           dx = dy in the shape of x"""

    def forward(self, x, *, shape):
        self.shape = x.shape
        return x.reshape(shape)

    def backward(self, grad_output):
        return grad_output.reshape(self.shape)


class Permute(Function):
    """Dimension i of y is dimension dims[i] of x       dx: the order reversed"""

    def forward(self, x, *, dims):
        self.dims = dims
        return x.transpose(dims)

    def backward(self, grad_output):
        return grad_output.transpose(sorted(range(len(self.dims)), key=self.dims.__getitem__))


class Expand(Function):
    """y = x broadcast to shape         dx = dy summed over the broadcast dimensions

    No copy is made: in y many elements lie at one place in memory.
    """

    def forward(self, x, *, shape):
        self.shape = x.shape
        return array_module(x).broadcast_to(x, shape)

    def backward(self, grad_output):
        return sum_to_shape(grad_output, self.shape)


class Repeat(Function):
    """y = x laid out as tiles, repeats[i] of them along dimension i    dx = sum of dy over the tiles

    repeats: at least as many as x has dimensions; x gets dimensions of size 1 in front where there are more.
    """

    def forward(self, x, *, repeats):
        self.shape, self.repeats = x.shape, repeats
        return array_module(x).tile(x, repeats)

    def backward(self, grad_output):
        padded = (1,) * (len(self.repeats) - len(self.shape)) + self.shape
        tiles = [size for both in zip(self.repeats, padded, strict=True) for size in both]
        grad_x = grad_output.reshape(tiles).sum(axis=tuple(range(0, len(tiles), 2)))  # (repeats, size, ...) -> sizes
        return grad_x.reshape(self.shape)


# ---------------------------------------------------------------------------------------------------- indices


class GetItem(Function):
    """y = x[key]                       dx = 0, plus dy at x[key]: added up where key names an element repeatedly

    key: a tuple of ints, slices, None, ... and arrays of ints or bools. Without arrays among them, y is a view.
    """

    def forward(self, x, *, key):
        self.shape = x.shape
        self.basic, advanced = two_steps(key)
        if not advanced:
            return x[self.basic]
        self.save_for_backward(*advanced)
        return x[self.basic][advanced]

    def backward(self, grad_output):
        xp = array_module(grad_output)
        grad_x = xp.zeros(self.shape, grad_output.dtype)
        part, advanced = grad_x[self.basic], self.saved_tensors
        if any(is_array(index) and index.dtype.kind != "b" for index in advanced):
            # Elements may repeat: count them by their place in memory, each with its gradient as its weight.
            places = xp.arange(part.size).reshape(part.shape)[advanced]
            sums = xp.bincount(places.ravel(), weights=grad_output.ravel(), minlength=part.size)
            part[...] = sums.reshape(part.shape)
        else:
            part[advanced or ...] = grad_output
        return grad_x


class SetItem(Function):
    """y = x, then y[key] = value       dx = dy, then dx[key] = 0;  dvalue = dy[key]

    key: as for GetItem; where it names an element repeatedly, which value stays is not defined.
    value: a number, or an array that broadcasts to x[key].
    """

    def forward(self, x, value, *, key):
        self.value_shape = value.shape if is_array(value) else None
        self.basic, advanced = two_steps(key)
        self.save_for_backward(*advanced)
        y = x.copy()
        assign(y, key, value)
        return y

    def backward(self, grad_output):
        need_x, need_value = self.needs_input_grad
        advanced = self.saved_tensors
        grad_x = grad_value = None
        if need_x:
            grad_x = array_module(grad_output).array(grad_output)
            grad_x[self.basic][advanced or ...] = 0
        if need_value:
            grad_value = grad_output[self.basic][advanced or ...]
            grad_value = sum_to_shape(grad_value, _without_ones(self.value_shape)).reshape(self.value_shape)
        return grad_x, grad_value


def assign(array, key, value):
    """array[key] = value, in place, with PyTorch's meaning of both."""
    basic, advanced = two_steps(key)
    if is_array(value):
        value = value.reshape(_without_ones(value.shape))
    array[basic][advanced or ...] = value


def _without_ones(shape):
    """`shape` without the sizes 1 in front: it broadcasts the same, and also to fewer dimensions."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape


def two_steps(key):
    """`key` as two, to be used one after the other: x[basic] is a view for ints, slices, None; then [advanced].

    key: without `...`, see minidl/indexing.py.
    `advanced` is () where nothing is left to do. This is PyTorch's meaning of an int beside an array: NumPy takes it
    for an array as well, and moves dimensions: x[0, :, [1, 2]] would be the transpose of x[0][:, [1, 2]].
    """
    basic, advanced = [], []
    for part in key:
        if isinstance(part, bool):  # a mask without dimensions
            advanced.append(part)
        elif is_array(part):
            basic += [slice(None)] * (part.ndim if part.dtype.kind == "b" else 1)
            advanced.append(part)
        else:
            basic.append(part)
            if not isinstance(part, int):
                advanced.append(slice(None))
    only_basic = not any(is_array(part) or isinstance(part, bool) for part in key)
    basic.append(Ellipsis)  # so that one element comes out as an array, a view as well
    return tuple(basic), () if only_basic else tuple(advanced)


# ---------------------------------------------------------------------------------------- joining and splitting


class Cat(Function):
    """y = the arrays one after the other along dim     dx_i = its part of dy"""

    def forward(self, *arrays, dim):
        self.dim, self.sizes = dim, [x.shape[dim] for x in arrays]
        return _concatenate(arrays, dim)

    def backward(self, grad_output):
        return tuple(_pieces(grad_output, self.sizes, self.dim))


class Stack(Function):
    """y = the arrays side by side along a new dimension dim    dx_i = the i-th slice of dy"""

    def forward(self, *arrays, dim):
        self.dim = dim
        return array_module(arrays[0]).stack(arrays, axis=dim)

    def backward(self, grad_output):
        return tuple(array_module(grad_output).moveaxis(grad_output, self.dim, 0))


class Split(Function):
    """y_i = sizes[i] slices of x along dim, one piece after the other  dx = the dy_i one after the other

    Each y_i is a view.
    """

    def forward(self, x, *, sizes, dim):
        self.dim = dim
        return tuple(_pieces(x, sizes, dim))

    def backward(self, *grad_outputs):
        return _concatenate(grad_outputs, self.dim)


def _concatenate(arrays, dim):
    """The arrays one after the other along dim; behind the first dimension, image by image on all cores."""
    xp = array_module(arrays[0])
    first = arrays[0]
    if dim == 0 or any(x.dtype != first.dtype for x in arrays):
        return xp.concatenate(arrays, axis=dim)
    y = empty_like(first, first.shape[:dim] + (sum(x.shape[dim] for x in arrays),) + first.shape[dim + 1 :])
    over_images(lambda images: xp.concatenate([x[images] for x in arrays], axis=dim, out=y[images]), y)
    return y


def _pieces(array, sizes, dim):
    start = 0
    for size in sizes:
        yield array[along(dim, slice(start, start + size))]
        start += size


# ---------------------------------------------------------------------------------------------------- padding

# Which of n slices the slice at position i is a copy of; outside 0..n-1 lies the border.
BORDERS = {
    "reflect": lambda i, n: n - 1 - abs(n - 1 - abs(i)),
    "replicate": lambda i, n: min(max(i, 0), n - 1),
    "circular": lambda i, n: i % n,
}


class Pad(Function):
    """y = x with a border              dx = the inner part of dy, plus, at its source, what was copied to the border

    pad     widths (before, after) of the last dimension, then of the one before it, and so on, as in PyTorch;
            a negative width cuts off
    mode    what the border is made of: "constant" (`value`), "reflect" (c b | a b c | b a), "replicate"
            (a a | a b c | c c), "circular" (b c | a b c | a b)
    """

    def forward(self, x, *, pad, mode, value):
        xp = array_module(x)
        self.shape, self.mode = x.shape, mode
        widths = list(zip(pad[::2], pad[1::2], strict=True))
        self.widths = [(0, 0)] * (x.ndim - len(widths)) + widths[::-1]
        if mode == "constant":
            y = xp.full([n + sum(both) for n, both in zip(x.shape, self.widths, strict=True)], value, x.dtype)
            y[self._inner(1)] = x[self._inner(-1)]
            return y
        for dim, source in self._sources():
            x = x.take(xp.asarray(source, "int64"), axis=dim)  # a list may be empty
        return x

    def backward(self, grad_output):
        if self.mode == "constant":
            grad_x = array_module(grad_output).zeros(self.shape, grad_output.dtype)
            grad_x[self._inner(-1)] = grad_output[self._inner(1)]
            return grad_x
        for dim, source in self._sources():
            grad_output = untake(grad_output, source, self.shape[dim], dim)
        return grad_output

    def _inner(self, sign):
        """The part that x and y have in common: for sign 1 as a key of y, for -1 as a key of x."""
        return tuple(slice(max(sign * before, 0), -max(sign * after, 0) or None) for before, after in self.widths)

    def _sources(self):
        """For each padded dimension: which slice of x each slice of y is."""
        for dim, (before, after) in enumerate(self.widths):
            if before or after:
                n = self.shape[dim]
                yield dim, [BORDERS[self.mode](i, n) for i in range(-before, n + after)]


def untake(grad_output, source, size, dim):
    """The gradient of x for y = x.take(source, dim): sums over the slices of y that are copies of one slice of x.

    source: a list with one number in 0..size-1 for each slice of y.
    """
    xp = array_module(grad_output)
    copies = [[] for _ in range(size)]
    for position, original in enumerate(source):
        copies[original].append(position)
    grad_x = xp.zeros(grad_output.shape[:dim] + (size,) + grad_output.shape[dim + 1 :], grad_output.dtype)
    for k in range(max(map(len, copies), default=0)):  # the k-th copy of every slice that has so many
        originals = [i for i in range(size) if len(copies[i]) > k]
        part = grad_output.take(xp.asarray([copies[i][k] for i in originals]), axis=dim)
        if len(originals) == size:
            grad_x += part
        else:
            grad_x[along(dim, xp.asarray(originals))] += part
    return grad_x

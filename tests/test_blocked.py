"""The fast ways of the operations (blocks, threads, memory that is used again) against their plain formulae."""

import numpy
import pytest

import minidl
from minidl import buffers, elementwise, parallel, products
from minidl.ops import blocked_batch_norm, blocked_convolution
from tests.op_samples import SAMPLES
from tests.op_samples.running import Call, flat, gradients

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


@pytest.fixture
def tiny_blocks(monkeypatch):
    """Every limit so low that even a sample is cut into many pieces, on three threads, in recycled memory."""
    before = parallel.get_num_threads()
    parallel.set_num_threads(3)
    monkeypatch.setattr(parallel, "LARGE", 1)
    monkeypatch.setattr(products, "SMALL", 1)
    monkeypatch.setattr(products, "SMALL_WITH_VECTOR", 1)
    monkeypatch.setattr(elementwise, "SMALL", 0)
    monkeypatch.setattr(elementwise, "PIECE", 16)
    monkeypatch.setattr(blocked_convolution, "BLOCK_BYTES", 1 << 9)
    monkeypatch.setattr(blocked_convolution, "MOST_BYTES", 1 << 10)
    monkeypatch.setattr(blocked_batch_norm, "SAMPLE", 4)
    monkeypatch.setattr(buffers, "WORTH_KEEPING", 1)
    yield
    parallel.set_num_threads(before)


def results_and_gradients(sample, dtype="float64"):
    call = Call(sample, dtype)
    outputs = flat(call())
    rng = numpy.random.default_rng(3)
    cotangents = [rng.standard_normal(tuple(y.shape)) for y in outputs if y.requires_grad]
    found = gradients(call, cotangents)
    return [y.detach().numpy() for y in outputs], [None if g is None else g.numpy() for g in found]


def assert_same(found, expected, rtol, atol):
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.dtype == b.dtype
                numpy.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@each_sample
def test_equals_the_plain_formula(sample, request):
    with minidl.use_algorithm("im2col"):
        expected = results_and_gradients(sample)  # so few numbers that one call of NumPy makes them, in this thread
    request.getfixturevalue("tiny_blocks")
    assert_same(results_and_gradients(sample), expected, rtol=1e-9, atol=1e-11)


CONVOLUTIONS = [
    # N, C, H, W, F, KH, KW, stride, padding, dilation
    (3, 2, 7, 9, 4, 3, 2, (1, 1), (1, 0), (1, 1)),
    (2, 1, 12, 40, 3, 5, 5, (1, 1), (2, 2), (1, 1)),  # few numbers in a run: by tap
    (2, 3, 11, 30, 5, 3, 3, (2, 1), (1, 1), (1, 1)),
    (2, 4, 13, 12, 5, 3, 4, (2, 3), (2, 1), (1, 1)),
    (2, 3, 9, 9, 2, 1, 1, (2, 2), (0, 0), (1, 1)),  # pixels that no window sees
    (2, 3, 9, 8, 2, 2, 2, (3, 4), (0, 1), (1, 1)),
    (1, 40, 6, 7, 18, 3, 3, (1, 1), (1, 1), (1, 1)),  # products first
    (2, 36, 8, 5, 17, 3, 1, (1, 1), (3, 0), (2, 1)),
    (2, 3, 10, 9, 40, 3, 3, (1, 1), (0, 2), (2, 2)),
    (2, 5, 3, 3, 4, 3, 3, (1, 1), (4, 4), (1, 1)),  # more padding than image
    (4, 6, 5, 5, 7, 1, 1, (1, 1), (0, 0), (1, 1)),
]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("blocks", ["tiny", "usual"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution(case, blocks, channels_last, request):
    if blocks == "tiny":
        request.getfixturevalue("tiny_blocks")
    N, C, H, W, F, KH, KW, stride, padding, dilation = case
    rng = numpy.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((N, C, H, W), (F, C, KH, KW), (F,))]
    if channels_last:
        arrays[0] = numpy.ascontiguousarray(arrays[0].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    def run():
        x, weight, bias = (minidl.from_numpy(array.copy(order="K")).requires_grad_() for array in arrays)
        y = minidl.nn.functional.conv2d(x, weight, bias, stride, padding, dilation)
        cotangent = minidl.from_numpy(numpy.random.default_rng(1).standard_normal(y.shape))
        (y * cotangent).sum().backward()
        return [y.detach().numpy()], [x.grad.numpy(), weight.grad.numpy(), bias.grad.numpy()]

    with minidl.use_algorithm("im2col"):
        expected = run()
    found = run()
    assert_same(found, expected, rtol=1e-10, atol=1e-11)
    assert found[0][0].transpose(0, 2, 3, 1).flags.c_contiguous  # channels last in memory
    assert [g.shape for g in found[1]] == [a.shape for a in arrays]


def small_network():
    nn = minidl.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.LocalResponseNorm(3, alpha=1.0),
        nn.Conv2d(8, 20, 5, stride=2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 10),
    )


def one_step():
    minidl.manual_seed(5)
    model = small_network()
    images, labels = minidl.randn(32, 3, 19, 19), minidl.randint(10, (32,))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        minidl.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def test_one_seed_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(parallel, "LARGE", 1)
    first, second = one_step(), one_step()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_the_number_of_threads_changes_rounding_only(monkeypatch):
    monkeypatch.setattr(parallel, "LARGE", 1)
    before = parallel.get_num_threads()
    found = []
    try:
        for number in (1, 2, 5):
            minidl.set_num_threads(number)
            found.append(one_step())
    finally:
        minidl.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            numpy.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_batch_norm_far_from_zero_loses_no_digits():
    """Mean 1000, deviation 1: the mean of the squares less the square of the mean would be wrong by 10 %."""
    rng = numpy.random.default_rng(0)
    x = (1000 + rng.standard_normal((64, 3, 40, 40))).astype("float32")
    mean, variance, _ = blocked_batch_norm.statistics(x, None, 0.0)
    numpy.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3), dtype="float64"), rtol=1e-6)
    numpy.testing.assert_allclose(variance, x.var(axis=(0, 2, 3), dtype="float64"), rtol=1e-4)


def test_max_pool_of_nan_and_ties(tiny_blocks):
    """Against windows cut out one by one; among equals the first wins, and gets the gradient."""
    x = numpy.zeros((2, 3, 6, 7), "float32")
    x[0, 1, 2, 3] = x[1, 2, 5, 6] = numpy.nan
    x[1, 0, 1, 1] = -0.0

    leaf = minidl.from_numpy(x.copy()).requires_grad_()
    y, indices = minidl.nn.functional.max_pool2d(leaf, 3, 2, 1, return_indices=True)
    weights = numpy.arange(y.numel(), dtype="float32").reshape(y.shape) + 1
    y.backward(minidl.from_numpy(weights))
    y, indices = y.detach().numpy(), indices.numpy()
    flat_x, gradient = x.reshape(2, 3, -1), numpy.zeros((2, 3, 42), "float32")
    for n, c, oh, ow in numpy.ndindex(y.shape):
        rows, columns = slice(max(0, 2 * oh - 1), 2 * oh + 2), slice(max(0, 2 * ow - 1), 2 * ow + 2)
        window = x[n, c, rows, columns]
        at = int(numpy.argmax(numpy.where(numpy.isnan(window), numpy.inf, window)))
        h, w = divmod(at, window.shape[1])
        assert indices[n, c, oh, ow] == (rows.start + h) * x.shape[3] + columns.start + w
        numpy.testing.assert_array_equal(y[n, c, oh, ow], flat_x[n, c, indices[n, c, oh, ow]])
        gradient[n, c, indices[n, c, oh, ow]] += weights[n, c, oh, ow]
    numpy.testing.assert_array_equal(leaf.grad.numpy(), gradient.reshape(x.shape))


def test_use_algorithm():
    images, weight = minidl.ones(1, 2, 4, 4), minidl.ones(3, 2, 3, 3, requires_grad=True)
    convolve = minidl.nn.functional.conv2d
    assert convolve(images, weight).grad_fn.in_blocks
    with minidl.use_algorithm("im2col"):
        plain = convolve(images, weight)
        assert not plain.grad_fn.in_blocks
    assert convolve(images, weight).grad_fn.in_blocks
    try:
        minidl.use_algorithm("im2col")
        assert not convolve(images, weight).grad_fn.in_blocks
    finally:
        minidl.use_algorithm("auto")
    plain.sum().backward()  # the plain backward, outside
    assert weight.grad.tolist() == numpy.full((3, 2, 3, 3), 4.0).tolist()
    with pytest.raises(ValueError, match="unknown algorithm 'winograd'") as error:
        minidl.use_algorithm("winograd")
    assert '"im2col"' in str(error.value)

"""Tensor: construction, dtypes and promotion, indexing, printing, and the errors of its methods."""

import copy
import pickle

import numpy
import pytest

import minidl


def test_what_a_tensor_is_made_of():
    assert minidl.tensor([1.0, 2.0]).dtype == minidl.float32
    assert minidl.tensor([1, 2]).dtype == minidl.int64
    assert minidl.tensor(True).dtype == minidl.bool
    assert minidl.tensor(numpy.zeros(3)).dtype == minidl.float64
    assert minidl.tensor([[1, 2], [3, 4]], dtype=minidl.float64, requires_grad=True).requires_grad
    array = numpy.zeros(2)
    minidl.tensor(array).data[0] = 5
    assert array[0] == 0
    minidl.from_numpy(array).data[0] = 5
    assert array[0] == 5


def test_what_a_tensor_is_not_made_of():
    with pytest.raises(ValueError, match="the lists do not have one shape"):
        minidl.tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match="a tensor holds float32, float64"):
        minidl.tensor("text")
    with pytest.raises(TypeError, match="a tensor holds float32, float64"):
        minidl.tensor(numpy.zeros(2, dtype=complex))
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        minidl.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="expected a NumPy array"):
        minidl.from_numpy([1.0])
    with pytest.raises(TypeError, match=r"expected an array, got list[\s\S]*minidl\.tensor"):
        minidl.Tensor([1.0, 2.0])
    for dtype in ("float16", "uint64", ">f4"):
        with pytest.raises(TypeError, match="a tensor holds float32, float64"):
            minidl.tensor(numpy.zeros(2, dtype))
    with pytest.raises(TypeError, match="a tensor holds float32, float64"):
        minidl.tensor(2**63)


@pytest.mark.parametrize(
    "write",
    [
        lambda i: i.__setitem__(0, 1.7),
        lambda i: i.__setitem__(0, minidl.tensor(1.0)),
        lambda i: i.fill_(1.7),
        lambda i: i.add_(1.0),
        lambda i: i.normal_(),
        lambda i: i.uniform_(0, 10),
        lambda i: (i > 1).add_(1),
        lambda i: minidl.full((2,), 1.7, dtype=minidl.int64),
        lambda i: minidl.tensor([1.7], dtype=minidl.int64),
    ],
)
def test_nothing_is_truncated_silently(write):
    i = minidl.tensor([1, 2])
    with pytest.raises(RuntimeError):
        write(i)
    assert i.tolist() == [1, 2]
    i[0] = 3.0
    assert i.tolist() == [3, 2]


def test_the_default_dtype():
    assert minidl.get_default_dtype() == minidl.float32
    minidl.set_default_dtype(minidl.float64)
    try:
        assert minidl.tensor(1.0).dtype == minidl.zeros(1).dtype == minidl.randn(2).dtype == minidl.float64
    finally:
        minidl.set_default_dtype(minidl.float32)
    with pytest.raises(TypeError, match="only float32 and float64"):
        minidl.set_default_dtype(minidl.int64)


@pytest.mark.parametrize(
    ("compute", "dtype"),
    [
        (lambda f, d, i, b: f * 2.5, "float32"),
        (lambda f, d, i, b: 2.5 * d, "float64"),
        (lambda f, d, i, b: f * numpy.float64(2.5), "float32"),
        (lambda f, d, i, b: numpy.float64(2.5) * f, "float32"),
        (lambda f, d, i, b: f + i, "float32"),
        (lambda f, d, i, b: i + d, "float64"),
        (lambda f, d, i, b: f * b, "float32"),
        (lambda f, d, i, b: i + 1, "int64"),
        (lambda f, d, i, b: i + 1.5, "float32"),
        (lambda f, d, i, b: i / i, "float32"),
        (lambda f, d, i, b: i / 2, "float32"),
        (lambda f, d, i, b: i * b, "int64"),
        (lambda f, d, i, b: i.sum(), "int64"),
        (lambda f, d, i, b: b.sum(), "int64"),
        (lambda f, d, i, b: f.mean(), "float32"),
        (lambda f, d, i, b: f.argmax(), "int64"),
        (lambda f, d, i, b: f > 0, "bool"),
        (lambda f, d, i, b: f**2, "float32"),
        (lambda f, d, i, b: 2**f, "float32"),
    ],
)
def test_promotion_is_pytorchs_and_never_to_float64_by_itself(compute, dtype):
    f, d = minidl.ones(2), minidl.ones(2, dtype=minidl.float64)
    i, b = minidl.tensor([1, 2]), minidl.tensor([True, False])
    assert compute(f, d, i, b).dtype == dtype


@pytest.mark.parametrize(
    "combine", [lambda a, b: a + b, lambda a, b: b * a, lambda a, b: a @ b, lambda a, b: a - b.data]
)
def test_float32_with_float64_is_refused(combine):
    with pytest.raises(
        RuntimeError, match=r"same dtype\n +\w+: +float\d\d \(2, 2\) on cpu\n +\w+: +float\d\d \(2, 2\) on cpu\n +help"
    ):
        combine(minidl.ones(2, 2), minidl.ones(2, 2, dtype=minidl.float64))


def test_arrays_and_tensors_mix():
    array = numpy.ones(2, dtype=numpy.float32)
    tensor = minidl.tensor([1.0, 2.0], requires_grad=True)
    for result in (array + tensor, tensor + array, array * tensor):
        assert isinstance(result, minidl.Tensor)
        assert result.requires_grad
    assert numpy.asarray(minidl.ones(2)).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="detach"):
        numpy.asarray(tensor)
    with pytest.raises(TypeError):
        tensor + "text"
    with pytest.raises(TypeError):
        tensor * None


def test_broadcasting_that_does_not_fit():
    with pytest.raises(RuntimeError, match=r"add\(\): the shapes do not broadcast[\s\S]*left: +float32 \(2, 3\)"):
        minidl.zeros(2, 3) + minidl.zeros(2)
    with pytest.raises(RuntimeError, match="do not broadcast"):
        minidl.zeros(2, 3) == minidl.zeros(2)  # noqa: B015


def test_products_that_do_not_fit():
    a, b = minidl.zeros(64, 512), minidl.zeros(256, 10)
    for product in (lambda: a @ b, lambda: a.mm(b), lambda: minidl.matmul(a, b)):
        with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(64x512 and 256x10\)"):
            product()
    with pytest.raises(RuntimeError, match="2 dimensions"):
        minidl.zeros(2, 2, 2).mm(b)
    with pytest.raises(RuntimeError, match="batch sizes differ"):
        minidl.zeros(2, 3, 4).bmm(minidl.zeros(3, 4, 5))


INDICES = [
    0,
    -1,
    (1, 2),
    slice(1, None),
    (Ellipsis, 0),
    (slice(None), None, slice(None, None, 2)),
    [0, 2],
    (slice(None), [3, 0, 3]),
    ([0, 1, 2], [1, 1, 0]),
    (0, Ellipsis, -1),
    numpy.int64(1),
    numpy.array([True, False, True]),
    (slice(None), numpy.array([True, False, True, False])),
    numpy.arange(12).reshape(3, 4) % 5 > 1,
    (None, 1),
    ([2, 0], Ellipsis),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_is_numpys_and_so_is_its_gradient(index):
    array = numpy.arange(12.0).reshape(3, 4)
    x = minidl.tensor(array, requires_grad=True)
    as_tensor = minidl.tensor(index) if isinstance(index, numpy.ndarray) else index
    y = x[as_tensor]
    numpy.testing.assert_array_equal(y.detach().numpy(), array[index])
    y.sum().backward()
    counts = numpy.zeros_like(array)
    numpy.add.at(counts, index, 1.0)
    numpy.testing.assert_array_equal(x.grad.numpy(), counts)

    changed = minidl.tensor(array)
    changed[as_tensor] = -1.0
    array[index] = -1.0
    numpy.testing.assert_array_equal(changed.numpy(), array)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (3, "index 3 is out of bounds for dimension 0 with size 3"),
        ((0, -5), "index -5 is out of bounds for dimension 1 with size 4"),
        ([0, 7], "index 7 is out of bounds for dimension 0 with size 3"),
        ((Ellipsis, 4), "index 4 is out of bounds for dimension 1 with size 4"),
        ((0, 0, 0), "too many indices for tensor of dimension 2"),
        (1.5, "an index is an int"),
        ("a", "an index is an int"),
        (minidl.ones(3), "an index is an int"),
        (numpy.array([True, False]), "a mask has the shape of what it selects from"),
    ],
)
def test_indices_that_do_not_fit(index, words):
    x = minidl.zeros(3, 4)
    with pytest.raises(IndexError, match=words):
        x[index]
    with pytest.raises(IndexError, match=words):
        x[index] = 1.0


def test_assigning_what_does_not_fit():
    x = minidl.zeros(3, 4)
    with pytest.raises(RuntimeError, match="setitem"):
        x[0] = minidl.zeros(3)
    with pytest.raises(RuntimeError, match="same dtype"):
        x[0] = minidl.zeros(4, dtype=minidl.float64)
    assert not x.any()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.sum(2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
        (lambda x: x.sum((0, -2)), RuntimeError, "appears multiple times"),
        (lambda x: x.mean("0"), TypeError, "a dimension must be an int"),
        (lambda x: x.reshape(5, 2), RuntimeError, r"shape \(5, 2\) is invalid for input of size 6"),
        (lambda x: x.reshape(-1, -1), RuntimeError, "is invalid for input of size 6"),
        (lambda x: x.reshape(4, -1), RuntimeError, "is invalid for input of size 6"),
        (lambda x: x.permute(0, 0), RuntimeError, "does not name each of 2 dimensions once"),
        (lambda x: x.expand(2, 4), RuntimeError, "only dimensions of size 1 can grow"),
        (lambda x: x.expand(3), RuntimeError, "only dimensions of size 1 can grow"),
        (lambda x: x.repeat(2), RuntimeError, "needs a number >= 0 for each of 2 dimensions"),
        (lambda x: x.split(0), RuntimeError, "split_size must be at least 1"),
        (lambda x: x.split([1, 2], 0), RuntimeError, r"the sizes \(1, 2\) must add up to 2"),
        (lambda x: x.chunk(0), RuntimeError, "chunks must be at least 1"),
        (lambda x: x.flatten(1, 0), RuntimeError, "start_dim cannot come after end_dim"),
        (lambda x: x.item(), RuntimeError, "6 elements cannot be converted to Scalar"),
        (lambda x: bool(x), RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
        (lambda x: x.clamp(), RuntimeError, "At least one of 'min' or 'max'"),
        (lambda x: x.long().mean(), RuntimeError, "must be floating point"),
        (lambda x: x.long().exp(), RuntimeError, "must be floating point"),
        (lambda x: x[:0].max(), IndexError, "without elements"),
        (lambda x: x[:0].argmax(), IndexError, "no elements"),
        (lambda x: x.to("gpu"), RuntimeError, "unknown device 'gpu'"),
        (lambda x: x.to(size=3), TypeError, "unexpected keyword argument 'size'"),
        (lambda x: x.matmul(2.0), TypeError, "expected a Tensor, got float"),
        (lambda x: (x > 0) - (x > 0), RuntimeError, "two bool tensors"),
        (lambda x: -(x > 0), RuntimeError, "bool tensor"),
        (lambda x: (x > 0).relu(), RuntimeError, "Boolean inputs not supported for relu"),
        (lambda x: x.long() ** -1, RuntimeError, "Integers to negative integer powers are not allowed"),
        (lambda x: ~x, RuntimeError, "takes ints and bools"),
        (lambda x: x & (x > 0), RuntimeError, "takes ints and bools"),
        (lambda x: x[0, 0].argmax(-3), IndexError, "Dimension out of range"),
        (lambda x: x[0, 0].transpose(5, 9), IndexError, "Dimension out of range"),
        (lambda x: x[:, :1].expand(2, 3).add_(1), RuntimeError, "cannot be written to"),
        (lambda x: minidl.zeros(-1), RuntimeError, "negative dimension -1"),
        (lambda x: x.eq("a"), TypeError, "must be Tensor or Number, not str"),
        (lambda x: x.to(minidl.Tensor), TypeError, "to"),
        (lambda x: setattr(x, "data", 3.0), TypeError, "must be set to an array"),
        (lambda x: setattr(x, "grad", minidl.zeros(3)), RuntimeError, "must be like the tensor itself"),
        (lambda x: (x.requires_grad_() * 2).requires_grad_(False), RuntimeError, "leaf variables"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call(minidl.zeros(2, 3))


def test_moving_to_a_gpu_that_is_not_there():
    if minidl.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match=r"no CUDA device[\s\S]*help: install CuPy"):
        minidl.zeros(2).cuda()
    assert minidl.zeros(2).cpu().device == minidl.device("cpu")


def test_how_tensors_print():
    assert repr(minidl.tensor([[1.0, 2.5]])) == "tensor([[1. , 2.5]])"
    assert repr(minidl.tensor([1.0], dtype=minidl.float64)) == "tensor([1.], dtype=float64)"
    assert repr(minidl.tensor(3)) == "tensor(3)"
    x = minidl.tensor(1.5, requires_grad=True)
    assert repr(x) == "tensor(1.5, requires_grad=True)"
    assert repr(x * 2) == "tensor(3., grad_fn=<Mul>)"
    assert f"{minidl.tensor(0.123456):.3f}" == "0.123"


def test_bits():
    i, b = minidl.tensor([6, 1]), minidl.tensor([True, False])
    assert (i & 3).tolist() == [2, 1]
    assert (i | minidl.tensor([1, 8])).tolist() == [7, 9]
    assert (~i).tolist() == [-7, -2]
    assert (~b).tolist() == [False, True]
    assert (b & ~b).tolist() == [False, False]


def test_scalars_behave_as_python_numbers():
    assert float(minidl.tensor(1.5)) == 1.5
    assert int(minidl.tensor([3])) == 3
    assert [10, 20][minidl.tensor(1)] == 20
    assert minidl.tensor([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert len(minidl.zeros(3, 2)) == 3
    assert [row.tolist() for row in minidl.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="0-d"):
        len(minidl.tensor(1.0))


def test_deepcopy_and_pickle():
    leaf = minidl.tensor([1.0, 2.0], requires_grad=True)
    leaf.sum().backward()
    for twin in (copy.deepcopy(leaf), pickle.loads(pickle.dumps(leaf))):
        assert twin.requires_grad
        assert twin.tolist() == [1.0, 2.0]
        assert twin.grad.tolist() == [1.0, 1.0]
        twin.data[0] = 9
        assert leaf.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(leaf * 2)


def test_creation():
    assert minidl.zeros(2, 3).shape == minidl.zeros((2, 3)).shape == (2, 3)
    assert minidl.full((2,), 7).tolist() == [7, 7]
    assert minidl.full((2,), 7).dtype == minidl.int64
    assert minidl.arange(3).tolist() == [0, 1, 2]
    assert minidl.arange(1, 2, 0.5).tolist() == [1.0, 1.5]
    assert minidl.arange(1, 2, 0.5).dtype == minidl.float32
    assert minidl.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert minidl.eye(2).tolist() == [[1, 0], [0, 1]]
    assert minidl.ones_like(minidl.zeros(2, dtype=minidl.float64)).dtype == minidl.float64
    assert sorted(minidl.randperm(5).tolist()) == [0, 1, 2, 3, 4]
    assert set(minidl.randint(3, (100,)).tolist()) == {0, 1, 2}
    assert minidl.rand(3, requires_grad=True).requires_grad
    with pytest.raises(RuntimeError, match="step must be nonzero"):
        minidl.arange(0, 1, 0)
    with pytest.raises(TypeError, match="sizes must be ints"):
        minidl.zeros(2.5)
    with pytest.raises(TypeError, match="size must be a tuple"):
        minidl.randint(3, 4)


def test_the_same_seed_gives_the_same_numbers():
    minidl.manual_seed(3)
    first = minidl.randn(4).tolist()
    generator = minidl.Generator().manual_seed(3)
    assert minidl.randn(4, generator=generator).tolist() == first
    state = generator.get_state()
    drawn = minidl.rand(2, generator=generator).tolist()
    generator.set_state(state)
    assert minidl.rand(2, generator=generator).tolist() == drawn
    with pytest.raises(ValueError, match="seed must be an int >= 0"):
        minidl.manual_seed(-1)


def test_version_is_the_package_version():
    assert minidl.__version__.count(".") == 2


def test_one_blas_thread_inside_and_as_before_outside():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")

    def threads():
        found = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        of_numpy = [pool for pool in found if "numpy" in pool["filepath"]]  # SciPy and PyTorch may have their own
        return [pool["num_threads"] for pool in of_numpy or found]

    before = threads()
    with minidl.parallel.one_blas_thread():
        assert set(threads()) == {1}
    assert threads() == before

"""What runs on a GPU, without one: every operation on a stand-in for CuPy, in kernels and by the plain formulae."""

import copy
import importlib.util
import threading
import weakref

import numpy
import pytest

import minidl
from minidl import backend, elementwise
from minidl.gpu import cudnn, launch, normalization, random
from minidl.inspect.trace import unchanged
from minidl.nn import functional as F
from tests import standin_gpu
from tests.op_samples import SAMPLES
from tests.op_samples.running import Call, flat, gradients
from tests.test_ops import cotangents, to_numpy

pytestmark = pytest.mark.skipif(standin_gpu.COMPILER is None, reason="no C++ compiler with OpenMP to run the kernels")


@pytest.fixture(scope="module", autouse=True)
def gpu():
    with standin_gpu.installed() as cupy:
        yield cupy


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch):
    """Each test begins as a program does, in which nothing has been on a second GPU."""
    monkeypatch.setattr(backend, "several_gpus", False)


@pytest.mark.parametrize(
    ("algorithm", "device"), [("auto", "cuda:0"), ("im2col", "cuda:0"), ("auto", "cuda:1"), ("im2col", "cuda:1")]
)
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_the_same_as_on_the_host(sample, algorithm, device):
    """cuda:1 is not the current GPU: the stand-in refuses its arrays in a computation on another, as CuPy may."""
    with minidl.use_algorithm(algorithm):
        host, there = Call(sample), Call(sample, device=device)
        for y, expected in zip(flat(there()), flat(host()), strict=True):
            assert y.device == minidl.device(device)
            assert y.dtype == expected.dtype
            numpy.testing.assert_allclose(to_numpy(y), to_numpy(expected), rtol=1e-9, atol=1e-11)
        vs = cotangents(host.differentiable_outputs())
        for g, expected in zip(gradients(there, vs), gradients(host, vs), strict=True):
            if expected is not None:
                assert g.device == minidl.device(device)
                numpy.testing.assert_allclose(to_numpy(g), to_numpy(expected), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("draws", [(1,), (2,), (3, 1, 4, 1, 5), (0, 7, 64, 1, 1001)])
def test_random_numbers_are_the_hosts(gpu, draws):
    here, there = minidl.Generator(7), minidl.Generator(7)
    for n in draws:
        numbers = random.uniform(there, (n,), gpu.zeros(1))
        assert numbers.get().tolist() == here.numpy.random(n, numpy.float32).tolist()
        assert there.get_state() == here.get_state()


def test_dropout_draws_one_mask_on_both_devices():
    masks = []
    for device in ("cpu", "cuda"):
        minidl.manual_seed(3)
        masks.append([to_numpy(F.dropout(minidl.ones(5, 7).to(device), 0.3)).tolist() for _ in range(2)])
    assert masks[0] == masks[1]
    assert masks[0][0] != masks[0][1]


def test_a_model_on_two_gpus():
    minidl.manual_seed(0)
    model = minidl.nn.Sequential(minidl.nn.Conv2d(1, 2, 3), minidl.nn.BatchNorm2d(2), minidl.nn.ReLU())
    head = minidl.nn.Linear(2 * 4 * 4, 3).to("cuda:0")
    x = minidl.rand(2, 1, 6, 6)
    model.to("cuda:1")
    optimizer = minidl.optim.SGD([*model.parameters(), *head.parameters()], lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        loss = head(model(x.to("cuda:1")).flatten(1).to("cuda:0")).pow(2).sum()
        loss.backward()
        optimizer.step()
    assert model[0].weight.device == model[0].weight.grad.device == minidl.device("cuda:1")
    assert loss.device == minidl.device("cuda:0")
    with pytest.raises(RuntimeError, match="same device"):
        head(model(x.to("cuda:1")).flatten(1))


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"])
def test_what_a_step_takes_besides_its_operations_on_the_second_gpu(optimizer):
    """Clipping, the optimizers, their state dicts, comparisons, copies: the same numbers as on the host."""
    results = []
    for device in ("cpu", "cuda:1"):
        minidl.manual_seed(0)
        model = minidl.nn.Linear(3, 4).to(device)
        steps = getattr(minidl.optim, optimizer)(model.parameters(), lr=0.1, weight_decay=0.01)
        x, labels = minidl.rand(5, 3).to(device), minidl.tensor([0, 1, 2, 3, 0]).to(device)
        for _ in range(3):
            steps.zero_grad(set_to_none=False)
            F.cross_entropy(F.dropout(model(x), 0.2), labels).backward()
            norm = minidl.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            minidl.nn.utils.clip_grad_value_(model.parameters(), 0.05)
            steps.step()
            steps.load_state_dict(steps.state_dict())
        twin = copy.deepcopy(model)
        right = (twin(x).argmax(dim=1) == labels).sum()
        assert {str(each.device) for each in (*twin.parameters(), norm, right)} == {device}
        results.append([to_numpy(each) for each in (*twin.parameters(), norm, right)])
    for here, there in zip(*results, strict=True):
        numpy.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [minidl.float32, minidl.int64])
def test_sums_of_arrays_that_lie_otherwise(gpu, dtype):
    """`out` is one of the summands, in an order of its own, or with gaps."""
    a, b = numpy.arange(12).reshape(3, 4).astype(dtype), numpy.arange(12, 24).reshape(4, 3).astype(dtype).T
    for first, second in ((a, b), (b, a), (b, b), (a[:, ::2], b[:, ::2]), (a[:0], b[:0])):
        expected = (first + second).tolist()
        there, other = gpu.asarray(first), gpu.asarray(second)
        assert elementwise.add(there, other).get().tolist() == expected
        assert elementwise.add(there, other, out=there) is there
        assert there.get().tolist() == expected
    x = minidl.randn(3, 4).requires_grad_()
    there = x.detach().to("cuda").requires_grad_()
    for leaf in (x, there):
        parts = [leaf, leaf * 2, leaf.t().contiguous().t(), leaf.exp(), leaf * leaf]
        sum(parts).tanh().sum().backward()
    numpy.testing.assert_allclose(to_numpy(there.grad), to_numpy(x.grad), rtol=1e-6)


def test_copies_stay_on_their_gpu():
    x = minidl.tensor([[1.0, -2.0]]).to("cuda:1").requires_grad_()
    y = x * 3
    y.retain_grad()
    for _ in range(2):
        y.backward(minidl.ones(1, 2).to("cuda:1"), retain_graph=True)
    (found,) = minidl.autograd.grad(y.sum(), [y])
    norm = minidl.nn.BatchNorm2d(2).to("cuda:1")
    with unchanged(norm):
        norm(minidl.rand(2, 2, 3, 3).to("cuda:1"))
        inside = norm.running_mean
        moved = inside.tolist()
    made = minidl.tensor(x.data), x.clone(), x.grad, y.grad, found, inside, norm.running_mean
    assert {str(each.device) for each in made} == {"cuda:1"}
    assert x.grad.tolist() == [[6.0, 6.0]]
    assert norm.running_mean.tolist() == [0.0, 0.0] != moved


def test_sgd_where_its_buffers_are_of_another_kind_than_the_parameters():
    results = []
    for device in ("cpu", "cuda"):
        minidl.manual_seed(0)
        model, x = minidl.nn.Linear(7, 5), minidl.rand(3, 7)
        optimizer = minidl.optim.SGD(model.to(device).parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            model(x.to(device, model.weight.dtype)).pow(2).sum().backward()
            optimizer.step()
            model.double()  # the buffers stay as they are
        results.append(to_numpy(model.weight))
    numpy.testing.assert_allclose(*results, rtol=1e-5)
    with pytest.raises(RuntimeError, match=r"same device(?s:.*)cpu(?s:.*)cuda:0(?s:.*)load_state_dict"):
        model.cpu()(x.double()).sum().backward()
        optimizer.step()


def test_numbers_take_the_type_that_the_kernel_declares(gpu):
    """1, 1.0 and True are one key of a dictionary; so they must be one number to a kernel."""
    variance = gpu.asarray(numpy.array([3.0, 8.0]))
    for eps in (1, 1.0, True, numpy.float64(1)):
        launch._calls.clear()
        assert normalization.scales_of(variance, None, eps)[0].get().tolist() == [1 / 2, 1 / 3]
    assert launch.c_name(numpy.dtype("int32")) == launch.c_name(numpy.dtype(numpy.intc)) == "int"
    assert launch.c_name(numpy.dtype("int64")) == launch.c_name(numpy.dtype(numpy.longlong)) == "long long"


def test_softmax_of_a_single_number():
    x = minidl.tensor(3.0).to("cuda").requires_grad_()
    y = F.softmax(x, 0)
    y.backward()
    assert (y.item(), x.grad.item(), F.log_softmax(x, 0).item()) == (1.0, 0.0, 0.0)


def test_workspaces_go_with_their_thread(gpu):
    spaces = []

    def work():
        x = gpu.zeros(3)
        spaces.append(weakref.ref(launch.workspace(x, 5, x.dtype)))
        assert launch.workspace(x, 4, x.dtype) is launch.workspace(x, 5, x.dtype) is spaces[0]()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert spaces[0]() is None
    work = launch.workspace(gpu.zeros(3), 5, numpy.dtype("float32"))
    launch.forget_workspaces()
    assert launch.workspace(gpu.zeros(3), 5, numpy.dtype("float32")) is not work


def test_kernels_count_in_64_bits_where_an_array_is_large(monkeypatch):
    monkeypatch.setattr(launch, "MANY", 50)
    monkeypatch.setattr(launch, "_calls", {})
    x = minidl.rand(2, 1, 6, 6, dtype=minidl.float64)
    expected = F.avg_pool2d(F.conv2d(x, minidl.ones(2, 1, 3, 3, dtype=minidl.float64), padding=1), 2)
    found = F.avg_pool2d(F.conv2d(x.to("cuda"), minidl.ones(2, 1, 3, 3, dtype=minidl.float64).to("cuda"), padding=1), 2)
    numpy.testing.assert_allclose(to_numpy(found), to_numpy(expected))
    assert {key[2] for key in launch._calls} == {True}


@pytest.mark.parametrize("order", ["NCHW", "CNHW", "NHWC", "gaps"])
@pytest.mark.parametrize("algorithm", ["auto", "im2col"])
def test_arrays_may_lie_in_memory_in_any_way(order, algorithm):
    """Each operation that has a kernel, on an input and a gradient that are views of other arrays."""
    rng = numpy.random.default_rng(0)

    def arranged(shape, device):
        N, C, H, W = shape
        array = minidl.from_numpy(rng.standard_normal((N, C, 2 * H, W)))
        array = array.to(device)
        if order == "CNHW":
            return array[:, :, :H].transpose(0, 1).contiguous().transpose(0, 1)
        if order == "NHWC":
            return array[:, :, :H].permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        return array[:, :, ::2] if order == "gaps" else array[:, :, :H].contiguous()

    operations = {
        "conv2d": lambda x: F.conv2d(x, minidl.ones(4, 3, 3, 3, dtype=x.dtype).to(x.device), padding=1, stride=2),
        "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1),
        "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
        "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
        "local_response_norm": lambda x: F.local_response_norm(x, 3),
        "relu": F.relu,
        "softmax": lambda x: F.softmax(x, -1),
    }
    for name, operation in operations.items():
        results = []
        for device in ("cpu", "cuda"):
            rng = numpy.random.default_rng(1)
            x = arranged((2, 3, 5, 4), device).detach().requires_grad_()
            with minidl.use_algorithm(algorithm):
                y = operation(x)
                y.backward(arranged(y.shape, device))
            results.append([to_numpy(y), to_numpy(x.grad)])
        for here, there in zip(*results, strict=True):
            numpy.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-12, err_msg=name)


def test_an_image_in_steps_of_more_than_32_bits_is_copied(monkeypatch):
    """Places are counted in 64 bits where an array has many elements; a view of few may be spread out as far."""
    x = minidl.rand(2, 40, 6, 6, dtype=minidl.float64)
    weight = minidl.ones(2, 1, 3, 3, dtype=minidl.float64)
    expected = F.conv2d(x[:, :1], weight)
    copies = []
    original = standin_gpu.Module.__getattr__
    monkeypatch.setattr(launch, "MANY", 1000)
    monkeypatch.setattr(
        standin_gpu.Module, "__getattr__", lambda self, name: copies.append(name) or original(self, name)
    )
    found = F.conv2d(x.to("cuda")[:, :1], weight.to("cuda"))
    numpy.testing.assert_allclose(to_numpy(found), to_numpy(expected))
    assert "ascontiguousarray" in copies


@pytest.mark.parametrize("training", [True, False])
def test_statistics_and_parameters_of_batch_norm_may_have_gaps(training):
    results = []
    for device in ("cpu", "cuda"):
        minidl.manual_seed(0)
        vectors = [minidl.rand(4, dtype=minidl.float64).to(device) for _ in range(4)]
        x = minidl.rand(3, 2, 5, dtype=minidl.float64).to(device)
        y = F.batch_norm(x, *(each[::2] for each in vectors), training)
        results.append([to_numpy(each) for each in (y, *vectors)])
    for here, there in zip(*results, strict=True):
        numpy.testing.assert_allclose(there, here)


@pytest.mark.parametrize("forward", ["auto", "im2col"])
@pytest.mark.parametrize(
    "operation",
    [
        lambda x: F.max_pool2d(x, 3, 2),
        lambda x: F.avg_pool2d(x, 3, 2),
        lambda x: F.local_response_norm(x, 3, 1.0),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.conv2d(x, minidl.ones(4, 3, 3, 3, dtype=x.dtype).to(x.device)),
        lambda x: F.softmax(x, -1),
    ],
    ids=["max_pool", "avg_pool", "local_response_norm", "batch_norm", "conv2d", "softmax"],
)
def test_backward_may_run_under_another_algorithm(operation, forward):
    values = numpy.random.default_rng(0).standard_normal((2, 10, 7, 3))  # H first of all, and every second row
    results = []
    for device in ("cpu", "cuda"):
        x = minidl.from_numpy(values).to(device)[:, ::2].permute(0, 3, 1, 2).detach().requires_grad_()
        with minidl.use_algorithm(forward):
            y = operation(x)
        with minidl.use_algorithm("im2col" if forward == "auto" else "auto"):
            (y * y).sum().backward()
        results.append(to_numpy(x.grad))
    numpy.testing.assert_allclose(*results, rtol=1e-9, atol=1e-12)


def test_a_kernel_as_large_as_the_image():
    """Its taps have no room in a byte, and loops over them are not unrolled."""
    values = numpy.random.default_rng(0).standard_normal((2, 3, 17, 18))
    for operation in (F.max_pool2d, F.avg_pool2d):
        results = []
        for device in ("cpu", "cuda"):
            x = minidl.from_numpy(values).to(device).requires_grad_()
            y = operation(x, (17, 18))
            (y * y).sum().backward()
            results.append([to_numpy(y), to_numpy(x.grad)])
        for here, there in zip(*results, strict=True):
            numpy.testing.assert_allclose(there, here)


def test_gradients_of_single_pixels_may_lie_in_any_way():
    """Steps along a dimension of size 1 mean nothing, also where they look like another order of the dimensions."""
    rng = numpy.random.default_rng(0)
    images, pixels = rng.standard_normal((3, 2, 4, 5)), rng.standard_normal((1, 1, 3, 2))
    results = []
    for device in ("cpu", "cuda"):
        x = minidl.from_numpy(images).to(device).transpose(0, 1).detach().requires_grad_()
        F.max_pool2d(x, (4, 5)).permute(2, 3, 1, 0).backward(minidl.from_numpy(pixels).to(device))
        results.append(to_numpy(x.grad))
    numpy.testing.assert_allclose(*results)


def test_cudnn_that_is_not_there_is_named():
    if importlib.util.find_spec("cudnn"):
        pytest.skip("cuDNN's frontend is installed")
    with pytest.raises(RuntimeError, match=r"not installed(?s:.*)pip install"):
        minidl.use_algorithm("cudnn")


def test_precision_of_products_is_checked():
    with pytest.raises(ValueError, match=r"unknown precision 'medium'(?s:.*)highest"):
        minidl.set_float32_matmul_precision("medium")
    assert minidl.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("dtype", "padding"), [("float64", ((1, 1), (1, 1))), ("float32", ((0, 1), (0, 1))), ("float32", ((1, 1), (0, 1)))]
)
def test_what_cudnn_gets_wrong_it_is_not_given(gpu, dtype, padding):
    x, weight = gpu.ones((1, 1, 5, 5), dtype), gpu.ones((1, 1, 3, 3), dtype)
    assert cudnn.convolution(x, weight, (1, 1, 5, 5), ((1, 1), padding, (1, 1))) is None

"""What runs on a GPU, without one: every operation on a stand-in for CuPy, in kernels and by the plain formulae."""

import importlib.util

import numpy
import pytest

import minidl
from minidl import backend
from minidl.gpu import launch, random
from minidl.nn import functional as F
from tests import standin_gpu
from tests.op_samples import SAMPLES
from tests.op_samples.running import Call, flat, gradients
from tests.test_ops import cotangents, to_numpy

pytestmark = pytest.mark.skipif(standin_gpu.COMPILER is None, reason="no C++ compiler to run the kernels")


@pytest.fixture(scope="module", autouse=True)
def gpu():
    with standin_gpu.installed() as cupy:
        yield cupy


@pytest.mark.parametrize("algorithm", ["auto", "im2col"])
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_the_same_as_on_the_host(sample, algorithm):
    with minidl.use_algorithm(algorithm):
        host, there = Call(sample), Call(sample, device="cuda")
        for y, expected in zip(flat(there()), flat(host()), strict=True):
            assert y.device == minidl.device("cuda:0")
            assert y.dtype == expected.dtype
            numpy.testing.assert_allclose(to_numpy(y), to_numpy(expected), rtol=1e-9, atol=1e-11)
        vs = cotangents(host.differentiable_outputs())
        for g, expected in zip(gradients(there, vs), gradients(host, vs), strict=True):
            if expected is not None:
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


def test_an_operation_computes_on_the_gpu_that_holds_its_arrays(monkeypatch):
    """The stand-in refuses arrays of another GPU than the current one, as CuPy may."""
    monkeypatch.setattr(backend, "several_gpus", False)
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


def test_cudnn_that_is_not_there_is_named():
    if importlib.util.find_spec("cudnn"):
        pytest.skip("cuDNN's frontend is installed")
    with pytest.raises(RuntimeError, match=r"not installed(?s:.*)pip install"):
        minidl.use_algorithm("cudnn")


def test_precision_of_products_is_checked():
    with pytest.raises(ValueError, match=r"unknown precision 'medium'(?s:.*)highest"):
        minidl.set_float32_matmul_precision("medium")
    assert minidl.get_float32_matmul_precision() == "highest"

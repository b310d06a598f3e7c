"""On a real GPU: every operation, its gradient, every network, and a training, as on the host.

make test-gpu. Without CuPy and a GPU all of this is skipped; tests/test_gpu.py shows on a stand-in what can be shown.
"""

import importlib.util

import numpy
import pytest

import minidl
from architectures.catalog import NETWORKS
from minidl.cli import main
from minidl.nn import functional as F
from tests.op_samples import SAMPLES
from tests.op_samples.running import Call, flat, gradients
from tests.overfit import RECIPES, Recipe
from tests.test_ops import cotangents, to_numpy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not minidl.cuda.is_available(), reason="no CUDA device, or CuPy is not installed"),
]

ALGORITHMS = ["auto", "im2col"] + (["cudnn"] if importlib.util.find_spec("cudnn") else [])
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


@pytest.fixture(autouse=True)
def full_precision():
    assert minidl.get_float32_matmul_precision() == "highest"
    yield
    minidl.set_float32_matmul_precision("highest")


@each_sample
@each_algorithm
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [("float64", 1e-9, 1e-11), ("float32", 1e-3, 1e-4)])
def test_the_same_as_on_the_host(sample, algorithm, dtype, rtol, atol):
    with minidl.use_algorithm(algorithm):
        host, gpu = Call(sample, dtype=dtype), Call(sample, dtype=dtype, device="cuda")
        for y, expected in zip(flat(gpu()), flat(host()), strict=True):
            assert y.device.type == "cuda"
            assert y.dtype == expected.dtype
            numpy.testing.assert_allclose(to_numpy(y), to_numpy(expected), rtol=rtol, atol=atol)
        vs = cotangents(host.differentiable_outputs())
        for g, expected in zip(gradients(gpu, vs), gradients(host, vs), strict=True):
            if expected is not None:
                scale = abs(to_numpy(expected)).max() if expected.numel() else 1
                numpy.testing.assert_allclose(to_numpy(g), to_numpy(expected), rtol=rtol, atol=atol * max(scale, 1))


@each_sample
@each_algorithm
def test_gradient(sample, algorithm):
    with minidl.use_algorithm(algorithm):
        call = Call(sample, device="cuda")
        assert minidl.gradcheck(call, call.inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name):
    """Scores and all gradients in training mode, in float64."""
    network, recipe = NETWORKS[name], RECIPES.get(name, Recipe())
    minidl.manual_seed(0)
    model = network.build().double()
    x = minidl.rand(2, network.input_shape[0], recipe.size, recipe.size, dtype=minidl.float64)

    def run(device):
        minidl.manual_seed(1)
        model.to(device)
        model.zero_grad()
        outputs = model(x.to(device))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        sum((y * y).sum() for y in outputs).backward()
        return [y.detach().cpu() for y in outputs], [p.grad.cpu() for p in model.parameters() if p.grad is not None]

    (scores, grads), (scores_there, grads_there) = run("cpu"), run("cuda")
    assert len(grads) == len(grads_there)
    largest = max(float(abs(grad).max()) for grad in grads)
    for here, there in zip(scores + grads, scores_there + grads_there, strict=True):
        # A bias in front of batch norm has the gradient 0, and what is computed is rounding of the others.
        atol = 1e-6 * max(float(abs(here).max()), 1e-4 * largest)
        numpy.testing.assert_allclose(there.numpy(), here.numpy(), rtol=0, atol=atol)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.skipif("cudnn" not in ALGORITHMS, reason="cuDNN's frontend is not installed")
def test_network_through_cudnn(name):
    """Scores and gradients in evaluation mode, in float32, beside minidl's own kernels."""
    network, recipe = NETWORKS[name], RECIPES.get(name, Recipe())
    minidl.manual_seed(0)
    model = network.build().to("cuda").eval()
    x = minidl.rand(2, network.input_shape[0], recipe.size, recipe.size).to("cuda")
    results = []
    for algorithm in ("auto", "cudnn"):
        with minidl.use_algorithm(algorithm):
            model.zero_grad()
            scores = model(x)
            scores.pow(2).sum().backward()
            results.append([scores, *[p.grad for p in model.parameters() if p.grad is not None]])
    for ours, theirs in zip(*results, strict=True):
        ours, theirs = to_numpy(ours).astype("float64"), to_numpy(theirs).astype("float64")
        if not numpy.isfinite(ours).all():  # a thousand layers whose statistics have never moved
            assert not numpy.isfinite(theirs).all()
            continue
        # As a whole: where a maximum or a ReLU is decided by the last digit, single numbers differ more.
        assert numpy.linalg.norm(theirs - ours) <= 2e-2 * numpy.linalg.norm(ours) + 1e-10


def test_a_training_gives_the_losses_of_the_host_and_resumes(tmp_path, capsys):
    command = ["train", "lenet5", "--data", "digits", "--resize", "--epochs", "2", "--seed", "3"]
    assert main([*command, "--device", "cuda", "--out", str(tmp_path / "gpu")]) == 0
    assert main([*command, "--device", "cuda", "--out", str(tmp_path / "two"), "--max-steps", "7"]) in (0, 130)
    assert main(["train", "--device", "cuda", "--resume", str(tmp_path / "two")]) == 0
    assert main([*command, "--device", "cpu", "--out", str(tmp_path / "cpu")]) == 0
    gpu, two, cpu = (minidl.load(tmp_path / name / "model.safetensors") for name in ("gpu", "two", "cpu"))
    for name in gpu:
        assert (gpu[name].numpy() == two[name].numpy()).all(), f"{name} differs after resuming"
        numpy.testing.assert_allclose(gpu[name].numpy(), cpu[name].numpy(), atol=2e-2)


def test_two_runs_give_the_same_bits():
    def run():
        minidl.manual_seed(0)
        model = NETWORKS["resnet20"].build().to("cuda")
        x, t = minidl.rand(16, 3, 32, 32).to("cuda"), minidl.tensor([*range(10), *range(6)]).to("cuda")
        F.cross_entropy(model(x), t).backward()
        return [p.grad.cpu().numpy() for p in model.parameters()]

    for algorithm in ALGORITHMS:
        with minidl.use_algorithm(algorithm):
            for a, b in zip(run(), run(), strict=True):
                assert (a == b).all()


def test_tf32_rounds_products_and_float32_does_not():
    x = minidl.randn(256, 256).to("cuda")
    exact = (x.double() @ x.double()).cpu().numpy()
    errors = {}
    for precision in ("highest", "high"):
        minidl.set_float32_matmul_precision(precision)
        errors[precision] = abs((x @ x).cpu().numpy() - exact).max()
    assert errors["highest"] < 1e-4 < errors["high"] < 0.5


def test_more_elements_than_32_bits_count():
    x = minidl.ones(2**15, 1, 128, 128).to("cuda").requires_grad_()  # 2^29; its columns are 9 times as many
    y = F.conv2d(x, minidl.full((1, 1, 3, 3), 1.0).to("cuda"), padding=1)
    assert float(y.data[-1, 0, 1, 1]) == 9
    y.sum().backward()
    assert float(x.grad.data[-1, 0, 1, 1]) == 9
    assert float(x.grad.data[-1, 0, 0, 0]) == 4


def test_devices_that_do_not_fit_are_named():
    x, weight = minidl.ones(1, 1, 3, 3).to("cuda"), minidl.ones(1, 1, 3, 3)
    with pytest.raises(RuntimeError, match=r"same device(?s:.*)cuda:0"):
        F.conv2d(x, weight)
    with pytest.raises(RuntimeError, match=r"Use Tensor\.cpu"):
        x.numpy()

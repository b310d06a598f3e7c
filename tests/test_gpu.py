"""What runs on a GPU, without one: every operation on a stand-in for CuPy, in kernels and by the plain formulae."""

import numpy
import pytest

import minidl
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

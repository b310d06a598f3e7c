"""What each process of test_nccl.py runs, on a GPU: `python -m tests.nccl_worker PORT FOLDER SCENARIO ...`.

FOLDER is where SCENARIO.done is written after each.
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

import cupy
import numpy

import minidl
import minidl.nn.functional as F
from minidl import distributed as dist
from minidl.distributed import DistBackendError, ReduceOp
from minidl.distributed.group import current_group
from minidl.events import Observer, observing
from minidl.nn.parallel import DistributedDataParallel
from minidl.nn.sync_batch_norm import SyncBatchNormalize
from minidl.tensor import apply
from minidl.training import Training
from tests import mpi_worker
from tests.mpi_worker import Net, assert_raises, dataset

GPU = "cuda:0"

# The GPU computes for so many ticks of its clock, of which there are up to two thousand million in a second.
BUSY = cupy.RawKernel(
    'extern "C" __global__ void busy(long long ticks) { long long end = clock64() + ticks; while (clock64() < end); }',
    "busy",
)


def verbs(folder):
    """One process: each verb leaves what it was given, on the GPU and on the host, in all kinds of numbers."""
    assert (dist.get_backend(), dist.get_rank(), dist.get_world_size()) == ("nccl", 0, 1)
    for device in (GPU, "cpu"):
        for dtype in (minidl.float32, minidl.float64, minidl.int64, minidl.int32, minidl.uint8, minidl.int8):
            x = minidl.arange(6, dtype=dtype).reshape(2, 3).to(device)
            expected = x.tolist()
            for op in (ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX):
                dist.all_reduce(x, op)
            dist.broadcast(x, src=0)
            assert x.tolist() == expected and str(x.device) == device, (x, device, dtype)
            out = minidl.zeros(1, 2, 3, dtype=dtype).to(device)
            dist.all_gather_into_tensor(out, x)
            assert out.tolist() == [expected]
        strided = minidl.arange(12).reshape(3, 4).to(device).t()  # not in one piece
        work = dist.all_reduce(strided, async_op=True)
        work.wait()
        assert work.is_completed() and strided.tolist() == minidl.arange(12).reshape(3, 4).t().tolist()
        scalar = minidl.tensor(3.5).to(device)  # without dimensions, as a loss
        dist.all_reduce(scalar)
        assert scalar.item() == 3.5 and scalar.shape == ()
    for _ in range(2):  # cupyx's own can be passed once
        dist.barrier()
    assert dist.gather_texts("héllo") == ["héllo"]


def behind_what_is_computed(folder):
    """A message waits for the kernels before it, and what comes after `wait` for the message."""
    x = minidl.zeros(1 << 20).to(GPU)
    for number in range(20):
        BUSY((1,), (1,), (numpy.int64(2_000_000),))
        x.data[...] = number
        dist.all_reduce(x)
        y = x * 2
        x.data[...] = -1
        assert (y.data == 2 * number).all()


def step(folder):
    """A step of DistributedDataParallel is that without it, whatever the size of the buckets."""
    minidl.set_default_dtype(minidl.float64)
    images, labels = (tensor.to(GPU) for tensor in dataset(12, 3)[:])

    def trained(most):
        minidl.manual_seed(5)
        model = Net().to(GPU)
        replica = model if most is None else DistributedDataParallel(model, device_ids=[GPU], bucket_cap_mb=most)
        optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(replica(images), labels).backward()
            optimizer.step()
        return {name: value.cpu().numpy() for name, value in model.state_dict().items()}

    expected = trained(None)
    for most in (25.0, 1e-4, 1e-6):
        for name, value in trained(most).items():
            numpy.testing.assert_allclose(value, expected[name], rtol=1e-11, atol=1e-12, err_msg=name)


def overlap(folder):
    """The first bucket has left, and its sums are there, before backward comes to the first layer."""
    model = DistributedDataParallel(Net().to(GPU), bucket_cap_mb=1e-4)
    assert len(model._buckets) > 2
    log = []

    class Watching(Observer):
        def before_backward(self, node, grad_outputs):
            log.append(node.name())
            if node.name() == "Conv2d" and log.count("Conv2d") == 2:  # of conv1
                model._buckets[0].work.wait()
                log.append("summed")

    images, labels = (tensor.to(GPU) for tensor in dataset(6, 3)[:])
    with observing(Watching()):
        F.cross_entropy(model(images.float()), labels).backward()
    assert log.count("summed") == 1 and len(log) > log.index("summed") + 1, log
    assert all(parameter.grad is not None for parameter in model.parameters())


def unused_parameters(folder):
    """A parameter without a gradient keeps having none."""
    mpi_worker.minidl.set_default_dtype(minidl.float32)
    model = DistributedDataParallel(mpi_worker.Branches(1).to(GPU), find_unused_parameters=True)
    for _ in range(2):
        model.zero_grad()
        model(minidl.ones(3, 2).to(GPU), 0).sum().backward()
        assert model.module.layers[1].weight.grad is None
        expected = 3 * model.module.end.weight.item()
        assert abs(model.module.layers[0].bias.grad.item() - expected) < 1e-5


def batch_norm(folder):
    """SyncBatchNorm's Function, over this one process, is batch norm."""
    minidl.manual_seed(0)
    x, weight, bias = (minidl.randn(*shape, dtype=minidl.float64) for shape in ((5, 3, 4, 6), (3,), (3,)))
    cotangent = minidl.randn(5, 3, 4, 6, dtype=minidl.float64)
    results = []
    for synchronized in (True, False):
        leaves = [tensor.clone().to(GPU).requires_grad_() for tensor in (x, weight, bias)]
        if synchronized:
            y, mean, variance, count = apply(SyncBatchNormalize, *leaves, eps=1e-5)
            assert count.item() == 5 * 4 * 6
            numpy.testing.assert_allclose(mean.cpu().numpy(), x.numpy().mean((0, 2, 3)), rtol=1e-12)
            numpy.testing.assert_allclose(variance.cpu().numpy(), x.numpy().var((0, 2, 3)), rtol=1e-12)
        else:
            y = F.batch_norm(leaves[0], None, None, leaves[1], leaves[2], training=True)
        y.backward(cotangent.to(GPU))
        results.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*results, strict=True):
        numpy.testing.assert_allclose(ours.cpu().numpy(), theirs.cpu().numpy(), rtol=1e-10, atol=1e-12)


def training(folder):
    """A ShardedTraining of one process ends with the weights of a Training."""
    ours = mpi_worker.training(device=GPU)
    ours.run()
    theirs = mpi_worker.training(device=GPU, kind=Training)
    theirs.run()
    expected = mpi_worker.result(theirs)
    for name, value in mpi_worker.result(ours).items():
        numpy.testing.assert_allclose(value, expected[name], rtol=1e-10, atol=1e-11, err_msg=name)


def other_device(folder):
    """The model is told to be on the GPU of its process."""
    group = current_group()
    before, group.device = group.device, minidl.device("cuda:1")
    try:
        assert_raises(ValueError, "speaks for cuda:1", lambda: dist.all_reduce(minidl.ones(2).to(GPU)))
    finally:
        group.device = before


def late(folder):
    """A rank that waits too long says so: here for its own GPU, which computes for some seconds."""
    group = current_group()
    before, group.timeout = group.timeout, 0.5
    try:
        x = minidl.ones(3).to(GPU)
        BUSY((1,), (1,), (numpy.int64(4_000_000_000),))
        began = time.monotonic()
        assert_raises(DistBackendError, "rank 0 of 1 waited", lambda: dist.all_reduce(x))
        assert time.monotonic() - began < 1.5
    finally:
        group.timeout = before
        cupy.cuda.Device().synchronize()


def joined_again(folder):
    """The group can be left, and a new one joined at the same address."""
    address = f"tcp://127.0.0.1:{sys.argv[1]}"
    dist.destroy_process_group()
    assert not dist.is_initialized()
    dist.init_process_group("nccl", address, world_size=1, rank=0, timeout=timedelta(seconds=60))
    x = minidl.ones(3).to(GPU)
    dist.all_reduce(x)
    assert x.tolist() == [1, 1, 1]


GOOD = (verbs, behind_what_is_computed, step, overlap, unused_parameters, batch_norm, training, other_device, late)
SCENARIOS = {scenario.__name__: scenario for scenario in (*GOOD, joined_again)}


def main():
    port, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    address = f"tcp://127.0.0.1:{port}"
    if names == ["nobody_else"]:  # of two, the only one that comes
        dist.init_process_group("nccl", address, world_size=2, rank=0, timeout=timedelta(seconds=2))
    dist.init_process_group("nccl", address, world_size=1, rank=0, timeout=timedelta(seconds=60))
    for name in names:
        minidl.set_default_dtype(minidl.float32)
        SCENARIOS[name](folder)
        (folder / f"{name}.done").touch()
        print(f"{name} done", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

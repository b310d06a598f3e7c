"""What of minidl.distributed works in a single process: samplers, hooks, buckets, errors. test_mpi.py has the rest."""

import argparse
import html
import importlib.util
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
import types
from datetime import timedelta
from pathlib import Path

import numpy
import pytest

import minidl
from minidl import distributed as dist
from minidl import nn
from minidl.cli import train
from minidl.cli.crew import Crew
from minidl.cli.train_setup import Settings, prepare
from minidl.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, ShardedBatchSampler
from minidl.data.images import ArrayDataset
from minidl.data.transforms import Compose, RandomCrop, RandomHorizontalFlip, ToTensor
from minidl.distributed import group, nccl
from minidl.distributed.group import current_group
from minidl.events import Observer, observing
from minidl.nn.gradient_buckets import buckets_of
from minidl.nn.parallel import DistributedDataParallel
from minidl.nn.sync_batch_norm import SyncBatchNormalize
from minidl.tensor import apply
from tests import mpi_worker, standin_gpu
from tests.benchmarks.distributed_page import NOMINAL, Subject, page, scaling_rows
from tests.benchmarks.workers import Cost, Link, Rates

ROOT = Path(__file__).resolve().parent.parent

# ------------------------------------------------------------------------------------------------------- the group


def test_alone():
    assert not dist.is_initialized()
    assert (dist.get_rank(), dist.get_world_size(), dist.get_node_local_rank(5)) == (0, 1, 5)
    with pytest.raises(RuntimeError, match="Default process group has not been initialized"):
        dist.all_reduce(minidl.ones(2))
    with pytest.raises(RuntimeError, match="Default process group has not been initialized"):
        dist.destroy_process_group()
    with pytest.raises(RuntimeError, match="there is no process group"):
        DistributedDataParallel(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="op is one of"):
        dist.all_reduce(minidl.ones(2), "mean")
    with pytest.raises(RuntimeError, match="neither"):
        dist.get_node_local_rank()


def test_backends_that_are_missing(monkeypatch):
    with pytest.raises(ValueError, match="unknown backend 'gloo'"):
        dist.init_process_group("gloo")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    with pytest.raises(RuntimeError, match=r"needs mpi4py and an MPI library[\s\S]*help: .*\[mpi\]"):
        dist.init_process_group("mpi")
    assert not dist.is_initialized()


@pytest.mark.skipif(minidl.cuda.is_available(), reason="there is a GPU")
def test_nccl_without_a_gpu():
    with pytest.raises(RuntimeError, match='the backend "nccl" needs a GPU'):
        dist.init_process_group("nccl", world_size=1, rank=0)


def test_the_command_without_mpi():
    """A process that mpiexec did not start is told what is missing, or trains alone."""
    if importlib.util.find_spec("mpi4py") is None:
        options = ["train", "lenet5", "--data", "digits", "--distributed", "mpi"]
        done = subprocess.run([sys.executable, "-m", "minidl", *options], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1 and 'pip install ".[mpi]"' in done.stderr
    assert Crew().from_first(lambda: "settings") == "settings"
    assert Crew().in_turn(lambda: 7) == 7
    assert Crew().command("minidl train --resume run") == "minidl train --resume run"


# NCCL itself needs GPUs: see test_nccl.py. A stand-in for CuPy, on NumPy, runs what stands in nccl.py with one process.


class Stream:
    ptr = 0

    def __init__(self, non_blocking=False):
        self.waits_for = []

    def wait_event(self, event):
        assert event.recorded
        self.waits_for.append(event)


class Event:
    recorded = False
    done = True

    def record(self, stream=None):
        self.recorded = True


class Device:
    def __init__(self, number):
        assert number == 0

    def use(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Communicator:
    stopped = 0

    def all_reduce(self, in_array, out_array, op, stream):
        assert stream.waits_for and in_array.flags.c_contiguous
        out_array[...] = in_array

    def broadcast(self, in_out_array, root, stream):
        assert root == 0

    def all_gather(self, in_array, out_array, count, stream):
        assert count == in_array.size
        out_array.reshape(-1)[:count] = in_array.reshape(-1)

    def stop(self):
        Communicator.stopped += 1


class CopyOnDevice(numpy.ndarray):
    def get(self):
        return numpy.array(self)


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in; `connect` is its cupyx.distributed.init_process_group."""
    cuda = types.SimpleNamespace(Stream=Stream, Event=Event, Device=Device)
    cuda.runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)
    cupy = types.SimpleNamespace(
        cuda=cuda,
        asarray=lambda array, order=None: numpy.array(array, order=order).view(CopyOnDevice),
        zeros=lambda *shape: numpy.zeros(*shape).view(CopyOnDevice),
        connect=lambda *numbers, **options: Communicator(),
    )
    module = types.SimpleNamespace(init_process_group=lambda *numbers, **options: cupy.connect(*numbers, **options))
    monkeypatch.setattr(nccl, "gpu_and_nccl", lambda: (cupy, module))
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK"):
        monkeypatch.delenv(name, raising=False)
    yield cupy
    if dist.is_initialized():
        dist.destroy_process_group()


needs_fork = pytest.mark.skipif(os.name != "posix", reason="NCCL is for Linux, and so is how its group begins")


@needs_fork
def test_nccl_with_a_stand_in_for_cupy(monkeypatch, cupy):
    called = {}

    def connect(size, rank, **options):
        called.update(options, size=size, rank=rank, start=multiprocessing.get_start_method())
        return Communicator()

    cupy.connect = connect
    for name, value in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "4")):
        monkeypatch.setenv(name, value)
    before, stopped = sys.excepthook, Communicator.stopped
    start = multiprocessing.get_start_method(allow_none=True)
    dist.init_process_group("nccl", "tcp://127.0.0.1:29500", timeout=timedelta(seconds=5))
    assert called == {"backend": "nccl", "host": "127.0.0.1", "port": 29500, "size": 1, "rank": 0, "start": "fork"}
    assert Communicator.stopped == stopped + 1, "the server is not needed any more"
    assert multiprocessing.get_start_method(allow_none=True) == start and sys.excepthook is not before
    x = minidl.arange(6).reshape(2, 3)
    dist.all_reduce(x)
    dist.broadcast(x, 0)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert dist.gather_texts("hello") == ["hello"]
    dist.barrier()
    assert dist.get_backend() == "nccl"
    model = DistributedDataParallel(nn.Linear(2, 1), device_ids=["cpu"])
    model(minidl.ones(3, 2)).sum().backward()
    assert model.module.weight.grad.tolist() == [[3, 3]]
    monkeypatch.setattr(Event, "done", False)
    current_group().timeout = 0.05
    with pytest.raises(dist.DistBackendError, match=r"all_reduce.*: rank 0 of 1 waited 0 seconds for the others"):
        dist.all_reduce(x)
    dist.destroy_process_group()
    assert sys.excepthook is before


@needs_fork
def test_nccl_that_cannot_begin(cupy):
    def begin(init_method="tcp://127.0.0.1:29501", size=2, rank=0):
        dist.init_process_group("nccl", init_method, timedelta(seconds=0.1), size, rank)

    cupy.connect = lambda *numbers, **options: time.sleep(0.5)
    with pytest.raises(dist.DistBackendError, match=r"rank 0 of 2 did not find the others .* waited 0 seconds"):
        begin()

    def refused(*numbers, **options):
        raise RuntimeError("TCPStore is not available")

    cupy.connect = refused
    with pytest.raises(
        dist.DistBackendError, match=r"at 127.0.0.1:29501: TCPStore is not available\n  help: did every"
    ):
        begin()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RuntimeError, match=r"rank 0 cannot listen at 127.0.0.1:\d+: "):
            begin(address)
    with pytest.raises(ValueError, match="cannot read init_method 'file:///x'"):
        begin("file:///x")
    with pytest.raises(ValueError, match="Invalid rank 2, rank should be in the interval"):
        begin(rank=2)
    with pytest.raises(ValueError, match="needs rank"):
        dist.init_process_group("nccl", world_size=1)
    assert not dist.is_initialized()


# ------------------------------------------------------------------------------------------------------- gradients


def test_post_accumulate_grad_hook():
    """It sees each sum as it stands in `.grad`, once for each backward."""
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda leaf: seen.append((leaf is x, leaf.grad.tolist())))
    (x * x + x).sum().backward()
    (3 * x).sum().backward()
    assert seen == [(True, [3.0, 5.0]), (True, [6.0, 8.0])]
    handle.remove()
    x.sum().backward()
    assert len(seen) == 2 and x.grad.tolist() == [7.0, 9.0]
    for tensor in (x * 2, minidl.ones(2)):
        with pytest.raises(RuntimeError, match="can only be registered on leaf tensors"):
            tensor.register_post_accumulate_grad_hook(print)


def test_buckets_hold_every_parameter_once_from_the_end():
    model = nn.Sequential(*[nn.Linear(100, 100) for _ in range(40)])  # 40,400 bytes each
    model[3].double()
    buckets = buckets_of(model.parameters(), 500_000)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    order = [names[id(parameter)] for bucket in buckets for parameter in bucket.parameters]
    assert sorted(order) == sorted(names.values())
    assert buckets[0].parameters[0] is model[39].bias
    for bucket in buckets:
        assert len({parameter.dtype for parameter in bucket.parameters}) == 1
        assert bucket.buffer.nbytes <= 550_000 and bucket.buffer.dtype == bucket.parameters[0].dtype
    assert len(buckets) == 4  # three of float32, one of float64
    alone = buckets_of([nn.Parameter(minidl.ones(300_000)), nn.Parameter(minidl.ones(10))], 500_000)
    assert [len(bucket.parameters) for bucket in alone] == [2], "a small one goes with the large one in front of it"
    assert len(buckets_of([nn.Parameter(minidl.ones(1 << 18)) for _ in range(10)], 4e6)) == 4, "1, 4, 4 and 1 of 1 MiB"


class OneRank:
    """A group of one process, without MPI: the sums are there when they are asked for."""

    backend, rank, size, timeout = "none", 0, 1, 1.0

    def __init__(self):
        self.verbs = []

    def all_reduce(self, array, op="sum", *, apart=False):
        self.verbs.append(("all_reduce", array))
        return self

    def broadcast(self, array, src):
        self.verbs.append(("broadcast", array))
        return self

    def all_gather(self, out, array):
        out.reshape(-1)[...] = array.reshape(-1)
        return self

    def is_completed(self):
        return True

    def wait(self):
        pass

    def close(self):
        pass


@pytest.fixture
def one_rank(monkeypatch):
    one_rank = OneRank()
    monkeypatch.setattr(group, "_group", one_rank)
    return one_rank


def test_buckets_leave_while_backward_runs(one_rank):
    """Each leaves when its last gradient has arrived, before backward of the layers in front of it."""
    model = DistributedDataParallel(
        nn.Sequential(*[nn.Linear(8, 8) for _ in range(4)]), bucket_cap_mb=8 * 9 * 4 / 2**20
    )
    assert [len(bucket.parameters) for bucket in model._buckets] == [2, 2, 2, 2]
    one_rank.verbs.clear()
    log = []

    class Watching(Observer):
        def before_backward(self, node, grad_outputs):
            if node.name() == "Linear":
                log.append(len(one_rank.verbs))

    with observing(Watching()):
        model(minidl.ones(2, 8)).sum().backward()
    assert log == [0, 1, 2, 3], (
        "the buckets that had left when each Linear's backward began, from the last to the first"
    )
    assert [verb for verb, _ in one_rank.verbs] == ["all_reduce"] * 4


@pytest.mark.skipif(standin_gpu.COMPILER is None, reason="no C++ compiler to run the kernels")
@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_on_the_stand_in_for_a_gpu(one_rank, device):
    """Buckets, buffers and synchronised norms stay on the GPU of the model, also where that is not the current one."""

    def trained(model, replica, device):
        model.to(device)
        x = minidl.from_numpy(numpy.random.default_rng(0).standard_normal((4, 2, 8, 8))).float().to(device)
        replica(model)(x).sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        assert all(str(gradient.device) == device for gradient in gradients)
        return [gradient.cpu().numpy() for gradient in gradients] + [buffer.cpu().numpy() for buffer in model.buffers()]

    minidl.manual_seed(0)
    state = mpi_worker.Net().state_dict()
    expected = mpi_worker.Net()
    expected.load_state_dict(state)
    expected = trained(expected, lambda model: model, "cpu")
    with standin_gpu.installed():
        ours = mpi_worker.Net()
        ours.load_state_dict(state)
        ours = trained(ours, lambda model: DistributedDataParallel(model, bucket_cap_mb=1e-3), device)
        for our, their in zip(ours, expected, strict=True):
            numpy.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-5)
        assert {type(array).__module__ for verb, array in one_rank.verbs if verb == "all_reduce"} == {"cupy"}
        x, weight, bias = (minidl.randn(*shape).to(device).requires_grad_() for shape in ((3, 2, 4, 5), (2,), (2,)))
        y, mean, _, count = apply(SyncBatchNormalize, x, weight, bias, eps=1e-5)
        y.sum().backward()
        assert {str(tensor.device) for tensor in (y, mean, x.grad, weight.grad, bias.grad)} == {device}
        assert count.item() == 3 * 4 * 5
        numpy.testing.assert_allclose(mean.cpu().numpy(), x.detach().cpu().numpy().mean((0, 2, 3)), rtol=1e-5)


def test_sync_batch_norm_of_another_dtype_than_its_parameters(one_rank, monkeypatch):
    monkeypatch.setattr(one_rank, "size", 2)
    with pytest.raises(RuntimeError, match=r"same dtype(?s:.*)float64(?s:.*)float32"):
        nn.SyncBatchNorm(2)(minidl.ones(3, 2, dtype=minidl.float64))


def test_sync_batch_norm_alone_is_batch_norm():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3, affine=False)))
    twin = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(*model))
    assert [type(module).__name__ for module in twin.modules()].count("SyncBatchNorm") == 2
    assert list(twin.state_dict()) == list(model.state_dict())
    assert twin[1].weight is model[1].weight
    assert repr(twin[1]).startswith("SyncBatchNorm(3, eps=1e-05")
    x = minidl.randn(4, 2, 5, 5)
    expected = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False))
    expected.load_state_dict({name.replace("2.0.", "2."): value for name, value in twin.state_dict().items()})
    assert minidl.equal(twin(x), expected(x))
    assert minidl.equal(twin.eval()(x), expected.eval()(x))


# -------------------------------------------------------------------------------------------------------- samplers


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("count", [1, 8, 10, 11])
def test_distributed_sampler(count, drop_last):
    """All ranks have as many; together they have everything, but for what cannot be shared out."""
    samplers = [DistributedSampler(range(count), 4, rank, seed=3, drop_last=drop_last) for rank in range(4)]
    for epoch in (0, 1):
        parts = [sampler.order(rank, epoch) for rank, sampler in enumerate(samplers)]  # each loader has another seed
        assert {len(part) for part in parts} == {len(samplers[0])}
        seen = [index for part in parts for index in part]
        if drop_last:
            assert len(seen) == len(set(seen)) == count // 4 * 4
        else:
            assert set(seen) == set(range(count)) and len(seen) == -(-count // 4) * 4
    assert count < 8 or samplers[0].order(0, 0) != samplers[0].order(0, 1)


def test_distributed_sampler_in_a_loader():
    data = [float(number) for number in range(10)]
    loaders = [DataLoader(data, 2, sampler=DistributedSampler(data, 2, rank)) for rank in (0, 1)]
    first, second = ([sorted(x for batch in loader for x in batch.tolist()) for loader in loaders] for _ in range(2))
    assert sorted(first[0] + first[1]) == sorted(second[0] + second[1]) == data
    assert first != second, "a new order in each epoch, without set_epoch"
    sampler = DistributedSampler(data, 2, 1)
    before = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != before == DistributedSampler(data, 2, 1).order(0, 0)
    assert list(DistributedSampler(data, 2, 1, shuffle=False)) == [1, 3, 5, 7, 9]
    with pytest.raises(ValueError, match="Invalid rank 2, rank should be in the interval"):
        DistributedSampler(data, 2, 2)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_sharded_batches_are_those_of_one_process(ranks):
    data = range(22)
    whole = BatchSampler(RandomSampler(data), 8, drop_last=False)
    parts = [ShardedBatchSampler(whole, ranks, rank) for rank in range(ranks)]
    assert parts[0].sizes() == [8, 8, 6] and len(parts[0]) == 3
    for epoch in (0, 1):
        of_ranks = [part.order(5, epoch) for part in parts]
        for number, batch in enumerate(whole.order(5, epoch)):
            joined = [order[number] for order in of_ranks]
            assert sorted(index for part in joined for index in part) == sorted(batch)
            assert max(map(len, joined)) - min(map(len, joined)) <= 1


@pytest.mark.parametrize("ranks", [2, 3])
def test_each_image_is_augmented_as_in_one_process(ranks):
    """What is random about an image depends on (seed, epoch, index), not on the rank that loads it."""
    numbers = numpy.random.default_rng(0)
    pixels, labels = numbers.integers(256, size=(11, 3, 8, 8), dtype=numpy.uint8), numpy.arange(11)
    data = ArrayDataset(pixels, labels)
    data = data.with_transform(Compose([RandomCrop(8, padding=2), RandomHorizontalFlip(), ToTensor()]))

    def images(batches, workers):
        loader = DataLoader(data, batch_sampler=batches, num_workers=workers)
        loader.seed = 5
        return [
            (epoch, label, image.tobytes())
            for epoch in (0, 1)
            for inputs, labels in loader.batches(epoch)
            for image, label in zip(inputs.numpy(), labels.tolist(), strict=True)
        ]

    whole = BatchSampler(RandomSampler(data), 4, drop_last=False)
    parts = [images(ShardedBatchSampler(whole, ranks, rank), rank) for rank in range(ranks)]
    assert sorted(image for part in parts for image in part) == sorted(images(whole, 0))
    assert len({image for _, _, image in parts[0]}) == len(parts[0]), "a new crop or flip in each epoch"


def test_a_batch_too_small_to_share():
    with pytest.raises(ValueError, match="a batch of 2 samples cannot be shared out to 3 ranks"):
        ShardedBatchSampler(BatchSampler(range(22), 5, drop_last=False), 3, 0)
    assert len(ShardedBatchSampler(BatchSampler(range(22), 5, drop_last=True), 3, 0)) == 4


def test_sharded_training_needs_a_group():
    plain = mpi_worker.Net()
    with pytest.raises(RuntimeError, match="no process group"):
        minidl_training(plain)


def minidl_training(model):
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    return mpi_worker.ShardedTraining(model, optimizer, nn.CrossEntropyLoss(), DataLoader([0]), [], 1)


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
@pytest.mark.parametrize("options", [[], ["--sync-batch-norm"]])
def test_the_command_synchronises_norms_when_told(one_rank, options):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    arguments = parser.parse_args(["resnet20", "--data", "digits", "--validation", "100", *options])
    setup = prepare(Settings.of(arguments), "cpu", 0)
    assert type(setup.training) is mpi_worker.ShardedTraining
    kinds = {type(module) for module in setup.model.modules()} & {nn.BatchNorm2d, nn.SyncBatchNorm}
    assert kinds == {nn.SyncBatchNorm if options else nn.BatchNorm2d}
    other = parser.parse_args(["resnet20", "--data", "digits", "--sync-batch-norm"])
    assert bool(setup.settings.contradictions(other)) != bool(options), "it cannot be changed by --resume"


# ------------------------------------------------------------------------------------- what many workers would give


def test_the_benchmarks_arithmetic():
    """Two buckets of 4 and 1 MB, 0.5 s of computing, of which 0.3 are backward, for 64 images."""
    rates = Rates(64, Cost(0, 0.5 / 64), Cost(0, 0.3 / 64), (4_000_000, 1_000_000))
    assert rates.efficiency(1, Link(1.0, 1.0)) == 1  # nobody to send to, however slow the link is
    assert rates.step(2, Link(0.0, 1e6)) == pytest.approx(0.5 + 5 - 0.3)  # 5 s there and back, less what backward hides
    assert rates.step(2, Link(0.0, 5e7)) == pytest.approx(0.5 + 0.02)  # backward hides all but the last bucket
    assert rates.step(1024, Link(1e-3, 1e12)) == pytest.approx(0.5 + 2 * 2 * 1.023 - 0.3, rel=1e-4)  # latency alone
    assert rates.takes_over(Link(0.0, 1e12)) is None
    assert rates.efficiency(2, Link(0.0, 1e6), whole=64) == pytest.approx(0.25 / (0.25 + 5 - 0.15))
    assert rates.speed(2, Link(0.0, 5e7)) == pytest.approx(128 / 0.52)
    assert rates.speed(2, Link(0.0, 1e6), whole=64) == pytest.approx(64 / (0.25 + 5 - 0.15))
    assert (rates.sent(1), rates.sent(2), rates.sent(4)) == (0, 5e6, 7.5e6)
    slow = Link(1e-3, 1e12)
    over = rates.takes_over(slow)
    assert rates.step(over - 1, slow) <= 1.0 < rates.step(over, slow)
    assert Cost.through(64, 0.5, 8, 0.15) == pytest.approx((0.1, 0.35 / 56))
    assert Cost.through(64, 0.5, 8, 0.01) == (0.0, 0.5 / 64)  # noise


def test_the_benchmarks_page():
    """Numbers of the tables and the formulae stand in it, and nothing is loaded from elsewhere."""
    rates = Rates(64, Cost(0.02, 0.01), Cost(0.01, 0.006), (4_000_000, 1_000_000))
    subject = Subject("LeNet & Co", rates, Link(4e-6, 4e9), 0.7)
    heading, lines = scaling_rows(subject)
    assert len(heading) == len(lines[0]) and len(lines) == 2 * 4
    line = next(line for line in lines if line[0] == "1,024 images shared out to all; 1 Gbit/s, 50 µs")
    link = NOMINAL["1 Gbit/s, 50 µs"]
    efficiency = rates.efficiency(1024, link, 1024)
    assert line[5].endswith(f"({efficiency:.0%})") and line[6] == f"{rates.takes_over(link, 1024):,} workers"
    document = page(
        [subject], ((["images/s", "1 process"], [["LeNet", "12.5"]]), (["sent"], [["MB"]])), "on a <machine>"
    )
    words = " ".join(
        html.unescape(re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", document, flags=re.S)).split()
    )
    assert "on a <machine>" in words and "12.5" in words and "LeNet & Co" in words and f"{efficiency:.0%}" in words
    assert "a step of LeNet & Co should take 660 ms, and took 700 ms" in words
    assert "step( K ) = computing( n ) + max( reduce( K ) − backward( n ), that of the last bucket alone )" in words
    assert not re.search(r"""(src|href)=["']?(http|//)""", document.replace("xlink:href", "")) and "<svg" in document

"""What each process of test_mpi.py runs: `mpiexec -n K python -m tests.mpi_worker FOLDER SCENARIO ...`.

FOLDER is the scenarios' to write into; after each that all processes have done, rank 0 writes SCENARIO.done there.
"""

import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy

import minidl
import minidl.nn.functional as F
from minidl import distributed as dist
from minidl import nn
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.cli.train import StopAfter
from minidl.data import BatchSampler, DataLoader, RandomSampler, ShardedBatchSampler, Subset, TensorDataset
from minidl.distributed import ReduceOp
from minidl.distributed.group import current_group
from minidl.events import Observer, observing
from minidl.nn.parallel import DistributedDataParallel
from minidl.training import ShardedTraining, Training, evaluate

IMAGES, TEST_IMAGES, BATCH, EPOCHS = 34, 9, 12, 3  # batches of 12, 12 and 10: no K but 1 and 2 divides them all


class Net(nn.Module):
    """Convolution, batch norm over pixels and over features."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 5, 3, stride=2)
        self.bn2 = nn.BatchNorm2d(5, momentum=None)
        self.fc1 = nn.Linear(5 * 9, 12)
        self.bn3 = nn.BatchNorm1d(12)
        self.fc2 = nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc2(F.relu(self.bn3(self.fc1(x.flatten(1)))))


def dataset(count, seed):
    rng = numpy.random.default_rng(seed)
    images = minidl.from_numpy(rng.standard_normal((count, 2, 8, 8)))
    return TensorDataset(images, minidl.from_numpy(rng.integers(3, size=count)))


def training(sync=True, dropout=0.0, epochs=EPOCHS, device="cpu", kind=None):
    """The same training on any number of processes, in float64. kind: ShardedTraining where there is a group."""
    minidl.set_default_dtype(minidl.float64)
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Dropout(dropout), Net()).to(device)
    if sync:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    data, test = dataset(IMAGES, 1), dataset(TEST_IMAGES, 2)
    batches = BatchSampler(RandomSampler(data), BATCH, drop_last=False)
    kind = kind or (ShardedTraining if dist.is_initialized() else Training)
    if kind is ShardedTraining:
        batches = ShardedBatchSampler(batches)
        test = Subset(test, range(dist.get_rank(), len(test), dist.get_world_size()))
    return kind(
        model,
        minidl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        DataLoader(data, batch_sampler=batches),
        DataLoader(test, 4),
        epochs,
    )


def result(trained):
    """The weights and running statistics, and what the history says."""
    history = trained.history
    state = {name: value.cpu().numpy().copy() for name, value in trained.model.state_dict().items()}
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        state[f"history.{name}"] = numpy.array(getattr(history, name))
    return state


def same_on_all_ranks(array):
    """To the last bit."""
    rows = numpy.zeros((dist.get_world_size(), array.size), array.dtype)
    current_group().all_gather(rows, numpy.ascontiguousarray(array)).wait()
    return all(row.tobytes() == rows[0].tobytes() for row in rows)


# --------------------------------------------------------------------------------------------------------- scenarios


def verbs(folder):
    rank, size = dist.get_rank(), dist.get_world_size()
    ranks = numpy.arange(size) + 1.0
    for op, expected in (
        (ReduceOp.SUM, ranks.sum()),
        (ReduceOp.PRODUCT, ranks.prod()),
        (ReduceOp.MIN, 1.0),
        (ReduceOp.MAX, float(size)),
    ):
        x = minidl.full((2, 3), rank + 1.0)
        dist.all_reduce(x, op)
        assert (x.numpy() == expected).all(), (op, x)
    strided = minidl.zeros(3, 4).t()  # not in one piece
    strided[1:] = rank + 1
    work = dist.all_reduce(strided, async_op=True)
    work.wait()
    assert work.is_completed()
    assert strided[0].sum().item() == 0 and (strided[1:].numpy() == ranks.sum()).all()
    x = minidl.tensor([rank, 7 * rank])
    dist.broadcast(x, src=size - 1)
    assert x.tolist() == [size - 1, 7 * (size - 1)]
    out = minidl.zeros(size, 2, dtype=minidl.int64)
    dist.all_gather_into_tensor(out, minidl.tensor([rank, -rank]))
    assert out.tolist() == [[each, -each] for each in range(size)]
    assert dist.gather_texts("é" * rank) == ["é" * each for each in range(size)]
    dist.barrier()
    assert dist.get_backend() == "mpi" and dist.get_node_local_rank() == rank


def same_as_one(folder):
    """K processes give the weights of one."""
    trained = training()
    trained.run()
    state = result(trained)
    assert all(same_on_all_ranks(array) for array in state.values())
    if dist.get_rank() == 0:
        numpy.savez(folder / "weights.npz", **state)


def local_statistics(folder):
    """Without SyncBatchNorm the weights stay the same on all ranks, and what was tested is what rank 0 has."""
    trained = training(sync=False)
    trained.run()
    state = {name: array for name, array in result(trained).items() if "running" not in name}
    assert all(same_on_all_ranks(array) for array in state.values())
    if dist.get_rank() == 0:
        tested = evaluate(
            trained.model, DataLoader(dataset(TEST_IMAGES, 2), 4), nn.CrossEntropyLoss(label_smoothing=0.1)
        )
        numpy.testing.assert_allclose(trained.history.test_loss[-1], tested.loss, rtol=1e-12)
        assert trained.history.test_accuracy[-1] == tested.accuracy


def gradients(folder):
    """DistributedDataParallel's averages are the gradient of the whole batch; and all that can go wrong around them."""
    minidl.set_default_dtype(minidl.float64)
    rank, size = dist.get_rank(), dist.get_world_size()
    images, labels = dataset(6 * size, 3)[:]

    def network():
        minidl.manual_seed(5)
        return nn.SyncBatchNorm.convert_sync_batchnorm(Net())

    minidl.manual_seed(5)
    whole = Net()
    F.cross_entropy(whole(images), labels).backward()
    mine = slice(rank, None, size)

    for algorithm in ("auto", "im2col"):
        for most in (25.0, 1e-6):  # megabytes: one bucket, and one for each parameter
            with minidl.use_algorithm(algorithm):
                model = DistributedDataParallel(network(), bucket_cap_mb=most)
                assert len(model._buckets) == (1 if most > 1 else len(list(whole.parameters())))
                x = images[mine].clone().requires_grad_()
                F.cross_entropy(model(x), labels[mine]).backward()
            check_equal(model.module, whole)
            for ours, theirs in zip(model.module.buffers(), whole.buffers(), strict=True):
                numpy.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-13)

    # The first halves of all parts, then the second ones, added up.
    added, model = network().eval(), DistributedDataParallel(network(), find_unused_parameters=True)
    freeze(added), freeze(model)
    first, second = images[mine][:3], images[mine][3:]
    with model.no_sync():
        model(first).sum().backward()
    assert not same_on_all_ranks(model.module.fc1.weight.grad.numpy()) or size == 1
    model(second).sum().backward()
    added(images).sum().backward()
    for ours, theirs in zip(model.module.parameters(), added.parameters(), strict=True):
        numpy.testing.assert_allclose(ours.grad.numpy() * size, theirs.grad.numpy(), rtol=1e-9, atol=1e-10)

    unused_parameters(rank, size)
    buffers_of_rank_0(rank)
    errors(rank, size)


def freeze(model):
    """Train mode, with the running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.eval()


def check_equal(model, whole):
    for (name, ours), theirs in zip(model.named_parameters(), whole.parameters(), strict=True):
        numpy.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-11, atol=1e-12, err_msg=name)


class Branches(nn.Module):
    """One linear layer for each rank, and one that nobody uses."""

    def __init__(self, count):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 1) for _ in range(count + 1))
        self.end = nn.Linear(1, 1)

    def forward(self, x, number):
        return self.end(self.layers[number](x))


def unused_parameters(rank, size):
    model = DistributedDataParallel(Branches(size), find_unused_parameters=True, bucket_cap_mb=1e-6)
    for _ in range(2):
        model.zero_grad()
        model(minidl.ones(3, 2), rank).sum().backward()
        layers = model.module.layers
        assert layers[size].weight.grad is None, "nobody used it"
        assert all(layers[k].bias.grad is not None and layers[k].weight.grad is not None for k in range(size))
        expected = 3 * model.module.end.weight.detach().numpy()[0] / size  # of one rank, among all
        numpy.testing.assert_allclose(layers[0].bias.grad.numpy(), expected, rtol=1e-12)
    model = DistributedDataParallel(Branches(size))
    model(minidl.ones(3, 2), rank).sum().backward()
    assert_raises(RuntimeError, "Expected to have finished reduction", lambda: model(minidl.ones(3, 2), rank))


def buffers_of_rank_0(rank):
    model = DistributedDataParallel(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    model.module[1].running_mean.fill_(rank)
    model.sync_buffers()
    assert model.module[1].running_mean.tolist() == [0, 0]


def errors(rank, size):
    if size > 1:
        other = nn.Linear(2, 3 if rank else 2)
        assert_raises(RuntimeError, "model of rank 0 has other parameters", lambda: DistributedDataParallel(other))
    model = DistributedDataParallel(nn.Linear(2, 2))
    y = model(minidl.ones(1, 2)).sum()
    y.backward(retain_graph=True)
    assert_raises(RuntimeError, "arrived twice", y.backward)
    assert_raises(RuntimeError, "twice!", dist.init_process_group)
    assert_raises(ValueError, "src is a rank from 0", lambda: dist.broadcast(minidl.ones(1), size))
    assert_raises(RuntimeError, "recorded operations", lambda: dist.all_reduce(y * 2))


def assert_raises(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__} about {text!r}")


def not_finite(folder):
    """A nan in the part of one rank: all of them hear which layer, and whose."""
    trained = training(sync=False)
    if dist.get_rank() == dist.get_world_size() - 1:
        trained.train_loader.dataset.tensors[0].data[...] = numpy.nan
    try:
        trained.run()
    except FloatingPointError as error:
        place = f"on rank {dist.get_world_size() - 1}, the inputs are not finite"
        assert place in str(error), error
        (folder / f"rank{dist.get_rank()}").touch()


def stop_together(folder):
    """The last rank wants to stop after step 4."""

    trained = training()
    trained.run(*[StopAfter(4)] * (dist.get_rank() == dist.get_world_size() - 1))
    assert trained.position.step == 4 and trained.stop


def resumes(folder):
    """With dropout: stopped after step 4 and begun anew, the end is the same to the last bit."""
    whole = training(sync=False, dropout=0.2)
    whole.run()
    stopped = training(sync=False, dropout=0.2)
    stopped.run(StopAfter(4))
    path = folder / "checkpoint.safetensors"
    if dist.get_rank() == 0:
        save_checkpoint(path, stopped.model, stopped.optimizer, stopped.state_dict())
    dist.barrier()
    minidl.manual_seed(7 + dist.get_rank())
    resumed = training(sync=False, dropout=0.2)
    resumed.load_state_dict(load_checkpoint(path, resumed.model, resumed.optimizer))
    resumed.run()
    if dist.get_rank() == 0:
        ours, theirs = result(resumed), result(whole)
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)


def overlap(folder):
    """The first bucket has left, and its sums are there, before backward comes to the first layer."""
    minidl.manual_seed(5)
    model = DistributedDataParallel(Net(), bucket_cap_mb=1e-4)
    group, log = current_group(), []
    assert len(model._buckets) > 2

    class Sending(Observer):
        def before_backward(self, node, grad_outputs):
            log.append(node.name())
            if node.name() == "Conv2d" and log.count("Conv2d") == 2:  # of conv1: the last one that has work to do
                first = model._buckets[0].work
                until = time.monotonic() + 30
                while not first.is_completed():
                    assert time.monotonic() < until
                log.append("summed")

    def all_reduce(array, *args, **options):
        log.append("sent")
        return type(group).all_reduce(group, array, *args, **options)

    images, labels = dataset(6, 3 + dist.get_rank())[:]
    group.all_reduce = all_reduce
    try:
        with observing(Sending()):
            F.cross_entropy(model(images.float()), labels).backward()
    finally:
        del group.all_reduce
    assert log.index("sent") < log.index("summed"), log
    assert log.count("sent") == len(model._buckets) and log[log.index("summed") :].count("sent") >= 1, log
    gradients = [parameter.grad.numpy() for parameter in model.parameters()]
    assert all(same_on_all_ranks(gradient) for gradient in gradients)


def fails(how):
    """The last rank does not come: it raises, or hangs in Python."""

    def scenario(folder):
        dist.barrier()
        if dist.get_rank() == dist.get_world_size() - 1:
            if how == "raises":
                raise ValueError("this rank has a bug")
            time.sleep(100)
        dist.all_reduce(minidl.ones(3))

    return scenario


GOOD = (verbs, gradients, overlap, same_as_one, local_statistics, not_finite, stop_together, resumes)
SCENARIOS = {scenario.__name__: scenario for scenario in GOOD}
SCENARIOS |= {how: fails(how) for how in ("raises", "hangs")}


def main():
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    dist.init_process_group("mpi", timeout=timedelta(seconds=2 if "hangs" in names else 60))
    for name in names:
        minidl.set_default_dtype(minidl.float32)
        SCENARIOS[name](folder)
        dist.barrier()
        if dist.get_rank() == 0:
            (folder / f"{name}.done").touch()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

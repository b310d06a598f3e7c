"""What each process of tests.benchmarks.distributed runs. Rank 0 prints what was measured as a line of JSON.

mpiexec -n 2 python -m tests.benchmarks.distributed_rank resnet20 --batch 64 --mpi
"""

import argparse
import contextlib
import json
import statistics
from pathlib import Path
from time import perf_counter

import numpy

import minidl
from minidl import distributed as dist
from minidl.distributed.group import current_group
from minidl.nn.parallel import DistributedDataParallel
from tests.benchmarks import subjects
from tests.benchmarks.networks import NETWORKS

LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")


def seconds(function):
    began = perf_counter()
    function()
    return perf_counter() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--mpi", action="store_true")
    arguments = parser.parse_args()
    if arguments.mpi:
        dist.init_process_group("mpi")
    network = NETWORKS[arguments.network]
    minidl.manual_seed(0)
    model = getattr(subjects.architecture(minidl, network.stem), network.name)(num_classes=network.classes)
    replica = DistributedDataParallel(model) if arguments.mpi else model
    optimizer = minidl.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    images, labels = subjects.batch(minidl, (arguments.batch, *network.image), network.classes)
    few = max(arguments.batch // 8, 1)
    backwards = []

    def step(images=images, labels=labels):
        optimizer.zero_grad()
        loss = subjects.loss_of(minidl, replica(images), labels)
        backwards.append(seconds(loss.backward))
        optimizer.step()

    def median_of(function, times=arguments.steps):
        taken = []
        for _ in range(times):
            if arguments.mpi:
                dist.barrier()
            taken.append(seconds(function))
        return statistics.median(taken)

    for _ in range(2):  # warm
        step()
    result = {"step": median_of(step), "parameters": sum(parameter.numel() for parameter in model.parameters())}
    if arguments.mpi:
        group, buckets = current_group(), replica._buckets
        before = int(LOOPBACK.read_text()) if LOOPBACK.exists() else 0
        dist.barrier()
        for _ in range(5):
            step()
        dist.barrier()
        after = int(LOOPBACK.read_text()) if LOOPBACK.exists() else 0
        backwards.clear()
        with replica.no_sync():
            result["compute"] = median_of(step)
            result["backward"] = statistics.median(backwards)
            backwards.clear()
            result["few"], result["compute_few"] = few, median_of(lambda: step(images[:few], labels[:few]))
            result["backward_few"] = statistics.median(backwards)
        result["buckets"] = [bucket.buffer.nbytes for bucket in buckets]
        small = numpy.zeros(1, numpy.float32)
        result["small"] = median_of(lambda: group.all_reduce(small, apart=True).wait(), 200)
        result["reduce"] = median_of(
            lambda: [w.wait() for w in [group.all_reduce(b.buffer, apart=True) for b in buckets]]
        )
        result["loopback"] = (after - before) / 5
    with contextlib.suppress(BrokenPipeError):
        if dist.get_rank() == 0:
            print(json.dumps(result), flush=True)
    if arguments.mpi:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()

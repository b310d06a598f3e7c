"""What one operation costs when there is nearly nothing to compute: a chain of 8x8 products and ReLUs.

    make bench          or: python -m tests.benchmarks.tiny_ops [--operations 2000] [--pairs 30]

minidl and PyTorch in turn, forward and backward; the median time an operation and the median of the ratios.
"""

import argparse
import statistics
import time

import numpy
import torch

import minidl


def chain(library, operations):
    """Microseconds an operation, forward and backward, for a chain of `operations` products and ReLUs."""
    x = library.from_numpy(numpy.ones((8, 8), numpy.float32)).requires_grad_()
    w = library.from_numpy(numpy.full((8, 8), 1.0001, numpy.float32)).requires_grad_()
    start = time.perf_counter()
    y = x
    for _ in range(operations // 2):
        y = (y * w).relu()
    y.sum().backward()
    return (time.perf_counter() - start) / operations * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=30)
    arguments = parser.parse_args()
    for library in (minidl, torch):  # warm-up
        chain(library, arguments.operations)
    pairs = [(chain(minidl, arguments.operations), chain(torch, arguments.operations)) for _ in range(arguments.pairs)]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print("| tiny operation, forward and backward | us an operation |\n| --- | ---: |")
    print(f"| minidl (NumPy {numpy.__version__}) | {ours:.1f} |")
    print(f"| PyTorch {torch.__version__} | {theirs:.1f} |")
    print(f"| ratio, median of {arguments.pairs} pairs | {ratio:.2f} |")


if __name__ == "__main__":
    main()

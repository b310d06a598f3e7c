"""Whole networks on minidl and on PyTorch: a train step, and inference.

    python -m tests.benchmarks.networks                                    all eight, both
    python -m tests.benchmarks.networks --only resnet20 vgg16 --pairs 5    these only
    python -m tests.benchmarks.networks --train                            or --infer: only that

The same file of architectures/ runs on both, from the same weights on the same batch.
"""

import argparse
import sys
from dataclasses import dataclass

from tests.benchmarks.machine import description
from tests.benchmarks.table import markdown, milliseconds
from tests.benchmarks.turns import Timing, Worker, geometric_mean, in_turn


@dataclass(frozen=True)
class Network:
    """A function of architectures/<stem>.py, and the batch that it is given."""

    name: str
    stem: str
    title: str
    batch: int
    image: tuple
    classes: int

    def arguments(self, batch=None):
        """What the functions of subjects.py are given."""
        shape = [batch or self.batch, *self.image]
        return {"stem": self.stem, "network": self.name, "shape": shape, "classes": self.classes}


NETWORKS = {
    network.name: network
    for network in (
        Network("lenet5", "lenet", "LeNet-5", 128, (1, 32, 32), 10),
        Network("resnet20", "resnet_cifar", "ResNet-20", 128, (3, 32, 32), 10),
        Network("alexnet_owt", "alexnet", "AlexNet", 16, (3, 224, 224), 1000),  # torchvision's
        Network("vgg16", "vgg", "VGG-16", 4, (3, 224, 224), 1000),
        Network("googlenet", "googlenet", "GoogLeNet", 8, (3, 224, 224), 1000),
        Network("resnet50", "resnet", "ResNet-50", 8, (3, 224, 224), 1000),
        Network("squeezenet1_1", "squeezenet", "SqueezeNet 1.1", 8, (3, 224, 224), 1000),
        Network("densenet121", "densenet", "DenseNet-121", 4, (3, 224, 224), 1000),
    )
}

SUBJECTS = {"train": "tests.benchmarks.subjects:train_step", "infer": "tests.benchmarks.subjects:inference"}
WORDS = {"train": "train step", "infer": "inference"}
LIMITS = {"train": "must be below 1.5, the worst below 3", "infer": "must be below 1.5"}


@dataclass(frozen=True)
class Row:
    network: Network
    mode: str  # "train" or "infer"
    timing: Timing


def compare(network, mode, pairs):
    """Time one network on both libraries. RuntimeError if their losses say that they do not compute the same."""
    with Worker("minidl") as ours, Worker("torch") as theirs:
        losses = []
        for worker in (ours, theirs):
            worker.build(SUBJECTS[mode], **network.arguments())
            losses.append(worker.call())
        # Dropout draws other numbers on the other library, which moves the loss of a train step a little.
        allowed = 1e-3 if mode == "infer" else 0.3
        if not abs(losses[0] - losses[1]) <= allowed * abs(losses[1]):
            raise RuntimeError(f"{network.name}, {WORDS[mode]}: minidl's loss is {losses[0]}, PyTorch's {losses[1]}")
        return Row(network, mode, in_turn([ours, theirs], pairs))


def measure(names, modes, pairs):
    """Rows as they are measured."""
    for name in names:
        for mode in modes:
            row = compare(NETWORKS[name], mode, pairs)
            ours, theirs = row.timing.medians
            words = f"{row.network.title}, {WORDS[mode]}: {milliseconds(ours)} / {milliseconds(theirs)} ms"
            print(f"{words} = {row.timing.ratios[0]:.2f}", file=sys.stderr, flush=True)
            yield row


def table(rows):
    """One line a network, then the geometric means and the worst."""
    modes = [mode for mode in SUBJECTS if any(row.mode == mode for row in rows)]
    heading = ["network, batch"]
    for mode in modes:
        heading += [f"{WORDS[mode]}: minidl (ms)", "PyTorch (ms)", "ratio"]
    lines = []
    for network in dict.fromkeys(row.network for row in rows):
        line = [f"{network.title}, {network.batch}"]
        for mode in modes:
            (row,) = (row for row in rows if row.network == network and row.mode == mode)
            line += [*map(milliseconds, row.timing.medians), f"{row.timing.ratios[0]:.2f}"]
        lines.append(line)
    for words, summary in (("**geometric mean**", geometric_mean), ("**worst**", max)):
        line = [words]
        for mode in modes:
            line += ["", "", f"**{summary(row.timing.ratios[0] for row in rows if row.mode == mode):.2f}**"]
        lines.append(line)
    return markdown(heading, lines)


def add_arguments(parser):
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NET")
    parser.add_argument("--pairs", type=int, default=5)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--train", dest="modes", action="store_const", const=["train"], help="train steps only")
    only.add_argument("--infer", dest="modes", action="store_const", const=["infer"], help="inference only")
    parser.set_defaults(modes=list(SUBJECTS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    arguments = parser.parse_args()
    print(description(), end="\n\n", flush=True)
    print(table(list(measure(arguments.only, arguments.modes, arguments.pairs))))


if __name__ == "__main__":
    main()

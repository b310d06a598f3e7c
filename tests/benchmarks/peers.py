"""Train steps on minidl and on the other frameworks that stand on NumPy: Chainer and DeZero.

    make bench-peers
    python -m tests.benchmarks.peers --python .venv-peers/bin/python [--only lenet5] [--pairs 3]

Both need NumPy below 1.24, so they run on an interpreter of their own. What a library cannot do is shown as "fails".
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.machine import description
from tests.benchmarks.networks import NETWORKS, SUBJECTS
from tests.benchmarks.table import markdown, milliseconds
from tests.benchmarks.turns import Worker, WorkerError, in_turn

PEERS = {"chainer": "Chainer", "dezero": "DeZero"}
NAMES = ("lenet5", "resnet20", "vgg16", "resnet50")


def compare(network, python, pairs):
    """Library -> (median seconds, how many times faster minidl is). Without those that fail."""
    with ExitStack() as stack:
        ours = stack.enter_context(Worker("minidl"))
        ours.build(SUBJECTS["train"], **network.arguments())
        workers, names = [ours], ["minidl"]
        arguments = {key: value for key, value in network.arguments().items() if key != "stem"}
        for peer in PEERS:
            worker = stack.enter_context(Worker(peer, python))
            try:
                worker.build(f"tests.benchmarks.peer_subjects:{peer}_train_step", **arguments)
                worker.call()
            except WorkerError as error:
                last = str(error).strip().splitlines()[-1]
                print(f"{network.title} on {PEERS[peer]} fails: {last}", file=sys.stderr, flush=True)
                continue
            workers.append(worker)
            names.append(peer)
        timing = in_turn(workers, pairs)
        faster = (1.0, *(1 / ratio for ratio in timing.ratios))
        return dict(zip(names, zip(timing.medians, faster, strict=True), strict=True))


def table(results):
    """results: network -> what `compare` gives."""
    heading = ["train step: network, batch", "minidl (ms)"]
    for title in PEERS.values():
        heading += [f"{title} (ms)", "minidl is faster"]
    lines = []
    for network, found in results.items():
        line = [f"{network.title}, {network.batch}", milliseconds(found["minidl"][0])]
        for peer in PEERS:
            line += [milliseconds(found[peer][0]), f"{found[peer][1]:.1f} times"] if peer in found else ["fails", ""]
        lines.append(line)
    return markdown(heading, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="an interpreter that has Chainer and DeZero")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=NAMES, metavar="NET", help=", ".join(NAMES))
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    python = arguments.python.absolute()  # not resolved: a link to it is what makes an environment
    if not python.exists():
        parser.error(f"--python: there is no {arguments.python}; `make bench-peers` makes one")
    print(description(), end="\n\n", flush=True)
    print(table({NETWORKS[name]: compare(NETWORKS[name], python, arguments.pairs) for name in arguments.only}))


if __name__ == "__main__":
    main()

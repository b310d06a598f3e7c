"""All benchmarks, or one part of them.

    python -m tests.benchmarks                            all; report and pictures in out/benchmarks (--out FOLDER)
    python -m tests.benchmarks --pairs 3                  the same, quicker and rougher
    python -m tests.benchmarks networks --only lenet5     one part, as python -m tests.benchmarks.networks would

Parts: networks, operations, memory, tiny_ops, startup, scaling, debugger, peers; distributed (only by its name: it
needs MPI).
"""

import argparse
import importlib
import sys
from pathlib import Path

from tests.benchmarks import debugger, memory, networks, operations, scaling, startup, tiny_ops
from tests.benchmarks.machine import description
from tests.benchmarks.plots import Bars, ratio_figure, scaling_figure

PARTS = ("networks", "operations", "memory", "tiny_ops", "startup", "scaling", "debugger", "peers", "distributed")


def networks_picture(rows, note):
    modes = [mode for mode in networks.SUBJECTS if any(row.mode == mode for row in rows)]
    ratios = {(row.network, row.mode): row.timing.ratios[0] for row in rows}
    lines = [
        Bars(f"{network.title}, {network.batch} images", [ratios[network, mode] for mode in modes])
        for network in dict.fromkeys(row.network for row in rows)
    ]
    series = [networks.WORDS[mode] for mode in modes]
    return ratio_figure(lines, series, "Time: minidl / PyTorch", "minidl is faster", "minidl is slower", note)


def operations_picture(rows, note):
    lines = [Bars(row.title, [kind and kind.ratios[0] for kind in (row.forward, row.both)]) for row in rows]
    series = ("forward (or step)", "forward and backward")
    title = "Time of single operations: minidl / PyTorch"
    return ratio_figure(lines, series, title, "minidl is faster", "minidl is slower", note)


def memory_picture(rows, note):
    lines = [
        Bars(f"{row.network.title}, {row.network.batch} images", (row.process_ratio, row.step_ratio)) for row in rows
    ]
    title = "Peak memory of a train step: minidl / PyTorch"
    return ratio_figure(
        lines, ("whole process", "the step's part"), title, "minidl needs less", "minidl needs more", note
    )


def everything(pairs):
    """Yields (title, Markdown, name of its picture or None, figure or None), part by part."""
    machine = description()
    rows = list(networks.measure(list(networks.NETWORKS), list(networks.SUBJECTS), pairs))
    yield "Networks", networks.table(rows), "networks.png", networks_picture(rows, machine)
    if rows := list(memory.measure(list(networks.NETWORKS))):
        words = f"{memory.table(rows)}\n\n{memory.leak_line()}"
        yield "Peak memory of a train step", words, "memory.png", memory_picture(rows, machine)
    rows = list(operations.measure(operations.chosen([]), pairs))
    yield "Operations", operations.table(rows), "operations.png", operations_picture(rows, machine)
    yield "A chain of tiny operations", tiny_ops.table(tiny_ops.measure()), None, None
    yield "Start-up", startup.table(startup.measure()), None, None
    yield "The debugger", debugger.table(list(debugger.measure(pairs))), None, None
    lines = scaling.measure(min(pairs, 3))
    words = "\n\n".join(f"{line.title}:\n\n{scaling.table(line)}" for line in lines)
    yield "Batch and depth", words, "scaling.png", scaling_figure(lines, machine)


def main():
    if len(sys.argv) > 1 and sys.argv[1] in PARTS:
        part = sys.argv.pop(1)
        sys.argv[0] = f"python -m tests.benchmarks.{part}"
        importlib.import_module(f"tests.benchmarks.{part}").main()
        return
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=f"All of {', '.join(PARTS[:-2])}.")
    parser.add_argument("--out", type=Path, default=Path("out", "benchmarks"), metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = arguments.out / "benchmarks.md"
    text = f"# minidl beside PyTorch on a CPU\n\n{description()}\n"
    print(text)
    for title, words, picture, figure in everything(arguments.pairs):
        section = f"\n## {title}\n\n{words}\n"
        print(section, flush=True)
        if figure is not None:
            figure.savefig(arguments.out / picture)
            section += f"\n![{title}]({picture})\n"
        text += section
        report.write_text(text, encoding="utf-8")  # after each part: an interrupted run keeps what it has
    print(f"\nReport and pictures: {report}")


if __name__ == "__main__":
    main()

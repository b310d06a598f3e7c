"""How long `import minidl` takes, beside `import numpy`, on which it stands, and `import torch`.

    python -m tests.benchmarks.startup [--runs 7]

The median of fresh processes, in turn, without the time in which Python itself starts.
"""

import argparse
import os
import statistics
import subprocess
import sys

from tests.benchmarks.machine import description
from tests.benchmarks.table import markdown
from tests.benchmarks.turns import ROOT

LIBRARIES = ("numpy", "minidl", "torch")


# With the bytecode that Python keeps of what it once compiled, also where somebody asked it to write none.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(library):
    code = f"import time; start = time.perf_counter(); import {library}; print(time.perf_counter() - start)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measure(runs=7):
    """Library -> seconds. One round before, that reads the files from disk, does not count."""
    rounds = [[seconds(library) for library in LIBRARIES] for _ in range(runs + 1)][1:]
    return dict(zip(LIBRARIES, map(statistics.median, zip(*rounds, strict=True)), strict=True))


def table(times):
    return markdown(["", "seconds"], [[f"`import {library}`", f"{time:.3f}"] for library, time in times.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    print(description(), end="\n\n", flush=True)
    print(table(measure(arguments.runs)))


if __name__ == "__main__":
    main()

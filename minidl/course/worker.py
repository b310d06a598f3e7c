"""The process that a submission runs in. A script of its own: it is started in a clean tree, and sees no answers.

    python -I worker.py TREE CALLS CONTROL [--user UID] [--memory MB] [--processes N]

It gives up its rights, sets its limits, imports the tree's minidl once, and then forks for each check: a line of JSON
comes in on standard input,

    {"file": "hidden.py", "check": "Large", "inputs": "x.npz", "outputs": "y", "seconds": 10, "repeat": false}

and when the child has ended, a line goes out on CONTROL, an open file descriptor. The child leaves y.npz and y.json.
What the code prints goes to standard output. POSIX only: a student's own tests run without it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy

FILE_SIZE = 256 * 2**20  # bytes of one file
CLONE_NEWNET = 0x40000000  # linux/sched.h
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE = 2  # seconds of processor time that the kernel allows beyond a check's limit, for reading and writing the files


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("calls", type=Path)
    parser.add_argument("control", type=int)
    parser.add_argument("--user", type=int)
    parser.add_argument("--memory", type=int, default=2000)
    parser.add_argument("--processes", type=int)
    arguments = parser.parse_args()
    if arguments.user is not None:
        become(arguments.user)
    on_linux(lambda libc: libc.prctl(PR_SET_CHILD_SUBREAPER, 1))  # whoever leaves the group still ends up here
    set_limits(arguments.memory, arguments.processes)
    sys.path[:] = [entry for entry in sys.path if not (Path(entry) / "minidl").is_dir()]
    sys.path.insert(0, str(arguments.tree))
    with os.fdopen(arguments.control, "w", buffering=1) as control:
        serve(arguments.calls, control, alone=arguments.user is not None)


def serve(calls: Path, control: Any, alone: bool) -> None:
    """Answer jobs until standard input ends. `alone`: no other process of this user is anybody else's."""

    def say(**words: Any) -> None:
        control.write(json.dumps(words) + "\n")

    try:
        from minidl.course.calling import describe_exception
    except BaseException as error:
        say(failed=f"{type(error).__name__}: {error}"[:2000])
        return
    say(ready=True)
    for line in sys.stdin:
        job = json.loads(line)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            control.close()
            answer(job, calls, describe_exception)
        _, status, usage = os.wait4(child, 0)
        sweep(child, alone)
        say(status=status, seconds=usage.ru_utime + usage.ru_stime)


def answer(job: dict[str, Any], calls: Path, describe: Callable[[BaseException], str]) -> None:
    """In the child: run the check, leave its files, and end."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        limit = math.ceil(job["seconds"] * (2 if job["repeat"] else 1)) + GRACE
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        from minidl.course.calling import call_checked

        space: dict[str, Any] = {"__name__": "checks"}
        path = calls / job["file"]
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
        with numpy.load(job["inputs"], allow_pickle=False) as file:
            inputs = dict(file)
        outcome = call_checked(space[job["check"]].call, inputs, job["repeat"])
        sys.stdout.flush()
        if outcome.outputs is not None:
            numpy.savez(f"{job['outputs']}.npz", **outcome.outputs)
        outcome.outputs = None
        with open(f"{job['outputs']}.json", "w", encoding="utf-8") as file:
            json.dump(asdict(outcome), file)
        code = 0
    except BaseException as error:
        with contextlib.suppress(BaseException):
            print(describe(error), flush=True)
    finally:
        os._exit(code)


def become(user: int) -> None:
    """From root to a user who owns nothing else, without a network where the kernel allows that."""
    on_linux(lambda libc: libc.unshare(CLONE_NEWNET))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def set_limits(memory: int, processes: int | None) -> None:
    """Limits for this process and all that come from it; none of them can be raised again."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where the machine runs out, this goes first
    limit("RLIMIT_DATA", memory * 2**20)
    limit("RLIMIT_AS", memory * 2**21 + 2**30)  # libraries and threads reserve much that they never use
    limit("RLIMIT_FSIZE", FILE_SIZE)
    limit("RLIMIT_CORE", 0)
    if processes is not None:
        limit("RLIMIT_NPROC", processes)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an OSError where it is written


def limit(name: str, value: int) -> None:
    """Set one limit, or a lower one that holds already. Nothing where the system has no such limit."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def sweep(child: int, alone: bool) -> None:
    """End whatever the child of a check left running."""
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    if alone:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)  # every process of this user but this one
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def on_linux(call: Callable[[Any], Any]) -> None:
    """call(libc) where this is Linux; what it forbids is passed over."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            call(ctypes.CDLL(None))


if __name__ == "__main__":
    main()

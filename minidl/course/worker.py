"""The process that a submission runs in. A script of its own: it is started in a clean tree, and sees no answers.

    python -I worker.py TREE CALLS INPUTS CONTROL [--user UID] [--memory MB] [--processes N]

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
import importlib
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

FILE_SIZE = 256 * 2**20  # bytes of one file
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x00020000, 0x08000000, 0x40000000  # linux/sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36  # linux/prctl.h
ANSWERS = ("minidl", "architectures", "assignments", "tests", "build", ".git")  # where they may be, in a checkout
SHARED_FOLDERS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
GRACE = 0.5  # seconds of processor time beyond a check's limit, for reading and writing the files


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("calls", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("control", type=int)
    parser.add_argument("--user", type=int)
    parser.add_argument("--memory", type=int, default=2000)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--answers", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where the machine runs out of memory, this goes first
    if arguments.user is not None:
        scratch = Path.cwd()
        become(arguments.user, [scratch.parent, arguments.calls], arguments.answers)
        os.chdir(scratch)  # the same folder, as it is in the view
    on_linux(lambda libc: libc.prctl(PR_SET_DUMPABLE, 0))  # nor may what comes from it read its memory
    on_linux(lambda libc: libc.prctl(PR_SET_CHILD_SUBREAPER, 1))  # whoever leaves the group still ends up here
    set_limits(arguments.memory, arguments.processes)
    seen = [str(path) for path in arguments.answers if os.access(path / "minidl" / "__init__.py", os.R_OK)]
    sys.path[:] = [entry for entry in sys.path if not os.path.isdir(os.path.join(entry, "minidl"))]
    sys.path.insert(0, str(arguments.tree))
    with os.fdopen(arguments.control, "w", buffering=1) as control:
        serve(arguments.calls, arguments.inputs, control, seen, alone=arguments.user is not None)


def serve(calls: Path, inputs: Path, control: Any, seen: list[str], alone: bool) -> None:
    """Answer jobs until standard input ends.

    seen    folders with answers that this process can read
    alone   no other process of this user is anybody else's
    """

    def say(**words: Any) -> None:
        control.write(json.dumps(words) + "\n")

    try:
        calling = importlib.import_module("minidl.course.calling")  # of the tree, which is known only now
        checks = {path.name: load(path) for path in calls.iterdir()}
    except BaseException as error:
        say(failed=f"{type(error).__name__}: {error}"[:2000])
        return
    say(ready=True, seen=seen)
    for line in sys.stdin:
        job = json.loads(line)
        sys.stdout.flush()
        try:
            child = os.fork()
        except BlockingIOError:  # another submission, which runs as the same user, has used up the processes
            say(busy=True)
            continue
        if child == 0:
            control.close()
            answer(job, checks[job["file"]], inputs, calling)
        _, status, usage = os.wait4(child, 0)
        sweep(child, alone)
        say(status=status, seconds=usage.ru_utime + usage.ru_stime)


def load(path: Path) -> dict[str, Any]:
    """The names of a file with calls, which is run."""
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names


def answer(job: dict[str, Any], checks: dict[str, Any], folder: Path, calling: Any) -> None:
    """In the child: run the check, leave its files, and end."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        limit = math.ceil(job["seconds"] * (2 if job["repeat"] else 1) + GRACE)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        inputs = calling.load_arrays(folder / job["inputs"])
        outcome = calling.call_checked(checks[job["check"]].call, inputs, job["repeat"])
        sys.stdout.flush()
        if outcome.outputs is not None:
            calling.save_arrays(f"{job['outputs']}.npz", outcome.outputs)
        outcome.outputs = None
        with open(f"{job['outputs']}.json", "w", encoding="utf-8") as file:
            json.dump(asdict(outcome), file)
        code = 0
    except BaseException as error:
        with contextlib.suppress(BaseException):
            print(calling.describe_exception(error), flush=True)
    finally:
        os._exit(code)


def become(user: int, needed: list[Path], answers: list[Path]) -> None:
    """From root to a user who owns nothing else; on Linux, where the kernel allows it, in a view of its own.

    In the view there is no network; the folders in `answers` are empty, and so are those that all users share, but for
    what is `needed`; and what is needed can be reached even where it lies in a closed folder (a Python in /root).
    """
    if on_linux(lambda libc: libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)):
        with contextlib.suppress(OSError):  # a container may forbid mounting: the grader is told what is `seen`
            seclude(needed, answers)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def seclude(needed: list[Path], answers: list[Path]) -> None:
    """Cover what is not needed, in the view of this process alone."""
    mount(None, Path("/"), MS_REC | MS_PRIVATE)
    pythons = {Path(path) for path in (sys.prefix, sys.base_prefix, *sys.path) if os.path.isdir(path)}
    keep = [*needed, *sorted({*pythons, *(path.resolve() for path in pythons)} - set(answers))]
    for path in answers:
        for name in ANSWERS:
            cover(path / name, [], "mode=0")
    for folder in SHARED_FOLDERS:
        cover(folder, keep, "mode=1777,size=64m")
    for path in keep:
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                cover(above, keep, "mode=755")


def cover(folder: Path, keep: list[Path], options: str) -> None:
    """Lay an empty folder over `folder`, in this view alone; those of `keep` that lie in it are still there."""
    if not folder.is_dir():
        return
    kept = [(os.open(path, os.O_PATH), path) for path in keep if path != folder and path.is_relative_to(folder)]
    mount("tmpfs", folder, 0, options)
    for descriptor, path in kept:
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", path, MS_BIND | MS_REC)
        os.close(descriptor)


def mount(source: str | None, target: Path, flags: int, options: str = "") -> None:
    """mount(2). OSError where the kernel refuses it."""
    libc = ctypes.CDLL(None, use_errno=True)
    kind = None if source is None or flags & MS_BIND else source.encode()
    name = None if source is None else source.encode()
    if libc.mount(name, str(target).encode(), kind, ctypes.c_ulong(flags), options.encode()):
        raise OSError(ctypes.get_errno(), f"cannot mount {target}")


def set_limits(memory: int, processes: int | None) -> None:
    """Limits for this process and all that come from it; none of them can be raised again."""
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


def on_linux(call: Callable[[Any], int]) -> bool:
    """call(libc) where this is Linux. Whether it worked."""
    with contextlib.suppress(OSError, AttributeError):
        return sys.platform == "linux" and call(ctypes.CDLL(None)) == 0
    return False


if __name__ == "__main__":
    main()

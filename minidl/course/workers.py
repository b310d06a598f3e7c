"""The grader's side of a worker: starts it, waits no longer than it must, ends all of it, and reads what it left.

Nothing that a worker says or writes is trusted. Its files are opened without following links, are of bounded size, and
hold no pickles; its processes end with it, those that left its group as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import math
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy

from minidl.course.calling import Outcome
from minidl.course.files import read_plain

try:
    import pwd
except ImportError:  # Windows, where nothing is graded
    pwd = None  # type: ignore[assignment]

LARGEST_OUTPUT = 200 * 2**20  # bytes of all arrays of one check
LARGEST_WORDS = 100_000  # bytes of the other file
KEPT_PRINT = 4000  # bytes of what the code prints in one check; the rest is thrown away
START = 60.0  # seconds in which a worker must have imported the tree
USERS = range(30_000, 60_000)  # drawn from these: numbers that two graders on one machine hardly both draw
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36  # linux/prctl.h
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # where any user may leave files

sys_has_proc = Path("/proc/self/stat").exists()


class WorkerError(RuntimeError):
    """A worker gave no answer; the message is for the student."""


@dataclass(frozen=True)
class Limits:
    """What one worker may use."""

    memory: int = 2000  # MB
    processes: int = 64  # beside those that its user has already
    user: int | None = None  # to run as, where we are root
    python: str = sys.executable


class Worker:
    """One process in one clean tree, and whatever it starts. `folder` holds the tree, and is removed by its owner."""

    def __init__(self, tree: Path, calls: Path, inputs: Path, scratch: Path, limits: Limits):
        self.limits = limits
        self.printed = bytearray()
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        command = [limits.python, "-I", "-B", str(tree / "minidl/course/worker.py")]
        command += [str(tree), str(calls), str(inputs), str(theirs), "--answers", *map(str, places_of_answers())]
        command += ["--memory", str(limits.memory), "--processes", str(limits.processes + _processes(limits.user))]
        if limits.user is not None:
            command += ["--user", str(limits.user)]
        environment = {
            **ONE_THREAD,
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": str(scratch),
        }
        self.process = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(theirs,),
        )
        os.close(theirs)
        self.control = ours
        self.unread = b""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def ready(self) -> dict[str, Any]:
        """Wait until the tree is imported. WorkerError where that fails."""
        answer = self._wait(START)
        if "ready" not in answer:
            raise WorkerError(f"the library with this code cannot be imported: {answer.get('failed', self.text())}")
        return answer

    def run(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Do one job. WorkerError where no answer comes in time, or the worker is gone."""
        self.printed.clear()
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise WorkerError("the process is gone: the code ended it") from None
        return self._wait(seconds)

    def text(self) -> str:
        """What was printed in the last job, as far as it was kept."""
        text = bytes(self.printed[:KEPT_PRINT]).decode("utf-8", "replace").strip()
        return text + (" ..." if len(self.printed) > KEPT_PRINT else "")

    def _wait(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        printed = self.process.stdout.fileno()
        end = time.monotonic() + seconds
        open_ends = [self.control, printed]
        while True:
            if b"\n" in self.unread:
                line, _, self.unread = self.unread.partition(b"\n")
                self._read(printed)
                return self._understood(line)
            left = end - time.monotonic()
            if left <= 0:
                raise WorkerError(f"no answer within {seconds:.0f} s: a loop that does not end? It was stopped")
            for end_of_pipe in select.select(open_ends, [], [], left)[0]:
                data = self._read(end_of_pipe)
                if end_of_pipe == self.control:
                    self.unread += data or b""
                    if data == b"" or len(self.unread) > LARGEST_WORDS:
                        raise WorkerError("the process is gone: the code ended it, or ran out of memory")
                elif data == b"":
                    open_ends.remove(printed)

    def _read(self, end: int) -> bytes | None:
        """What can be read at once: b"" at the end, None where there is nothing yet."""
        try:
            data = os.read(end, 65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if end != self.control:
            self.printed += data[: max(0, KEPT_PRINT + 1 - len(self.printed))]
        return data

    def _understood(self, line: bytes) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            if isinstance(answer := json.loads(line), dict):
                return answer
        raise WorkerError("the process gave no sensible answer")

    def interrupt(self) -> None:
        """End the worker's own process, from another thread: whoever waits for its answer waits no longer."""
        with contextlib.suppress(OSError):
            self.process.kill()

    def close(self) -> None:
        """End the worker and everything that it started."""
        if self.limits.user is not None:
            _end_all_of(self.limits.user)
        elif sys_has_proc:
            _end_descendants(self.process.pid)
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if self.limits.user is not None:
            _clear_away(self.limits.user)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        os.close(self.control)


def why_it_ended(status: Any, seconds: float) -> str:
    """For a check that left no answer: what its exit status, as `wait` gives it, means for the student."""
    if not isinstance(status, int):
        return "the process gave no sensible answer"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or (number == signal.SIGKILL and seconds > 1):
            return f"stopped after {seconds:.0f} s of processor time: a loop that does not end, or far too slow?"
        with contextlib.suppress(ValueError):
            return f"the process ended by signal {signal.Signals(number).name}: did it run out of memory?"
        return f"the process ended by signal {number}"
    code = os.WEXITSTATUS(status)
    return f"the process ended without an answer (exit code {code}): does the code call exit?"


def read_outcome(path: Path) -> Outcome | None:
    """The outcome that a worker left at `path`.json and .npz. None where there is none that makes sense."""
    try:
        table = json.loads(read_plain(path.with_suffix(".json"), LARGEST_WORDS))
        outcome = Outcome(**{field.name: table[field.name] for field in fields(Outcome) if field.name != "outputs"})
        if not isinstance(outcome.error, str) or not isinstance(outcome.blank, str):
            return None
        if not isinstance(outcome.seconds, (int, float)) or not 0 <= outcome.seconds < math.inf:
            return None
        for names in (outcome.missing, outcome.changed, outcome.differs):
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                return None
        if outcome.error or outcome.blank:
            return outcome
        outcome.outputs = _arrays(read_plain(path.with_suffix(".npz"), LARGEST_OUTPUT))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if outcome.outputs is None else outcome


def _arrays(data: bytes) -> dict[str, numpy.ndarray] | None:
    """The arrays of an .npz, whose headers are checked before anything is made in their size."""
    arrays, left = {}, LARGEST_OUTPUT
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist()[:1000]:
                left -= member.file_size
                if left < 0:
                    return None
                with archive.open(member) as file:
                    raw = file.read(member.file_size + 1)
                header = io.BytesIO(raw)
                version = numpy.lib.format.read_magic(header)
                if version != (1, 0):
                    return None
                shape, _, dtype = numpy.lib.format.read_array_header_1_0(header)
                if dtype.hasobject or math.prod(shape) * dtype.itemsize > len(raw):
                    return None
                array = numpy.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
                arrays[member.filename.removesuffix(".npy")] = array
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        OverflowError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
    ):
        return None
    return arrays


# -------------------------------------------------------------------------------------------- users and processes


def free_users(count: int) -> list[int | None]:
    """Numbers of users that nobody is, and that run nothing; None for each where we are not root, or cannot change."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return [None] * count
    assert pwd is not None
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {owner for _, owner in _owners()}
    users = random.SystemRandom().sample([number for number in USERS if number not in taken], count)
    probe = [sys.executable, "-I", "-c", f"import os; os.setgroups([]); os.setgid({users[0]}); os.setuid({users[0]})"]
    works = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    return [*users] if works else [None] * count


def remove_files_of(user: int | None) -> None:
    """Remove what a worker's user left in the folders that everybody may write to."""
    if user is None:
        return
    for folder in map(Path, SHARED_FOLDERS):
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                with contextlib.suppress(OSError):
                    if path.lstat().st_uid == user:
                        remove_folder(path)


def remove_folder(path: Path) -> None:
    """Remove a file or folder with all that is in it, however deep."""
    if shutil.which("rm"):  # shutil.rmtree calls itself for each level
        subprocess.run(["rm", "-rf", "--", str(path)], stdin=subprocess.DEVNULL, capture_output=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def places_of_answers() -> list[Path]:
    """The folders on the path that hold a minidl: this one, and others that are installed."""
    here = Path(__file__).resolve().parents[2]
    return sorted({here, *(Path(entry).resolve() for entry in sys.path if (Path(entry) / "minidl").is_dir())})


def guard() -> None:
    """On Linux: no other process of this user may read this one's memory, in which the answers are; and what is left of
    workers whose own parent is gone comes to this process, which clears it away.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.prctl(PR_SET_DUMPABLE, 0)
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def _end_all_of(user: int) -> None:
    """Kill every process of a user that is a worker's alone: from a process that is this user's, and is not killed."""
    code = f"import os, signal; os.setgroups([]); os.setgid({user}); os.setuid({user}); os.kill(-1, signal.SIGKILL)"
    command = [sys.executable, "-I", "-S", "-c", code]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=30)


def _clear_away(user: int) -> None:
    """Wait until no process of the user is left. The dead count as long as nobody has asked for their status."""
    end = time.monotonic() + 10
    while sys_has_proc and time.monotonic() < end and (left := _processes_of(user)):
        for process in left:
            with contextlib.suppress(OSError):  # a child of another process, which will ask
                os.waitpid(process, os.WNOHANG)
        time.sleep(0.01)


def _end_descendants(worker: int) -> None:
    """Kill what a worker started, until there is nothing more. It adopts those that leave their group."""
    for _ in range(200):
        parents = _parents()
        below, more = {worker}, {worker}
        while more:
            more = {child for child, parent in parents.items() if parent in below} - below
            below |= more
        targets = below - {worker}
        if not targets:
            return
        for process in targets:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _parents() -> dict[int, int]:
    """The parent of every process that is not dead, on Linux."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                words = Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")[2].split()
                if words[0] not in "ZX":
                    parents[int(entry)] = int(words[1])
    return parents


def _processes_of(user: int) -> list[int]:
    """The processes of a user, the dead ones as well."""
    return [process for process, owner in _owners() if owner == user]


def _owners() -> Iterator[tuple[int, int]]:
    """Every process, and its user."""
    for entry in os.listdir("/proc") if sys_has_proc else ():
        if entry.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry), os.stat(f"/proc/{entry}").st_uid


def _processes(user: int | None) -> int:
    """How many processes and threads the user that a worker runs as has now: the limit counts them all."""
    if user is not None:
        return 0
    if not sys_has_proc or not hasattr(os, "getuid"):
        return 4000
    count = 0
    for process, owner in _owners():
        if owner == os.getuid():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f"/proc/{process}/task"))
    return count

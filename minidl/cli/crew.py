"""The processes that train together in `minidl train --distributed`: who speaks, and how all of them end at once.

Rank 0 reads the options, the recipe and the checkpoint, writes into the folder of the run, and speaks; the others hear
from it what to do, so that nothing but the data has to be on their machines. A process that fails ends the whole job,
because the others would wait for it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy

from minidl.cli.arguments import CommandError
from minidl.distributed import (
    DistBackendError,
    barrier,
    destroy_process_group,
    gather_texts,
    init_process_group,
)
from minidl.distributed.group import current_group

Made = TypeVar("Made")

PATIENCE = 3600.0  # seconds to wait for what only one process does: loading data, the report


class AgreedError(CommandError):
    """All processes know of it: each ends by itself."""


class Crew:
    """The processes of a training. Without a process group, this one alone."""

    def __init__(self, backend: str | None = None):
        group = current_group()
        self.backend = backend
        self.rank, self.size = (0, 1) if group is None else (group.rank, group.size)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def from_first(self, compute: Callable[[], str]) -> str:
        """What `compute` gives on rank 0. AgreedError: its CommandError there."""
        text, error = "", ""
        if self.is_first:
            try:
                text = compute()
            except CommandError as failure:
                error = str(failure)
        self._agree(error)
        return text if self.backend is None else gather_texts(text)[0]

    def in_turn(self, compute: Callable[[], Made]) -> Made:
        """What `compute` gives here. Rank 0 runs it first, since it may download. AgreedError: it failed somewhere."""
        made, error = [], ""
        for turn in (True, False):
            if turn == self.is_first:
                try:
                    made.append(compute())
                except CommandError as failure:
                    error = str(failure)
            self._agree(error)
        return made[0]

    def _agree(self, error: str) -> None:
        errors = [error] if self.backend is None else self._patiently(lambda: gather_texts(error))
        if any(errors):
            whose = {text: [rank for rank, each in enumerate(errors) if each == text] for text in errors if text}
            lines = [
                text if 0 in ranks else f"rank {', '.join(map(str, ranks))}: {text}" for text, ranks in whose.items()
            ]
            raise AgreedError("\n".join(lines))

    def send(self, path: Path) -> None:
        """Rank 0 gives a file to all others, which wait in `received`."""
        group = current_group()
        if group is not None:
            content = numpy.fromfile(path, numpy.uint8)
            group.broadcast(numpy.array([len(content)]), 0).wait()
            group.broadcast(content, 0).wait()

    @contextmanager
    def received(self) -> Iterator[Path]:
        """Inside, the file that rank 0 sends."""
        group = current_group()
        assert group is not None
        length = numpy.zeros(1, numpy.int64)
        self._patiently(lambda: group.broadcast(length, 0).wait())
        content = numpy.zeros(int(length[0]), numpy.uint8)
        group.broadcast(content, 0).wait()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "received.safetensors")
            content.tofile(path)
            yield path

    def finish(self) -> None:
        """Wait for each other, so that nobody's end ends the work of another."""
        if self.backend is not None:
            self._patiently(barrier)

    def _patiently(self, exchange: Callable[[], Any]) -> Any:
        group: Any = current_group()
        before = group.timeout
        group.timeout = max(PATIENCE, before)
        try:
            return exchange()
        finally:
            group.timeout = before

    def command(self, text: str) -> str:
        """`text`, a command line of minidl, as it is started here."""
        return text if self.backend is None else f"mpiexec -n {self.size} {text} --distributed {self.backend}"


@contextmanager
def crew_of(backend: str | None, timeout: float) -> Iterator[Crew]:
    """Inside, the processes are a group. CommandError: there is no such backend here.

    What is raised inside ends all processes. Only rank 0 prints; every rank says why it fails.
    """
    if backend is None:
        yield Crew()
        return
    try:
        init_process_group(backend, timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        raise CommandError(str(error).removeprefix("init_process_group(): ")) from None
    crew = Crew(backend)
    group: Any = current_group()
    if not crew.is_first:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    try:
        yield crew
    except AgreedError:
        destroy_process_group()
        if crew.is_first:
            raise
        raise SystemExit(1) from None
    except BaseException as error:
        if crew.size == 1 or not hasattr(group, "abort"):
            raise
        if isinstance(error, SystemExit):
            group.abort(error.code if isinstance(error.code, int) else 1)
        if isinstance(error, (CommandError, DistBackendError)):
            print(f"minidl train: error: rank {crew.rank} of {crew.size}: {error}", file=sys.stderr)
            group.abort(1)
        raise  # Python shows where it was, and the group ends the job: see MPIGroup
    else:
        destroy_process_group()

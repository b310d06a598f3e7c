"""The folder of a run: its checkpoints and its log.

last.safetensors    the newest checkpoint: `minidl train --resume` goes on from it
best.safetensors    that of the epoch with the highest test accuracy
log.jsonl           a line of JSON for every few steps and for each epoch
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from minidl.checkpoint import CheckpointError, foreign, load_checkpoint, load_first, save_checkpoint, versions
from minidl.training.loop import Training

LAST, BEST, LOG = "last.safetensors", "best.safetensors", "log.jsonl"


class RunFolder:
    """Saves and logs a training as it runs, and brings it back.

    settings            what the caller needs to build model and loaders again: kept in the checkpoints, as JSON
    save_seconds        a checkpoint so many seconds after the last one; and one after each epoch
    save_steps          a checkpoint after so many steps instead
    log_steps           a line in the log after so many steps; and one after each epoch
    tell                hears of what goes wrong without ending the training: a full disk, a damaged checkpoint

    The checkpoint knows how long the log was, so that a training that goes on from it repeats no line and lacks none.
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict[str, Any] | None = None,
        *,
        save_seconds: float = 300.0,
        save_steps: int | None = None,
        log_steps: int = 10,
        tell: Callable[[str], Any] = print,
    ):
        self.path = Path(path)
        self.settings = settings or {}
        self.save_seconds, self.save_steps, self.log_steps = save_seconds, save_steps, log_steps
        self.tell = tell
        self.saved = self.logged = True  # the last attempt succeeded: a failure is told once, not after every step
        self._saved_at = perf_counter()
        self._log_bytes = 0

    # ------------------------------------------------------------------------------------------- what it is told

    def step(self, training: Training) -> None:
        now = training.position
        if now.step % self.log_steps == 0:
            line = {"epoch": now.epoch + 1, "step": now.step, "loss": training.loss, "lr": training.lr}
            self._write({"event": "step", **line, "images_per_second": round(now.count / max(now.seconds, 1e-9), 1)})
        if self.save_steps is not None:
            due = now.step % self.save_steps == 0
        else:
            due = perf_counter() - self._saved_at >= self.save_seconds
        if due:
            self.save(training)

    def epoch(self, training: Training) -> None:
        history = training.history
        numbers = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")
        line = {name: getattr(history, name)[-1] for name in numbers}
        self._write({"event": "epoch", "epoch": len(history), "step": training.position.step, **line})
        if history.best_epoch == len(history):
            self.save(training, BEST)
        self.save(training)

    # --------------------------------------------------------------------------------------------- checkpoints

    def save(self, training: Training, name: str = LAST) -> bool:
        """Write a checkpoint. False, and a word about it, where that failed: the one before is intact."""
        state = {"training": training.state_dict(), "settings": self.settings, "log_bytes": self._log_bytes}
        try:
            self._flush_log()
            save_checkpoint(self.path / name, training.model, training.optimizer, state)
            self.saved = True
        except (CheckpointError, OSError) as error:
            if self.saved:
                self.tell(f"{error}\n  the training goes on without")
            self.saved = False
        self._saved_at = perf_counter()
        return self.saved

    def resume(self, training: Training) -> Path:
        """Bring the training, model and optimizer where the last checkpoint was. Returns the file that was taken.

        A damaged last.safetensors is said, and best.safetensors taken. CheckpointError: neither can be.
        """

        def load(path: Path) -> int:
            state = load_checkpoint(path, training.model, training.optimizer)
            try:
                training.load_state_dict(state["training"])
                return int(state["log_bytes"])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(foreign(path, f"it is of another kind of training ({error!r})")) from error

        path, log_bytes = load_first(checkpoints_in(self.path), load, self.tell)
        self._cut_log(log_bytes)
        return path

    # ------------------------------------------------------------------------------------------------- the log

    def begin(self) -> None:
        """Write the first line of a new log: the settings. OSError: the folder cannot be written to."""
        (self.path / LOG).write_bytes(b"")
        self._write({"event": "begin", "versions": versions(), "settings": self.settings})

    def _write(self, line: dict[str, Any]) -> None:
        """Append a line, whole or not at all. JSON has no nan and no infinity: they are null."""
        finite = {key: None if _not_finite(value) else value for key, value in line.items()}
        try:
            with open(self.path / LOG, "ab") as file:
                if file.tell() > self._log_bytes:  # a disk that was full may have left a part of a line
                    file.truncate(self._log_bytes)
                file.write((json.dumps(finite) + "\n").encode())
                file.flush()
                self._log_bytes = file.tell()
            self.logged = True
        except OSError as error:
            if self.logged:
                self.tell(f"cannot write {self.path / LOG}: {error.strerror}\n  the training goes on without")
            self.logged = False

    def _flush_log(self) -> None:
        """To the disk, before a checkpoint that counts its bytes."""
        with open(self.path / LOG, "ab") as file:
            os.fsync(file.fileno())

    def _cut_log(self, size: int) -> None:
        """Take away what was logged after the checkpoint: the steps to come will log it again."""
        path = self.path / LOG
        there = path.stat().st_size if path.exists() else 0
        if there < size:
            self.tell(f"{path} is shorter than it was: lines of it are missing, and the training goes on")
        with open(path, "ab") as file:
            file.truncate(min(size, there))
        self._log_bytes = min(size, there)


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def checkpoints_in(folder: Path) -> list[Path]:
    """Where to look for a run to go on with: the last, then the best. One that is missing counts only if both are."""
    paths = [folder / LAST, folder / BEST]
    return [path for path in paths if path.exists()] or paths[:1]

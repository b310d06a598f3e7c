"""Ctrl-C and SIGTERM: the step under way is finished before the training stops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from minidl.training.loop import Training

SIGNALS = [signal.SIGINT, signal.SIGTERM]
HEARD = b"\nstopping after this step (once more: at once)\n"


class Stopped:
    """Which signal came, if one did: `number`, and the exit code that shells use for it."""

    number = 0

    @property
    def exit_code(self) -> int:
        return 128 + self.number if self.number else 0


@contextmanager
def stop_at_signals(training: Training, say: bool = True) -> Iterator[Stopped]:
    """Inside, a signal sets `training.stop`; a second one, or one during a test, is a KeyboardInterrupt at once.

    say     whether the user is told that it was heard

    A test changes nothing, so a checkpoint after it was broken off is the one before it. Only the main thread hears of
    signals: elsewhere nothing is changed. Nor is it for a signal that is ignored: `nohup`, or a script's background.
    """
    stopped = Stopped()

    def stop(number: int, frame: Any) -> None:
        again, stopped.number = stopped.number, number
        training.stop = True
        if again or training.testing:
            raise KeyboardInterrupt
        with suppress(OSError):
            if say:
                os.write(2, HEARD)  # not print, in the middle of which the signal may have come

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, stop)) for number in heard]
    try:
        yield stopped
    finally:
        for number, handler in before:
            signal.signal(number, handler)

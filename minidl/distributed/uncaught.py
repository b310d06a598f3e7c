"""What becomes of an exception that nobody catches: the other processes would wait for this one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def end_job_at_uncaught(group: Any) -> Callable[[], None]:
    """From now on such an exception ends the job of `group`, once it is shown. Returns what undoes that."""
    before = sys.excepthook

    def end_the_job(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        print(f"rank {group.rank} of {group.size}:", file=sys.stderr)
        before(kind, error, traceback)
        if group.size > 1:
            group.abort()

    def undo() -> None:
        if sys.excepthook is end_the_job:
            sys.excepthook = before

    sys.excepthook = end_the_job
    return undo

"""The error of a group that can no longer work together."""

from __future__ import annotations


class DistBackendError(RuntimeError):
    """A rank did not come in time, or what carries the messages failed. The process that gets it cannot go on."""

"""The process in which one library is measured: it builds what it is told, and times it when it is asked.

    python -m tests.benchmarks.worker minidl

Requests and replies are lines of JSON, see `Worker` in turns.py. This file imports no library but the one it is asked
for, so that the process holds nothing else; it also runs on the older Python that an older library needs.
"""

import importlib
import json
import os
import sys
import time
import traceback

from tests.benchmarks.resident import memory, reset_peak


class Bench:
    """Answers requests. Holds the one thing that is being measured, a function without arguments."""

    def __init__(self, library):
        self.library = importlib.import_module(library)
        self.step = None

    def build(self, subject, arguments):
        """subject: "module:function", which is given the library. The former one is let go first."""
        self.step = None
        module, function = subject.split(":")
        self.step = getattr(importlib.import_module(module), function)(self.library, **arguments)
        reset_peak()

    def call(self):
        """Once, not timed: what the function returns, if that is a number."""
        value = self.step()
        return value if isinstance(value, (int, float)) else None

    def warm_up(self, seconds):
        """At least two calls, and calls for so many seconds. Returns the seconds of the fastest."""
        fastest, calls, start = float("inf"), 0, time.perf_counter()
        while calls < 2 or time.perf_counter() - start < seconds:
            fastest = min(fastest, self.time(1))
            calls += 1
        return fastest

    def time(self, repeats):
        """Seconds a call, over so many calls one after another."""
        start = time.perf_counter()
        for _ in range(repeats):
            self.step()
        return (time.perf_counter() - start) / repeats

    def memory(self):
        """Bytes: now, and the most since `build`."""
        return memory()

    def version(self):
        return self.library.__version__


def main():
    # What a library prints must not come between the replies: standard output becomes standard error.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bench = None
    for line in sys.stdin:
        verb, arguments = json.loads(line)
        try:
            if verb == "start":
                bench, result = Bench(sys.argv[1]), None
            else:
                result = getattr(bench, verb)(**arguments)
            reply = {"result": result}
        except Exception:
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()

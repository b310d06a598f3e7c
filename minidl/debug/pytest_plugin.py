"""pytest --minidl-trace: a web page for each test that fails, which steps through what minidl computed in it.

    pytest --minidl-trace               pages in out/
    pytest --minidl-trace=DIR

The page opens at the last operation that ran. Tests in which none ran have no page.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from minidl.debug.page import html
from minidl.debug.page.network import operations
from minidl.debug.recorder import Recorder
from minidl.events import observing

BUDGET = 256 << 20  # bytes of tensors that the tape of a test keeps alive: many run in one process
RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()
LONGEST = 80  # letters of the error that stand on the page


def pytest_addoption(parser: Any) -> None:
    parser.getgroup("minidl").addoption(
        "--minidl-trace",
        nargs="?",
        const="out",
        metavar="DIR",
        help="write a page into DIR (out) for each failing test, which steps through what minidl computed in it",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Generator[None, Any, Any]:
    if item.config.getoption("--minidl-trace") is None:
        return (yield)
    recorder = item.stash[RECORDER] = Recorder(budget=BUDGET)
    with observing(recorder):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if call.when == "call" and RECORDER in item.stash:
        tape = item.stash[RECORDER].tape
        del item.stash[RECORDER]  # and the tensors with it
        if report.failed and operations(tape):
            folder = Path(item.config.getoption("--minidl-trace"))
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{re.sub(r'[^A-Za-z0-9._]+', '-', item.nodeid).strip('-')}.html"
            failed = [("failed", call.excinfo.exconly().splitlines()[0][:LONGEST])]
            path.write_text(html(tape, item.nodeid, failed, at=len(tape)), encoding="utf-8")
            report.sections.append(("minidl trace", str(path)))
    return report

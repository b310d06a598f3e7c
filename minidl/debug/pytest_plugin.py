"""pytest --minidl-trace: a web page for each test that fails, which steps through what minidl computed in it.

    pytest --minidl-trace                           pages in out/
    pytest --minidl-trace --minidl-trace-dir=DIR

The page opens at the last operation that ran. Tests in which none ran have no page.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from minidl.debug.page import html
from minidl.debug.page.network import operations
from minidl.debug.recorder import Recorder
from minidl.events import observing

BUDGET = 256 << 20  # bytes of tensors that the tape of a test keeps alive: many run in one process
RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()
LONGEST = 80  # letters of the error that stand on the page
LONGEST_NAME = 120  # letters of a file's name; file systems take about 250


def pytest_addoption(parser: Any) -> None:
    # The folder is an option of its own: behind a value that may be left out, `--minidl-trace test_a.py` would be one.
    group = parser.getgroup("minidl")
    group.addoption(
        "--minidl-trace",
        action="store_true",
        help="write a page for each failing test, which steps through what minidl computed in it",
    )
    group.addoption("--minidl-trace-dir", default="out", metavar="DIR", help="the folder of those pages (out)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Generator[None, Any, Any]:
    if not item.config.getoption("--minidl-trace"):
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
            failed = [("failed", call.excinfo.exconly().splitlines()[0][:LONGEST])]
            path = Path(item.config.getoption("--minidl-trace-dir")) / f"{_file_name(item.nodeid)}.html"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(html(tape, item.nodeid, failed, at=len(tape)), encoding="utf-8")
                written = str(path)
            except Exception as error:  # the tests go on, and this one's report is there, whatever ails the page
                written = f"{path} could not be written: {type(error).__name__}: {error}"
            report.sections.append(("minidl trace", written))
    return report


def _file_name(nodeid: str) -> str:
    """The test's name as that of a file, with a checksum where what was left out may tell it from another test."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", nodeid).strip("-")
    if len(name) <= LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9._/:]+", nodeid):
        return name
    return f"{name[:LONGEST_NAME]}-{crc32(nodeid.encode()):08x}"

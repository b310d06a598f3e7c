"""Where and when the numbers were taken: they mean nothing without that."""

import importlib.metadata
import os
import platform
import re
import sys
from datetime import datetime
from pathlib import Path


def processor():
    """The processor's name, as well as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def cores():
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def description():
    """One paragraph: the machine, what else it does, versions, threads, date."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f" (load average {load:.1f} at the start: BUSY)" if load > 1 else ""
    limits = [f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.endswith("_NUM_THREADS")]
    threads = "threads limited by " + ", ".join(limits) if limits else "default threads"
    packages = f"NumPy {version('numpy')}, PyTorch {version('torch')}"
    return (
        f"{processor()}, {cores()} cores{busy}; {platform.system()} {platform.machine()}; "
        f"Python {sys.version.split()[0]}, {packages}; {threads}; {datetime.now():%Y-%m-%d %H:%M}. float32."
    )

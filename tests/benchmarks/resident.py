"""How much memory this process holds, and the most that it held.

Linux says both in /proc/self/status, and lets the peak be reset. (Its getrusage would also count the peak of the
process that started this one.) Elsewhere on Unix, the peak is getrusage's and the present size is asked of `ps`. On
Windows neither is in Python's library: None.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

STATUS = Path("/proc/self/status")


def memory():
    """{"now": bytes, "peak": bytes}, or None where the system does not say."""
    if STATUS.exists():
        kilobytes = dict(re.findall(r"^Vm(RSS|HWM):\s+(\d+) kB", STATUS.read_text(), re.MULTILINE))
        return {"now": int(kilobytes["RSS"]) * 1024, "peak": int(kilobytes["HWM"]) * 1024}
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    now = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True)
    return {"now": int(now.stdout) * 1024, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def reset_peak():
    """From here on, the peak is that of what follows. Where that cannot be said, it stays the peak since the start."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")

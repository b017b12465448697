"""Timing helpers shared by the benchmarks."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENTOOL = [sys.executable, "-m", "gentool"]


def script() -> list[str]:
    """The installed `gentool` command, as people start it, or `python -m gentool`."""
    found = Path(sys.executable).with_name("gentool")
    return [str(found)] if found.exists() else GENTOOL


def wall(command, times=20):
    """Median wall-clock seconds of a whole process; the first call warms the file cache."""
    taken = []
    for i in range(times + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        if i:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def cpu(function, times=5):
    """Least CPU seconds of a call, this process, after one warm-up."""
    function()
    taken = []
    for _ in range(times):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return min(taken)

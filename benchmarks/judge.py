"""A judge of generated pictures: any script that prints, for each set, NAME fd=... recall=...

It is called as SCRIPT REAL GENERATED... --limit N --floor; REAL is what `gentool train --data`
takes, a generated set an .npy of uint8 (N,H,W,3). The floor is real pictures against others.
"""

import re
import subprocess
import sys
from pathlib import Path


def judge(script, real, sets, limit):
    """Figures of "floor" and of each of ``sets``, files by label, all from one run."""
    files = {str(path): label for label, path in sets.items()}
    command = [sys.executable, str(script), str(real), *files, "--limit", str(limit), "--floor"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    table = {}
    for line in printed.splitlines():
        values = {key: float(value) for key, value in re.findall(r"(\w+)=(\S+)", line)}
        name = line.split("  ")[0].strip()
        table[files.get(name, Path(name).stem)] = values
    return table

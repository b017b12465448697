"""Check of what importing a plugin costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from gentool.testing.subject import Finding, Skip, Subject

BUDGETS = {"plugin": 0.030, "options": 0.060}  # CPU seconds on top of gentool's own imports
TRIES = 3


def plugin_and_options_import_nothing_slow(subject: Subject) -> Iterator[Finding]:
    modules = {subject.entry.module: "plugin"}
    if subject.is_method and subject.plugin.card:
        used = [action.options for action in subject.card.actions]
        used += [subject.card.training.options] if subject.card.training else []
        modules |= {reference.partition(":")[0]: "options" for reference in used}
    for module, kind in modules.items():
        heavy = {"torch", "pydantic"} if kind == "plugin" else {"torch"}
        seconds, culprit, imported = _import(module, kind)
        for _ in range(TRIES - 1):  # another program may have been in the way
            if seconds > BUDGETS[kind] and not heavy & set(imported):
                seconds, culprit, imported = min(
                    (seconds, culprit, imported), _import(module, kind)
                )
        remedy = f"import it inside the functions of actions.py that need it, not in {module}"
        if found := sorted(heavy & set(imported)):
            yield Finding(f"{module} imports {' and '.join(found)}", remedy)
        elif seconds > BUDGETS[kind]:
            yield Finding(
                f"importing {module} takes {seconds * 1e3:.0f} ms, most of it {culprit} "
                f"(budget: {BUDGETS[kind] * 1e3:.0f} ms)",
                remedy,
            )


_TIMED = """
import importlib, json, sys, time
importlib.import_module("gentool.plugins")
if sys.argv[2] == "options": importlib.import_module("gentool.options")
before = set(sys.modules)
print("start", file=sys.stderr)
start = time.process_time()
importlib.import_module(sys.argv[1])
print(json.dumps([time.process_time() - start, sorted(set(sys.modules) - before)]))
"""


def _import(module: str, kind: str) -> tuple[float, str, list[str]]:
    """CPU seconds to import a module, the package that took most of it, and all it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", _TIMED, module, kind],
        capture_output=True,
        text=True,
        errors="replace",  # plugins write what they like
        check=False,
    )
    if done.returncode:
        raise Skip(f"{module} cannot be imported")
    seconds, imported = json.loads(done.stdout.splitlines()[-1])
    spent: dict[str, int] = {}
    for line in done.stderr.rpartition("start\n")[2].splitlines():
        words = line.removeprefix("import time:").replace("|", " ").split()
        if len(words) == 3 and words[0].isdigit():
            package = words[2].partition(".")[0]
            spent[package] = spent.get(package, 0) + int(words[0])
    culprit = max(spent, key=lambda package: spent[package], default=module)
    return seconds, culprit, [name.partition(".")[0] for name in imported]

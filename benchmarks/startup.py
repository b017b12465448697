"""Start-up: `gentool --help` and `gentool list` against bare Python, medians of 20 processes.

python benchmarks/startup.py     with what is installed, then with 50 dummy methods beside it
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from measure import script, wall

DUMMIES = 50
PLUGIN = """
from gentool import Action, Card, hookimpl

@hookimpl
def gentool_cards():
    action = Action("go", "Go.", "{module}.options:GoOptions", "{module}.actions:go")
    return [Card(name="{name}", task="test", summary="A dummy.", paper="none", actions=(action,),
                 model="{module}.nets:Net")]
"""


def install(folder):
    """Lay out what pip would for 50 methods of 50 distributions."""
    for i in range(DUMMIES):
        name, module = f"dummy-{i}", f"gentool_dummy_{i}"
        info = folder / f"{module}-1.0.dist-info"
        for path, text in {
            folder / module / "__init__.py": "",
            folder / module / "plugin.py": PLUGIN.format(name=name, module=module),
            info / "METADATA": f"Metadata-Version: 2.4\nName: gentool-{name}\nVersion: 1.0\n"
            "Requires-Dist: gentool-core>=0.1,<0.2\n\nA dummy.\n",
            info / "entry_points.txt": f"[gentool.methods]\n{name} = {module}.plugin\n",
        }.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


@contextlib.contextmanager
def dummies():
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        os.environ["PYTHONPATH"] = folder
        yield
        del os.environ["PYTHONPATH"]


def measure(bare):
    for words in (["--help"], ["list"], ["list", "--all"], ["run", "adain", "--help"]):
        taken = wall([*script(), *words])
        line = f"gentool {' '.join(words)}"
        print(f"{line:<26}{taken * 1e3:6.0f} ms  {taken / bare:.1f} x bare python")


def main():
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
    bare = wall([sys.executable, "-c", ""])
    print(f"{'bare python':<26}{bare * 1e3:6.0f} ms")
    measure(bare)
    print(f"with {DUMMIES} dummy methods")
    with dummies():
        measure(bare)


if __name__ == "__main__":
    main()

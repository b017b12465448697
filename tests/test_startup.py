"""What is on the path of a command that only talks, and who may import whom."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "pydantic", "numpy", "PIL")
PUBLIC = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Public modules")[2]
CORE_API = set(re.findall(r"^gentool[.\w]*", PUBLIC.partition("\n## ")[0], re.MULTILINE))


@pytest.mark.parametrize("line", ["--help", "--version", "list", "list --all --json", "run --help"])
def test_light_commands_import_nothing_heavy(line):
    code = (
        "import sys; from gentool.cli.main import invoke; code = invoke(sys.argv[1:]);"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    heavy = done.stderr.strip().splitlines()[-1]
    wanted = "['pydantic']" if line == "run --help" else "[]"
    assert heavy in ("[]", wanted)


def test_importing_gentool_costs_nothing():
    code = f"import gentool, sys; sys.exit(any(m in sys.modules for m in {HEAVY}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def imports(path):
    """(module, is it at the top level) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, id(node) in top


def sources(folder):
    return sorted(folder.rglob("*.py"))


def test_core_never_imports_a_plugin():
    for path in sources(ROOT / "core"):
        for module, _ in imports(path):
            assert not module.startswith("gentool_"), f"{path} imports {module}"


def test_public_modules_are_there():
    assert {"gentool", "gentool.testing", "gentool.weights"} <= CORE_API
    assert all(importlib.util.find_spec(name) for name in CORE_API)


def test_the_map_shows_every_room():
    the_map = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("```")[1]
    for path in (ROOT / "core/gentool").iterdir():
        if path.name[0] != "_" and (path.suffix == ".py" or (path / "__init__.py").exists()):
            room = path.name if path.suffix else f"{path.name}/"
            shown = re.search(rf"(?<![\w/]){re.escape(room)}", the_map)
            assert shown, f"docs/architecture.md lacks {room}"


@pytest.mark.parametrize("plugin", sorted(p.name for p in (ROOT / "plugins").iterdir()))
def test_plugins_import_only_public_core_and_declared_plugins(plugin):
    project = (ROOT / "plugins" / plugin / "pyproject.toml").read_text(encoding="utf-8")
    own = "gentool_" + plugin.replace("-", "_")
    for path in sources(ROOT / "plugins" / plugin / "src"):
        for module, _ in imports(path):
            first = module.partition(".")[0]
            if first == "gentool":
                assert module in CORE_API, f"{path} imports {module}, which is not public"
            elif first.startswith("gentool_") and first != own:
                declared = f'"{first.replace("_", "-")}>='
                assert declared in project, f"{path} imports {module}, which is not declared"


@pytest.mark.parametrize("name", ["plugin.py", "options.py"])
def test_plugin_and_options_import_neither_torch_nor_their_nets(name):
    found = [p for p in sources(ROOT / "plugins") if p.name == name]
    assert found
    for path in found:
        for module, _ in imports(path):
            first = module.partition(".")[0]
            # an options model is pydantic's and may have validators
            own = ("pydantic",) if name == "options.py" else ()
            assert first in ("gentool", "typing", "pathlib", "__future__", *own), (
                f"{path}: {module}"
            )

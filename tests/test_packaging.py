"""The wheels hold what they must, stay within budget, and work without the repository."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = {
    "core": ROOT,
    **{p.parent.name: p.parent for p in ROOT.glob("plugins/*/pyproject.toml")},
}
BUDGET = {
    "core": 1,
    "adain": 4,
    "cnn-ae": 6,
    "gan": 6,
    "gatys": 1,
    "perceptual": 3,
    "vae": 6,
}  # MiB


@pytest.mark.parametrize("name", PROJECTS)
def test_wheels_hold_licence_metadata_and_stay_within_budget(wheels, name):
    with zipfile.ZipFile(wheels[name]) as wheel:
        files = wheel.namelist()
        (path,) = (f for f in files if f.endswith("/METADATA"))
        metadata = wheel.read(path).decode()
    assert any(f.endswith("licenses/LICENSE") for f in files)
    assert "License-Expression: MIT" in metadata
    tests = [f for f in files if "tests/" in f and "/template/" not in f]
    assert not tests + [f for f in files if f.endswith(".pyc")]
    assert wheels[name].stat().st_size < BUDGET[name] * 2**20
    for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE):
        assert "==" not in line.partition(";")[0], f"{line} is pinned"


def test_the_core_wheel_brings_the_registry_and_its_types(wheels):
    with zipfile.ZipFile(wheels["core"]) as wheel:
        files = wheel.namelist()
        packaged = wheel.read("gentool/registry.toml")
    assert "gentool/py.typed" in files
    assert packaged == (ROOT / "registry.toml").read_bytes()


@pytest.mark.parametrize("name", ["adain", "cnn-ae", "gan", "perceptual", "vae"])
def test_wheels_bring_the_weights_of_their_card(wheels, name):
    from gentool import plugins

    with zipfile.ZipFile(wheels[name]) as wheel:
        for entry in plugins.card(name).weights:
            assert (
                wheel.getinfo(f"gentool_{name.replace('-', '_')}/{entry.file}").file_size
                == entry.bytes
            )


def test_plugins_require_a_range_of_core_that_this_core_meets():
    for name, project in PROJECTS.items():
        if name != "core":
            data = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
            assert "gentool-core>=0.1,<0.2" in data["project"]["dependencies"]


def test_the_wheels_work_without_the_repository(wheels, site, pictures, tmp_path):
    for name in ("core", "adain"):
        with zipfile.ZipFile(wheels[name]) as wheel:
            wheel.extractall(site.folder)
    where = site.python("-c", "import gentool, gentool_adain; print(gentool.__file__)")
    assert str(site.folder) in where.stdout
    listed = site.gentool("list", "--all").stdout
    assert "adain\tmethod\tok" in listed
    content, style = pictures / "content.png", pictures / "style.png"
    out = tmp_path / "o.png"
    done = site.gentool("run", "adain", "--content", content, "--style", style, "-o", out)
    assert done.returncode == 0, done.stderr
    assert out.exists()

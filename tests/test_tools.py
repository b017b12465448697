"""The tools that derive pages from the code, and that put weights into a plugin."""

import dataclasses
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gentool import plugins
from gentool.scaffold import create

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_are_shown_as_the_program_shows_them(generate):
    page = generate.commands()
    typed = subprocess.run(
        [sys.executable, "-m", "gentool", "report", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": str(generate.WIDTH + 2)},
    ).stdout
    assert "-h, --help" in typed
    assert typed.partition("Options:")[2].strip() in page
    assert not re.findall(r"^  --help ", page, flags=re.MULTILINE)


def test_a_distribution_of_several_methods_keeps_the_weights_of_all(generate):
    cards = [plugins.card("adain"), dataclasses.replace(plugins.card("adain"), name="second")]
    project = {"name": "gentool-two", "description": "Two.", "license": "MIT"}
    row = generate._row(Path("two"), project | {"dependencies": ["gentool-core>=0.1"]}, cards)
    assert (row["methods"], row["summary"]) == (["adain", "second"], "Two.")
    assert len(row["weights"]) == 2


def test_a_plugin_that_is_switched_off_is_not_written_without_its_weights():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GENTOOL_DISABLE": "vae"},
    )
    assert done.returncode == 1
    assert "AssertionError: vae: broken or switched off; see gentool doctor" in done.stderr


def test_weights_are_packaged_only_where_the_card_has_a_place_for_them(site, tmp_path):
    source = create("murk", folder=tmp_path / "murk") / "src/gentool_murk"
    shutil.copytree(source, site.folder / "gentool_murk")
    site.add("gentool-murk", {"gentool.methods": {"murk": "gentool_murk.plugin"}}, {})
    plugin = site.folder / "gentool_murk/plugin.py"
    file = site.folder / "gentool_murk/weights/murk.safetensors"
    trained = shutil.copy(file, tmp_path / "weights.safetensors")
    file.write_bytes(b"old")
    card = plugin.read_text()

    def package(*more):
        return site.python(ROOT / "tools/package_weights.py", "murk", tmp_path, *more)

    typo = package("--set", "defualt").stderr
    assert typo.startswith("error: murk has no weights set 'defualt'; did you mean 'default'?")
    plugin.write_text(card.replace('file="weights/murk', 'file="weights/" "murk'))
    assert "has no file=" in package().stderr
    assert file.read_bytes() == b"old"
    plugin.write_text(card)
    done = package("--set", "default")
    assert done.stdout.strip() == str(file), done.stderr
    assert file.stat().st_size < Path(trained).stat().st_size  # in half precision
    assert f"bytes={file.stat().st_size:_}," in plugin.read_text()
    assert "weights murk/default\tok" in site.gentool("doctor").stdout

"""Entry points read from disk, compared with the standard library's reader."""

import importlib.metadata
import sys

import pytest

from gentool import environment
from gentool.install.changes import installed

GROUPS = ("methods", "extensions")


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Two folders that come first on the path."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder) for folder in folders] + sys.path)
    environment.entry_points.cache_clear()
    yield folders
    environment.entry_points.cache_clear()


def add(folder, text, name="gentool_waves-1.0.dist-info"):
    (folder / name).mkdir()
    head = "Metadata-Version: 2.4\nName: gentool-waves\nVersion: 1.0\n"
    file = "PKG-INFO" if name.endswith(".egg-info") else "METADATA"
    (folder / name / file).write_text(head)
    (folder / name / "entry_points.txt").write_text(text)


def found():
    return {(e.group, e.name, e.value) for e in environment.entry_points()}


def expected():
    theirs = [importlib.metadata.entry_points(group=f"gentool.{g}") for g in GROUPS]
    return {(e.group, e.name, e.value) for found in theirs for e in found}


def test_this_environment_is_read_as_the_standard_library_reads_it():
    assert found() == expected()
    assert ("gentool.methods", "adain", "gentool_adain.plugin") in found()


@pytest.mark.parametrize(
    "text",
    [
        "[gentool.methods]\nwaves = waves.plugin\n",
        "[console_scripts]\nx = y:z\n\n[gentool.methods]\n# no = no\n waves=waves.plugin:it \n",
        "[gentool.methods]\n[gentool.extensions]\nwaves = waves:a.b\n",
        "[gentool.methods]\nwaves = waves.plugin [more]\n",
        "[gentool.methods]\nwaves = waves.plugin\n    more = waves.more\n",
        "[[gentool.methods]]\nwaves = waves.plugin\n",
        "",
    ],
)
@pytest.mark.parametrize("name", ["gentool_waves-1.0.dist-info", "gentool_waves.egg-info"])
def test_files_are_read_as_the_standard_library_reads_them(path, text, name):
    add(path[0], text, name)
    assert found() == expected()


def test_the_first_of_two_distributions_of_a_name_counts(path):
    add(path[0], "[gentool.methods]\nwaves = first\n")
    add(path[1], "[gentool.methods]\nwaves = second\n", "Gentool.Waves-2.0.dist-info")
    assert [e.value for e in environment.entry_points() if e.name == "waves"] == ["first"]
    assert found() == expected()


def test_what_a_stopped_pip_leaves_behind_is_no_second_distribution(path):
    text = "[gentool.methods]\nwaves = waves\n"
    add(path[0], text, "~entool_waves-0.9.dist-info")
    assert "waves" not in {name for plugin in installed() for name in plugin.provides}
    environment.entry_points.cache_clear()
    add(path[0], text)
    (entry,) = (e for e in environment.entry_points() if e.name == "waves")
    (plugin,) = (p for p in installed() if "waves" in p.provides)
    assert entry.folder.endswith("gentool_waves-1.0.dist-info")
    assert (plugin.name, plugin.version) == ("gentool-waves", "1.0")


def test_an_entry_point_loads_what_it_names(path):
    (path[0] / "gentool_waves_module.py").write_text("class Sea:\n    depth = 7\n")
    add(
        path[0], "[gentool.methods]\na = gentool_waves_module\nb = gentool_waves_module:Sea.depth\n"
    )
    loaded = {e.name: e.load() for e in environment.entry_points() if e.name in ("a", "b")}
    assert loaded["a"].Sea.depth == loaded["b"] == 7
    (entry, *_) = environment.entry_points()
    assert entry.dist.version == "1.0"
    assert "Name: gentool-waves" in entry.read("METADATA")
    assert entry.read("NONE") == ""

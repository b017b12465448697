"""What is typed after `gentool install` and `restore`, up to where pip would change something."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from wheels import INFO, METADATA, files, write

from gentool import InstallError
from gentool.cli.main import invoke
from gentool.install import pip
from gentool.install.changes import with_extra
from gentool.install.frozen import freeze, restore
from gentool.install.targets import build, collect, file_path, is_ours
from gentool.registry import sources
from gentool.scaffold import create


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """pip asks no index, and no registry is remembered from another test."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    sources.read.cache_clear()


def test_an_extra_is_added_the_way_the_plugin_came():
    here = Path(__file__).resolve().parents[1] / "plugins/gan"  # editable: it stays so
    assert with_extra("gentool-gan", "train") == f"pip install -e '{here}[train]'"
    assert with_extra("gentool-acme", "train") == "gentool install 'gentool-acme[train]'"


def requiring(folder, *requirements):
    lines = "".join(f"Requires-Dist: {line}\n" for line in requirements)
    text = METADATA.replace("Requires-Dist: {core}\n", f"Requires-Dist: gentool-core<0.2\n{lines}")
    return write(folder, files(**{f"{INFO}/METADATA": text}))


def test_no_index_is_asked_while_a_registry_cannot_be(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENTOOL_REGISTRY", "https://localhost:1/registry.toml")
    assert invoke(["install", "--dry-run", str(requiring(tmp_path, "acme-styles"))]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "https://localhost:1/registry.toml: cannot get it" in error
    assert "acme-styles may be a plugin that it lists" in error
    assert error.endswith("nothing was installed")
    assert is_ours("gentool-acme")  # by its name alone
    assert invoke(["install", "--dry-run", str(requiring(tmp_path, "numpy>=1"))]) == 0
    assert capsys.readouterr().out == "would install gentool-waves 1.2.0\n"


def test_downloads_into_the_folder_where_the_wheel_lies(tmp_path, monkeypatch, capsys):
    wheel = write(tmp_path, files())
    data = wheel.read_bytes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for folder, path in {".": wheel, "~/wheels": tmp_path / "home/wheels" / wheel.name}.items():
        assert invoke(["install", f"./{wheel.name}", f"--download={folder}"]) == 0
        assert path.read_bytes() == data
    capsys.readouterr()
    assert invoke(["install", wheel.name, "--download", f"{wheel.name}/inside"]) == 2
    assert "inside: cannot write: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("extras", ["", "[train]"])
def test_brackets_in_a_path_are_no_extras(tmp_path, extras):
    (tmp_path / "plugins [old]").mkdir()
    wheel = write(tmp_path / "plugins [old]", files())
    (target,) = collect([f"{wheel}{extras}"], tmp_path, print)
    assert (target.wheel.path, target.extras) == (wheel, extras)


def test_a_method_may_be_called_like_anothers_extension_but_not_its_method(site, tmp_path):
    wheel = write(tmp_path, files())
    site.add("gentool-acme", {"gentool.extensions": {"waves": "acme"}}, {"acme": ""})
    line = ("install", "--dry-run", str(wheel))
    assert site.gentool(*line).stdout == "would install gentool-waves 1.2.0\n"
    site.add("gentool-ebb", {"gentool.methods": {"waves": "ebb"}}, {"ebb": ""})
    assert "brings the method 'waves', which gentool-ebb provides" in site.gentool(*line).stderr


def test_a_path_that_the_system_refuses_is_one_line(tmp_path, capsys):
    assert invoke(["install", f"./{'x' * 300}/waves.whl"]) == 2
    assert "waves.whl: no such file or folder" in capsys.readouterr().err


def test_an_address_of_a_file_may_name_the_machine():
    assert file_path("file://server/share/a%20b.whl") == Path("//server/share/a b.whl")
    for host in ("", "localhost"):
        assert file_path(f"file://{host}/share/a%20b.whl") == Path("/share/a b.whl")


def test_what_pip_prints_need_not_be_text(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:surrogateescape")
    monkeypatch.setenv("PIP_CACHE_DIR", os.fsdecode(b"/tmp/caf\xe9"))
    assert pip.run("cache", "dir", doing="find its cache").startswith("/tmp/caf")


def frozen(path, project, version):
    lines = ["schema = 1", "[[plugin]]", 'distribution = "gentool-mist"', f'version = "{version}"']
    path.write_text("\n".join([*lines, f'folder = "{project.as_uri()}"']))
    return path


def test_restores_a_folder_only_in_the_version_that_was_frozen(tmp_path):
    project, file, told = create("mist", folder=tmp_path / "100%41 mist"), tmp_path / "p.toml", []
    assert file_path(project.as_uri()) == project
    done = restore(frozen(file, project, "0.1.0"), told.append, dry_run=True)
    assert done == [("gentool-mist", "0.1.0")]
    with pytest.raises(InstallError, match=r"gentool-mist 0\.0\.9 .* its folder holds 0\.1\.0"):
        restore(frozen(file, project, "0.0.9"), told.append, dry_run=True)


def test_restores_from_the_home_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "p.toml").write_text(freeze())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert invoke(["restore", "~/p.toml", "--dry-run"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_restores_what_any_shell_wrote(tmp_path, encoding):
    path, told = tmp_path / "plugins.toml", []
    path.write_text(freeze(), encoding=encoding, newline="\r\n")
    assert restore(path, told.append, dry_run=True) == []
    assert any(line.startswith("gentool-adain ") for line in told)


@pytest.mark.parametrize("more", ["gentool-is-not-there", "hatchling>=9999"])
def test_builds_in_this_environment_only_with_all_that_is_required(tmp_path, more):
    project = create("mist", folder=tmp_path / "mist")
    path, folder = project / "pyproject.toml", tmp_path / "built"
    folder.mkdir()
    text = path.read_text()
    assert 'requires = ["hatchling' in text
    path.write_text(text.replace('requires = ["', f'requires = ["{more}", "', 1))
    with pytest.raises(InstallError, match=more):
        build(project, folder)
    path.write_text(text.replace('requires = ["', 'requires = ["x; python_version<\'3\'", "', 1))
    assert build(project, folder).name == "gentool_mist-0.1.0-py3-none-any.whl"

"""A plugin's whole life, from `gentool new` to gone, with real wheels in a fresh environment."""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIRST_PARTY = sorted(p.parent.name for p in ROOT.glob("plugins/*/pyproject.toml"))
NEEDED = {"gatys": ["perceptual"]}  # of our own, to run
pytestmark = pytest.mark.slow


def listed(environment, **more):
    rows = json.loads(environment.gentool("list", "--json", **more).stdout)
    return {row["name"]: row["status"] for row in rows}


def publish(folder, *wheels, **changes):
    """A registry in a folder that lists wheels, which lie beside it."""
    lines = ["schema = 1"]
    packaged = tomllib.loads((ROOT / "registry.toml").read_text())["plugin"]
    for wheel in wheels:
        shutil.copy(wheel, folder)
        data = wheel.read_bytes()
        distribution, version = wheel.name.split("-")[:2]
        name = distribution.removeprefix("gentool_")
        known = next((row for row in packaged if row["name"] == name), {})
        row = {
            "name": f"{name}s" if known else name,  # gentool's own registry keeps its names
            "distribution": distribution.replace("_", "-"),
            "methods": known.get("methods", [name]),
            "summary": "A test.",
            "tier": "community",
            "licence": "MIT",
            "gentool": ">=0.1,<0.2",
        }
        published = {
            "version": version,
            "file": wheel.name,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "url": wheel.name,
        } | changes
        lines += ["[[plugin]]", *(f"{n} = {json.dumps(v)}" for n, v in row.items())]
        lines += ["[plugin.published]", *(f"{n} = {json.dumps(v)}" for n, v in published.items())]
        lines += weights(wheel)
    (folder / "registry.toml").write_text("\n".join(lines))
    return {"GENTOOL_REGISTRY": str(folder / "registry.toml")}


def weights(wheel):
    from gentool.install.archive import read_wheel
    from gentool.install.contents import cards

    for card in cards(read_wheel(wheel)):
        for entry in card.weights:
            yield "[[plugin.weights]]"
            for name in ("name", "file", "bytes", "sha256", "licence", "trained_on", "origin"):
                yield f"{name} = {json.dumps(getattr(entry, name))}"


def build(environment, project, folder):
    environment.run(
        *("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder, project),
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_from_new_to_gone(environment, pictures, tmp_path):
    project = tmp_path / "gentool-mist"
    environment.gentool("new", "mist", cwd=tmp_path)
    wheel = build(environment, project, tmp_path / "dist")
    more = publish(tmp_path, wheel)
    assert listed(environment) == {}

    missing = environment.gentool("run", "mist", code=2, **more).stderr
    assert "method 'mist' is not installed; gentool install mist" in missing
    assert "mist\tcommunity" in environment.gentool("search", "test", **more).stdout
    dry = environment.gentool("install", "--dry-run", "mist", **more)
    assert dry.stdout == "would install gentool-mist 0.1.0\n"
    assert listed(environment) == {}
    assert "installed gentool-mist 0.1.0" in environment.gentool("install", "mist", **more).stdout
    assert listed(environment) == {"mist": "ok"}

    out = tmp_path / "clean.png"
    environment.gentool("run", "mist", "--image", pictures / "content.png", "-o", out)
    assert out.exists()
    run = tmp_path / "run"
    few = ("--steps", "2", "--batch-size", "4")
    environment.gentool("train", "mist", "--data", ROOT / "examples", *few, "-o", run)
    line = ("run", "mist", "--image", pictures / "content.png", "--weights", run)
    environment.gentool(*line, "-o", tmp_path / "mine.png")
    checked = json.loads(environment.gentool("check", "mist", "--json").stdout)
    assert {row["status"] for row in checked} == {"ok"}

    (tmp_path / "plugins.toml").write_text(environment.gentool("freeze").stdout)
    (environment.site / "gentool_mist/plugin.py").write_text("raise RuntimeError('broken')")
    assert listed(environment) == {"mist": "broken"}
    assert environment.gentool("uninstall", "mist").stdout == "removed gentool-mist 0.1.0\n"
    assert listed(environment) == {}
    assert not list(environment.site.glob("gentool_mist*"))

    back = environment.gentool("restore", tmp_path / "plugins.toml", **more)
    assert back.stdout == "installed gentool-mist 0.1.0\n"
    assert "is there" in environment.gentool("restore", tmp_path / "plugins.toml", **more).stderr
    assert listed(environment) == {"mist": "ok"}
    (project / "src/gentool_mist/actions.py").write_text("changed = True\n")
    said = environment.gentool("install", project).stderr  # the same version, built again
    assert "your own choice" in said
    assert (environment.site / "gentool_mist/actions.py").read_text() == "changed = True\n"


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_each_first_party_plugin_works_alone_beside_core(environment, wheels, pictures, name):
    needed = [wheels[other] for other in NEEDED.get(name, ())]
    environment.gentool("install", *needed, wheels[name])
    rows = json.loads(environment.gentool("list", "--check", "--json").stdout)
    found = {row["distribution"] for row in rows}
    assert found == {f"gentool-{one}" for one in (name, *NEEDED.get(name, ()))}
    assert {row["status"] for row in rows} == {"ok"}
    if name == "adain":
        line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
        environment.gentool("run", "adain", *line, "-o", pictures / "out.png")
        lacking = environment.gentool(
            *("train", "adain", "--data", pictures, "--style-data", pictures),
            *("--teacher", pictures / "none", "-o", pictures / "run"),
            code=2,
        )
        # by its name it could not be had: no registry has a wheel of it
        assert "pip install 'gentool-core[train]'" in lacking.stderr
        assert "gentool install the wheel of gentool-perceptual" in lacking.stderr
        for side in ("content", "style"):
            (pictures / "pairs" / side).mkdir(parents=True)
            shutil.copy(pictures / f"{side}.png", pictures / "pairs" / side / "a.png")
        lacking = environment.gentool("evaluate", "adain", "--pairs", pictures / "pairs", code=2)
        assert "comes with gentool-perceptual; install that plugin too" in lacking.stderr
    environment.gentool("uninstall", *sorted(found))
    assert listed(environment) == {}


def test_what_a_plugin_requires_comes_from_a_registry_and_never_from_an_index(
    environment, wheels, tmp_path
):
    refused = environment.gentool("install", f"{wheels['adain']}[train]", code=2).stderr
    assert "perceptual is not published yet" in refused
    # an index that offers a package of that name, which anyone may have put there
    index = {
        "PIP_NO_INDEX": "0",
        "PIP_INDEX_URL": "file:///nowhere",
        "PIP_FIND_LINKS": str(wheels["perceptual"].parent),
    }
    refused = environment.gentool("install", f"{wheels['adain']}[train]", code=2, **index).stderr
    assert "perceptual is not published yet" in refused
    assert listed(environment) == {}
    both = [wheels["perceptual"], f"{wheels['adain']}[train]"]
    environment.gentool("install", *both)
    assert listed(environment) == {"adain": "ok", "perceptual": "ok"}
    told = environment.gentool("uninstall", "perceptual")
    assert "gentool-adain requires gentool-perceptual and may stop working" in told.stderr


HOSTILE = {
    "wrong hash": ({"sha256": "0" * 64}, "hash differs"),
    "larger than said": ({"bytes": 100}, "hash differs"),
    "http": ({"url": "http://localhost/gentool_mist-0.1.0-py3-none-any.whl"}, "must begin with"),
    "nowhere": ({"url": "https://localhost:1/x.whl"}, "cannot get it"),
    "another version": (
        {"version": "0.2.0", "file": "gentool_mist-0.2.0-py3-none-any.whl"},
        "holds gentool_mist-0.1.0.dist-info, which is of another distribution",
    ),
}


def test_a_hostile_registry_installs_nothing(environment, tmp_path):
    environment.gentool("new", "mist", cwd=tmp_path)
    wheel = build(environment, tmp_path / "gentool-mist", tmp_path / "dist")
    for changes, reason in HOSTILE.values():
        more = publish(tmp_path, wheel, **changes)
        refused = environment.gentool("install", "mist", code=2, **more).stderr
        assert refused.splitlines()[-1].startswith("gentool: error: ")
        assert reason in refused.splitlines()[-1]
        assert "Traceback" not in refused
        assert not list(environment.site.glob("*mist*"))
    thief = publish(tmp_path, wheel)
    text = (tmp_path / "registry.toml").read_text().replace('name = "mist"', 'name = "adain"', 1)
    (tmp_path / "registry.toml").write_text(text)
    refused = environment.gentool("install", "adain", code=2, **thief).stderr
    assert "adain is not published yet" in refused  # gentool's own registry decides


def test_the_torch_that_is_installed_stays(environment, wheels, tmp_path):
    """A plugin that asks for another torch is refused by pip, in one line."""
    project = tmp_path / "gentool-mist"
    environment.gentool("new", "mist", cwd=tmp_path)
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('0.2"]', '0.2", "torch<2"]'))
    refused = environment.gentool("install", project, code=2).stderr
    assert "pip could not install gentool-mist" in refused
    assert "torch" in refused
    assert listed(environment) == {}


def test_a_plugin_takes_no_other_ones_name(environment, wheels, tmp_path):
    environment.gentool("install", wheels["adain"])
    environment.gentool("new", "mist", cwd=tmp_path)
    project = tmp_path / "gentool-mist"
    for path in (project / "pyproject.toml", project / "src/gentool_mist/plugin.py"):
        text = path.read_text().replace('name="mist"', 'name="adain"')
        path.write_text(text.replace('mist = "gentool_mist', 'adain = "gentool_mist'))
    refused = environment.gentool("install", project, code=2).stderr
    assert "weights of 'adain'" in refused  # the file inside says whose it is
    path = project / "src/gentool_mist/plugin.py"
    text = path.read_text()
    start, end = text.index("    weights=("), text.index("    training=")
    path.write_text(text[:start] + text[end:])
    refused = environment.gentool("install", project, code=2).stderr
    assert "brings the method 'adain', which gentool-adain provides" in refused
    (project / "pyproject.toml").write_text(
        (project / "pyproject.toml").read_text().replace('"gentool-mist"', '"numpy"')
    )
    refused = environment.gentool("install", project, code=2).stderr
    assert "numpy is installed and no gentool plugin" in refused
    assert listed(environment) == {"adain": "ok"}
    bare = environment.gentool("install", "gentool-mist", code=2, cwd=tmp_path).stderr
    assert "no registry knows 'gentool-mist'; for the folder, type ./gentool-mist" in bare


def test_an_environment_that_others_look_after_is_left_alone(environment, wheels):
    prefix = environment.bin.parent
    for marker, words in {
        "pipx_metadata.json": "pipx inject gentool-core",
        "uv-receipt.toml": "uv tool install gentool-core --with",
    }.items():
        (prefix / marker).write_text("{}")
        refused = environment.gentool("install", wheels["adain"], code=2).stderr
        assert f"{words} {wheels['adain']}" in refused
        (prefix / marker).unlink()
    assert listed(environment) == {}

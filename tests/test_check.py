"""gentool new and gentool check: what is generated conforms, what is spoilt is found."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from gentool import OutputError, UsageError
from gentool.cli.check import _check_apart
from gentool.cli.main import invoke
from gentool.scaffold import create

KINDS = ("method", "losses", "metrics")


def install(site, project, name):
    """Lay a project out as if it were installed."""
    package = f"gentool_{name}"
    shutil.copytree(project / "src" / package, site.folder / package, dirs_exist_ok=True)
    group = (
        "gentool.methods" if (project / f"src/{package}/nets.py").exists() else "gentool.extensions"
    )
    site.add(f"gentool-{name}", {group: {name: f"{package}.plugin"}}, {})


def spoil(path, *changes):
    text = path.read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text)


RUN = """
import json, sys
from gentool.testing import run
from gentool.testing.subject import Subject, find
(entry,) = find(sys.argv[1])
subject = Subject(entry)
found = [run.run(check, subject) for check in run.checks(entry) if check.__name__ in sys.argv[2:]]
print(json.dumps({r.check: [r.status, *r.details] for r in found}))
"""


def results(site, name, *checks):
    """Status and details of the checks of these names."""
    done = site.python("-c", RUN, name, *(check.replace(" ", "_") for check in checks))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == set(checks)
    return found


def failures(site, name, *checks):
    """Details of the checks of these names, each of which must fail and say how to mend it."""
    found = results(site, name, *checks)
    for check, (status, *details) in found.items():
        assert status == "failed", (check, details)
        assert all("; " in text for text in details)
    return {check: "\n".join(details) for check, (_, *details) in found.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_new_writes_is_a_whole_project(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    author = r'Ada "A" L, DOMAIN\ada'
    assert invoke(["new", "wave-pool", "--kind", kind, "--author", author]) == 0
    assert capsys.readouterr().out == "gentool-wave-pool\n"
    project = tmp_path / "gentool-wave-pool"
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    assert pyproject["project"]["authors"] == [{"name": author}]
    assert author in (project / "LICENSE").read_text()
    readme = (project / "README.md").read_text()
    assert readme.index('install --upgrade "pip>=25.1"') < readme.index("--group dev")
    names = {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()}
    assert {
        "pyproject.toml",
        "LICENSE",
        "README.md",
        ".gitignore",
        ".github/workflows/tests.yml",
        ".github/workflows/publish.yml",
        "src/gentool_wave_pool/__init__.py",
        "src/gentool_wave_pool/plugin.py",
        "tests/test_gentool_wave_pool.py",
    } <= names
    for path in project.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            text = path.read_text()
            assert "$" not in text.replace("${{", "").replace("$ ", ""), path
            assert "tmpl" not in text
            if path.suffix == ".py":
                compile(text, path, "exec")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Waves", "lower-case letters"),
        ("a--b", "single hyphens"),
        ("../up", "lower-case letters"),
        ("import", "a word of Python's own"),
        ("none", "a word of Python's own"),
        ("adain", "is taken by gentool-adain"),
        ("perceptual", "is taken by gentool-perceptual"),
        ("x" * 41, "lower-case letters"),
    ],
)
def test_new_refuses_names_that_do_not_do(name, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        create(name, folder=tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_new_writes_into_the_home_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert invoke(["new", "waves", "~/waves"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'waves'}\n"


def test_new_shows_what_a_shell_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(["new", "waves", "my folder/x y"]) == 0
    said = capsys.readouterr().err
    assert "pip install -e 'my folder/x y'; gentool check 'my folder/x y';" in said


def test_new_replaces_nothing_and_leaves_nothing_half_written(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        create("waves", folder=tmp_path / "mine")
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError):
        create("waves", folder=tmp_path / "file/inside")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "file", "mine"]


@pytest.mark.parametrize("folder", [".", "empty"])
def test_new_fills_an_empty_folder_that_is_there(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir(exist_ok=True)
    before = Path(folder).stat().st_ino
    assert create("waves", folder=Path(folder)) == Path(folder)
    found = sorted(path.name for path in Path(folder).iterdir())
    assert {".github", "LICENSE", "pyproject.toml", "src", "tests"} <= set(found)
    assert not [name for name in found if name.startswith(".gentool")]
    assert Path(folder).stat().st_ino == before


IMPORTS = "plugin and options import nothing slow"
OPTIONS = "options are documented and their defaults valid"
CARD = "card is valid and complete"
WEIGHTS = "packaged weights match and load strictly"


def test_spoilt_options_weights_and_terms_are_found(site, tmp_path):
    project = create("murk", folder=tmp_path / "murk")
    package = project / "src/gentool_murk"
    spoil(
        package / "options.py",
        ("from gentool import", "import torch\nfrom gentool import"),
        (', description="Share of the noise to take out"', ""),
        ("Field(1.0, ge=0, le=1)", "Field(7.0, ge=0, le=1)"),
        ("crop_size: int", "quiet: int"),
    )
    spoil(
        package / "plugin.py",
        ('licence="MIT"', 'licence=""'),
        ("gentool_murk.actions:denoise", "gentool_murk.actions:denoises"),
    )
    (package / "weights/murk.safetensors").write_bytes(b"\x80\x04.")
    install(site, project, "murk")
    metadata = site.folder / "gentool_murk-1.0.dist-info/METADATA"
    spoil(metadata, ("gentool-core>=0.1,<0.2", "gentool-core>=0.1"))
    requirement, references = "requirement on core can be met", "every reference resolves"
    wheel, help_ = "wheel holds card weights and licence", "help is shown"
    checks = (IMPORTS, OPTIONS, CARD, WEIGHTS, requirement, references, wheel, help_)
    found = failures(site, "murk", *checks)
    assert "gentool_murk.options imports torch" in found[IMPORTS]
    assert "DenoiseOptions.strength has no description" in found[OPTIONS]
    assert "the default of DenoiseOptions.strength is not valid" in found[OPTIONS]
    assert "--quiet, which is a flag of gentool's own" in found[OPTIONS]
    assert "gentool train murk --help exits 2" in found[help_]
    assert "weights default has no licence" in found[CARD]
    assert "no upper bound" in found[requirement]
    assert "has no 'denoises'" in found[references]
    assert "sha256 differs" in found[WEIGHTS]
    assert "holds no licence" in found[wheel]
    assert "license-files" in found[wheel]


def test_spoilt_results_and_gradients_are_found(site, tmp_path):
    project = create("murk", folder=tmp_path / "murk")
    package = project / "src/gentool_murk"
    spoil(
        package / "actions.py",
        ("from collections.abc", "import random\nfrom collections.abc"),
        (".clamp(0, 1)", ""),
        ("model(pixels).float()", "model(pixels).float() + random.random() - len(options.image)"),
    )
    spoil(
        package / "nets.py",
        ("        widths = ", "        self.unused = nn.Linear(2, 2)\n        widths = "),
    )
    spoil(package / "trainer.py", ("self.model.networks,", '{"net": self.model},'))
    install(site, project, "murk")
    run, batch = "actions run on small and odd pictures", "a batch equals its items"
    seed, training = "the same seed gives the same result", "two steps reach every parameter"
    found = failures(site, "murk", run, batch, seed, training)
    assert "gives values from" in found[run]
    assert "clamp(0, 1)" in found[run]
    assert "differs from that of item 0 alone" in found[batch]
    assert "context.generator()" in found[seed]
    assert "net.unused.weight gets no gradient" in found[training]


def murk_that(tmp_path, site, *changes):
    """An installed method whose actions were changed."""
    project = create("murk", folder=tmp_path / "murk")
    start = "from collections.abc", "import random\nimport torch\nfrom collections.abc"
    spoil(project / "src/gentool_murk/actions.py", start, *changes)
    install(site, project, "murk")


def test_an_alpha_of_another_size_is_found(site, tmp_path):
    twice = "Image(clean.repeat_interleave(2, 1).repeat_interleave(2, 2),"
    murk_that(tmp_path, site, ("Image(clean,", twice))
    check = "actions run on small and odd pictures"
    (found,) = failures(site, "murk", check)[check].splitlines()
    assert "denoise of a transparent picture of 33 x 47 pixels" in found
    assert "gives a picture (3, 66, 94) with an alpha (1, 33, 47)" in found


def test_an_action_that_takes_no_grey_picture_is_found(site, tmp_path):
    read = "        pixels = picture.pixels"
    grey = "        assert (picture.pixels[0] != picture.pixels[1]).any()\n"
    murk_that(tmp_path, site, (read, grey + read))
    check = "actions run on small and odd pictures"
    found = failures(site, "murk", check)[check]
    assert "denoise of a grey picture of 33 x 47 pixels raises AssertionError" in found


def test_an_alpha_out_of_range_or_drawn_without_the_seed_is_found(site, tmp_path):
    drawn = "clean, torch.full_like(clean[:1], 1 + random.random()),"
    murk_that(tmp_path, site, ("clean, picture.alpha,", drawn))
    run, seed = "actions run on small and odd pictures", "the same seed gives the same result"
    found = failures(site, "murk", run, seed)
    assert "gives values from 1." in found[run]
    assert "denoise gives another result" in found[seed]


@pytest.mark.parametrize("two", ["'one', 'two'", "1.0, float('nan')", "float('inf'), 1.0"])
def test_figures_that_the_seed_does_not_decide_are_found(site, tmp_path, two):
    end = "    # in a batch, one bad file"
    figures = (
        "    from gentool.artifacts import Figures\n\n    yield Figures({'x': next(FIGURES)})\n"
    )
    start = f"from itertools import cycle\n\nFIGURES = cycle([{two}])\n\n\ndef denoise"
    murk_that(tmp_path, site, (end, figures + end), ("def denoise", start))
    seed = "the same seed gives the same result"
    assert "denoise gives another result" in failures(site, "murk", seed)[seed]


def test_an_action_that_fails_hides_nothing_of_another(site, tmp_path):
    project = create("murk", folder=tmp_path / "murk")
    package = project / "src/gentool_murk"
    second = """        Action(
            name="fail",
            summary="Fail.",
            options="gentool_murk.options:DenoiseOptions",
            function="gentool_murk.actions:fail",
        ),
    ),
    model="""
    spoil(package / "plugin.py", ("    ),\n    model=", second))
    spoil(
        package / "actions.py",
        ("from collections.abc", "import random\nfrom collections.abc"),
        ("model(pixels).float()", "model(pixels).float() + random.random()"),
    )
    with (package / "actions.py").open("a") as f:
        f.write("\n\ndef fail(model, options, context):\n    raise ValueError('no')\n    yield\n")
    install(site, project, "murk")
    batch, seed = "a batch equals its items", "the same seed gives the same result"
    found = failures(site, "murk", batch, seed)
    assert "denoise of a batch differs" in found[batch]
    assert "denoise gives another result" in found[seed]
    for text in found.values():
        assert "could not be tried: fail: ValueError: no; see what the check on small" in text


@pytest.mark.parametrize(
    ("defaults", "fault"),
    [
        ('{"steps": "20k"}', "steps: must be a whole number at least 1, got '20k'"),
        ('{"stepz": 3}', "stepz: no such option; did you mean 'steps'?"),
    ],
)
def test_a_recipe_that_the_engine_does_not_take_is_found(site, tmp_path, defaults, fault):
    project = murk(tmp_path, defaults)
    install(site, project, "murk")
    assert fault in failures(site, "murk", OPTIONS)[OPTIONS]


def test_a_recipe_that_accumulates_is_tried_in_two_small_steps(site, tmp_path):
    recipe = '{"steps": 9, "accumulate": 7, "minutes": 1e-9, "tensorboard": True, "devices": 2}'
    install(site, murk(tmp_path, recipe), "murk")
    check = "two steps reach every parameter"
    assert results(site, "murk", check)[check] == ["ok"]


def murk(tmp_path, defaults):
    """A sound project whose training has this recipe."""
    project = create("murk", folder=tmp_path / "murk")
    path = project / "src/gentool_murk/plugin.py"
    (line,) = (line for line in path.read_text().splitlines() if "defaults=" in line)
    spoil(path, (line.strip(), f"defaults={defaults},"))
    return project


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('task="denoising"', 'task="".join(["de"])', "''.join(['de'])' is no literal"),
        ("return [CARD]", "return [dataclasses.replace(CARD, task='x')]", "is not what"),
        ("return [CARD]", "return (yield)", "is a hook wrapper"),
    ],
)
def test_cards_that_cannot_be_trusted_are_found(site, tmp_path, before, after, reason):
    project = create("murk", folder=tmp_path / "murk")
    changes = [(before, after), ("from gentool import", "import dataclasses\nfrom gentool import")]
    if "yield" in after:
        changes.append(("@hookimpl\n", "@hookimpl(wrapper=True)\n"))
    spoil(project / "src/gentool_murk/plugin.py", *changes)
    install(site, project, "murk")
    check = "no hook is a wrapper" if "wrapper" in reason else CARD
    assert reason in failures(site, "murk", check)[check]


def test_a_field_with_another_name_outside_is_tried(site, tmp_path):
    project = create("murk", folder=tmp_path / "murk")
    spoil(
        project / "src/gentool_murk/options.py",
        ("ImageFiles = Field(", 'ImageFiles = Field(alias="from", '),
        ("strength: float = Field(1.0,", 'strength: float = Field(alias="class", examples=[0.5],'),
    )
    install(site, project, "murk")
    checks = ("actions run on small and odd pictures", "a batch equals its items")
    assert results(site, "murk", *checks) == {check: ["ok"] for check in checks}


OFFERS = """
from gentool import Record, hookimpl

@hookimpl
def gentool_losses():
    bad = Record("Bad Name", "", "offers_code:Cut")
    return [Record("flat", "A loss.", "offers_code:Flat"), bad]

@hookimpl
def gentool_metrics():
    return [Record("hollow", "A metric.", "offers_code:Hollow")]

@hookimpl
def gentool_commands():
    return [Record("shout", "A command.", "offers_code:Flat")]
"""
OFFERS_CODE = """
class Flat:
    def __call__(self, prediction, target):
        return {"flat": (prediction - target).abs().mean((0, 1, 2))}

class Cut:
    def __call__(self, prediction, target):
        return {"cut": (prediction - target).abs().mean().detach()}

class Hollow:
    def __call__(self, prediction, target):
        return {"hollow": float("nan")}
"""


def test_spoilt_losses_metrics_and_commands_are_found(site):
    entries = {"gentool.extensions": {"offers": "offers_plugin"}}
    site.add("gentool-offers", entries, {"offers_plugin": OFFERS, "offers_code": OFFERS_CODE})
    names, losses = "records are complete", "losses give named terms with a gradient"
    metrics, commands = "metrics give named figures", "commands show their help"
    found = failures(site, "offers", names, losses, metrics, commands)
    assert "named 'Bad Name'" in found[names]
    assert "'Bad Name' has no summary" in found[names]
    assert "term 'flat' of loss 'flat' is no float32 scalar" in found[losses]
    assert "term 'cut' of loss 'Bad Name' has no finite gradient" in found[losses]
    assert "figure 'hollow' of metric 'hollow' is nan" in found[metrics]
    assert "gentool shout --help exits 2" in found[commands]


def test_an_offer_that_is_not_there_is_found_though_another_is(site):
    code = OFFERS.replace(
        """offers_code:Hollow")]""",
        """offers_code:Hollow"),
        Record("gone", "A metric.", "offers_code:Gone")]""",
    )
    sound = OFFERS_CODE.replace('float("nan")', "1.0")
    entries = {"gentool.extensions": {"offers": "offers_plugin"}}
    site.add("gentool-offers", entries, {"offers_plugin": code, "offers_code": sound})
    check = "metrics give named figures"
    assert "offers_code has no 'Gone'" in failures(site, "offers", check)[check]


PICKY = OFFERS.replace(
    'bad = Record("Bad Name", "", "offers_code:Cut")',
    'bad = Record("picky", "Takes features.", "offers_code:Picky")',
).replace('"offers_code:Hollow")]', '"offers_code:Picky")]')
PICKY_CODE = """
class Flat:
    def __call__(self, prediction, target):
        return {"flat": (prediction - target).abs().mean()}

class Picky:
    def __call__(self, prediction, target):
        raise TypeError("takes features\\nby layer")
"""


def test_what_two_pictures_do_not_suit_is_named_though_another_is_tried(site):
    entries = {"gentool.extensions": {"offers": "offers_plugin"}}
    site.add("gentool-offers", entries, {"offers_plugin": PICKY, "offers_code": PICKY_CODE})
    losses, metrics = "losses give named terms with a gradient", "metrics give named figures"
    told = "TypeError: takes features by layer; give Conformance.calls"
    assert results(site, "offers", losses, metrics) == {
        losses: ["ok", f"could not be tried: picky: {told}"],
        metrics: ["skipped", f"could not be tried: hollow: {told}"],
    }


def test_what_was_found_before_the_check_itself_breaks_is_told(site):
    code = OFFERS.replace('"offers_code:Cut"', '"offers_code:Gone"')
    entries = {"gentool.extensions": {"offers": "offers_plugin"}}
    site.add("gentool-offers", entries, {"offers_plugin": code, "offers_code": OFFERS_CODE})
    check = "losses give named terms with a gradient"
    found = failures(site, "offers", check)[check]
    assert "term 'flat' of loss 'flat' is no float32 scalar" in found
    assert "offers_code has no 'Gone'" in found


def test_of_two_extensions_of_one_name_the_one_asked_for_is_checked(site):
    for letter, bad in (("a", "bad-name"), ("b", "Bad Name")):
        module = f"{letter}_plugin"
        code = OFFERS.replace("Bad Name", bad).replace('""', '"A loss."')
        entries = {"gentool.extensions": {"same": module}}
        site.add(f"gentool-{letter}", entries, {module: code})
    check = "records are complete"
    assert "named 'Bad Name'" in failures(site, "gentool-b", check)[check]


LOUD = """
from gentool import Record, hookimpl

class Loud:
    def __init__(self):
        print("made")
    def __call__(self, prediction, target):
        print("called")
        return {"loud": (prediction - target).abs().mean()}

@hookimpl
def gentool_losses():
    print("asked")
    return [Record("loud", "A loss.", "loud:Loud")]
"""


def test_a_plugin_may_print_what_is_no_text(site, monkeypatch):
    monkeypatch.syspath_prepend(site.folder)
    loud = "import os\nos.write(2, b'caf\\xe9\\n')\nprint('imported')\n" + LOUD
    site.add("gentool-loud", {"gentool.extensions": {"loud": "loud"}}, {"loud": loud})
    rows = {row["check"]: row["status"] for row in _check_apart("gentool-loud", site.folder)}
    assert rows["plugin and options import nothing slow"] == "ok"
    assert rows["losses give named terms with a gradient"] == "ok"


def test_checking_what_is_not_there_is_one_line(capsys, tmp_path, monkeypatch):
    assert invoke(["check", "x" * 300]) == 2  # longer than a file's name may be
    assert capsys.readouterr().err.startswith("gentool: error: no plugin 'xxx")
    assert invoke(["check", f"./{'x' * 300}"]) == 1
    assert "no such wheel" in capsys.readouterr().out
    assert invoke(["check", "adian"]) == 2
    assert "no plugin 'adian' is installed; did you mean 'adain'?" in capsys.readouterr().err
    assert invoke(["check", str(tmp_path)]) == 1
    assert "no project of a plugin: it has no pyproject.toml" in capsys.readouterr().out
    assert invoke(["check", str(tmp_path / "none.whl")]) == 1
    assert "no such wheel" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert invoke(["check"]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path.name}\tfailed\t")

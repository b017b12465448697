"""Plugins of others: found, isolated, explained."""

import json

import pytest

CARD = """
from gentool import Action, Card, hookimpl

@hookimpl
def gentool_cards():
    return [Card(
        name="{name}", task="test", summary="A test method.", paper="none",
        actions=(Action("go", "Go.", "gentool_adain.options:StylizeOptions",
                        "gentool_adain.actions:stylize"),),
        model="gentool_adain.nets:AdaIN",
    )]
"""


def card(name):
    return CARD.replace("{name}", name)


def rows(site, *flags):
    done = site.gentool("list", "--json", *flags)
    assert done.returncode == ("--check" in flags), done.stderr
    found = {}
    for row in json.loads(done.stdout):
        found.setdefault(row["name"], []).append(row)
    return found


def method(name, module):
    return {"gentool.methods": {name: module}}


BROKEN = {
    "raises on import": ("raise RuntimeError('boom')", "broken", "RuntimeError: boom"),
    "exits on import": ("import sys; sys.exit(3)", "broken", "SystemExit: 3"),
    "lacks a dependency": ("import no_such_package", "broken", "no_such_package"),
    "returns no card": ("", "broken", "no card named 'bad'"),
    "misspells a hook": (
        "import gentool\n@gentool.hookimpl\ndef gentool_card(): return []",
        "broken",
        "did you mean 'gentool_cards'",
    ),
    "exits in the hook": (
        "import gentool\n@gentool.hookimpl\ndef gentool_cards(): raise SystemExit(3)",
        "broken",
        "SystemExit",
    ),
    "talks on import": ("print('hello')\nraise RuntimeError('boom')", "broken", "boom"),
    "raises in the hook": (
        "import gentool\n@gentool.hookimpl\ndef gentool_cards(): return 1 / 0",
        "broken",
        "ZeroDivisionError",
    ),
    "has a card without a text": (
        card("bad").replace('summary="A test method."', "summary=None"),
        "broken",
        "the summary of its Card must be a text",
    ),
    "has an action without a text": (
        card("bad").replace('"Go."', "3"),
        "broken",
        "the summary of its Action must be a text",
    ),
    "imports torch eagerly": ("import torch\n" + card("bad"), "slow", "imports torch"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_plugin_is_a_row_and_harms_nobody(site, case):
    code, status, cause = BROKEN[case]
    site.add("gentool-bad", method("bad", "bad_plugin"), {"bad_plugin": code})
    site.add("gentool-good", method("good", "good_plugin"), {"good_plugin": card("good")})
    found = rows(site)
    assert found["bad"][0]["status"] == status
    assert cause in found["bad"][0]["cause"]
    assert found["bad"][0]["fix"]
    assert found["bad"][0]["distribution"] == "gentool-bad"
    assert found["good"][0]["status"] == found["adain"][0]["status"] == "ok"
    assert site.gentool("run", "good", "--help").returncode == 0
    used = site.gentool("run", "bad", "--help")
    assert used.returncode == (0 if status == "slow" else 2)
    if status != "slow":
        said = used.stderr.removeprefix("hello\n")  # what a plugin prints is not swallowed
        assert said.startswith("gentool: error: plugin 'bad' (gentool-bad 1.0) is broken")
        assert said.count("\n") == 1


LOSSES = """
from gentool import Record, hookimpl

@hookimpl
def gentool_losses():
    return {returned}
"""
BAD_LOSSES = {
    "a dictionary": ("{'bad': 'bad_code:Bad'}", "returns a str among its records"),
    "texts": ("['bad']", "returns a str among its records"),
    "no list": ("3", "gentool_losses() raised TypeError"),
    "a record of numbers": ("[Record(1, 2, 3)]", "returns a record whose name is no text"),
    "an error": ("1 / 0", "gentool_losses() raised ZeroDivisionError"),
}


@pytest.mark.parametrize("case", BAD_LOSSES)
def test_a_bad_extension_is_a_row_and_harms_nobody(site, case):
    returned, cause = BAD_LOSSES[case]
    code = LOSSES.replace("{returned}", returned)
    site.add("gentool-bad", {"gentool.extensions": {"bad": "bad_plugin"}}, {"bad_plugin": code})
    found = rows(site)
    assert found["bad"][0]["status"] == "broken"
    assert cause in found["bad"][0]["cause"]
    assert found["bad"][0]["fix"] == "report it to the authors of gentool-bad"
    assert found["adain"][0]["status"] == "ok"
    done = site.gentool("list", "--check")
    assert done.returncode == 1, done.stderr
    assert cause in done.stdout
    done = site.python("-c", "from gentool import losses; print(losses.names())")
    assert "gram" in done.stdout, done.stderr  # another plugin's


def test_another_core_version_is_refused_before_anything_is_imported(site):
    site.add(
        "gentool-old",
        method("old", "old_plugin"),
        {"old_plugin": "open('imported', 'w')"},
        requires=["numpy", "gentool-core<0.1"],
    )
    row = rows(site)["old"][0]
    assert row["status"] == "incompatible"
    assert "gentool-core<0.1" in row["cause"]
    assert "gentool uninstall gentool-old" in row["fix"]
    assert not (site.folder / "imported").exists()
    assert site.gentool("run", "old").returncode == 2


def test_a_requirement_of_an_extra_does_not_count(site):
    site.add(
        "gentool-x",
        method("x", "x_plugin"),
        {"x_plugin": card("x")},
        requires=["gentool-core<0.1; extra == 'old'"],
    )
    assert rows(site)["x"][0]["status"] == "ok"


def test_two_of_one_name_are_an_error_that_names_both(site):
    for letter in "ab":
        module = f"{letter}_plugin"
        site.add(f"gentool-{letter}", method("same", module), {module: card("same")})
    found = rows(site)["same"]
    assert [row["status"] for row in found] == ["duplicate", "duplicate"]
    done = site.gentool("run", "same")
    assert done.returncode == 2
    assert "gentool-a" in done.stderr
    assert "gentool-b" in done.stderr


def test_nobody_takes_the_name_of_a_method_that_is_there(site):
    site.add("gentool-thief", method("adain", "thief"), {"thief": card("adain")})
    found = [row for row in rows(site)["adain"] if row["kind"] == "method"]
    assert [row["status"] for row in found] == ["duplicate", "duplicate"]


def test_run_loads_only_the_method_it_runs(site):
    code = "open({!r}, 'w')\n"
    mark = str(site.folder / "imported")
    site.add(
        "gentool-other", method("other", "other"), {"other": code.format(mark) + card("other")}
    )
    site.gentool("run", "adain", "--help")
    assert not (site.folder / "imported").exists()
    site.gentool("run", "other", "--help")
    assert (site.folder / "imported").exists()


def test_check_imports_the_code_behind_the_card(site):
    code = card("hollow").replace("gentool_adain.actions", "gentool_adain.nowhere")
    site.add("gentool-hollow", method("hollow", "hollow"), {"hollow": code})
    assert rows(site)["hollow"][0]["status"] == "ok"
    checked = rows(site, "--check")["hollow"][0]
    assert checked["status"] == "broken"
    assert "gentool_adain.nowhere" in checked["cause"]


def test_a_card_that_is_not_sound_says_what_is_wrong(site):
    code = card("Bad Name")
    site.add("gentool-b", method("bad", "b_plugin"), {"b_plugin": code})
    row = rows(site)["bad"][0]
    assert row["status"] == "broken"
    assert "lower-case" in row["cause"]


NETS = """
print("nets imported")

class Nothing:
    networks = {}
    @classmethod
    def from_config(cls, config):
        print("model built")
        return cls()
    def get_config(self): return {}

from gentool.artifacts import Figures

class Loud(Figures):
    def encode(self, suffix, metadata):
        print("encoding")
        return super().encode(suffix, metadata)

def go(model, options, context):
    print("setting up")
    yield Loud({"seed": context.seed}, name="../../escaped")
"""
OPTIONS = """
from gentool import Options
print("options imported")

class O(Options):
    speed: float = 1.0
"""


@pytest.fixture
def plain(site):
    """A site with a method `plain`, which needs no weights and prints wherever it is called."""
    code = card("plain").replace("gentool_adain.nets:AdaIN", "plain_code:Nothing")
    code = code.replace("gentool_adain.actions:stylize", "plain_code:go")
    code = code.replace("gentool_adain.options:StylizeOptions", "plain_options:O")
    code = code.replace("    return [Card(", '    print("cards asked")\n    yield from [Card(')
    modules = {"plain_plugin": code, "plain_code": NETS, "plain_options": OPTIONS}
    site.add("gentool-plain", method("plain", "plain_plugin"), modules)
    return site


def test_a_method_without_weights_runs_and_flags_of_the_core_are_reserved(plain, tmp_path):
    done = plain.gentool("run", "plain", "--seed", "4", "-o", f"{tmp_path}/out/")
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "out").iterdir()  # and nowhere else
    assert json.loads(made.read_text())["seed"] == 4
    (plain.folder / "plain_options.py").write_text(OPTIONS.replace("speed", "seed"))
    done = plain.gentool("run", "plain")
    assert done.returncode == 2
    assert "--seed, which is a flag of gentool's own" in done.stderr


def test_what_a_plugin_prints_is_no_result(plain, tmp_path):
    done = plain.gentool("run", "plain", "--json", "-o", f"{tmp_path}/out/")
    assert json.loads(done.stdout)["failures"] == []
    said = ["cards asked", "options imported", "nets imported", "model built", "setting up"]
    said += ["encoding"]  # beside what the command itself does
    assert done.stderr.splitlines() == said
    done = plain.gentool("run", "plain", "-o", f"{tmp_path}/out/")
    assert done.stdout.splitlines() == [f"{tmp_path}/out/_.._escaped-plain-2.json"]
    assert {row["name"] for row in json.loads(plain.gentool("list", "--json").stdout)} > {"plain"}


def test_training_that_lacks_an_extra_says_which_and_breaks_nothing_else(site):
    code = card("lean").replace("import Action,", "import Training, Action,")
    training = 'training=Training("gentool_adain.options:TrainOptions", "nowhere:T"),'
    code = code.replace('paper="none",', f'paper="none", {training}')
    site.add("gentool-lean", method("lean", "lean_plugin"), {"lean_plugin": code})
    done = site.gentool("list", "--check", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = (r for r in json.loads(done.stdout) if r["name"] == "lean")
    assert row["status"] == "ok"
    assert "gentool install 'gentool-lean[train]'" in row["cause"]
    (line,) = (s for s in site.gentool("doctor").stdout.splitlines() if s.startswith("plugin lean"))
    assert line.endswith("gentool install 'gentool-lean[train]'")


def test_an_extra_of_what_no_registry_has_is_given_by_what_it_requires(site, tmp_path):
    extra = ["gentool-core[train]", "gentool-perceptual>=0.1", "gentool-mist<2", "matplotlib>=3.8"]
    lines = [f"{line}; extra == 'train'" for line in extra]
    requires = ("gentool-core>=0.1,<0.2", *lines, "nothing; extra == 'more'", "no requirement")
    modules = {"lean_plugin": card("lean")}
    site.add("gentool-lean", method("lean", "lean_plugin"), modules, requires)
    code = (
        "from gentool.install.changes import with_extra; print(with_extra('gentool-lean','train'))"
    )
    found = site.python("-c", code)
    needed = "pip install 'gentool-core[train]' 'matplotlib>=3.8'"
    assert found.stdout == f"{needed} and gentool install the wheel of gentool-mist\n"
    (tmp_path / "registry.toml").write_text(REGISTRY)
    for variables in ({"GENTOOL_REGISTRY": "https://localhost:1/r.toml"}, {"GENTOOL_CONFIG": "/"}):
        assert site.python("-c", code, **variables).stdout == found.stdout
    published = site.python("-c", code, GENTOOL_REGISTRY=str(tmp_path / "registry.toml"))
    assert published.stdout == "gentool install 'gentool-lean[train]'\n"


REGISTRY = f"""
schema = 1
[[plugin]]
name = "lean"
distribution = "gentool-lean"
methods = ["lean"]
summary = "A test."
tier = "community"
licence = "MIT"
gentool = ">=0.1,<0.2"
homepage = "https://example.org"
[plugin.published]
version = "1.0"
file = "gentool_lean-1.0-py3-none-any.whl"
bytes = 10
sha256 = "{"0" * 64}"
"""


def test_doctor_finds_what_is_too_old_and_how_to_mend_it(site):
    site.add("psutil", {}, {})
    done = site.gentool("doctor")
    assert done.returncode == 1, done.stderr
    wanted = "psutil\tbroken\t1.0 will not do; pip install 'psutil>=5.9'"
    assert wanted in done.stdout.splitlines()


def test_a_trainer_that_raises_is_a_row(site):
    code = LOSSES.replace("{returned}", "['bad']")
    site.add("gentool-bad", {"gentool.extensions": {"bad": "bad_plugin"}}, {"bad_plugin": code})
    code = card("lame").replace("import Action,", "import Training, Action,")
    training = 'training=Training("gentool_adain.options:TrainOptions", "lame_trainer:T"),'
    code = code.replace('paper="none",', f'paper="none", {training}')
    modules = {"lame_plugin": code, "lame_trainer": "raise RuntimeError('boom')"}
    site.add("gentool-lame", method("lame", "lame_plugin"), modules)
    row = rows(site, "--check")["lame"][0]
    assert row["status"] == "broken"
    assert "training raised RuntimeError: boom" in row["cause"]
    assert row["fix"]
    done = site.gentool("doctor")
    assert done.returncode == 1, done.stderr
    assert "training raised RuntimeError: boom" in done.stdout
    assert "returns a str among its records" in done.stdout


def test_plugins_are_let_in_and_kept_out_by_name(site):
    for name in ("one", "two"):
        site.add(f"gentool-{name}", method(name, f"{name}_plugin"), {f"{name}_plugin": card(name)})

    def names(**variables):
        listed = json.loads(site.gentool("list", "--json", **variables).stdout)
        return {row["name"] for row in listed}

    assert {"one", "two", "adain", "perceptual"} <= names()
    assert names(GENTOOL_PLUGINS="one, gentool_perceptual") == {"one", "perceptual"}
    assert names(GENTOOL_PLUGINS="") == set()
    assert names(GENTOOL_DISABLE="one") == names() - {"one"}
    assert names(GENTOOL_PLUGINS="one,two", GENTOOL_DISABLE="Gentool.Two") == {"one"}
    done = site.gentool("run", "one", GENTOOL_DISABLE="one")
    assert done.returncode == 2
    assert "method 'one' is switched off by GENTOOL_DISABLE" in done.stderr


def test_hook_calls_are_traced(site):
    site.add("gentool-good", method("good", "good_plugin"), {"good_plugin": card("good")})
    assert "took" not in site.gentool("list", GENTOOL_TRACE="0").stderr
    traced = site.gentool("list", GENTOOL_TRACE="1").stderr
    assert "gentool: good_plugin.gentool_cards() took " in traced


COMMANDS = """
import click
from gentool import Record, hookimpl

@click.command()
def leave():
    raise SystemExit({code})

@hookimpl
def gentool_commands():
    return [Record("leave", "Leaves.", "{module}:leave")]
"""


@pytest.mark.parametrize(("code", "wanted"), [("0", 0), ("None", 0), ("7", 7), ("'bye'", 1)])
def test_a_plugins_command_may_leave_with_a_code(site, code, wanted):
    module = COMMANDS.format(code=code, module="leaver")
    site.add("gentool-leaver", {"gentool.extensions": {"leaver": "leaver"}}, {"leaver": module})
    done = site.gentool("leave")
    assert done.returncode == wanted
    assert ("bye" in done.stderr) == (code == "'bye'")
    assert "Traceback" not in done.stderr


def test_a_missing_command_names_what_is_broken_or_doubled(site):
    for name in ("one", "two"):
        module = COMMANDS.format(code=0, module=name)
        site.add(f"gentool-{name}", {"gentool.extensions": {name: name}}, {name: module})
    site.add(
        "gentool-ill", {"gentool.extensions": {"ill": "ill"}}, {"ill": "raise OSError('no disk')"}
    )
    done = site.gentool("leave")
    assert done.returncode == 2
    assert "'leave' is provided by gentool-one and gentool-two" in done.stderr
    done = site.gentool("bogus")
    assert done.returncode == 2
    assert "there is no command 'bogus'" in done.stderr
    assert "plugin 'ill' (gentool-ill 1.0) is broken: OSError: no disk" in done.stderr
    done = site.python("-c", "from gentool import losses; losses.get('bogus')")
    assert "no disk" in done.stderr


def test_a_hook_with_a_wrong_argument_says_which(site):
    code = "from gentool import hookimpl\n@hookimpl\ndef gentool_cards(nosuch): return []\n"
    site.add("gentool-bad", method("bad", "bad_plugin"), {"bad_plugin": code})
    row = rows(site)["bad"][0]
    assert row["status"] == "broken"
    assert "nosuch" in row["cause"]

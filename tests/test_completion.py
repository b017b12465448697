"""Shell completion: what is offered, also beside methods that cannot be offered."""

import os
import subprocess
import sys

import pytest

from gentool.cli.main import invoke

CARD = """
from gentool import Action, Card, hookimpl

@hookimpl
def gentool_cards():
    actions = (Action("go", "Go.", "bad_options:GoOptions", "bad_actions:go"),)
    return [Card("bad", "test", "A test.", "none", actions, "bad_nets:Net")]
"""


def offered(typed, run=None):
    """What is offered for the last word of a line."""
    words = {
        "_GENTOOL_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    done = (
        run(**words)
        if run
        else subprocess.run(
            [sys.executable, "-m", "gentool"],
            env=os.environ | words,
            capture_output=True,
            text=True,
            check=False,
        )
    )
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(capsys, shell):
    assert invoke(["completion", shell]) == 0
    assert "_GENTOOL_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("gentool r", "run"),
        ("gentool run a", "adain"),
        ("gentool run adain --preserve-color l", "luminance"),
        ("gentool run adain --al", "--alpha"),
        ("gentool run vae reconstruct --im", "--image"),
    ],
)
def test_completion_completes(typed, wanted):
    assert wanted in offered(typed)


def test_methods_are_offered_for_what_they_can_do():
    runs, trains = offered("gentool run "), offered("gentool train ")
    assert {"adain", "gatys", "vae"} <= {*runs}
    assert "perceptual" not in runs  # it has no action
    assert {"adain", "perceptual", "vae"} <= {*trains}
    assert "gatys" not in trains


@pytest.mark.parametrize(
    "modules",
    [
        {"bad_plugin": "1 / 0"},
        {"bad_plugin": CARD},  # there are no options
        {"bad_plugin": CARD, "bad_options": "1 / 0"},
    ],
)
def test_a_broken_plugin_is_left_out_and_the_others_are_offered(site, modules):
    site.add("gentool-bad", {"gentool.methods": {"bad": "bad_plugin"}}, modules)
    found = offered("gentool run ", site.gentool)
    assert "adain" in found
    assert "bad" not in found


@pytest.mark.parametrize(
    "typed", ["run perceptual --", "run no-such --", "run --alpha a", "spoilt "]
)
def test_a_mistake_in_the_line_is_no_error_while_it_is_typed(site, typed):
    offer = "gentool_commands = gentool.hookimpl(lambda: 1 / 0, specname='gentool_commands')"
    code = f"import gentool\n{offer}\n"
    site.add("gentool-spoilt", {"gentool.extensions": {"spoilt": "spoilt"}}, {"spoilt": code})
    offered(f"gentool {typed}", site.gentool)

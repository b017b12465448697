"""Each hook does what its specification says, called from real installed plugins."""

import json
import textwrap
from pathlib import Path

CARD = '''
from gentool import Action, Card, hookimpl

@hookimpl
def gentool_cards():
    """Two methods in one module."""
    make = lambda name: Card(
        name=name, task="test", summary=name, paper="none", model="echo_code:Echo",
        actions=(Action("echo", "Echo.", "echo_options:EchoOptions", "echo_code:echo"),),
        weights=(),
    )
    return [make("echo"), make("echo-two")]
'''
OPTIONS = """
from gentool import Field, Options

class EchoOptions(Options):
    times: int = Field(1, ge=1, description="How often")
"""
CODE = """
import torch
from gentool.artifacts import Figures

class Echo(torch.nn.Module):
    @classmethod
    def from_config(cls, config): return cls()
    def get_config(self): return {}
    @property
    def networks(self): return {"net": self.net}
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

def echo(model, options, context):
    for i in range(options.times):
        yield Figures({"i": i, "draw": torch.rand(1, generator=context.generator()).item()})
"""
OBSERVER = """
import gentool

@gentool.hookimpl
def gentool_before_run(card, action, options):
    print("before", card.name, action.name, options["times"])

@gentool.hookimpl
def gentool_after_run(artifact, options):
    print("after", artifact.values["i"])
"""
RAISING = """
import gentool

@gentool.hookimpl
def gentool_before_run():
    raise RuntimeError("I never work")

@gentool.hookimpl
def gentool_losses():
    raise RuntimeError("nor here")
"""
DRIVE = """
import sys, gentool
from gentool import plugins, weights
from gentool.runner import Method
from echo_code import Echo
weights.save("echo.safetensors", Echo(), "echo")
echo = Method(plugins.card("echo"), gentool.Settings(weights="echo.safetensors", seed=3))
print([a.values["draw"] for a in echo.echo(times=2)])
"""


def add_echo(site):
    modules = {"echo_plugin": CARD, "echo_options": OPTIONS, "echo_code": CODE}
    methods = {"echo": "echo_plugin", "echo-two": "echo_plugin"}
    site.add("gentool-echo", {"gentool.methods": methods}, modules)


def test_hook_gentool_cards(site):
    add_echo(site)
    names = {row["name"] for row in json.loads(site.gentool("list", "--json").stdout)}
    assert {"echo", "echo-two", "adain"} <= names


def watch(site):
    site.add("gentool-watch", {"gentool.extensions": {"watch": "watch"}}, {"watch": OBSERVER})


def drive(site, tmp_path):
    """Run the echo method twice over: what it draws, and what the observers said."""
    add_echo(site)
    done = site.python("-c", f"import os; os.chdir({str(tmp_path)!r})\n{DRIVE}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines()


def test_hook_gentool_before_run(site, tmp_path):
    watch(site)
    assert drive(site, tmp_path)[1][0] == "before echo echo 2"


def test_hook_gentool_after_run(site, tmp_path):
    watch(site)
    (first, second), said = drive(site, tmp_path)
    assert said[1:] == ["after 0", "after 1"]  # once for each artifact
    assert first == second  # each generator of a run starts from the run's seed


def test_an_observer_that_raises_stops_nothing(site, tmp_path):
    watch(site)
    site.add("gentool-raise", {"gentool.extensions": {"raise": "raising"}}, {"raising": RAISING})
    said = drive(site, tmp_path)[1]
    assert "before echo echo 2" in said
    (told,) = (line for line in said if "I never work" in line)  # Python's warning
    assert "UserWarning: plugin 'raise' (gentool-raise): gentool_before_run() raised" in told


LOSSES = """
from gentool import Record, hookimpl

@hookimpl
def gentool_losses():
    return [Record("{name}", "A loss.", "math:hypot")]

@hookimpl
def gentool_metrics():
    return [Record("metric-{name}", "A metric.", "math:hypot")]
"""


def test_a_module_that_two_entry_points_name_counts_once(site, tmp_path):
    code = OBSERVER + LOSSES.replace("{name}", "mine")
    site.add("gentool-twin", {"gentool.extensions": {"one": "twin", "two": "twin"}}, {"twin": code})
    assert drive(site, tmp_path)[1] == ["before echo echo 2", "after 0", "after 1"]
    done = site.python("-c", "from gentool import losses; print(losses.get('mine')(3, 4))")
    assert done.stdout == "5.0\n", done.stderr


def test_hook_gentool_losses(site):
    code = LOSSES.replace("{name}", "mine")
    site.add("gentool-l", {"gentool.extensions": {"l": "l_plugin"}}, {"l_plugin": code})
    done = site.python(
        "-c",
        "from gentool import losses; print(losses.get('mine')(3, 4), 'gram' in losses.names());"
        "losses.get('mina')",
    )
    assert done.stdout.split() == ["5.0", "True"]
    assert "there is no loss 'mina'; did you mean 'mine'?" in done.stderr


def test_hook_gentool_metrics(site):
    code = LOSSES.replace("{name}", "mine")
    site.add("gentool-l", {"gentool.extensions": {"l": "l_plugin"}}, {"l_plugin": code})
    done = site.python(
        "-c",
        "from gentool import metrics as m; "
        "print('metric-mine' in m.names(), m.get('metric-mine')(3,4))",
    )
    assert done.stdout.strip() == "True 5.0"


def test_two_losses_of_one_name_are_an_error_that_names_both(site):
    for letter in "ab":
        module = f"{letter}_plugin"
        entries = {"gentool.extensions": {letter: module}}
        site.add(f"gentool-{letter}", entries, {module: LOSSES.replace("{name}", "same")})
    done = site.python("-c", "from gentool import losses; losses.get('same')")
    assert "'same' is provided by gentool-a and gentool-b" in done.stderr


COMMAND = """
from gentool import Record, hookimpl

@hookimpl
def gentool_commands():
    return [Record("hello", "Say hello.", "hello_code:hello")]
"""
HELLO = """
import click

@click.command()
@click.option("--name", default="you")
def hello(name):
    click.echo(f"hello {name}")
"""


def test_hook_gentool_commands(site):
    entries = {"gentool.extensions": {"hello": "hello_plugin"}}
    site.add("gentool-hello", entries, {"hello_plugin": COMMAND, "hello_code": HELLO})
    assert site.gentool("hello", "--name", "Ada").stdout == "hello Ada\n"
    assert site.gentool("hello", "--nam", "Ada").returncode == 2


def test_hook_gentool_training_step(site, tmp_path):
    watch = """
        import gentool

        @gentool.hookimpl
        def gentool_training_step(method, step, scalars):
            print(method, step, sorted(scalars))
    """
    site.add("gentool-t", {"gentool.extensions": {"t": "t_plugin"}}, {"t_plugin": watch})
    code = """
        import sys
        from pathlib import Path
        sys.path.insert(0, {tests!r})
        import tiny
        tiny.train(Path({run!r}), steps=4, log_every=2)
    """
    code = textwrap.dedent(code).format(tests=str(Path(__file__).parent), run=str(tmp_path / "r"))
    done = site.python("-c", code)
    assert [line for line in done.stderr.splitlines() if line.startswith("tiny ")] == [
        "tiny 2 ['error', 'gradient', 'loss']",
        "tiny 4 ['error', 'gradient', 'loss']",
    ], done.stderr


ORDER = """
import gentool

@gentool.hookimpl
def gentool_cards(): print("{name} cards")

@gentool.hookimpl
def gentool_before_run(): print("{name} before")

@gentool.hookimpl
def gentool_after_run(artifact): print("{name} after", artifact.values["i"])
"""


def test_hooks_are_called_in_this_order_and_no_other(site, tmp_path):
    """Observers by name; before, then after for every artifact. Nobody else's cards are asked."""
    add_echo(site)
    for name in ("zebra", "ape"):
        entries = {"gentool.extensions": {name: f"{name}_plugin"}}
        code = ORDER.replace("{name}", name)
        site.add(f"gentool-{name}", entries, {f"{name}_plugin": code})
    done = site.python("-c", f"import os; os.chdir({str(tmp_path)!r})\n{DRIVE}", GENTOOL_TRACE="1")
    said = done.stderr.splitlines()
    assert [line for line in said if not line.startswith("gentool: ")] == [
        *("ape before", "zebra before"),
        *("ape after 0", "zebra after 0", "ape after 1", "zebra after 1"),
    ]
    timed = [line for line in said if line.startswith("gentool: ")]
    traced = [line.split("gentool: ")[1].split("(")[0] for line in timed]
    after = ["ape_plugin.gentool_after_run", "zebra_plugin.gentool_after_run"]
    before = ["ape_plugin.gentool_before_run", "zebra_plugin.gentool_before_run"]
    assert traced == ["echo_plugin.gentool_cards", *before, *after, *after]
    assert all(line.endswith(" ms") for line in timed)

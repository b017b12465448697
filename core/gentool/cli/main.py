"""The ``gentool`` command: a group whose commands are imported when they are typed."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from gentool import __version__
from gentool.cli.talk import printable
from gentool.errors import GentoolError, PluginError, UsageError, did_you_mean

# name: (module of this package, one line for the help)
COMMANDS = {
    "list": ("list", "Show the methods that are installed."),
    "info": ("info", "Describe a method, a picture made by gentool, or a weights file."),
    "run": ("run", "Run a method on your pictures."),
    "train": ("train", "Train a method on your own pictures."),
    "report": ("report", "Write one HTML page about a training."),
    "data": ("data", "Look at pictures before training on them."),
    "schema": ("schema", "Print the JSON Schema of a method's options."),
    "search": ("search", "Find plugins, installed or not."),
    "install": ("install", "Install plugins, checked before anything of them runs."),
    "uninstall": ("uninstall", "Remove plugins, broken ones too."),
    "freeze": ("freeze", "Print the installed plugins, to be restored elsewhere."),
    "restore": ("restore", "Install the plugins that freeze wrote down."),
    "new": ("new", "Start a plugin of your own."),
    "check": ("check", "Check a plugin of yours; this runs its code."),
    "doctor": ("doctor", "Check Python, torch, devices, plugins and weights."),
    "completion": ("completion", "Print the script that completes gentool in your shell."),
}
OK, PART_FAILED, USER_ERROR, BUG, INTERRUPTED = 0, 1, 2, 70, 130


class Main(click.Group):
    """The top-level group: imports a command's module only to run it or show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module = importlib.import_module(f"gentool.cli.{COMMANDS[name][0]}")
            command: click.Command = module.command
            return command
        from gentool import extensions, lookup

        hook = "gentool_commands"
        if name not in extensions.records(hook) and name not in extensions.doubles(hook):
            return None
        found = lookup.find("command", hook, name)
        if not isinstance(found, click.Command):
            raise PluginError(f"the plugin's command '{name}' is no click.Command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            command = self.get_command(ctx, args[0])
        except PluginError:
            if not ctx.resilient_parsing:  # while completing, nobody reads an error
                raise
            command = None
        if command is None and not ctx.resilient_parsing:
            from gentool import extensions, plugins

            methods, failed = plugins.method_names(), list[str]()
            offered = extensions.records("gentool_commands", failed.append)
            hint = did_you_mean(args[0], [*COMMANDS, *offered, *methods])
            if args[0] in methods:  # someone typed `gentool adain`
                hint = f"; did you mean 'gentool run {args[0]}'?"
            raise UsageError("; ".join([f"there is no command '{args[0]}'{hint}", *failed]))
        return args[0], command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=Main,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: gentool run adain --content PICTURE --style PICTURE\n\n"
    "Plugins bring further commands; gentool list shows them.",
)
@click.version_option(__version__, "-V", "--version", message="gentool %(version)s")
def gentool() -> None:
    """Generate and transform pictures; every method is a plugin."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the ``gentool`` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, or a program without a console
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - to the end
    # a file's name may hold what is no text; the shown path of a result must not raise for it
    strict = ("strict", "surrogateescape")  # the latter in the C locale
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in strict:
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does by itself
    code = invoke(args)
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
    sys.exit(code)


def invoke(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; every error ends here."""
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    stdout = sys.stdout
    try:
        result: Any = gentool.main(
            arguments, prog_name="gentool", standalone_mode=False, obj=arguments
        )
        return result if isinstance(result, int) else OK
    except GentoolError as e:
        return fail(e, debug)
    except click.exceptions.NoArgsIsHelpError as e:
        click.echo(e.format_message(), err=True)
        return USER_ERROR
    except click.ClickException as e:
        return _fail(_click_message(e))
    except (KeyboardInterrupt, click.Abort):
        click.echo("gentool: interrupted", err=True)
        return INTERRUPTED
    except SystemExit as e:
        # click puts another stdout there when the reader of ours has gone: `gentool list | head -1`
        return _code(e) if sys.stdout is stdout else OK
    except Exception as e:
        return _bug(e)


def _code(left: SystemExit) -> int:
    """What a plugin's command said with sys.exit(): nothing, a code, or a last line."""
    if isinstance(left.code, int):
        return left.code
    if left.code is not None:
        click.echo(str(left.code), err=True)
    return OK if left.code is None else PART_FAILED


def _bug(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return _fail(f"cannot write the output: {error.strerror}")
    _print_traceback(error)
    click.echo("gentool: this is a bug in gentool or in a plugin; please report it", err=True)
    return BUG


def fail(error: GentoolError, debug: bool) -> int:
    """Say in one line what went wrong, with ``--debug`` below its traceback.

    Returns:
        The exit code.
    """
    if debug:
        _print_traceback(error)
    return _fail(str(error))


def _print_traceback(error: Exception) -> None:
    import traceback

    traceback.print_exception(error)


def _fail(message: str) -> int:
    click.echo(printable(f"gentool: error: {' '.join(message.split())}"), err=True)
    return USER_ERROR


def _click_message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        hint = did_you_mean(error.option_name, error.possibilities or ())
        return f"{error.option_name}: no such option{hint}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.opts[-1] if error.param.param_type_name == "option" else None
        return f"{name or error.param.make_metavar(error.ctx)}: is required"  # type: ignore[arg-type]
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{error.param.opts[-1]}: {error.message}"
    return error.format_message()

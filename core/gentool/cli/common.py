"""The flags that every action shares, and what they turn into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from gentool.compute import PRECISIONS
from gentool.context import Settings
from gentool.errors import UsageError


def compute_flags() -> list[click.Option]:
    """``--device``, ``--precision``, ``--seed``, ``--threads``."""
    return [
        click.Option(["--device"], help="auto, cpu, mps, cuda or cuda:N  [default auto]"),
        click.Option(
            ["--precision"],
            help=f"{', '.join(PRECISIONS)}  [default auto: bf16 where the hardware has it]",
        ),
        click.Option(
            ["--seed"], type=int, metavar="N", help="Seed of everything random  [default: drawn]"
        ),
        click.Option(
            ["--threads"], type=int, metavar="N", help="CPU threads  [default: all cores]"
        ),
    ]


def debug_flag() -> click.Option:
    return click.Option(["--debug"], is_flag=True, help="Show tracebacks of errors.")


def settings(values: Mapping[str, Any]) -> Settings:
    """Settings from the flags that were given; the others keep their defaults."""
    names = Settings.__dataclass_fields__
    try:
        return Settings(**{n: values[n] for n in names if values.get(n) is not None})
    except UsageError as e:
        raise UsageError(f"--{e}") from None


class Methods(click.Group):
    """A group with one command per installed method, found by name when it is typed.

    Subclasses say which command a method gets.
    """

    def build(self, method: str, action: str | None) -> click.Command:
        raise AssertionError("a subclass builds the command")

    def list_commands(self, ctx: click.Context) -> list[str]:
        from gentool import plugins

        return plugins.method_names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self.build(name, None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, rest = args[0], args[1:]
        if name.startswith("-"):
            raise UsageError(f"put the method's name before its flags, got '{name}'")
        action = rest.pop(0) if rest and not rest[0].startswith("-") else None
        return name, self.build(name, action), rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from gentool import plugins

        rows = [
            (p.name, p.card.summary if p.card and p.usable else f"({p.status}: {p.cause})")
            for p in plugins.methods()
        ]
        with formatter.section("Methods"):
            formatter.write_dl(rows or [("(none)", "no method is installed")])


def no_action(method: str, word: str) -> UsageError:
    """For commands that take no action word."""
    return UsageError(f"unexpected '{word}' after '{method}'")

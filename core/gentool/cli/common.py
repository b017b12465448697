"""What `run` and `train` share: the core's flags, and finding a method's command by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from gentool.cli.flags import FlagCommand, given, option_flags
from gentool.config import read_config
from gentool.context import Settings
from gentool.errors import PluginError, UsageError
from gentool.loading import FOREIGN
from gentool.options import Field, Options, validate

if TYPE_CHECKING:
    from gentool.cards import Card

Core = TypeVar("Core", bound="CoreFlags")


class CoreFlags(Options):
    """Flags of every run and every training."""

    weights: str | None = Field(
        None,
        min_length=1,
        description="A packaged set's name, a safetensors file, or a training run's folder",
        json_schema_extra={"format": "path"},
    )
    device: str = Field("auto", description="auto, cpu, mps, cuda or cuda:N")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto takes bf16 where the hardware has it"
    )
    seed: int | None = Field(None, ge=0, description="Seed of everything random (default: drawn)")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads")
    config: str | None = Field(
        None,
        min_length=1,
        description="Take flags from a TOML file; typed ones win",
        json_schema_extra={"format": "path"},
    )
    quiet: bool = Field(False, description="Print results and errors only")
    debug: bool = Field(False, description="Show tracebacks of errors")

    def settings(self) -> Settings:
        """The part of the flags that a method needs."""
        names = set(Settings.__dataclass_fields__) & set(type(self).model_fields)
        try:
            return Settings(**{name: getattr(self, name) for name in names})
        except UsageError as e:
            raise UsageError(f"--{e}") from None


def parse(
    values: Mapping[str, Any], model: type[Options], core: type[Core]
) -> tuple[Options, Core]:
    """Flags as click gives them, and those of ``--config``, to a method's options and the core's.

    Raises:
        UsageError: an unknown name in the file, or a bad value anywhere.
    """
    typed = given(values)
    names, others = ([f.alias or n for n, f in m.model_fields.items()] for m in (core, model))
    if "config" in typed:
        file = [n for n in names if n not in ("config", "debug")]
        typed = read_config(str(typed["config"]), [*others, *file]) | typed
    own = validate(core, {n: typed.pop(n) for n in names if n in typed}, prefix="--")
    return validate(model, typed, prefix="--"), own


def flag_command(
    name: str, title: str, model: type[Options], core: type[Options], **more: Any
) -> FlagCommand:
    """A command with a section of the method's flags and one of the core's.

    Raises:
        PluginError: the method has a flag that the core has too.
    """
    mine = option_flags(model)
    cores = sorted(option_flags(core), key=lambda option: option.name != "output")
    taken = {opt for option in cores for opt in option.opts} | {"--help", "-h"}
    for option in mine:
        for opt in {*option.opts, *option.secondary_opts} & taken:
            raise PluginError(
                f"{model.__module__}:{model.__name__} has a field for {opt}, which is a flag of "
                "gentool's own; its author should rename it"
            )
    return FlagCommand(name, sections={title: mine, "Flags of gentool": cores}, **more)


class Methods(click.Group):
    """A group with one command per installed method, found by name when it is typed.

    Subclasses say in ``build`` which command a method gets.
    """

    def build(self, method: str, action: str | None) -> click.Command:
        """The command of a method, for an action word if one was typed."""
        raise TypeError("a subclass builds the command")

    def fits(self, card: Card) -> bool:
        """Whether the method can do what this group is for."""
        return True

    def list_commands(self, ctx: click.Context) -> list[str]:
        from gentool import plugins

        return [p.name for p in plugins.methods() if p.card and p.usable and self.fits(p.card)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        # completion asks for every command that it offers: one that cannot be built is left out
        if not ctx.resilient_parsing:
            return self.build(name, None)
        try:
            return self.build(name, None)
        except FOREIGN:  # a plugin's options may raise anything when they are imported
            return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, rest = args[0], args[1:]
        action = rest.pop(0) if rest and not rest[0].startswith("-") else None
        try:
            if name.startswith("-"):
                raise UsageError(f"put the method's name before its flags, got '{name}'")
            command = self.build(name, action)
        except FOREIGN:
            if ctx.resilient_parsing:  # completion offers nothing rather than a traceback
                return None, None, []
            raise
        return command.name, command, rest  # the name as it was typed, with the action's

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from gentool import plugins

        rows = [
            (p.name, p.card.summary if p.card and p.usable else f"({p.status}: {p.cause})")
            for p in plugins.methods()
            if p.card is None or self.fits(p.card)
        ]
        with formatter.section("Methods"):
            formatter.write_dl(rows or [("(none)", "no method is installed")])

"""Options models to click flags, and flags back to values for the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from gentool.options import Options, bounds, choices, flag, plain, span, takes_several


class _Text(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """Passes the text on; pydantic converts and checks, so there is one place that does."""

    def __init__(self, shown: str, words: Sequence[str] = (), paths: bool = False) -> None:
        self.name, self.words, self.paths = shown, words, paths

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        if self.paths:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


class FlagCommand(click.Command):
    """A command whose flags come in titled sections and take several values after one flag.

    ``--content *.jpg`` reaches us as ``--content a.jpg b.jpg``; click wants the flag repeated.
    """

    def __init__(
        self, name: str, *, sections: Mapping[str, Sequence[click.Option]], **more: Any
    ) -> None:
        more["params"] = [option for options in sections.values() for option in options]
        super().__init__(name, **more)
        self.sections = sections

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        several = {o for p in self.params if getattr(p, "multiple", False) for o in p.opts}
        return super().parse_args(ctx, repeat_flags(args, several))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, params in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([r for p in params if (r := p.get_help_record(ctx))])


def repeat_flags(args: Iterable[str], several: set[str]) -> list[str]:
    """``--content a b`` -> ``--content a --content b`` for the flags in ``several``."""
    out: list[str] = []
    current: str | None = None  # the repeatable flag we are behind
    filled = False  # whether it has its first value
    literal = False  # behind "--" everything is a value
    for arg in args:
        if arg == "--" and current is not None and not literal:
            literal = True
            if not filled:
                out.pop()  # the flag comes back with each of its values
        elif _is_flag(arg) and not literal:
            name, _, value = arg.partition("=")
            current, filled = (name, bool(value)) if name in several else (None, False)
            out.append(arg)
        elif current is None:
            out.append(arg)
        elif filled or literal:
            # a value that begins with a hyphen only passes as one word with its flag
            out += [f"{current}={arg}"] if literal else [current, arg]
        else:
            filled = True
            out.append(arg)
    return out


def _is_flag(arg: str) -> bool:
    """``--alpha`` and ``-o``, but neither ``-`` nor ``-2.5``."""
    if len(arg) < 2 or arg[0] != "-":
        return False
    try:
        float(arg)
    except ValueError:
        return True
    return False


def option_flags(model: type[Options]) -> list[click.Option]:
    """One click option per field, its help, range, choices and default from the model."""
    return [_flag(field.alias or name, field) for name, field in model.model_fields.items()]


def _flag(name: str, field: Any) -> click.Option:
    text = field.description or ""
    facts = [span(field)] if bounds(field) else []
    if field.is_required():
        facts.append("required")
    else:
        default = field.get_default(call_default_factory=True)
        if default is not None and default is not False and default != []:
            facts.append(f"default {_shown(default)}")
    if facts:
        text += f"  [{', '.join(fact for fact in facts if fact)}]"
    word = flag(name)
    if plain(field.annotation) is bool:
        opts = word if field.default is False else f"{word}/{flag(f'no_{name}')}"
        return click.Option([name, opts], is_flag=True, default=None, help=text)
    names = [name, *(["-o"] if name == "output" else []), word]
    return click.Option(
        names,
        multiple=takes_several(field.annotation),
        default=None,
        help=text,
        type=_type(field),
    )


def _shown(value: Any) -> str:
    value = getattr(value, "value", value)  # of an Enum
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _type(field: Any) -> _Text:
    words = choices(field.annotation)
    if words:
        return _Text("|".join(words) + " ..." * takes_several(field.annotation), words)
    if (
        isinstance(field.json_schema_extra, dict)
        and field.json_schema_extra.get("format") == "path"
    ):
        return _Text("PATH" + " ..." * takes_several(field.annotation), paths=True)
    kind = plain(field.annotation)
    if takes_several(kind):
        inner = plain((kind.__args__ or (str,))[0])
        several = " ..."
    else:
        inner, several = kind, ""
    if inner is Any or (isinstance(inner, type) and issubclass(inner, Path)):
        return _Text(("PATH" if inner is Path else "PICTURE") + several, paths=True)
    return _Text({int: "N", float: "X"}.get(inner, "TEXT") + several)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was typed: click fills the rest with None and ()."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None and value != ()
    }

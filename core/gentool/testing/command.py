"""Checks of a method's commands, called as people type them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from gentool import cards
from gentool.cli.main import OK, USER_ERROR, invoke
from gentool.errors import PluginError
from gentool.options import flag
from gentool.testing.subject import Finding, Skip, Subject


def help_is_shown(subject: Subject) -> Iterator[Finding]:
    for line in _lines(subject):
        code, out, err = captured([*line, "--help"])
        if code != OK or "Usage:" not in out:
            shown = " ".join(line)
            yield Finding(
                f"gentool {shown} --help exits {code}: {err.strip()[-200:]}",
                "correct the options model",
            )


def a_bad_value_is_one_line_and_exit_code_2(subject: Subject) -> Iterator[Finding]:
    for line in _lines(subject):
        for word in ("--no-such-flag", *_numbers(subject, line)):
            code, _, err = captured([*line, word, "nonsense"])
            if code != USER_ERROR or err.count("\n") != 1:
                yield Finding(
                    f"gentool {' '.join(line)} {word} nonsense exits {code} and says "
                    f"{err.strip()[-200:]!r}",
                    "declare the field with its type and range, and raise ValueError in validators",
                )


def _lines(subject: Subject) -> list[list[str]]:
    card = subject.card
    found = [["run", card.name]] if card.actions else []
    found += [["run", card.name, action.name] for action in card.actions[1:]]
    return found + ([["train", card.name]] if card.training else [])


def _numbers(subject: Subject, line: list[str]) -> list[str]:
    """The flags of a command that take a number."""
    card = subject.card
    word = line[2] if len(line) > 2 else None
    if line[0] == "train" and card.training:
        reference = card.training.options
    else:
        reference = card.action(word).options
    try:
        fields = cards.resolve(reference).model_fields
    except PluginError as e:
        raise Skip(str(e)) from e
    return [
        flag(info.alias or name) for name, info in fields.items() if info.annotation in (int, float)
    ]


def captured(line: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = invoke(line)
    return code, out.getvalue(), err.getvalue()

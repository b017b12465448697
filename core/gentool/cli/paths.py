"""Paths as arguments of commands that have no options model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from gentool.files import expand


class OutputFile(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A file to write: neither an empty name, which an unset variable leaves, nor a folder."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value).strip():
            self.fail("the path is empty")
        path = expand(value)
        if str(value).endswith(("/", os.sep)) or os.path.isdir(path):
            self.fail(f"{value} is a folder; name a file in it")
        return path

"""Paths as arguments of commands that have no options model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from gentool.files import expand


class FullPath(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A path, ``~`` written out; an empty one, which an unset variable leaves, is refused."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value).strip():
            self.fail("the path is empty")
        return expand(value)


class OutputFile(FullPath):
    """A file to write, not a folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if str(value).endswith(("/", os.sep)) or os.path.isdir(path):
            self.fail(f"{value} is a folder; name a file in it")
        return path

"""gentool: a plugin-based generative-image toolkit.

>>> import gentool
>>> adain = gentool.load("adain")  # doctest: +SKIP
>>> adain.stylize(content="a.jpg", style="b.jpg").save("o.png")  # doctest: +SKIP

Names are imported when they are first used: importing gentool costs neither torch nor pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "context": ("Context", "Settings"),
    "cards": (
        *("ANIMATION_SUFFIXES", "PICTURE_SUFFIXES"),
        *("Action", "Card", "Record", "Training", "WeightsFile"),
    ),
    "errors": (
        "BatchError",
        "DeviceError",
        "GentoolError",
        "ImageError",
        "InstallError",
        "OutputError",
        "PluginError",
        "RegistryError",
        "TrainingError",
        "UsageError",
        "WeightsError",
    ),
    "hookspecs": ("hookimpl",),
    "options": ("Field", "ImageFile", "ImageFiles", "ImageSet", "Options", "PathList"),
    "protocols": ("Loss", "Model", "Trainer"),
    "runner": ("Method", "Results", "load"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "ANIMATION_SUFFIXES",
    "PICTURE_SUFFIXES",
    "Action",
    "BatchError",
    "Card",
    "Context",
    "DeviceError",
    "Field",
    "GentoolError",
    "ImageError",
    "ImageFile",
    "ImageFiles",
    "ImageSet",
    "InstallError",
    "Loss",
    "Method",
    "Model",
    "Options",
    "OutputError",
    "PathList",
    "PluginError",
    "Record",
    "RegistryError",
    "Results",
    "Settings",
    "Trainer",
    "Training",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "WeightsFile",
    "__version__",
    "hookimpl",
    "load",
    "methods",
]

if TYPE_CHECKING:
    from gentool.cards import (
        ANIMATION_SUFFIXES,
        PICTURE_SUFFIXES,
        Action,
        Card,
        Record,
        Training,
        WeightsFile,
    )
    from gentool.context import Context, Settings
    from gentool.errors import (
        BatchError,
        DeviceError,
        GentoolError,
        ImageError,
        InstallError,
        OutputError,
        PluginError,
        RegistryError,
        TrainingError,
        UsageError,
        WeightsError,
    )
    from gentool.hookspecs import hookimpl
    from gentool.options import Field, ImageFile, ImageFiles, ImageSet, Options, PathList
    from gentool.protocols import Loss, Model, Trainer
    from gentool.runner import Method, Results, load


def methods() -> list[str]:
    """Names of the installed methods that work."""
    from gentool import plugins

    return [plugin.name for plugin in plugins.methods() if plugin.usable]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gentool.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gentool' has no attribute '{name}'")

"""What is checked: one installed plugin, with values to try it on."""

from __future__ import annotations

import atexit
import functools
import importlib
import shutil
import tempfile
import unittest
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gentool import cards, distributions, extensions, loading, plugins
from gentool.environment import normal
from gentool.errors import GentoolError, PluginError, UsageError, did_you_mean

if TYPE_CHECKING:
    from gentool.cards import Card
    from gentool.environment import EntryPoint
    from gentool.options import Options
    from gentool.protocols import Model
    from gentool.runner import Method

SIZES = ((64, 48), (33, 47), (7, 9), (1, 1))  # height and width of the pictures to try
BATCH = ((64, 48), (64, 48), (41, 30))
MODES = ("RGBA", "L")  # of pictures to try beside the usual RGB, as Pillow calls them


@dataclass(frozen=True)
class Finding:
    """Something that does not conform, and how to mend it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


class Untried(Finding):
    """What a check could not try, and why; it is told, but no fault."""

    def __init__(self, name: str, error: Exception, remedy: str) -> None:
        super().__init__(f"could not be tried: {name}: {loading.told(error)}", remedy)


class Skip(unittest.SkipTest):
    """A check that does not apply to this plugin; pytest shows it as skipped."""


@dataclass
class Subject:
    """One entry point of an installed plugin.

    Attributes:
        entry: the entry point.
        options: values to try an action with, by action and field.
        training: values to train with, by field.
        calls: by name of a loss or metric, what to call it with: (object, prediction, target).
    """

    entry: EntryPoint
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] = field(default_factory=dict)
    calls: Mapping[str, Callable[[], tuple[Any, Any, Any]]] = field(default_factory=dict)

    @property
    def is_method(self) -> bool:
        return self.entry.group == distributions.METHODS

    @functools.cached_property
    def plugin(self) -> loading.Plugin:
        """What became of it when it was loaded."""
        found = plugins.methods() if self.is_method else extensions.installed()
        mine = (self.entry.name, distributions.name_version(self.entry)[0])
        return next(p for p in found if (p.name, p.distribution) == mine)

    @property
    def card(self) -> Card:
        """Its card.

        Raises:
            Skip: it is no method, or its card cannot be read (which another check reports).
        """
        if not self.is_method:
            raise Skip("it is no method")
        if self.plugin.card is None:
            raise Skip("there is no card")
        return self.plugin.card

    @property
    def module(self) -> Any:
        """Its module."""
        try:
            return importlib.import_module(self.entry.module)
        except loading.FOREIGN as e:
            raise Skip(f"{self.entry.module} cannot be imported") from e

    @functools.cached_property
    def method(self) -> Method:
        """The method on the CPU, in fp32, with seed 0."""
        from gentool.context import Settings
        from gentool.runner import Method

        return Method(self.card, Settings(device="cpu", precision="fp32", seed=0))

    @property
    def model(self) -> Model:
        """Its networks with the packaged weights.

        Raises:
            Skip: they cannot be loaded (which another check reports).
        """
        try:
            return self.method.model
        except GentoolError as e:
            raise Skip(f"its model cannot be loaded: {e}") from e

    @functools.cached_property
    def folder(self) -> Path:
        """A folder that lasts as long as the process."""
        folder = Path(tempfile.mkdtemp(prefix="gentool-check-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def picture(self, height: int, width: int, number: int = 0, mode: str = "RGB") -> Path:
        """A PNG of smooth colours and some texture, whose alpha goes from 0 to 1, or grey."""
        path = self.folder / f"{height}x{width}-{number}-{mode}.png"
        if not path.exists():
            import torch

            from gentool.artifacts import Image

            generator = torch.Generator().manual_seed(number)
            coarse = torch.rand(1, 3, 4, 4, generator=generator)
            smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
            texture = 0.1 * torch.randn(1, height, width, generator=generator)
            pixels = (smooth + texture).clamp(0, 1)
            alpha = torch.linspace(0, 1, width).expand(1, height, width)
            grey, clear = mode == "L", mode == "RGBA"
            Image(pixels[:1] if grey else pixels, alpha if clear else None).save(path)
        return path

    def pictures(self) -> Path:
        """A folder of pictures to train on."""
        folder = self.folder / "pictures"
        if not folder.exists():
            folder.mkdir()
            for i in range(24):
                shutil.copy(self.picture(96, 128, i), folder / f"{i}.png")
        return folder

    def made(self, action: cards.Action, size: tuple[int, int], mode: str = "RGB") -> list[Path]:
        """What an action makes of a picture of this size and mode, as files."""
        paths: list[Path] = []
        for artifact in self.method.run(action.name, **self.values(action, size, mode)):
            name = f"{action.name}-{size[0]}x{size[1]}-{mode}-{len(paths)}{artifact.suffix}"
            paths.append(self.folder / name)
            paths[-1].write_bytes(artifact.encode(artifact.suffix))
        return paths

    def values(
        self, action: cards.Action, size: tuple[int, int] = SIZES[0], mode: str = "RGB"
    ) -> dict[str, Any]:
        """Options to try an action with; its first picture has this height and width, all the mode.

        The mode is Pillow's: ``RGB``, ``RGBA`` or ``L``.
        """
        model: type[Options] = cards.resolve(action.options)
        return self.fill(model, self.options.get(action.name, {}), size, mode)

    def training_values(self) -> dict[str, Any]:
        """Options to try the training with."""
        assert self.card.training is not None
        model: type[Options] = cards.resolve(self.card.training.options)
        given = self.training(self.folder) if callable(self.training) else self.training
        return self.fill(model, given)

    def fill(
        self,
        model: type[Options],
        given: Mapping[str, Any],
        size: tuple[int, int] = SIZES[0],
        mode: str = "RGB",
    ) -> dict[str, Any]:
        """A value for every field that needs one: given, an example, made, or a picture.

        A field takes what another action makes if it says so:
        ``Field(json_schema_extra={"made_by": "compress"})``.

        Raises:
            UsageError: there is none for a field.
        """
        values = dict(given)
        sizes = [size]
        for field_name, info in model.model_fields.items():
            name, pictures = info.alias or field_name, takes_pictures(info)
            if name in values:
                continue
            if info.examples:
                values[name] = info.examples[0]
            elif maker := _made_by(info):
                values[name] = self.made(self.card.action(maker), size, mode)
            elif pictures and info.is_required():
                path = self.picture(*(sizes.pop() if sizes else SIZES[0]), len(values), mode)
                more = [self.picture(*SIZES[0], len(values) + 1, mode)] if pictures == "set" else []
                values[name] = path if pictures == "one" else [path, *more]
            elif info.is_required() and "Path" in str(info.annotation):
                values[name] = [self.pictures()]
            elif info.is_required():
                raise UsageError(f"{model.__name__} needs a value for '{name}' to be tried with")
        return values


def takes_pictures(info: Any) -> Literal["one", "set", "batch"] | None:
    """Whether a field takes a picture, several for one result, or several for one each."""
    from gentool.file_fields import picture_field

    field = picture_field(info)
    if field is None:
        return None
    if not field.many:
        return "one"
    return "set" if field.together else "batch"


def _made_by(info: Any) -> str | None:
    """The action that makes what a field takes."""
    extra = info.json_schema_extra
    return extra.get("made_by") if isinstance(extra, dict) else None


def find(name: str) -> list[EntryPoint]:
    """The entry points of that name, or of the distribution of that name.

    Raises:
        UsageError: there is none.
        PluginError: the name is provided twice.
    """
    groups = (distributions.METHODS, distributions.EXTENSIONS)
    entries = [entry for group in groups for entry in distributions.entry_points(group)]
    named = [entry for entry in entries if entry.name == name]
    owners = [distributions.name_version(entry)[0] for entry in named]
    # a plugin may give its method and its extension one name
    if len(set(owners)) > 1 or len({entry.group for entry in named}) < len(named):
        names = " and ".join(owners)
        raise PluginError(f"'{name}' is provided by {names}; check one by its distribution's name")
    wanted = normal(name)
    owned = [e for e in entries if normal(distributions.name_version(e)[0]) == wanted]
    if not (named or owned):
        known = {entry.name for entry in entries}
        raise UsageError(f"no plugin '{name}' is installed{did_you_mean(name, known)}")
    return named or owned

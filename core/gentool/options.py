"""Options models: pydantic, and the single source of flags, keyword arguments and JSON Schema.

A plugin's ``options.py`` subclasses :class:`Options` and never imports torch::

    class StylizeOptions(Options):
        content: ImageFiles = Field(description="the picture to stylise")
        alpha: float = Field(1.0, ge=0, le=1, description="strength of the style")
"""

from __future__ import annotations

import copy
import re
import textwrap
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field

from gentool.errors import UsageError, did_you_mean
from gentool.file_fields import (
    ImageFile,
    ImageFiles,
    ImageSet,
    PathList,
    has_path,
    names_of,
    picture_field,
)

__all__ = ["Field", "ImageFile", "ImageFiles", "ImageSet", "Options", "PathList"]


class Options(pydantic.BaseModel):
    """Base of all options models: unknown names, nan and infinities are refused, values frozen."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )

    def result_suffixes(self) -> tuple[str, ...] | None:
        """What ``-o FILE`` may end in where these options decide that; None: the action's own."""
        return None

    def several_results(self) -> bool:
        """Whether more than one artifact will come, so that ``-o`` must name a folder.

        By default, if any field but an ``ImageSet`` was given several files. For an action whose
        other options decide, say so here.
        """
        return any(
            isinstance(found := getattr(self, name), list)
            and sum(isinstance(item, Path) for item in found) > 1
            for name, field in type(self).model_fields.items()
            if not ((pictures := picture_field(field)) and pictures.together)
        )

    @pydantic.model_serializer(mode="wrap")
    def _without_folders(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A dump is what provenance and recipes keep: of paths, the names alone."""
        found: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            key = field.alias if field.alias in found else name
            if key in found and has_path(value := getattr(self, name)):
                found[key] = names_of(value)
        return found


def with_defaults(model: type[AnyOptions], defaults: Mapping[str, Any]) -> type[AnyOptions]:
    """A model with other defaults for some of its fields."""
    changed: dict[str, Any] = {}
    for name, value in defaults.items():
        field = copy.copy(model.model_fields[name])
        field.default = value
        changed[name] = (field.annotation, field)
    return pydantic.create_model(model.__name__, __base__=model, **changed)


_LIMITS = ("ge", "gt", "le", "lt", "multiple_of")
_BEYOND = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
_SAID = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_too_short": "must not be empty",
}
_FLAG = re.compile(r"--([a-z][a-z0-9-]*)")
AnyOptions = TypeVar("AnyOptions", bound=Options)


def validate(
    model: type[AnyOptions],
    values: Mapping[str, Any],
    prefix: str = "",
) -> AnyOptions:
    """Build an options model, or raise one readable line.

    Args:
        model: the options model.
        values: by field name.
        prefix: ``"--"`` to speak of flags instead of keyword arguments.

    Raises:
        UsageError: ``--alpha: must be between 0 and 1, got 7``.
    """
    try:
        return model.model_validate({n: _literal(model, n, v) for n, v in values.items()})
    except pydantic.ValidationError as e:
        lines = [_explain(model, error, prefix) for error in e.errors(include_url=False)]
        raise UsageError("; ".join(dict.fromkeys(lines))) from None


def _literal(model: type[Options], name: str, value: Any) -> Any:
    """``"8"`` for a ``Literal[8, 16]``, as a command line gives it, becomes 8.

    One word or number where several are taken becomes a list of one, ``label="horse"``.
    """
    field = _field(model, name)
    bare = plain(field.annotation) if field else None
    if bare is None or not takes_several(bare):
        return _word(bare, value)
    if isinstance(value, str | int | float):
        value = [value]
    if not isinstance(value, list):
        return value
    bare = plain((typing.get_args(bare) or (str,))[0])
    return [_word(bare, item) for item in value]


def _field(model: type[Options], name: str) -> pydantic.fields.FieldInfo | None:
    """The field that is given under a name, its own or its alias."""
    return next((f for n, f in model.model_fields.items() if name in (n, f.alias)), None)


def _word(literal: Any, value: Any) -> Any:
    if isinstance(value, str) and typing.get_origin(literal) is Literal:
        return next((a for a in typing.get_args(literal) if str(a) == value), value)
    return value


def flag(name: str, prefix: str = "--") -> str:
    """``content_size`` as people type it: ``--content-size``."""
    return prefix + name.replace("_", "-") if prefix else name


def _explain(model: type[Options], error: Any, prefix: str) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    where, kind, context = flag(name, prefix), error["type"], error.get("ctx", {})
    if not name:  # of several fields: plugins name them as flags
        said = str(context.get("error", error["msg"]))
        return said if prefix else _FLAG.sub(lambda found: found[1].replace("-", "_"), said)
    if kind == "missing" and len(error["loc"]) == 1:
        return f"{where}: is required"
    if kind == "extra_forbidden":
        names = [flag(f.alias or n, prefix) for n, f in model.model_fields.items()]
        near = did_you_mean(where, names)
        return f"{where}: no such option{near}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    got = _got(error["input"])
    field = _field(model, name)
    assert field is not None
    # of a list's items, the error alone tells the limit that was passed
    within = span(field) or _limits({k: v for k, v in context.items() if k in _LIMITS})
    if kind in _BEYOND and within:
        return f"{where}: must be {within}{got}"
    if kind in ("finite_number", "float_parsing", "float_type"):
        return f"{where}: must be a number{' ' + within if within else ''}{got}"
    if kind in ("int_parsing", "int_type", "int_from_float"):
        return f"{where}: must be a whole number{' ' + within if within else ''}{got}"
    words = choices(field.annotation)
    if kind == "literal_error" and words:
        near = did_you_mean(str(error["input"]), words)
        listed = " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
        return f"{where}: must be {listed}{got}{near}"
    if kind in _SAID:
        return f"{where}: {_SAID[kind]}{got}"
    return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}{got}"


def _got(given: Any) -> str:
    """What was given, in one short line."""
    if isinstance(given, str) and not _number(given):
        return f", got {textwrap.shorten(given, 80)!r}"
    if given is None or isinstance(given, str | bool | int | float):
        return f", got {textwrap.shorten(str(given), 80)}"
    return f", got a {type(given).__name__}"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def bounds(field: pydantic.fields.FieldInfo) -> dict[str, Any]:
    """The numeric limits of a field: ``{"ge": 0, "le": 1}``."""
    found: dict[str, Any] = {}
    for item in field.metadata:
        for name in _LIMITS:
            if getattr(item, name, None) is not None:
                found[name] = getattr(item, name)
    return found


def span(field: pydantic.fields.FieldInfo) -> str:
    """A field's limits in words, ``at least 64 and a multiple of 8``, or nothing."""
    return _limits(bounds(field))


def _limits(found: Mapping[str, Any]) -> str:
    b = {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in found.items()}
    low = f"at least {b['ge']}" if "ge" in b else f"above {b['gt']}" if "gt" in b else ""
    high = f"at most {b['le']}" if "le" in b else f"below {b['lt']}" if "lt" in b else ""
    if "ge" in b and "le" in b:
        low, high = f"between {b['ge']} and {b['le']}", ""
    step = f"a multiple of {b['multiple_of']}" if "multiple_of" in b else ""
    return " and ".join(part for part in (low, high, step) if part)


def plain(annotation: Any) -> Any:
    """``T | None`` without the None, ``Annotated[T, ...]`` without the rest."""
    if typing.get_origin(annotation) is Annotated:
        return plain(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        left = [a for a in typing.get_args(annotation) if a is not type(None)]
        return plain(left[0]) if len(left) == 1 else annotation
    return annotation


def choices(annotation: Any) -> list[str] | None:
    """The words of a ``Literal``, or of a list of one; None of anything else."""
    bare = plain(annotation)
    if takes_several(bare):
        return choices(typing.get_args(bare)[0])
    return [str(a) for a in typing.get_args(bare)] if typing.get_origin(bare) is Literal else None


def takes_several(annotation: Any) -> bool:
    """Whether a field is a list, which makes its flag repeatable."""
    return typing.get_origin(plain(annotation)) in (list, tuple)

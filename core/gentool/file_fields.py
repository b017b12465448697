"""The types of options that take files: pictures, several of them, and paths.

A value is checked as soon as it is given: a picture must exist, a folder must hold some, a glob
pattern must match. Nothing is opened, and neither Pillow nor torch is imported.
"""

from __future__ import annotations

import contextlib
import glob
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field
from pydantic_core import core_schema

from gentool.files import expand, is_hidden, similar
from gentool.images import SUFFIXES, name_of


def not_empty(value: str | Path) -> str | Path:
    """Refuse an empty path: it is the current folder, which an unset variable does not mean.

    Raises:
        ValueError: it is empty.
    """
    if not str(value).strip():
        raise ValueError("the path is empty")
    return value


class ImageField:
    """Pydantic's view of a picture: a path or what Python holds of it; a path in JSON.

    Attributes:
        many: whether it takes several.
        together: whether those make one result, not one each.
    """

    def __init__(self, many: bool, together: bool = False) -> None:
        self.many, self.together = many, together

    def __get_pydantic_core_schema__(
        self, source: object, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _images if self.many else _image,
            serialization=core_schema.plain_serializer_function_ser_schema(names_of),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        one = {"type": "string", "format": "file-path", "contentMediaType": "image/*"}
        return {"type": "array", "items": one, "minItems": 1} if self.many else one


ImageFile = Annotated[Any, ImageField(many=False)]
"""One picture: a path, a PIL image, an array of bytes (H,W), (H,W,3) or (H,W,4), a tensor (C,H,W)
in 0..1 with C of 1, 3 or 4, or the result of another action."""

ImageFiles = Annotated[list[Any], ImageField(many=True)]
"""Pictures: one or several of what ImageFile takes, folders of pictures, and glob patterns."""

ImageSet = Annotated[list[Any], ImageField(many=True, together=True)]
"""Pictures that make one result together, where those of ImageFiles are a batch of several."""


def picture_field(field: pydantic.fields.FieldInfo) -> ImageField | None:
    """How a field takes pictures, be it optional or not; None if it takes none."""
    marks = (*field.metadata, *_annotations(field.annotation))
    return next((mark for mark in marks if isinstance(mark, ImageField)), None)


def _annotations(annotation: Any) -> Iterator[Any]:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        yield from arguments[1:]
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _annotations(argument)


def _paths(value: Any) -> Any:
    items = [value] if isinstance(value, str | Path) else value
    if not isinstance(items, list | tuple):
        return value  # pydantic says what it should be
    found: list[Any] = []
    for item in items:
        if isinstance(item, str | Path):
            with _os_errors(item):
                path = expand(not_empty(item))
                # what matches nothing may be a name that a plugin knows, or ARCHIVE:PREFIX
                found += _matches(path) or [path]
        else:
            found.append(item)
    return found


PathList = Annotated[
    list[Path],
    Field(min_length=1),
    pydantic.BeforeValidator(_paths),
]
"""One or several paths and glob patterns. The action checks that they exist."""


def _image(value: Any) -> Any:
    if isinstance(value, str | Path):
        path = expand(not_empty(value))
        with _os_errors(path):
            if path.is_dir():
                raise ValueError(f"must be a picture, but {path} is a folder")
            if not path.exists():
                raise ValueError(f"no such file: {path}{similar(path)}")
        return path
    # told by name, so that checking options needs neither Pillow nor torch
    bases = {f"{c.__module__}.{c.__qualname__}" for c in type(value).__mro__}
    if bases & {"PIL.Image.Image", "numpy.ndarray", "torch.Tensor"}:
        return value
    if bases & {"gentool.artifacts.Image", "gentool.artifacts.Grid", "gentool.runner.Results"}:
        return value.image
    kinds = "a path, a PIL image, an array, a tensor or a result"
    raise ValueError(f"must be {kinds}, got {type(value).__name__}")


def _images(value: Any) -> list[Any]:
    found: list[Any] = []
    if isinstance(value, list | tuple):  # results, too: without what only accompanies them
        value = [item for item in value if not getattr(item, "part", "")]
    else:
        value = [value]
    for item in value:
        if isinstance(item, str | Path):
            with _os_errors(item):
                found += _expand(expand(not_empty(item)))
        else:
            found.append(_image(item))
    if not found:
        raise ValueError("at least one picture is needed")
    return found


@contextlib.contextmanager
def _os_errors(path: str | Path) -> Iterator[None]:
    """A name that is too long, a folder that may not be read: pydantic wants a ValueError."""
    try:
        yield
    except OSError as e:
        raise ValueError(f"{path}: {e.strerror or e}") from e


def _expand(path: Path) -> list[Any]:
    if path.is_dir():
        inside = sorted(
            p
            for p in path.iterdir()
            if p.suffix.lower() in SUFFIXES and not is_hidden(p.name) and p.is_file()
        )
        if not inside:
            raise ValueError(f"no pictures in the folder {path}{_deeper(path)}")
        return inside
    found = _matches(path)
    if found is None:
        return [_image(path)]
    pictures = [p for p in found if p.suffix.lower() in SUFFIXES and p.is_file()]
    if not pictures:
        raise ValueError(f"no picture matches {path}")
    return pictures


def _deeper(folder: Path) -> str:
    """How to reach what lies in a folder's folders; empty where there are none."""
    folders = any(p.is_dir() and not is_hidden(p.name) for p in folder.iterdir())
    return f"; {str(folder / '**/*')!r} takes what is in its folders, too" if folders else ""


def passed_over(model: type[pydantic.BaseModel], typed: Mapping[str, Any]) -> Iterator[str]:
    """What to tell of folders that were typed for pictures and have folders themselves.

    Args:
        model: the options.
        typed: values by the options' names, as words.
    """
    for name, field in model.model_fields.items():
        mark = picture_field(field)
        for word in typed.get(name, ()) if mark and mark.many else ():
            path = expand(word)
            if path.is_dir() and (more := _deeper(path)):
                yield f"{word}: the pictures in it{more}"


def _matches(path: Path) -> list[Path] | None:
    """What a glob pattern matches, sorted; None of a path that is none, or that exists."""
    if not glob.has_magic(str(path)) or path.exists():
        return None
    return sorted(map(Path, glob.glob(str(path), recursive=True)))


def names_of(value: Any) -> Any:
    """File names, never directories: this is what provenance keeps."""
    if isinstance(value, list | tuple):
        return [name_of(item) for item in value]
    return name_of(value)


def has_path(value: Any) -> bool:
    return any(isinstance(v, Path) for v in (value if isinstance(value, list | tuple) else [value]))

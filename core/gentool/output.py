"""Where a run's artifacts go: file names that replace nothing unasked, checked before the work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool import animation
from gentool.cards import ANIMATION_SUFFIXES, PICTURE_SUFFIXES
from gentool.companions import Companions
from gentool.errors import OutputError, did_you_mean
from gentool.files import check_writable, expand, real, write_atomic

if TYPE_CHECKING:
    from gentool.artifacts import Artifact


LONGEST = 180  # bytes of a proposed name


class Output:
    """Where a run's artifacts go.

    Args:
        target: None for proposed names in the current folder, a folder (existing, or ending
            in a separator), or one file.
        inputs: files that must not be overwritten.
        label: put behind a proposed name, ``-adain``.
        several: whether more than one artifact is known to come.
        suffixes: what a file may end in.
        chosen: one of them, with or without its dot, for results that are named by themselves;
            None for what each proposes.

    Raises:
        OutputError: the target cannot take the results; nothing was computed or written yet.
    """

    def __init__(
        self,
        target: str | None,
        inputs: Iterable[Path] = (),
        label: str = "",
        several: bool = False,
        suffixes: Sequence[str] = PICTURE_SUFFIXES,
        chosen: str | None = None,
    ) -> None:
        self.label, self.inputs = label, [*inputs]
        self._companions = Companions()
        self._written: set[str] = set()  # parts
        self.file: Path | None = None
        self.folder = Path()
        if target is not None:
            path = expand(target)
            try:
                folder = path.is_dir() or target.endswith(tuple(filter(None, (os.sep, os.altsep))))
            except OSError as e:  # a name that is too long
                raise OutputError(f"-o {target[:60]}...: {e.strerror}") from e
            if folder:
                self.folder = path
            else:
                # through a link, to what it points at
                self.file = real(path) if path.is_symlink() else path
                self.folder = self.file.parent
        if self.file is not None:
            _check_file(self.file, self.inputs, several, suffixes, f"-o {target}")
        self.chosen = None if chosen is None else f".{chosen.lower().removeprefix('.')}"
        if self.chosen is not None:
            _check_format(self.chosen, suffixes, f"--format {chosen}")
        self._again = self.file is not None and self.file.exists()
        check_writable(self.folder)

    def alone(self, artifact: Artifact) -> bool:
        """Whether it only accompanies a result that could not be written."""
        return bool(artifact.part) and self._companions.alone(artifact)

    def save(self, artifact: Artifact, metadata: Mapping[str, Any] | None) -> Path:
        """Write an artifact under its place; a proposed name never replaces a file.

        A companion is called like its result, if that was written before it, number and all. It
        replaces the one that was written before it for the same result; the first beside a
        ``-o FILE`` that was there already replaces what a run before left there, as its result
        does, unless that is an input now.

        Raises:
            OutputError: it could not be written; nothing half-written is left.
        """
        try:
            return self._save(artifact, metadata)
        except OutputError:
            if not artifact.part:
                self._companions.wrote(artifact, None)
            raise

    def _save(self, artifact: Artifact, metadata: Mapping[str, Any] | None) -> Path:
        suffix = artifact.suffix
        if self.chosen and not artifact.part and suffix in (*PICTURE_SUFFIXES, *ANIMATION_SUFFIXES):
            suffix = self.chosen
        path = self.file or self.folder / f"{_stem(artifact.name)}{self.label}{suffix}"
        beside = path
        earlier = None
        if artifact.part:
            beside = self._companions.result_of(artifact) or path
            path = path.with_name(f"{beside.stem}-{artifact.part}{artifact.suffix}")
            earlier = self._companions.earlier(artifact)
        data = artifact.encode(path.suffix, metadata)
        if earlier:
            path, replace = earlier, True
        else:  # what comes second gets a number
            replace = (
                beside == self.file
                and (self._again or not artifact.part)
                and artifact.part not in self._written
                and not _is_one_of(path, self.inputs)
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = write_atomic(path, data, replace)
        except OSError as e:
            raise OutputError(f"{path}: cannot write: {e.strerror or e}") from e
        self._written.add(artifact.part)
        self._companions.wrote(artifact, path)
        return path


def _check_file(
    file: Path, inputs: Iterable[Path], several: bool, suffixes: Sequence[str], said: str
) -> None:
    if several:
        raise OutputError(f"{said}: there are several results; give a folder, -o DIR/")
    suffix = file.suffix.lower()
    if suffix not in suffixes:
        hint = did_you_mean(suffix, suffixes)
        raise OutputError(f"{said}: must end in {' '.join(suffixes)}{hint}")
    _check_possible(suffix)
    if _is_one_of(file, inputs):
        raise OutputError(f"{said}: is an input; results never replace one")
    if not file.parent.is_dir():
        raise OutputError(f"{said}: there is no folder {file.parent}")


def _check_format(suffix: str, suffixes: Sequence[str], said: str) -> None:
    if suffix not in suffixes:
        words = [known.removeprefix(".") for known in suffixes]
        hint = did_you_mean(suffix.removeprefix("."), words)
        raise OutputError(f"{said}: must be {' or '.join(words)}{hint}")
    _check_possible(suffix)


def _check_possible(suffix: str) -> None:
    """Find out now what an animation needs that is not installed."""
    if suffix in ANIMATION_SUFFIXES and suffix not in PICTURE_SUFFIXES:
        animation.check_suffix(suffix)


def _is_one_of(file: Path, inputs: Iterable[Path]) -> bool:
    # unlike those of Path these never raise: an input may have a name that is too long
    return os.path.exists(file) and any(os.path.exists(p) and file.samefile(p) for p in inputs)


def _stem(name: str) -> str:
    """A proposed name as a file name on every system: no folders, nothing reserved, short."""
    plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(". ")
    # file systems count bytes, up to 255; what is put behind it needs some. Left out: bytes of a
    # name on Linux that are no text, and the half of a character that a cut may leave
    return plain.encode(errors="ignore")[:LONGEST].decode(errors="ignore") or "result"

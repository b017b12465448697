"""The files beside results, ``-figures``, ``-preview``: whose they are and what they replace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gentool.artifacts import Artifact


class Companions:
    """Tells companions from each other as they and their results are written.

    A part comes always behind its result, as figures do, or always before it, as previews do;
    which of them is known once the first result is there.
    """

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], Path] = {}  # of the result to come, by name and part
        # that came last: name, and file unless it could not be written
        self._result: tuple[str, Path | None] | None = None
        self._waiting: set[str] = set()  # parts whose result is yet to come
        self._leading: set[str] = set()  # parts that come before their result

    def result_of(self, companion: Artifact) -> Path | None:
        """The file of its result, if that was written before it."""
        if self._result is None or self._result[0] != companion.name:
            return None
        return None if companion.part in self._leading else self._result[1]

    def earlier(self, companion: Artifact) -> Path | None:
        """The file that was written for the same part of the same result, an earlier preview."""
        return self._files.get((companion.name, companion.part))

    def alone(self, companion: Artifact) -> bool:
        """Whether its result came before it and could not be written."""
        lost = (companion.name, None)
        return self._result == lost and companion.part not in self._leading

    def wrote(self, artifact: Artifact, path: Path | None) -> None:
        """A companion or a result is in that file now; None: the result could not be written."""
        if artifact.part:
            if self.result_of(artifact) is None:
                self._waiting.add(artifact.part)
            if path:
                self._files[artifact.name, artifact.part] = path
        else:
            self._leading |= self._waiting
            self._waiting.clear()
            self._files.clear()
            self._result = artifact.name, path

"""Where an action's progress and notes go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def silent(text: str) -> None:
    """Say nothing: stands where a function that tells the user is expected."""


class Progress:
    """A silent one; the command line shows a bar on a terminal."""

    def note(self, text: str) -> None:
        """Something the user should know, in one line."""

    def fail(self, text: str) -> None:
        """An item of a batch that failed, in one line."""

    def track(self, items: Sequence[Item], what: str) -> Iterable[Item]:
        """Go through ``items``, showing how far it is."""
        return items

    @contextlib.contextmanager
    def bar(self, total: int, what: str) -> Iterator[Callable[[int, str], None]]:
        """Show one long computation: the body calls what it is given with (units done, text)."""
        yield lambda _done, _text: None


class Notes(Progress):
    """Says by a function what there is to say: a training shows no bar while it is built.

    Args:
        say: ``Setup.note``, for example.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def note(self, text: str) -> None:
        self._say(text)

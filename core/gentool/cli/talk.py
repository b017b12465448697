"""Results go to stdout, talk to stderr; colour and bars only where a person watches."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from gentool.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

Item = TypeVar("Item")

# what a terminal obeys: controls, ends of lines, turns of the direction of writing, half characters
OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Talk(Progress):
    """Notes and progress bars on stderr.

    Args:
        quiet: say nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Bar | None = None
        self._results = sys.stdout  # also while a plugin's prints are sent elsewhere

    def note(self, text: str) -> None:
        """One line for the user."""
        if self._bar is not None:
            line(self._bar.console, printable(text))
        elif not self.quiet:
            _say(text)

    def fail(self, text: str) -> None:
        """An item of a batch that failed: said even when quiet."""
        if self._bar is not None:
            self.note(f"failed: {text}")
        else:
            _say(f"gentool: failed: {text}")

    def result(self, text: str) -> None:
        """One line for stdout; above the bar where the same terminal shows it."""
        if self._bar is not None and self._results.isatty():
            line(self._bar.console, text)
        else:
            with unheard():
                click.echo(text, file=self._results)

    def track(self, items: Sequence[Item], what: str) -> Iterable[Item]:
        """Go through items under a bar with the time left; silently where nobody watches.

        Inside another one, a second bar shows until the inner items are done.
        """
        if self.quiet or not sys.stderr.isatty():
            yield from items
            return
        within = self._bar is not None
        with self._shown() as bar:
            task = bar.add_task(what, total=len(items))
            try:
                for item in items:
                    yield item
                    bar.advance(task)
            finally:
                if within:  # the outer one stays to the end
                    bar.remove_task(task)

    @contextlib.contextmanager
    def bar(self, total: int, what: str) -> Iterator[Callable[[int, str], None]]:
        """A bar with live text and the time left; silent where nobody watches."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda _done, _text: None
            return
        with self._shown() as bar:
            task = bar.add_task(what, total=total)
            try:
                yield lambda done, text: bar.update(
                    task, completed=done, description=f"{what}: {text}"
                )
            finally:
                bar.remove_task(task)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[Bar]:
        """The bars on screen; a bar within another's body joins it."""
        if self._bar is not None:
            yield self._bar
            return
        with progress_bar() as bar:
            self._bar = bar
            try:
                yield bar
            finally:
                self._bar = None


def note(text: str) -> None:
    """One line beside the results, on stderr."""
    _say(f"gentool: {text}")


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Go on though nobody listens any more: `| head -1`, or a terminal that was closed."""
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.EPIPE, errno.EIO, errno.EINVAL):  # the last one is Windows'
            raise


def _say(text: str) -> None:
    """On stderr, if somebody still listens."""
    with contextlib.suppress(OSError):  # a log on a full disk must not stop it either
        click.echo(printable(text), err=True)


def line(console: Console, text: str) -> None:
    """One line above what is drawn on a terminal, as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def progress_bar() -> Bar:
    """A rich progress bar on stderr: what, how far, how many, time left."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=False,  # results must reach a pipe; Talk.result() knows of the bar
    )


def printable(text: str) -> str:
    """A stranger's text, in one line, without the characters that a terminal would obey."""
    return OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout: drawn by rich on a terminal, tab-separated lines when piped."""
    if not sys.stdout.isatty():
        for row in rows:  # each on one line
            click.echo("\t".join(printable(" ".join(cell.split())) for cell in row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headings, box=SIMPLE_HEAD, pad_edge=False)
    colours = {"broken": "red", "incompatible": "red", "duplicate": "red", "slow": "yellow"}
    for row in rows:
        # cells hold what others wrote, and [train], which is no markup
        cells = [Text(printable(cell)) for cell in row]
        drawn.add_row(*cells, style=next((colours[c] for c in row if c in colours), None))
    Console().print(drawn)

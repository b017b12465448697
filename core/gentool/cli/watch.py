"""How a training looks: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gentool.cli.talk import Talk, line, printable, unheard
from gentool.training.display import Display, Record

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Lines(Talk, Display):
    """One line for every record; nothing when quiet."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet)
        self.steps: int | None = None
        self.left = 0.0

    def begin(self, done: int, steps: int | None) -> None:
        self.steps = steps

    def step(self, done: int, share: float, left: float) -> None:
        self.left = left

    def record(self, record: Record) -> None:
        terms = "  ".join(f"{name} {value:.4g}" for name, value in record.terms.items())
        self.note(
            f"step {record.step}{f'/{self.steps}' if self.steps else ''}  {terms}  "
            f"{_speed(record)}  {_clock(self.left)} left"
        )


class Live(Lines):
    """A bar with the time left and a table of the last figures, redrawn in place.

    Args:
        console: where; stderr if None.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as RichLive
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.console = console or Console(stderr=True)
        self.columns = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[clock]}"),
            console=self.console,
        )
        self.task = self.columns.add_task("step", total=1.0, clock="")
        self.last: Record | None = None
        self.first: Record | None = None
        self.live = RichLive(console=self.console, get_renderable=self._drawn, refresh_per_second=4)

    def begin(self, done: int, steps: int | None) -> None:
        super().begin(done, steps)
        with unheard():
            self.live.start()

    def note(self, text: str) -> None:
        with unheard():
            line(self.console, printable(text))

    def step(self, done: int, share: float, left: float) -> None:
        of = f"/{self.steps}" if self.steps else ""
        self.columns.update(
            self.task,
            completed=share,
            description=f"step {done}{of}",
            clock=f"{_clock(left)} left",
        )

    def record(self, record: Record) -> None:
        self.first = self.first or record
        self.last = record

    def end(self) -> None:
        with unheard():
            self.live.stop()

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if self.last is None or self.first is None:
            return self.columns
        drawn = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for heading in ("term", "now", "at first"):
            drawn.add_column(heading, justify="left" if heading == "term" else "right")
        for name, value in self.last.terms.items():
            before = self.first.terms.get(name)
            drawn.add_row(Text(name), f"{value:.5g}", "" if before is None else f"{before:.5g}")
        return Group(drawn, f"epoch {self.last.epoch:.2f}, {_speed(self.last)}", self.columns)


def display(quiet: bool) -> Lines:
    """The right one for who watches."""
    import sys

    return Live() if sys.stderr.isatty() and not quiet else Lines(quiet)


def _speed(record: Record) -> str:
    parts = [f"{record.per_second:.4g} pictures/s", f"{record.memory / 2**30:.2f} GiB"]
    if record.waiting > 0.05:
        parts.append(f"{record.waiting:.0%} of the time waiting for data")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"

"""Several small things at once on the CPU, each on cores of its own, their results in order.

A small picture keeps several cores busy for part of the time only: every layer ends with a wait for
the last core, and files are read and written by one.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import torch

from gentool.progress import Progress

MOST = 4  # at once: memory grows with them, and so many are enough to keep the cores busy

Item = TypeVar("Item")
Made = TypeVar("Made")
Work = Callable[[Item], Iterable[Made]]
Call = Callable[[], Iterable[Made]]


class InTurn(Progress):
    """Shows what is told at once, but what is told ahead when its results come.

    Progress within an item that is worked on ahead is not shown: there would be a bar for each.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._waiting = threading.local()

    def note(self, text: str) -> None:
        self._tell(self._shown.note, text)

    def fail(self, text: str) -> None:
        self._tell(self._shown.fail, text)

    def track(self, items: Sequence[Item], what: str) -> Iterable[Item]:
        return items if self._told is not None else self._shown.track(items, what)

    @contextlib.contextmanager
    def bar(self, total: int, what: str) -> Iterator[Callable[[int, str], None]]:
        with (self._shown if self._told is None else Progress()).bar(total, what) as update:
            yield update

    @property
    def _told(self) -> list[Callable[[], None]] | None:
        """What was told ahead in this thread; None where nothing is worked on ahead."""
        return getattr(self._waiting, "told", None)

    def _tell(self, say: Callable[[str], None], text: str) -> None:
        if self._told is None:
            say(text)
        else:
            self._told.append(functools.partial(say, text))

    def ahead(self, work: Work[Item, Made], item: Item) -> Call[Made]:
        """Work in another thread; the result gives what was told, then made, then raised."""
        told: list[Callable[[], None]] = []
        self._waiting.told = told
        made: list[Made] = []
        error = None
        try:
            made.extend(work(item))
        except Exception as e:
            error = e

        def turn() -> Iterator[Made]:
            for tell in told:
                tell()
            yield from made
            if error:
                raise error

        return turn


def calls(
    work: Work[Item, Made],
    items: Sequence[Item],
    small: Callable[[Item], bool],
    progress: InTurn,
) -> Generator[Call[Made]]:
    """For each item, in order, what gives its results or raises what ``work`` raised.

    Those that are small are begun ahead in other threads, in this one's modes of autograd and
    autocast; the others run when they are called, on all cores.
    """
    threads = torch.get_num_threads()
    workers = min(MOST, threads, len(items))
    most = workers + 1  # begun at a time: one waits, so that a worker never does
    shares = iter([(threads + i) // workers for i in range(workers)])
    modes = _modes()

    def begin() -> None:
        torch.get_num_threads()  # a thread's first question sets it to the number set last anywhere
        torch.set_num_threads(next(shares))

    def ahead(item: Item) -> Call[Made]:
        with modes():
            return progress.ahead(work, item)

    pool = ThreadPoolExecutor(max(1, workers), initializer=begin)
    queue, begun = iter(items), deque[Call[Made]]()
    try:
        for _ in items:
            for item in itertools.islice(queue, most - len(begun)):
                beside = workers > 1 and small(item)
                begun.append(
                    functools.partial(_turn, pool.submit(ahead, item))
                    if beside
                    else functools.partial(work, item)
                )
            yield begun.popleft()
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        finally:  # the number for new threads is the one that was set last
            torch.set_num_threads(threads)


def _turn(done: Future[Call[Made]]) -> Iterable[Made]:
    return done.result()()


def _modes() -> Callable[[], AbstractContextManager[None]]:
    """Enters, in another thread, the modes that this one is in now."""
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    @contextlib.contextmanager
    def entered() -> Iterator[None]:
        with (
            torch.inference_mode(inference),
            torch.set_grad_enabled(gradients),
            torch.autocast("cpu", dtype, enabled=autocast),
        ):
            yield

    return entered

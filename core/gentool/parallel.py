"""Several small things at once on the CPU, each on cores of its own, their results in order.

A small picture keeps several cores busy for part of the time only: every layer ends with a wait for
the last core, and files are read and written by one.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

MOST = 4  # at once: memory grows with them, and so many are enough to keep the cores busy

Item = TypeVar("Item")
Made = TypeVar("Made")


def calls(
    work: Callable[[Item], Iterable[Made]], items: Sequence[Item], small: Callable[[Item], bool]
) -> Generator[Callable[[], Iterable[Made]]]:
    """For each item, in order, what gives its results or raises what ``work`` raised.

    Those that are small are begun ahead in other threads; the others run when they are called, on
    all cores. Only what is small is worked on beside anything else.
    """
    threads = torch.get_num_threads()
    workers = min(MOST, threads, len(items))
    ahead = workers + 1  # one waits, so that a worker never does
    share = max(1, threads // max(1, workers))
    pool = ThreadPoolExecutor(max(1, workers), initializer=torch.set_num_threads, initargs=(share,))
    queue, begun = iter(items), deque[Callable[[], Iterable[Made]]]()
    try:
        for _ in items:
            for item in itertools.islice(queue, ahead - len(begun)):
                beside = workers > 1 and small(item)
                begun.append(
                    pool.submit(_collect, work, item).result
                    if beside
                    else functools.partial(work, item)
                )
            yield begun.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the number for new threads is the one that was set last


def _collect(work: Callable[[Item], Iterable[Made]], item: Item) -> list[Made]:
    with torch.inference_mode():  # each thread has its own
        return [*work(item)]

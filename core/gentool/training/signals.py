"""A clean end: Ctrl-C, a scheduler or a closed terminal ask a training to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interruptible(patient: bool, note: Callable[[str], None]) -> Iterator[threading.Event]:
    """Ctrl-C, a scheduler's SIGTERM or a closed terminal sets the event: the step is finished.

    A second Ctrl-C stops at once, unless ``patient``: torchrun passes on a signal that the
    processes got from the terminal already. The other signals come twice by themselves, from a
    closed terminal's shell and the system, and may be repeated.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    closed = getattr(signal, "SIGHUP", None)  # the terminal was, or the connection to it broke
    if closed and signal.getsignal(closed) != signal.SIG_IGN:  # as nohup asks for
        before[closed] = signal.getsignal(closed)

    def ask(number: int, _: object) -> None:
        said = event.is_set()
        event.set()
        if not said:
            note("finishing this step, then saving")
        if number == signal.SIGINT and not patient:
            signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        # torchrun may pass its signal on when the training has ended already, and would then have
        # a traceback out of a process that is leaving
        leaving = patient and event.is_set()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if leaving else handler)

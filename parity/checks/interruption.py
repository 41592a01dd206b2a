"""Ctrl-C: told once, in one process, and never lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

STATUS = 130


@contextmanager
def heard() -> Iterator[Callable[[], None]]:
    """A KeyboardInterrupt, as ever; and again by the function given, if that one was dropped.

    As Python drops it where it arises in a callback of the garbage collector, of which JAX has one.
    """
    happened: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        happened.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if happened:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def unheard() -> Iterator[None]:
    """Threads and processes that start within hear of no Ctrl-C, nor those that they start."""
    resource_tracker.ensure_running()  # which itself would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

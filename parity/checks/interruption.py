"""Ctrl-C reaches one process, once, and is never lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

STATUS = 130


@contextmanager
def catching() -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt on Ctrl-C; the yielded function raises it again if it was dropped.

    Python drops an exception that is raised in a callback of the garbage collector, and JAX has
    such a callback.
    """
    seen: list[int] = []

    def raise_at_once(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    def raise_if_seen() -> None:
        if seen:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, raise_at_once)
    try:
        yield raise_if_seen
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def blocked() -> Iterator[None]:
    """Threads and processes that start in this block, and their children, never get Ctrl-C."""
    resource_tracker.ensure_running()  # first, because its start unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""How far a long run is, on a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

from ...messages import elided

SECONDS = 2.0  # what is quicker shows nothing
_WIDTH = 24  # of the bar


class Progress:
    """A line on standard error, if this is a terminal and the run takes longer than two seconds.

    Example:
        >>> with Progress("comparing") as progress:
        ...     progress.show("stem", 1, 20)  # nothing yet
    """

    def __init__(self, work: str) -> None:
        self.work = work
        self.start = time.monotonic()
        self.is_shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.is_shown:
            sys.stderr.write("\r\x1b[K")  # the line is cleared
            sys.stderr.flush()

    def show(self, name: str, done: int, total: int | None = None) -> None:
        """Show that ``done`` layers are done, and which one is next; without a total, no bar."""
        if time.monotonic() - self.start < SECONDS or not sys.stderr.isatty():
            return
        text = f"{self.work} {done}"
        if total is not None:
            filled = _WIDTH * done // max(total, 1)
            text = f"{self.work} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total}"
        columns = shutil.get_terminal_size().columns
        sys.stderr.write(f"\r{f'{text} {elided(name)}'[: columns - 1]}\x1b[K")
        sys.stderr.flush()
        self.is_shown = True

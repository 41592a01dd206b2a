"""Show the progress of a run: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import time
from typing import TextIO

_BAR = 30
# Seconds. Tests make the second one longer, so that a slow machine prints no more lines.
_TERMINAL_EVERY, _PLAIN_EVERY = 0.1, 15.0


class Progress:
    def __init__(self, total: int, stream: TextIO) -> None:
        self.total, self.stream = total, stream
        self.on_terminal = stream.isatty()
        self.started = self.shown = time.monotonic()

    def show(self, done: int, failed: int) -> None:
        now = time.monotonic()
        if now - self.shown < (_TERMINAL_EVERY if self.on_terminal else _PLAIN_EVERY):
            return
        self.shown = now
        text = f"{done:,} of {self.total:,} cases, {failed:,} failed, {now - self.started:.0f} s"
        if self.on_terminal:
            filled = _BAR * done // max(self.total, 1)
            self.stream.write(f"\r[{'#' * filled:<{_BAR}}] {text}\x1b[K")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def keep(self, text: str) -> None:
        """Print a line that stays."""
        self.close()
        self.stream.write(text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Remove the bar."""
        if self.on_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

"""How many cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """As `taskset` and containers leave them, where Python can tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

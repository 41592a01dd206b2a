"""The name of this machine's processor."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """The model's name from the system, or else from Python."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    fields = [line.partition(":") for line in lines]
    models = [value.strip() for name, _, value in fields if name.strip() == "model name"]
    return models[0] if models else platform.processor() or platform.machine()

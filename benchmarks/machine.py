"""What heads every table: processor, threads, versions."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import torch


def machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torchconv2d", "torch", "jax", "brainstate")},
    }


def heading() -> str:
    """One line of it."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x{len(names)}" if names else platform.processor()

"""The heading of every table: processor, threads, versions."""

from __future__ import annotations

import ctypes
import os
import platform
from importlib.metadata import version

import torch

from parity.report.processor import processor

# Settings of `mallopt`, from malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_memory() -> None:
    """Lets this process keep the memory that it frees, if its C library is glibc.

    Otherwise it returns large blocks to the operating system, which clears each page when it gives
    it back. Which contenders that meets depends on what else is in memory, and it can take longer
    than a convolution.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for setting, value in ((_TRIM_THRESHOLD, 2**31 - 1), (_MMAP_MAX, 0)):
            mallopt(setting, value)


def machine() -> dict[str, str]:
    return {
        "processor": f"{processor()} x{os.cpu_count()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torchconv2d", "torch", "jax", "brainstate")},
    }


def heading() -> str:
    """The heading, in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())

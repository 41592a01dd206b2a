"""The heading of every table: processor, threads, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch

from parity.report.processor import processor


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

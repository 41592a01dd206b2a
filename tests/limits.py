"""Limits on the memory and time of a test, and a comparison of states to the bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

HAS_PROC = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the system does not report memory"
)


@contextmanager
def within(space: int) -> Generator[None]:
    """Limit the address space, so that allocating more raises an error; and limit the time."""
    resource = pytest.importorskip("resource", reason="the system sets no limits")

    def hung(*_: Any) -> None:
        raise TimeoutError("it hangs")

    limits, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, hung)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + space, limits[1]))
    signal.alarm(600)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def state_of(module: nn.Module) -> list[tuple[Any, ...]]:
    """Everything about parameters and buffers that a write could change."""
    named = [
        (f"{prefix}.{name}", tensor)
        for prefix, each in module.named_modules()
        for name, tensor in (*each._parameters.items(), *each._buffers.items())
        if tensor is not None
    ]
    return [
        (
            name,
            type(tensor),
            tensor.dtype,
            tensor.device,
            tensor.requires_grad,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in named
    ]

"""Ctrl-C at any line of this package, and of torch's loading."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

import torchconv2d

WATCHED = (str(Path(torchconv2d.__file__).parent), nn.Module.load_state_dict.__code__.co_filename)


@contextmanager
def interrupt(at: int) -> Generator[list[int]]:
    """Ctrl-C before the executed line with this number; the list has the number of lines so far."""
    count = [0]

    def lines() -> Callable[[FrameType, str, Any], Any]:
        last = 0

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            # A comprehension is one event for each round, and from Python 3.12 on an error in the
            # trace between two rounds, unlike Ctrl-C, skips `finally` and the end of `with`.
            if event == "line" and frame.f_lineno != last:
                last = frame.f_lineno
                count[0] += 1
                if count[0] == at:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return line

        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        # An interrupt that closes a generator is dropped by Python.
        watched = frame.f_code.co_filename.startswith(WATCHED)
        return lines() if watched and frame.f_code.co_name != "<genexpr>" else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield count
    finally:
        sys.settrace(before)
        torch.set_grad_enabled(
            True
        )  # an error in a trace, unlike Ctrl-C, can skip the end of `no_grad`

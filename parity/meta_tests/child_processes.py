"""Functions that tests run in other processes. These import only this file, and so not JAX."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence

import torch

from torchconv2d import Conv2d

from ..cases.case import Case
from ..checks.findings import Finding, Outcome, Verdict


def wrong_layer() -> None:
    """A ``switch`` that makes layers wrong for one of their options."""
    forward = Conv2d.forward

    def wrong(layer: Conv2d, x: torch.Tensor) -> torch.Tensor:
        y = forward(layer, x)
        return y.flip(-2) if layer.stride == (2, 1) else y

    Conv2d.forward = wrong


def leaves() -> None:
    os._exit(3)


def never() -> bool:
    return False


def _right(case: Case) -> Outcome:
    """A finding that agrees, with the number of threads as its ratio."""
    ratio = float(torch.get_num_threads())
    return Outcome(case, [Finding("rounding", "output", Verdict.AGREES, "", ratio)])


def agrees(cases: Sequence[Case]) -> Iterator[Outcome]:
    yield from map(_right, cases)


def dies(cases: Sequence[Case]) -> Iterator[Outcome]:
    """Crash at a case with a bias."""
    for case in cases:
        if case.bias:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield _right(case)


def hangs(cases: Sequence[Case]) -> Iterator[Outcome]:
    for case in cases:
        if case.bias:
            time.sleep(3600)
        yield _right(case)


def shows_without_onednn() -> bool:
    return not torch.backends.mkldnn.enabled


def aborts() -> bool:
    os.kill(os.getpid(), signal.SIGABRT)
    return False


def raises() -> bool:
    raise ValueError("a mistake of the example's")

"""How long recording and comparing a network takes, in forward passes of both sides."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from torchconv2d.testing import compare, record

from .ports import MobileNetV2, randomize

SIZE = (224, 224)
ALLOWED = 10.0  # forward passes of each side


def measure(batch: int, rounds: int = 3) -> tuple[float, float]:
    """Recording and comparing MobileNetV2, each divided by a forward pass of both sides.

    Both sides are torch, whose forward pass is the fastest. The runs are interleaved, and each
    figure is the median of ``rounds``.
    """
    images = torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    sides = MobileNetV2(SIZE), MobileNetV2(SIZE)
    for side in sides:
        randomize(side, images.repeat(2, 1, 1, 1))
        side.eval()
    reference, port = sides
    compare(port, record(reference, images))  # the first run imports parts of torch
    found: list[tuple[float, float]] = []
    for _ in range(rounds):
        with torch.no_grad():
            before = sum(_seconds(side, images)[0] for side in sides)
        recording_seconds, recording = _seconds(record, reference, images)
        comparing_seconds, _ = _seconds(compare, port, recording)
        with torch.no_grad():
            after = sum(_seconds(side, images)[0] for side in sides)
        forward = (before + after) / 2
        found.append((recording_seconds / forward, comparing_seconds / forward))
    recordings, comparisons = zip(*found, strict=True)
    return median(recordings), median(comparisons)


def _seconds(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result

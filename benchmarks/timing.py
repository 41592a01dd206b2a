"""Contenders timed side by side: in one process, in turns, so that what drifts drifts for all."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Contender = Callable[[], object]

# A turn lasts at least so long, in seconds, however short a call is.
_TURN = 2e-3


class Times(NamedTuple):
    """Seconds a call took, one figure a round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


class Ratio(NamedTuple):
    """The median of a ratio over the rounds, and its quartiles."""

    median: float
    low: float
    high: float


def ratio(one: Times, other: Times) -> Ratio:
    """``one / other``, formed in each round, where both saw the same machine."""
    ratios = sorted(a / b for a, b in zip(one.rounds, other.rounds, strict=True))
    low, median, high = statistics.quantiles(ratios, n=4)
    return Ratio(median, low, high)


def interleave(
    contenders: Mapping[str, Contender], rounds: int = 15, turn: float = _TURN
) -> dict[str, Times]:
    """Times each contender once a round, in an order that is drawn anew.

    Args:
        contenders: what to call, by name.
        rounds: how often.
        turn: at least so many seconds of calls make a round's figure.
    """
    repeats = {name: _repeats(call, turn) for name, call in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                times[name].append(_time(contenders[name], repeats[name]))
    finally:
        gc.enable()
    return {name: Times(rounds) for name, rounds in times.items()}


def _repeats(call: Contender, turn: float) -> int:
    call()  # whatever is compiled or allocated once
    seconds = min(_time(call, 1) for _ in range(3))
    return max(1, round(turn / seconds))


def _time(call: Contender, repeats: int) -> float:
    call()  # its own data back into the caches, of which the last contender had the use
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats

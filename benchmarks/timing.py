"""Times contenders in one process, in turns, so that drift of the machine affects all of them."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Contender = Callable[[], object]
Wait = Callable[[object], object]

# Seconds: a turn lasts at least about `_TURN`. A contender whose call takes `_SLOW` or longer has
# at most three turns.
_TURN, _SLOW = 2e-3, 0.3


class Times(NamedTuple):
    """Seconds per call, by round."""

    rounds: dict[int, float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds.values())

    @property
    def least(self) -> float:
        return min(self.rounds.values())


class Ratio(NamedTuple):
    """The median of a ratio over the rounds, and its quartiles."""

    median: float
    low: float
    high: float


def ratio(one: Times, other: Times) -> Ratio:
    """``one / other``, computed within each round, since the machine may drift between rounds."""
    both = one.rounds.keys() & other.rounds.keys()
    ratios = [one.rounds[i] / other.rounds[i] for i in both]
    low, median, high = statistics.quantiles(ratios, n=4)
    return Ratio(median, low, high)


def nothing(result: object) -> None:
    """A call on a CPU has ended when it returns."""


def interleave(
    contenders: Mapping[str, Contender], rounds: int = 15, wait: Wait = nothing
) -> dict[str, Times]:
    """Times each contender once per round, in a new random order.

    ``wait`` is given the last result of a turn, and returns when the device has computed it.
    """
    calls = {name: min(_time(call, 1, wait) for _ in range(2)) for name, call in contenders.items()}
    repeats = {name: max(1, round(_TURN / seconds)) for name, seconds in calls.items()}
    turns = {name: rounds if calls[name] < _SLOW else min(3, rounds) for name in contenders}
    times: dict[str, dict[int, float]] = {name: {} for name in contenders}
    shuffle = random.Random(0).shuffle
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            order = [name for name in contenders if number < turns[name]]
            shuffle(order)
            for name in order:
                times[name][number] = _time(contenders[name], repeats[name], wait)
    finally:
        gc.enable()
    return {name: Times(figures) for name, figures in times.items()}


def _time(call: Contender, repeats: int, wait: Wait) -> float:
    wait(call())  # load its data into the caches again, after the previous contender
    result: object = None
    start = time.perf_counter()
    for _ in range(repeats):
        result = call()
    wait(result)
    return (time.perf_counter() - start) / repeats

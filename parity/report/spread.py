"""How error / bound is spread: over pairs of options, and over all numbers that have a bound."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import NamedTuple

from ..checks.findings import Outcome

_PER_DECADE, _LOWEST, _HIGHEST = 4, -4, 0

# Upper ends of the bins; the first takes all that is smaller too, and one more what is larger.
EDGES = [10 ** (i / _PER_DECADE) for i in range(_LOWEST * _PER_DECADE, _HIGHEST * _PER_DECADE + 1)]


class Value(NamedTuple):
    """What an option of a case was."""

    option: str
    value: str


@dataclass
class Spread:
    """Takes outcomes one by one, in flat memory.

    ``worst`` has the largest error / bound of the port among the cases with both values; the
    histograms count outputs and gradients by bin, of the port and of JAX.
    """

    worst: dict[tuple[Value, Value], float] = field(default_factory=dict)
    port: Counter[int] = field(default_factory=Counter)
    jax: Counter[int] = field(default_factory=Counter)

    def add(self, outcome: Outcome, options: dict[str, str]) -> None:
        bounded = [finding for finding in outcome.findings if finding.ratio is not None]
        self.port.update(_bin(finding.ratio or 0.0) for finding in bounded)
        self.jax.update(
            _bin(finding.reference_ratio)
            for finding in bounded
            if finding.reference_ratio is not None
        )
        if not bounded:
            return
        largest = max(finding.ratio or 0.0 for finding in bounded)
        values = [Value(*each) for each in options.items()]
        for pair in combinations_with_replacement(values, 2):
            self.worst[pair] = max(self.worst.get(pair, 0.0), largest)

    def matrix(self) -> tuple[list[Value], list[list[float | None]]]:
        """The values, and for each two of them the worst; None where no case had both."""
        values = sorted({value for pair in self.worst for value in pair})
        rows = [
            [self.worst.get((one, other), self.worst.get((other, one))) for other in values]
            for one in values
        ]
        return values, rows


def _bin(ratio: float) -> int:
    """0 up to the first edge, ``len(EDGES)`` beyond the last; NaN is beyond, too."""
    return bisect_left(EDGES, ratio) if ratio <= EDGES[-1] else len(EDGES)

"""Collect the distribution of error / bound: by pairs of options, and in histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import NamedTuple

from ..cases.grid import HALF
from ..checks.findings import Outcome

_PER_DECADE, _LOWEST, _HIGHEST = 4, -4, 0

# The upper ends of the bins. One more bin takes larger ratios.
EDGES = [10 ** (i / _PER_DECADE) for i in range(_LOWEST * _PER_DECADE, _HIGHEST * _PER_DECADE + 1)]


class Value(NamedTuple):
    """An option of a case and its value, in words."""

    option: str
    value: str


@dataclass
class Spread:
    """Counts outcomes one by one, in constant memory, but none in half precision.

    There most ratios are just below 1, since rounding the result once nearly reaches the bound.
    They would hide all others.

    ``worst`` is the port's largest error / bound among the cases with both values. ``port`` and
    ``jax`` count outputs and gradients by bin.
    """

    worst: dict[tuple[Value, Value], float] = field(default_factory=dict)
    port: Counter[int] = field(default_factory=Counter)
    jax: Counter[int] = field(default_factory=Counter)

    def add(self, outcome: Outcome, options: dict[str, str]) -> None:
        if outcome.case.dtype in HALF:
            return
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
        """The values, and the worst ratio for each pair of them; None if no case had both."""
        values = sorted({value for pair in self.worst for value in pair})
        rows = [
            [self.worst.get((row, column), self.worst.get((column, row))) for column in values]
            for row in values
        ]
        return values, rows


def _bin(ratio: float) -> int:
    """The number of the bin; NaN is in the last one."""
    return bisect_left(EDGES, ratio) if ratio <= EDGES[-1] else len(EDGES)

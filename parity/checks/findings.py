"""What the checks report about a case: findings, each with a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..cases.case import Case


class Verdict(Enum):
    AGREES = "agrees"
    # JAX is wrong in this dtype and right in double precision, or it crashed its process.
    UPSTREAM_BUG = "upstream bug"
    ORACLES_DISAGREE = "oracles disagree"
    DIFFERS = "DIFFERS"  # the port is wrong

    @property
    def passes(self) -> bool:
        return self in (Verdict.AGREES, Verdict.UPSTREAM_BUG)


class Finding(NamedTuple):
    """What one check found about one quantity: an output or a gradient.

    ``ratio`` is error / bound of the port, and ``reference_ratio`` that of JAX. They are None if
    there is no bound or JAX was not run. ``bug`` is the name of an upstream bug.
    """

    check: str
    quantity: str
    verdict: Verdict
    detail: str = ""
    ratio: float | None = None
    reference_ratio: float | None = None
    bug: str | None = None


class Outcome(NamedTuple):
    """A case and all findings about it."""

    case: Case
    findings: list[Finding]

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.verdict.passes]


@dataclass
class Tally:
    """A group of cases: how many, how many failed, and their largest error / bound."""

    cases: int = 0
    failed: int = 0
    worst: float | None = None
    reference_worst: float | None = None

    def add(self, outcome: Outcome) -> None:
        self.cases += 1
        self.failed += bool(outcome.failures)
        for finding in outcome.findings:
            self.worst = _larger(self.worst, finding.ratio)
            self.reference_worst = _larger(self.reference_worst, finding.reference_ratio)


def _larger(left: float | None, right: float | None) -> float | None:
    return max((ratio for ratio in (left, right) if ratio is not None), default=None)

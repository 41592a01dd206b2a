"""What the checks say of a case, and how bad it is."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from ..cases.case import Case


class Verdict(Enum):
    AGREES = "agrees"
    UPSTREAM_BUG = "upstream bug"  # JAX is wrong here in single precision, or ended its process
    ORACLES_DISAGREE = "oracles disagree"
    DIFFERS = "DIFFERS"  # the port does

    @property
    def passes(self) -> bool:
        return self in (Verdict.AGREES, Verdict.UPSTREAM_BUG)


class Finding(NamedTuple):
    """What one check found about one quantity: an output or a gradient.

    ``ratio`` is error / bound for the port and ``reference_ratio`` for JAX; None where there is no
    bound, or no JAX. ``bug`` is the name of an upstream bug.
    """

    check: str
    quantity: str
    verdict: Verdict
    detail: str = ""
    ratio: float | None = None
    reference_ratio: float | None = None
    bug: str | None = None


class Outcome(NamedTuple):
    """A case and all that was found about it."""

    case: Case
    findings: list[Finding]

    @property
    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.verdict.passes]

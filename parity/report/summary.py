"""Count a run's findings by check, option and dtype, and keep the first failures."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from ..cases.case import Case, Padding
from ..checks.findings import Finding, Outcome, Tally, Verdict
from .columns import columns
from .spread import EDGES, Spread

# Further failures are only counted.
_FAILURES_KEPT = 20


@dataclass
class Summary:
    """Counts outcomes one by one, and keeps only the first failures."""

    total: Tally = field(default_factory=Tally)
    by_option: dict[str, dict[str, Tally]] = field(default_factory=dict)
    by_quantity: dict[tuple[str, str], Tally] = field(default_factory=dict)
    checks: Counter[tuple[str, Verdict]] = field(default_factory=Counter)
    bugs: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    spread: Spread = field(default_factory=Spread)

    def add(self, outcome: Outcome) -> None:
        self.total.add(outcome)
        options = described(outcome.case)
        self.spread.add(outcome, options)
        for option, value in options.items():
            self.by_option.setdefault(option, defaultdict(Tally))[value].add(outcome)
        for finding in outcome.findings:
            self.checks[finding.check, finding.verdict] += 1
            if finding.bug is not None:
                self.bugs[finding.bug] += 1
            if finding.ratio is not None:
                key = outcome.case.dtype, finding.quantity
                tally = self.by_quantity.setdefault(key, Tally())
                tally.add(Outcome(outcome.case, [finding]))
        if outcome.failures and len(self.failures) < _FAILURES_KEPT:
            self.failures.append(outcome)

    def text(self) -> str:
        parts = [self._failures(), self._checks(), self._options(), self._dtypes(), self._bugs()]
        return "\n\n".join(part for part in parts if part)

    def section(self, seed: int) -> dict[str, Any]:
        """The report's section about cases."""
        values, matrix = self.spread.matrix()
        bins = range(len(EDGES) + 1)
        return {
            "seed": seed,
            "cases": self.total.cases,
            "failed": self.total.failed,
            "checks": {
                check: {verdict.value: self.checks[check, verdict] for verdict in Verdict}
                for check in dict.fromkeys(check for check, _ in self.checks)
            },
            "upstream bugs": dict(self.bugs),
            "failures": [
                {
                    "command": outcome.case.command,
                    "findings": [finding.detail for finding in outcome.failures],
                }
                for outcome in self.failures
            ],
            "by dtype": [
                {
                    "dtype": dtype,
                    "quantity": quantity,
                    "cases": tally.cases,
                    "failed": tally.failed,
                    "port": tally.worst,
                    "jax": tally.reference_worst,
                }
                for (dtype, quantity), tally in sorted(self.by_quantity.items())
            ],
            "matrix": {"values": values, "worst": matrix},
            "histogram": {
                "up to": [*EDGES, None],
                "port": [self.spread.port[i] for i in bins],
                "jax": [self.spread.jax[i] for i in bins],
            },
        }

    def _failures(self) -> str:
        lines = []
        for outcome in self.failures:
            lines += [f"{outcome.case.command}", *map(_line, outcome.failures)]
        if more := self.total.failed - len(self.failures):
            lines.append(f"... and {more:,} more cases that failed")
        return "\n".join(lines)

    def _checks(self) -> str:
        names = dict.fromkeys(check for check, _ in self.checks)
        rows = [
            (name, *(str(self.checks[name, verdict] or "-") for verdict in Verdict))
            for name in names
        ]
        heads = ("check", *(verdict.value for verdict in Verdict))
        return columns(heads, rows, "<" + ">" * len(Verdict))

    def _options(self) -> str:
        rows = [
            (option, value, *_figures(tally))
            for option, values in self.by_option.items()
            for value, tally in sorted(values.items())
        ]
        return columns(("option", "value", *_FIGURES), rows, "<<>>>>")

    def _dtypes(self) -> str:
        rows = [
            (dtype, quantity, *_figures(tally))
            for (dtype, quantity), tally in sorted(self.by_quantity.items())
        ]
        return columns(("dtype", "output or gradient by", *_FIGURES), rows, "<<>>>>")

    def _bugs(self) -> str:
        return "\n".join(f"note, {count} times: {name}" for name, count in self.bugs.items())


_FIGURES = ("cases", "failed", "error/bound", "of JAX")


def _figures(tally: Tally) -> tuple[str, ...]:
    return (
        f"{tally.cases:,}",
        f"{tally.failed:,}" if tally.failed else "-",
        *(
            "-" if worst is None else f"{worst:.3f}"
            for worst in (tally.worst, tally.reference_worst)
        ),
    )


def _line(finding: Finding) -> str:
    return f"    {finding.verdict.value}: {finding.check}, {finding.quantity}: {finding.detail}"


def described(case: Case) -> dict[str, str]:
    """The options of a case in a few words, so that random cases share values too."""
    return {
        "padding": _padding(case.padding),
        "stride": _pair(case.stride),
        "lhs_dilation": _pair(case.lhs_dilation),
        "rhs_dilation": _pair(case.rhs_dilation),
        "kernel": _kernel(case),
        "channels": _channels(case),
        "axis": "of one" if 1 in case.size else "longer",
        "mask": str(case.mask),
        "bias": str(case.bias),
        "layout": "channel first" if case.channel_first else "channels last",
        "batch": str(case.batch),
        "memory": case.memory,
        "weight": "channels last" if case.channels_last_weight else "contiguous",
        "dtype": case.dtype,
    }


def _pair(pair: tuple[int, int]) -> str:
    if pair == (1, 1):
        return "1"
    return "one axis" if 1 in pair else "both axes"


def _kernel(case: Case) -> str:
    if any(k > n for k, n in zip(case.kernel, case.size, strict=True)):
        return "larger than the input"
    return "one tap" if case.kernel == (1, 1) else "within the input"


def _channels(case: Case) -> str:
    inputs, _, groups = case.channels
    if inputs == 1:
        return "one in"
    if groups == inputs:
        return "depthwise"
    return "grouped" if groups > 1 else "dense"


def _padding(padding: Padding) -> str:
    if isinstance(padding, str):
        return padding
    if isinstance(padding, int):
        spelling = "int"
    else:
        spelling = "ints" if isinstance(padding[0], int) else "pairs"
    pads = [pad for side in Case(padding=padding).pads for pad in side]
    if min(pads) >= 0:
        return spelling
    return f"{spelling}, {'mixed' if max(pads) > 0 else 'cropping'}"

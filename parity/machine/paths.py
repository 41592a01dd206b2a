"""The suite without JAX under each setting: the failures, and the worst error / bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..cases.case import Case
from ..cases.grid import DTYPES
from ..checks import suite
from ..checks.findings import Finding, Outcome, Tally, Verdict
from ..sides.settings import Setting
from . import processes


@dataclass(eq=False)
class Row:
    """The findings under one setting.

    ``obstacle`` is the reason why this machine does not support it. ``error`` is an error of its
    process that belongs to no case.
    """

    setting: Setting
    obstacle: str | None = None
    error: str | None = None
    total: Tally = field(default_factory=Tally)
    by_dtype: dict[str, Tally] = field(default_factory=dict)
    failures: list[Outcome] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing failed; a setting that could not be run did not fail."""
        return self.error is None and not self.failures

    def add(self, outcome: Outcome) -> None:
        self.total.add(outcome)
        self.by_dtype.setdefault(outcome.case.dtype, Tally()).add(outcome)
        if outcome.failures:
            self.failures.append(outcome)

    def command(self, case: Case) -> str:
        """The command that runs this case alone, under this setting."""
        return f'python -m parity --paths "{self.setting.name}" --case "{case}"'


def judge(cases: Sequence[Case]) -> Iterator[Outcome]:
    """Judge the cases in this process, with its number of threads."""
    for case in cases:
        yield suite.judge(case, with_jax=False)


Judge = Callable[[Sequence[Case]], Iterator[Outcome]]


def run(
    settings: Sequence[Setting],
    cases: Sequence[Case],
    *,
    judge: Judge = judge,
    workers: int | None = None,
    patience: float = processes.PATIENCE,
) -> Iterator[tuple[Row, Outcome | None]]:
    """Each row with its newest outcome, as they come; at the end of a row, the row with None.

    If a process crashes, its case fails, and another process continues after that case.

    Args:
        settings: the settings. One that this machine does not support gets a row with an obstacle.
        cases: the cases.
        judge: the function to run in each process; tests replace it.
        workers: how many settings run at a time; None for one per core.
        patience: seconds that a case may take.
    """
    rows: dict[str, Row] = {}
    waiting: deque[processes.Job] = deque()
    for setting in settings:
        row = rows[setting.name] = Row(setting, setting.obstacle)
        if row.obstacle is None:
            own = [case for case in cases if case.dtype in setting.dtypes]
            waiting.append(processes.Job(setting, judge, (own,)))
        else:
            yield row, None
    done = dict.fromkeys(rows, 0)  # cases that the current process has done
    begun = dict.fromkeys(rows, False)
    for job, answer in processes.run(waiting, workers, patience):
        name, (own,) = job.setting.name, job.arguments
        row = rows[name]
        if isinstance(answer, processes.Begun):
            begun[name] = True
        elif isinstance(answer, processes.Value):
            row.add(answer.value)
            done[name] += 1
            yield row, answer.value
        else:
            rest = own[done[name] :]
            if answer.error is not None and begun[name] and rest:
                outcome = Outcome(rest[0], [_ended(answer.error)])
                row.add(outcome)
                yield row, outcome
                rest = rest[1:]
            elif answer.error is not None:
                row.error, rest = answer.error, []
            done[name], begun[name] = 0, False
            if rest:
                waiting.append(job._replace(arguments=(rest,)))
            else:
                yield row, None


def _ended(error: str) -> Finding:
    return Finding("process", "all", Verdict.DIFFERS, error)


def table(rows: Sequence[Row]) -> tuple[Sequence[str], list[Sequence[str]], str]:
    """Headings, lines and alignment: the worst error / bound by setting and dtype."""
    ran = [row for row in rows if row.obstacle is None]
    lines: list[Sequence[str]] = [(row.setting.name, *_worst(row), *_counts(row)) for row in ran]
    return ("setting", *DTYPES, "cases", "failed"), lines, "<" + ">" * (len(DTYPES) + 2)


def notes(rows: Sequence[Row]) -> list[str]:
    """The errors of settings as a whole, and the settings that were not run."""
    wrong = [f"{row.setting.name}: {row.error}" for row in rows if row.error is not None]
    return wrong + [
        f"cannot be run here: {row.setting.name}: {row.obstacle}"
        for row in rows
        if row.obstacle is not None
    ]


def _worst(row: Row) -> list[str]:
    tallies = [row.by_dtype.get(dtype) for dtype in DTYPES]
    return ["-" if t is None or t.worst is None else f"{t.worst:.3f}" for t in tallies]


def _counts(row: Row) -> tuple[str, str]:
    total = row.total
    return f"{total.cases:,}", f"{total.failed:,}" if total.failed else "-"


def told(row: Row, outcome: Outcome) -> str:
    """A failure, with the command that reproduces it."""
    lines = [f"failed: {row.command(outcome.case)}"]
    lines += [f"    {each.check}, {each.quantity}: {each.detail}" for each in outcome.failures]
    return "\n".join(lines)


def section(rows: Sequence[Row]) -> dict[str, Any]:
    """The report's section about settings."""
    return {
        "dtypes": list(DTYPES),
        "rows": [
            {
                "setting": row.setting.name,
                "obstacle": row.obstacle,
                "error": row.error,
                "worst": _worst(row),
                "cases": row.total.cases,
                "failed": row.total.failed,
                "failures": [
                    {
                        "command": row.command(outcome.case),
                        "findings": [finding.detail for finding in outcome.failures],
                    }
                    for outcome in row.failures
                ],
            }
            for row in rows
        ],
    }

"""The suite from the command line: progress, summary, exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from . import interruption, pool, targets
from .cases import Case
from .grid import beyond, grid
from .known_bugs import KNOWN
from .machine import known, paths
from .machine.settings import SETTINGS
from .mutants import MUTANTS
from .planting import Trial, run
from .progress import Progress
from .summary import Summary


class Run(NamedTuple):
    """What was found, and the exit status."""

    summary: Summary
    status: int


def many(count: int, dtypes: Sequence[str], seed: int) -> Run:
    """The grid and ``count`` random cases."""
    cases = grid(dtypes, seed)
    total = len(cases) + count
    print(f"seed {seed}: a grid of {len(cases)} cases and {count:,} random ones")
    progress, summary = Progress(total, sys.stderr), Summary()
    interrupted = False
    try:
        with interruption.heard() as check:
            for outcome in pool.run(chain(cases, beyond(count, dtypes, seed))):
                summary.add(outcome)
                if outcome.failures:
                    progress.tell(f"failed: {outcome.case.command}")
                progress.show(summary.total.cases, summary.total.failed)
                check()
    except KeyboardInterrupt:
        interrupted = True
    progress.close()
    print(summary.text(), end="\n\n")
    failed = summary.total.failed
    verdict = f"{failed:,} failed" if failed else "all agree"
    print(f"{summary.total.cases:,} of {total:,} cases run, {verdict}", end="")
    print("; interrupted" if interrupted else "")
    status = interruption.STATUS if interrupted else 1 if failed else 0
    return Run(summary, status)


def planted() -> list[Trial]:
    """Each mutant, told with the checks that caught it."""
    cases = grid()
    trials: list[Trial] = []
    print(f"{len(MUTANTS)} planted faults, each on up to {len(cases)} cases, without JAX")
    for trial in run(MUTANTS, cases):
        fate = ", ".join(trial.caught_by) if trial.caught_by else "SURVIVES"
        print(f"{trial.mutant:40} case {trial.cases:3}: {fate}", flush=True)
        trials.append(trial)
    print(f"{sum(bool(trial.caught_by) for trial in trials)} of {len(trials)} caught")
    return trials


def everywhere(names: Iterable[str]) -> list[targets.Row]:
    """Each layer on each target, told target by target."""
    rows: list[targets.Row] = []
    for name in names:
        found = list(targets.run([name]))
        worst = max(row.ratio for row in found)
        agreeing = sum(row.agrees for row in found)
        print(f"{name:26} {agreeing} of {len(found)} agree, worst error/bound {worst:.3f}")
        for row in found:
            if not row.agrees:
                print(f"    DIFFERS: {row.layer}: {row.fault or row.ratio}")
        sys.stdout.flush()
        rows += found
    return rows


def on_paths(names: Sequence[str], case: Case | None) -> list[paths.Row]:
    """The grid, or one case, under each of these settings, or under all."""
    settings = [SETTINGS[name] for name in names or SETTINGS]
    cases = [case] if case is not None else grid()
    runs = sum(each.dtype in s.dtypes for s in settings if s.obstacle is None for each in cases)
    print(f"{len(settings)} settings, each on up to {len(cases)} cases, without JAX")
    progress, rows = Progress(runs, sys.stderr), list[paths.Row]()
    seen = failed = 0
    try:
        with interruption.heard() as check:
            for row, outcome in paths.run(settings, cases):
                if row not in rows:
                    rows.append(row)
                if outcome is not None:
                    seen += 1
                    failed += bool(outcome.failures)
                    if outcome.failures:
                        progress.tell(paths.told(row, outcome))
                    progress.show(seen, failed)
                check()
    finally:  # what was found is told, whatever ends the run
        progress.close()
        rows.sort(key=lambda row: settings.index(row.setting))
        print(paths.text(rows))
    return rows


def on_known() -> list[known.Row]:
    """Each known bug, and on which code path of this machine it shows."""
    rows = known.run(KNOWN)
    print(known.text(rows))
    return rows


def one(case: Case) -> int:
    """One case, every finding told; the exit status."""
    (outcome,) = pool.run([case], workers=1)
    for finding in outcome.findings:
        name = f"{finding.check}, {finding.quantity}"
        print(f"{name:30} {finding.verdict.value}  {finding.detail}".rstrip())
    return 1 if outcome.failures else 0

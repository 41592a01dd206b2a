"""The commands of ``python -m parity``: each runs, prints and returns what it found."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch

from . import targets
from .cases.case import Case
from .cases.grid import grid, random_cases
from .checks import interruption, pool
from .machine import known, packages, paths
from .mutants.planting import Trial, run
from .mutants.visible import MUTANTS
from .report.columns import columns
from .report.progress import Progress
from .report.summary import Summary
from .sides.known_bugs import KNOWN
from .sides.settings import SETTINGS

if TYPE_CHECKING:
    from .networks.trials import Trial as NetworkTrial


# The extra of pyproject.toml that a target needs.
_EXTRA_OF = dict.fromkeys(("ONNX Runtime", "older ONNX exporter", "ONNX, half precision"), "onnx")
_EXTRA_OF["PT2E int8"] = "tools"


class Run(NamedTuple):
    """The summary of a run, and its exit status."""

    summary: Summary
    status: int


def run_cases(count: int, dtypes: Sequence[str], seed: int) -> Run:
    """Run the grid and ``count`` random cases."""
    cases = grid(dtypes, seed)
    total = len(cases) + count
    print(f"seed {seed}: a grid of {len(cases)} cases and {count:,} random ones")
    progress, summary = Progress(total, sys.stderr), Summary()
    interrupted = False
    try:
        with interruption.catching() as raise_if_interrupted:
            for outcome in pool.run(chain(cases, random_cases(count, dtypes, seed))):
                summary.add(outcome)
                if outcome.failures:
                    progress.keep(f"failed: {outcome.case.command}")
                progress.show(summary.total.cases, summary.total.failed)
                raise_if_interrupted()
    except KeyboardInterrupt:
        interrupted = True
    progress.close()
    print(summary.text(), end="\n\n")
    failed = summary.total.failed
    result = f"{failed:,} failed" if failed else "all agree"
    print(f"{summary.total.cases:,} of {total:,} cases run, {result}", end="")
    print("; interrupted" if interrupted else "")
    status = interruption.STATUS if interrupted else 1 if failed else 0
    return Run(summary, status)


def run_case(case: Case) -> int:
    """Run one case, print every finding, and return the exit status."""
    (outcome,) = pool.run([case], workers=1)
    for finding in outcome.findings:
        name = f"{finding.check}, {finding.quantity}"
        print(f"{name:30} {finding.verdict.value}  {finding.detail}".rstrip())
    return 1 if outcome.failures else 0


def run_mutants() -> list[Trial]:
    """Plant each mutant, and print the checks that caught it."""
    cases = grid()
    trials: list[Trial] = []
    print(f"{len(MUTANTS)} mutants, each on up to {len(cases)} cases, without JAX")
    for trial in run(MUTANTS, cases):
        fate = ", ".join(trial.caught_by) if trial.caught_by else "SURVIVES"
        print(f"{trial.mutant:40} case {trial.cases:3}: {fate}", flush=True)
        trials.append(trial)
    print(f"{sum(bool(trial.caught_by) for trial in trials)} of {len(trials)} caught")
    return trials


def run_targets(names: Iterable[str]) -> list[targets.TargetResult]:
    """Run each layer on each target, and print the results target by target."""
    results: list[targets.TargetResult] = []
    names = list(names)
    for name in names:
        if name in _EXTRA_OF:
            packages.require(_EXTRA_OF[name])
    for name in names:
        found = list(targets.run([name]))
        worst = max(result.ratio for result in found)
        agreeing = sum(result.agrees for result in found)
        print(f"{name:26} {agreeing} of {len(found)} agree, worst error/bound {worst:.3f}")
        for result in found:
            if not result.agrees:
                why = result.ratio if result.error is None else result.error
                print(f"    DIFFERS: {result.layer}: {why}")
        sys.stdout.flush()
        results += found
    return results


def run_networks(frameworks: Iterable[str]) -> list[NetworkTrial]:
    """Compare right and wrong ports of networks with their references, and print what is named."""
    packages.require("frameworks")
    from .networks import cost, trials  # imports Flax and Keras, which takes seconds

    # The deep layers are so small that more threads make them slower.
    torch.set_num_threads(1)
    found: list[NetworkTrial] = []
    print(f"{'':5}  {'time':6}  {'reference':20}  {'planted mistakes: layers named'}")
    for trial in chain.from_iterable(map(trials.run, frameworks)):
        reference = f"{trial.framework} {trial.network}"
        verdict = "ok" if trial.is_right else "WRONG"
        named = f": {', '.join(trial.named)}" if trial.named else ""
        planted = f"{' + '.join(trial.mistakes) or 'none'}{named}"
        print(f"{verdict:5}  {trial.seconds:4.1f} s  {reference:20}  {planted}", flush=True)
        found.append(trial)
    right = sum(trial.is_right for trial in found)
    slowest = max(trial.seconds for trial in found)
    print(f"{right} of {len(found)} right, the slowest comparison {slowest:.1f} s")
    torch.set_num_threads(2)
    recording, comparing = cost.measure(batch=1)
    print(
        f"MobileNetV2 at 224x224: recording {recording:.1f} and comparing {comparing:.1f} forward "
        f"passes of both sides, of {cost.ALLOWED:g} allowed"
    )
    return found


def run_on_paths(names: Sequence[str], case: Case | None) -> list[paths.Row]:
    """Run the grid or one case, under these settings or under all, and print a table."""
    settings = [SETTINGS[name] for name in names or SETTINGS]
    cases = [case] if case is not None else grid()
    runs = sum(each.dtype in s.dtypes for s in settings if s.obstacle is None for each in cases)
    print(f"{len(settings)} settings, each on up to {len(cases)} cases, without JAX")
    progress, rows = Progress(runs, sys.stderr), list[paths.Row]()
    seen = failed = 0
    try:
        with interruption.catching() as raise_if_interrupted:
            for row, outcome in paths.run(settings, cases):
                if row not in rows:
                    rows.append(row)
                if outcome is not None:
                    seen += 1
                    failed += bool(outcome.failures)
                    if outcome.failures:
                        progress.keep(paths.told(row, outcome))
                    progress.show(seen, failed)
                raise_if_interrupted()
    finally:  # print what is known, even after an error or an interrupt
        progress.close()
        rows.sort(key=lambda row: settings.index(row.setting))
        print(columns(*paths.table(rows)), *paths.notes(rows), sep="\n")
    return rows


def run_known_bugs() -> list[known.Row]:
    """Run the example of each known bug on each code path of this machine, and print a table."""
    rows = known.run(KNOWN)
    print(*known.legend(rows), "", columns(*known.table(rows)), *known.notes(rows), sep="\n")
    return rows

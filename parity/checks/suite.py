"""The suite: cases in, outcomes out, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from ..cases.case import Case
from . import derivatives
from . import functional as stateless
from . import properties as metamorphic
from . import values as tiers
from .findings import Finding, Outcome, Verdict
from .subject import Subject

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "exact": tiers.exact,
    "rounding": tiers.rounding,
    "non-finite": tiers.non_finite,
    "apart": tiers.apart,
    "inference": tiers.inference,
    "stateless": stateless.stateless,
    "forward mode": derivatives.forward_mode,
    "second order": derivatives.second_order,
    "differences": derivatives.by_differences,
    "vmap": derivatives.vmap,
    "dilated by hand": metamorphic.dilated_by_hand,
    "grouped by hand": metamorphic.grouped_by_hand,
    "one by one": metamorphic.one_by_one,
    "linear": metamorphic.linear,
    "adjoint": metamorphic.adjoint,
}


def run(cases: Iterable[Case], *, with_jax: bool = True) -> Iterator[Outcome]:
    """Judge each case in this process.

    Args:
        cases: which.
        with_jax: whether to ask JAX too, which is most of the time.
    """
    # For layers this small other threads only get in the way.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for case in cases:
            yield judge(case, with_jax=with_jax)
    finally:
        torch.set_num_threads(threads)


def judge(case: Case, *, with_jax: bool = True) -> Outcome:
    subject = Subject(case, with_jax=with_jax)
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(subject)
        except Exception as error:  # whatever a fault in the layer raises is a finding
            detail = f"{type(error).__name__}: {error}"
            findings.append(Finding(name, "all", Verdict.DIFFERS, detail))
    return Outcome(case, findings)

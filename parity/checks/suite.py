"""The suite: it runs every check on each case, one at a time, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from ..cases.case import Case
from . import any_size, batches, derivatives, functional, values
from .findings import Finding, Outcome, Verdict
from .subject import Subject

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "exact": values.exact,
    "rounding": values.rounding,
    "non-finite": values.non_finite,
    "some gradients": values.some_gradients,
    "inference": values.inference,
    "functional": functional.functional,
    "forward mode": derivatives.forward_mode,
    "second order": derivatives.second_order,
    "differences": derivatives.by_differences,
    "vmap": derivatives.vmap,
    "one by one": batches.one_by_one,
    "any size": any_size.planned,
    "any size, in graphs": any_size.in_graphs,
}


def run(cases: Iterable[Case], *, with_jax: bool = True) -> Iterator[Outcome]:
    """Judge each case in this process.

    Args:
        cases: the cases.
        with_jax: whether to run JAX too, which takes most of the time.
    """
    # The layers are so small that more threads make them slower.
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
        except Exception as error:  # any exception that the layer raises is a finding
            detail = f"{type(error).__name__}: {error}"
            findings.append(Finding(name, "all", Verdict.DIFFERS, detail))
    return Outcome(case, findings)

"""Cases judged in processes of their own, so that none can bring the run down, nor fill memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import torch
from pebble import ProcessExpired, ProcessPool

from . import faults, interruption, oracles, suite
from .cases import Case
from .findings import Finding, Outcome, Verdict
from .subject import Subject

# After so many cases what JAX has compiled for them is dropped, and the process replaced.
_FORGET_EVERY, _REPLACE_EVERY = 50, 1000
_done = count(1)


def judge(case: Case) -> Outcome:
    if next(_done) % _FORGET_EVERY == 0:
        oracles.forget()
    return suite.judge(case)


def judge_without_jax(case: Case) -> Outcome:
    return suite.judge(case, with_jax=False)


def ask_jax(case: Case) -> None:
    """What is asked of JAX, and nothing of the layer."""
    subject = Subject(case, with_jax=True)
    for arrays in (subject.whole, subject.normal):
        subject.reference.results(arrays)


class Jobs:
    """The three things that a process may do with a case; tests have others that die."""

    judge: Callable[[Case], Outcome] = staticmethod(judge)
    judge_without_jax: Callable[[Case], Outcome] = staticmethod(judge_without_jax)
    ask_jax: Callable[[Case], None] = staticmethod(ask_jax)


def run(
    cases: Iterable[Case], workers: int | None = None, jobs: type[Jobs] = Jobs
) -> Iterator[Outcome]:
    """Judge each case, in order, a few ahead of what is asked for.

    If the process of a case dies, JAX alone is asked for it again. If that process dies as well, it
    is JAX's fault, known or not, and the case is judged without it; if not, the layer's.

    Args:
        cases: which.
        workers: how many processes; None for one a core that this one may use, and 8 at most, since
            each has torch and JAX in memory.
        jobs: what they do.
    """
    workers = workers or min(8, _cores())
    context = multiprocessing.get_context("spawn")  # neither JAX nor torch survives a fork
    pool = ProcessPool(
        workers, _REPLACE_EVERY, initializer=torch.set_num_threads, initargs=(1,), context=context
    )
    with pool:
        try:
            with interruption.unheard():
                assert pool.active  # by which it starts
            ahead: deque[Callable[[], Outcome]] = deque()
            for case in cases:
                ahead.append(_begin(pool, case, jobs))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft()()
            while ahead:
                yield ahead.popleft()()
        except BaseException:  # an interruption, or nobody wants the rest
            pool.stop()
            raise


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # as `taskset` and containers leave them
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin(pool: ProcessPool, case: Case, jobs: type[Jobs]) -> Callable[[], Outcome]:
    future = pool.schedule(jobs.judge, [case])

    def finish() -> Outcome:
        try:
            return future.result()
        except ProcessExpired as death:
            died = Finding("process", "all", Verdict.DIFFERS, f"ended with {death.exitcode}")
        try:
            pool.schedule(jobs.ask_jax, [case]).result()
        except ProcessExpired as death:
            told = _of_jax(case, death.exitcode)
        else:
            return Outcome(case, [died])
        try:
            findings = pool.schedule(jobs.judge_without_jax, [case]).result().findings
        except ProcessExpired:
            return Outcome(case, [died])
        return Outcome(case, [*findings, told])

    return finish


def _of_jax(case: Case, exitcode: int) -> Finding:
    detail = f"JAX alone ended with {exitcode}"
    aborted = exitcode == -signal.SIGABRT
    fault = faults.explaining(case, "process", "all", "jax") if aborted else None
    if fault is None:
        return Finding("process", "all", Verdict.ORACLES_DISAGREE, detail)
    return Finding("process", "all", Verdict.KNOWN_FAULT, f"{fault.name}: {detail}")

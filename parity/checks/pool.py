"""Judge cases in worker processes, so that no case can crash the run or fill the memory."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import torch
from pebble import ProcessExpired, ProcessPool

from ..cases.case import Case
from ..sides import known_bugs
from . import interruption, suite
from .cores import cores
from .findings import Finding, Outcome, Verdict
from .subject import Subject

# After this many cases a worker clears JAX's compiled functions, or a new process replaces it.
_CLEAR_EVERY, _REPLACE_EVERY = 50, 1000
_done = count(1)


def judge(case: Case) -> Outcome:
    if next(_done) % _CLEAR_EVERY == 0:
        from ..sides import jax_conv  # imports JAX, which takes seconds

        jax_conv.clear_caches()
    return suite.judge(case)


def judge_without_jax(case: Case) -> Outcome:
    return suite.judge(case, with_jax=False)


def run_jax(case: Case) -> None:
    """Run only the part of ``judge`` that calls JAX, to see whether JAX crashes."""
    subject = Subject(case, with_jax=True)
    for arrays in (subject.integers, subject.normals):
        subject.reference.results(arrays)


class Jobs:
    """The jobs of a worker; tests replace them with jobs that crash."""

    judge: Callable[[Case], Outcome] = staticmethod(judge)
    judge_without_jax: Callable[[Case], Outcome] = staticmethod(judge_without_jax)
    run_jax: Callable[[Case], None] = staticmethod(run_jax)


def run(
    cases: Iterable[Case], workers: int | None = None, jobs: type[Jobs] = Jobs
) -> Iterator[Outcome]:
    """Judge each case, in order, and start a few cases ahead.

    If the worker of a case crashes, another worker runs JAX alone. If that one crashes too, it is a
    bug of JAX, and the case is judged without JAX. Otherwise the layer crashed the first worker.

    Args:
        cases: the cases.
        workers: the number of processes. None means one for each core that this process may use,
            but at most 8, since each has torch and JAX in memory.
        jobs: the jobs of the workers.
    """
    workers = workers or min(8, cores())
    context = multiprocessing.get_context("spawn")  # neither JAX nor torch survives a fork
    pool = ProcessPool(
        workers, _REPLACE_EVERY, initializer=torch.set_num_threads, initargs=(1,), context=context
    )
    with pool:
        try:
            with interruption.blocked():
                assert pool.active  # this attribute starts the pool
            ahead: deque[Callable[[], Outcome]] = deque()
            for case in cases:
                ahead.append(_begin(pool, case, jobs))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft()()
            while ahead:
                yield ahead.popleft()()
        except BaseException:  # Ctrl-C, or the caller stopped early
            pool.stop()
            raise


def _begin(pool: ProcessPool, case: Case, jobs: type[Jobs]) -> Callable[[], Outcome]:
    future = pool.schedule(jobs.judge, [case])

    def finish() -> Outcome:
        try:
            return future.result()
        except ProcessExpired as death:
            died = Finding("process", "all", Verdict.DIFFERS, f"ended with {death.exitcode}")
        try:
            pool.schedule(jobs.run_jax, [case]).result()
        except ProcessExpired as death:
            crash = _jax_crashed(case, death.exitcode)
        else:
            return Outcome(case, [died])
        try:
            findings = pool.schedule(jobs.judge_without_jax, [case]).result().findings
        except ProcessExpired:
            return Outcome(case, [died])
        return Outcome(case, [*findings, crash])

    return finish


def _jax_crashed(case: Case, exitcode: int) -> Finding:
    detail = f"JAX alone ended with {exitcode}"
    bug = known_bugs.name_of(case, "process")
    return Finding("process", "all", Verdict.UPSTREAM_BUG, detail, bug=bug)

"""The pool survives workers that crash, and interruptions."""

import faulthandler
import os
import signal
from contextlib import suppress

import pytest

from ..cases.case import Case
from ..checks import interruption, pool, suite
from ..checks.findings import Finding, Outcome, Verdict

CASES = [Case(seed=seed, lhs_dilation=(2, 1)) for seed in range(7)]
FATAL = CASES[2]


def agree(case):
    return Outcome(case, [Finding("exact", "output", Verdict.AGREES, str(os.getpid()))])


def die(case):
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_one(case):
    return die(case) if case == FATAL else agree(case)


def abort(case):
    faulthandler.disable()  # pytest's, which prints
    os.abort()


class JaxAborts(pool.Jobs):
    judge = staticmethod(die_of_one)
    judge_without_jax = staticmethod(agree)
    run_jax = staticmethod(abort)


class JaxDies(JaxAborts):
    run_jax = staticmethod(die)


class LayerDies(JaxAborts):
    run_jax = staticmethod(agree)


class BothDie(JaxAborts):
    judge_without_jax = staticmethod(die)


@pytest.mark.parametrize(
    ("jobs", "verdict"),
    [
        (JaxAborts, Verdict.UPSTREAM_BUG),
        (JaxDies, Verdict.UPSTREAM_BUG),
        (LayerDies, Verdict.DIFFERS),
        (BothDie, Verdict.DIFFERS),
    ],
)
def test_a_dead_worker_is_reported_and_the_others_go_on(jobs, verdict):
    outcomes = list(pool.run(CASES, workers=2, jobs=jobs))
    assert [outcome.case for outcome in outcomes] == CASES
    fatal = signal.SIGABRT if jobs is JaxAborts else signal.SIGKILL
    for case, findings in outcomes:
        if case == FATAL:
            assert findings[-1].check == "process"
            assert findings[-1].verdict is verdict
            assert f"ended with {-fatal}" in findings[-1].detail
        else:
            (finding,) = findings
            assert finding.verdict is Verdict.AGREES
            assert finding.detail != str(os.getpid())


def test_an_abort_names_the_bug_or_says_that_it_is_not_listed():
    listed = pool._jax_crashed(Case(lhs_dilation=(2, 1)), -signal.SIGABRT)
    assert listed.bug.startswith("XLA aborts the process")
    assert "does not list" in pool._jax_crashed(Case(), -signal.SIGABRT).bug


def pending(case):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return Outcome(
        case, [Finding("exact", "output", Verdict.AGREES, str(signal.SIGINT in blocked))]
    )


class Blocked(pool.Jobs):
    judge = staticmethod(pending)


def test_workers_do_not_see_an_interruption_and_this_process_does():
    for outcome in pool.run(CASES[:3], workers=1, jobs=Blocked):
        assert outcome.findings[0].detail == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_interruption_that_was_dropped_is_raised_again():
    before = signal.getsignal(signal.SIGINT)
    with interruption.catching() as raise_if_interrupted:
        raise_if_interrupted()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_pool_finds_what_one_process_finds():
    case = Case(channels=(4, 6, 2), lhs_dilation=(2, 3), bias=True)
    (there,) = pool.run([case], workers=1)
    (here,) = suite.run([case])
    assert there == here
    assert not there.failures


def test_the_pool_takes_few_cases_ahead():
    taken = []

    def endless():
        for seed in range(1000):
            taken.append(seed)
            yield Case(seed=seed)

    outcomes = pool.run(endless(), workers=1, jobs=LayerDies)
    assert next(outcomes).case == Case(seed=0)
    outcomes.close()
    assert len(taken) == 3

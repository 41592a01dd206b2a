"""Cases in processes that may die."""

import os
import signal

import pytest

from . import pool, suite
from .cases import Case
from .findings import Finding, Outcome, Verdict

CASES = [Case(seed=seed) for seed in range(7)]
FATAL = CASES[2]


def agree(case):
    return Outcome(case, [Finding("exact", "output", Verdict.AGREES, str(os.getpid()))])


def die(case):
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_one(case):
    return die(case) if case == FATAL else agree(case)


class JaxDies(pool.Jobs):
    judge = staticmethod(die_of_one)
    judge_without_jax = staticmethod(agree)
    ask_jax = staticmethod(die)


class LayerDies(JaxDies):
    ask_jax = staticmethod(agree)


class BothDie(JaxDies):
    judge_without_jax = staticmethod(die)


@pytest.mark.parametrize(
    ("jobs", "verdict"),
    [
        (JaxDies, Verdict.KNOWN_FAULT),
        (LayerDies, Verdict.DIFFERS),
        (BothDie, Verdict.DIFFERS),
    ],
)
def test_a_death_is_told_and_ends_nothing_else(jobs, verdict):
    outcomes = list(pool.run(CASES, workers=2, jobs=jobs))
    assert [outcome.case for outcome in outcomes] == CASES
    for case, findings in outcomes:
        if case == FATAL:
            assert findings[-1].check == "process"
            assert findings[-1].verdict is verdict
            assert f"ended with {-signal.SIGKILL}" in findings[-1].detail
        else:
            (finding,) = findings
            assert finding.verdict is Verdict.AGREES
            assert finding.detail != str(os.getpid())


def test_cases_come_to_the_same_as_in_one_process():
    case = Case(channels=(4, 6, 2), lhs_dilation=(2, 3), bias=True)
    (there,) = pool.run([case], workers=1)
    (here,) = suite.run([case])
    assert there == here
    assert not there.failures


def test_no_more_cases_are_taken_than_are_needed():
    taken = []

    def endless():
        for seed in range(1000):
            taken.append(seed)
            yield Case(seed=seed)

    outcomes = pool.run(endless(), workers=1, jobs=LayerDies)
    assert next(outcomes).case == Case(seed=0)
    outcomes.close()
    assert len(taken) == 3

"""The suite finds wrong layers, and tells a bug of JAX from a mistake of the port."""

import inspect
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from torchconv2d import Conv2d

from ..cases.case import Case
from ..checks import suite
from ..checks.findings import Verdict
from ..definition.expected import ratio
from ..sides import known_bugs, reference
from ..tests.any_case import any_case

FORWARD = Conv2d.forward
PLAIN = Case(size=(7, 6), stride=(2, 1), bias=True, seed=5)


def test_a_failure_shrinks_to_a_plain_case(monkeypatch):
    """The layer is wrong only for stride 3 on one axis."""

    def wrong(layer, x):
        y = FORWARD(layer, x)
        return y.clone().zero_() if layer.stride[1] == 3 else y

    monkeypatch.setattr(Conv2d, "forward", wrong)
    monkeypatch.setattr(suite, "CHECKS", {"exact": suite.CHECKS["exact"]})  # the others take time

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(any_case())
    def run(case):
        outcome = suite.judge(case, with_jax=False)
        assert not outcome.failures, outcome.case.command

    with pytest.raises(AssertionError, match="python -m parity --case") as caught:
        run()
    options = str(caught.value).partition('--case "')[2].partition('"')[0]
    case = Case.parse(options)
    assert case.stride == (1, 3)
    assert case.lhs_dilation == case.rhs_dilation == (1, 1)
    assert case.mask is None


def shifted(layer, x):
    return FORWARD(layer, x).roll(1, -2)


def of_one_dtype(layer, x):
    return FORWARD(layer, x).to(torch.float64)


def raising(layer, x):
    raise RuntimeError("not today")


@pytest.mark.parametrize("wrong", [shifted, of_one_dtype, raising])
def test_a_wrong_layer_is_found_and_nothing_else(monkeypatch, wrong):
    assert not suite.judge(PLAIN, with_jax=False).failures
    monkeypatch.setattr(Conv2d, "forward", wrong)
    outcome = suite.judge(PLAIN, with_jax=False)
    assert "exact" in {finding.check for finding in outcome.failures}
    assert all(finding.verdict is Verdict.DIFFERS for finding in outcome.failures)


@pytest.mark.parametrize(
    ("wrong_in", "verdict"),
    [
        (("results",), Verdict.UPSTREAM_BUG),
        (("results", "in_double"), Verdict.ORACLES_DISAGREE),
    ],
)
def test_a_bug_of_jax_in_single_precision_is_a_note(monkeypatch, wrong_in, verdict):
    for name in wrong_in:
        right = getattr(reference.Reference, name)

        def wrong(jax, arrays, right=right):
            results = right(jax, arrays)
            return results._replace(weight=results.weight + 1)

        monkeypatch.setattr(reference.Reference, name, wrong)
    findings = [
        finding for finding in suite.judge(PLAIN).findings if finding.verdict is not Verdict.AGREES
    ]
    assert {finding.verdict for finding in findings} == {verdict}
    assert {finding.quantity for finding in findings} == {"weight"}
    assert {finding.check for finding in findings} == {"exact", "rounding"}
    assert all((finding.bug is not None) is finding.verdict.passes for finding in findings)


def test_a_bug_of_jax_never_hides_a_wrong_port(monkeypatch):
    right = reference.Reference.results

    def shifted_as_well(jax, arrays):
        results = right(jax, arrays)
        return results._replace(output=np.roll(results.output, 1, 2))

    monkeypatch.setattr(Conv2d, "forward", shifted)
    monkeypatch.setattr(reference.Reference, "results", shifted_as_well)
    assert Verdict.DIFFERS in {finding.verdict for finding in suite.judge(PLAIN).failures}


def test_a_case_with_crops_passes_whatever_xla_computes():
    case = Case(padding=((-2, 1), (0, 0)))
    assert not suite.judge(case).failures
    assert known_bugs.name_of(case, "exact").startswith("XLA's CPU convolution reads")
    assert "does not list" in known_bugs.name_of(Case(), "exact")


def test_outcomes_come_one_at_a_time():
    outcomes = suite.run((PLAIN for _ in iter(int, 1)), with_jax=False)
    assert inspect.isgenerator(outcomes)
    threads = torch.get_num_threads()
    assert len(list(islice(outcomes, 2))) == 2
    outcomes.close()
    assert torch.get_num_threads() == threads


def test_the_error_ratio_of_an_output_that_is_not_finite_is_infinite():
    ones = np.ones(3)
    assert ratio(np.array([1, np.nan, 1]), ones, ones) == np.inf
    assert ratio(np.ones(2), ones, ones) == np.inf
    assert ratio(ones, ones, np.zeros(3)) == 0
    assert ratio(ones * 1.5, ones, ones) == 0.5

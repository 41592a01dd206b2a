"""The suite on the port, and on faults planted to see which check would find them."""

import inspect
from itertools import islice

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

from torchconv2d import Conv2d
from torchconv2d.lowerings import Phases

from ..cases.case import Case
from ..cases.grid import DTYPES, OPTIONS, grid
from ..checks import suite
from ..checks.findings import Verdict
from ..sides import known_bugs, reference

GRID = grid()
FORWARD = Conv2d.forward


def told(outcomes):
    return [
        f"{outcome.case.command}\n{finding}" for outcome in outcomes for finding in outcome.failures
    ]


def test_the_grid_agrees_without_jax():
    assert told(suite.run(GRID, with_jax=False)) == []


def test_part_of_the_grid_agrees_with_jax():
    assert told(suite.run(GRID[::10])) == []


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def cases(draw):
    """Any case; what shrinks becomes the plain one."""
    size = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    groups, ins, outs = (draw(st.integers(1, 3)) for _ in range(3))
    side = st.tuples(st.integers(-5, 6), st.integers(-5, 6))
    padding = draw(
        st.sampled_from(["VALID", "SAME"]) | st.integers(0, 4) | side | st.tuples(side, side)
    )
    case = Case(
        size=size,
        channels=(groups * ins, groups * outs, groups),
        kernel=draw(pairs),
        stride=draw(pairs),
        padding=padding,
        lhs_dilation=draw(pairs),
        rhs_dilation=draw(pairs),
        mask=draw(st.sampled_from(OPTIONS["mask"])),
        bias=draw(st.booleans()),
        channel_first=draw(st.booleans()),
        batch=draw(st.sampled_from([1, 2, 3, None])),
        memory=draw(st.sampled_from(OPTIONS["memory"])),
        channels_last_weight=draw(st.booleans()),
        dtype=draw(st.sampled_from(DTYPES)),
        seed=draw(st.integers(0, 9)),
    )
    if not isinstance(case.pads, str):
        axes = zip(case.size, case.lhs_dilation, case.pads, strict=True)
        assume(all((n - 1) * gap + 1 + sum(pad) >= 0 for n, gap, pad in axes))
    return case


@settings(max_examples=60, deadline=None, derandomize=True, print_blob=False)
@given(cases())
def test_any_case_agrees(case):
    assert told(suite.run([case], with_jax=False)) == []


def test_a_failure_shrinks_to_a_plain_case(monkeypatch):
    """A fault of stride 3 only, on one axis."""

    def faulty(layer, x):
        y = FORWARD(layer, x)
        return y.clone().zero_() if layer.stride[1] == 3 else y

    monkeypatch.setattr(Conv2d, "forward", faulty)
    monkeypatch.setattr(suite, "CHECKS", {"exact": suite.CHECKS["exact"]})  # the others take time

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(cases())
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


def nearly(layer, x):
    return FORWARD(layer, x) * 1.001


def leaking(layer, x):
    return FORWARD(layer, x) + 0 * x.sum()


def tied(layer, x):
    """Values are right, gradients by the input and the weight are not."""
    y = FORWARD(layer, x)
    return y + (x - x.detach()).sum()


def without_a_graph(layer, x):
    """First derivatives are right, the second is lost."""
    return _FirstOnly.apply(FORWARD(layer, x))


class _FirstOnly(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(y):
        return y.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient.detach()

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * tangent


def by_batch(layer, x):
    return FORWARD(layer, x) + (x.shape[0] if x.dim() == 4 else 1)


def transposed_memory(layer, x):
    return FORWARD(layer, x).transpose(-1, -2).contiguous().transpose(-1, -2)


def of_one_dtype(layer, x):
    return FORWARD(layer, x).to(torch.float64)


def raising(layer, x):
    raise RuntimeError("not today")


PLAIN = Case(size=(7, 6), stride=(2, 1), bias=True, seed=5)
SMALL = Case(size=(3, 4), channels=(2, 2, 1), kernel=(2, 2), batch=1, dtype="float64")


@pytest.mark.parametrize(
    ("fault", "case", "check"),
    [
        (shifted, PLAIN, "exact"),
        (nearly, PLAIN, "rounding"),
        (leaking, PLAIN, "non-finite"),
        (tied, PLAIN, "adjoint"),
        (tied, SMALL, "exact"),
        (without_a_graph, SMALL, "second order"),
        (without_a_graph, SMALL, "gradgradcheck"),
        (without_a_graph, SMALL, "forward mode"),
        (by_batch, PLAIN, "one by one"),
        (by_batch, PLAIN, "linear"),
        (shifted, PLAIN._replace(lhs_dilation=(2, 1)), "exact"),
        (transposed_memory, PLAIN, "exact"),
        (of_one_dtype, PLAIN, "exact"),
        (raising, PLAIN, "exact"),
    ],
)
def test_a_fault_is_found(monkeypatch, fault, case, check):
    assert told(suite.run([case], with_jax=False)) == []
    monkeypatch.setattr(Conv2d, "forward", fault)
    outcome = suite.judge(case, with_jax=False)
    assert check in {finding.check for finding in outcome.failures}
    assert all(finding.verdict is Verdict.DIFFERS for finding in outcome.failures)


def test_a_fault_of_dilation_is_found_by_hand(monkeypatch):
    monkeypatch.setattr(
        Phases, "forward", lambda way, x, weight, bias: PHASES(way, x, weight, bias).flip(2)
    )
    outcome = suite.judge(Case(lhs_dilation=(2, 3), way="Phases"), with_jax=False)
    assert "dilated by hand" in {finding.check for finding in outcome.failures}


PHASES = Phases.forward


def test_a_fault_of_groups_is_found_by_hand(monkeypatch):
    def faulty(layer, x):
        with torch.no_grad():
            if layer.groups > 1:
                layer.weight.copy_(layer.weight.flip(0))
        return FORWARD(layer, x)

    monkeypatch.setattr(Conv2d, "forward", faulty)
    outcome = suite.judge(Case(channels=(4, 6, 2)), with_jax=False)
    assert "grouped by hand" in {finding.check for finding in outcome.failures}


def test_a_fault_under_vmap_is_found(monkeypatch):
    def faulty(layer, x):
        mapped = torch._C._functorch.is_batchedtensor(x)
        return FORWARD(layer, x) + (1 if mapped else 0)

    monkeypatch.setattr(Conv2d, "forward", faulty)
    failures = suite.judge(PLAIN, with_jax=False).failures
    assert {finding.check for finding in failures} == {"vmap"}


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


def test_a_case_with_crops_passes_whatever_xla_makes_of_it():
    case = Case(padding=((-2, 1), (0, 0)))
    assert told(suite.run([case])) == []
    assert known_bugs.name_of(case, "exact").startswith("XLA's CPU convolution reads")
    assert "does not list" in known_bugs.name_of(Case(), "exact")


def test_outcomes_come_one_at_a_time():
    outcomes = suite.run((PLAIN for _ in iter(int, 1)), with_jax=False)
    assert inspect.isgenerator(outcomes)
    threads = torch.get_num_threads()
    assert len(list(islice(outcomes, 2))) == 2
    outcomes.close()
    assert torch.get_num_threads() == threads


def test_an_error_ratio_of_what_is_not_finite_is_infinite():
    from ..definition.expected import ratio

    one = np.ones(3)
    assert ratio(np.array([1, np.nan, 1]), one, one) == np.inf
    assert ratio(np.ones(2), one, one) == np.inf
    assert ratio(one, one, np.zeros(3)) == 0
    assert ratio(one * 1.5, one, one) == 0.5

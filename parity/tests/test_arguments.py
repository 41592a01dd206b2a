"""The same verdict of both layers, but for the differences that the README declares."""

import itertools
import random
import re
from collections import Counter
from pathlib import Path

import pytest

import torchconv2d

from ..arguments import differences
from ..arguments import judge as verdict
from ..arguments import lists as argument_lists
from ..sides import jax_conv as oracles

README = (Path(__file__).parents[2] / "README.md").read_text()
LEGAL = {
    "in_size": "(5, 8, 4)",
    "out_channels": "6",
    "kernel_size": "(3, 2)",
    "w_init": "jnp.ones",
}


def judgements(count, seed=0):
    return (verdict.judge(*each) for each in itertools.islice(argument_lists.lists(seed), count))


def faults(judged):
    return [str(judgement) for judgement in judged if judgement.fault]


@pytest.fixture(scope="module")
def thousand():
    return list(judgements(1000))


def test_same_verdict(thousand):
    found = faults(thousand)
    assert not found, "\n\n".join([f"{len(found)} of 1000 argument lists:", *found[:5]])


def test_lists_are_a_mixture(thousand):
    kinds = Counter(judgement.there.kind for judgement in thousand)
    assert kinds[differences.ACCEPTED] > 250
    assert kinds[differences.VALUE_ERROR] > 150
    assert kinds[differences.TYPE_ERROR] > 150
    assert sum("x" in judgement.odd for judgement in thousand) > 80
    odd = {argument for judgement in thousand for argument in judgement.odd.items()}
    assert odd == set(argument_lists.cards())
    plain = [judgement for judgement in thousand if not judgement.odd]
    assert len(plain) > 50
    assert {judgement.here.kind for judgement in plain} == {differences.ACCEPTED}


def test_differences_are_the_readmes():
    section = README[README.index("## Differences from the reference") :]
    table = section[: section.index("\n\n", section.index("|---|"))]
    rows = [row.strip("| ") for row in re.findall(r"^\|.*", table, re.MULTILINE)][2:]
    assert rows == list(differences.DECLARED)


def test_rows_that_nothing_shows_are_those_that_cannot_be_shown():
    rows = differences.DECLARED
    empty = [row for row, differences in rows.items() if not differences]
    assert [row.split()[0] for row in empty] == ["kernel", "`TruncatedNormal`", "`seed`:", "of"]


@pytest.mark.parametrize("difference", differences.differences(), ids=lambda each: each.name)
def test_difference_is_shown_by_whatever_it_lists(difference):
    pick = random.Random(0)
    for name, texts in difference.shown_by.items():
        for text in texts:
            odd = {name: text}
            lists = ((argument_lists.legal_for(pick, odd), odd) for _ in range(100))
            shown = next(each for each in lists if difference in verdict.shown_by(*each))
            judgement = verdict.judge(*shown)
            assert not judgement.fault, str(judgement)
            assert judgement.differences == [difference.name]


def test_names_of_differences_are_unique():
    names = [difference.name for difference in differences.differences()]
    assert len({*names, differences.SEVERAL}) == len(names) + 1


def test_several_faults_do_make_a_difference(thousand):
    assert [each for each in thousand if each.differences == [differences.SEVERAL]]


# What is lowered is not run, so that it can be a thousand: here it is.
@pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning")  # by a NumPy 0
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Quantity
def test_reference_that_runs_has_the_same_verdict(thousand):
    for judgement in thousand[::50]:

        def run(judgement=judgement):
            arguments, x = argument_lists.arguments_and_input(judgement.legal, judgement.odd)
            oracles.jax.clear_caches()
            return oracles.reference(x, **arguments).shape

        assert verdict.verdict_of(run).agrees(judgement.there), str(judgement)


def refuses_a_name(make, arguments):
    if "name" in arguments:
        raise ValueError("planted")
    return make(**arguments)


def refuses_with_another_class(make, arguments):
    try:
        return make(**arguments)
    except TypeError as error:
        raise ValueError(str(error)) from error


def refuses_as_neither(make, arguments):
    try:
        return make(**arguments)
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def accepts_any_stride(make, arguments):
    try:
        return make(**arguments)
    except ValueError as error:
        if "`stride`" not in str(error):
            raise
    return make(**arguments | {"stride": 1})


def accepts_any_input(make, arguments):
    layer = make(**arguments)
    return lambda x: layer(x.to(layer.weight.dtype))


def gives_another_shape(make, arguments):
    layer = make(**arguments)
    return lambda x: layer(x)[..., :-1]


def crashes_as_the_reference_does(make, arguments):
    if isinstance(arguments["w_init"], int):
        raise AttributeError("planted")
    return make(**arguments)


@pytest.mark.parametrize(
    "fault",
    [
        refuses_a_name,
        refuses_with_another_class,
        refuses_as_neither,
        accepts_any_stride,
        accepts_any_input,
        gives_another_shape,
        crashes_as_the_reference_does,
    ],
    ids=lambda fault: fault.__name__,
)
def test_planted_fault_is_found_and_can_be_had_again(monkeypatch, fault):
    make = torchconv2d.Conv2d
    monkeypatch.setattr(torchconv2d, "Conv2d", lambda **arguments: fault(make, arguments))
    found = next((each for each in judgements(500) if each.fault), None)
    assert found
    (line,) = re.findall(r"^  again: parity\.arguments\.judge\.(.*)$", str(found), re.MULTILINE)
    again = eval(line, vars(verdict))
    assert (again.fault, again.here.kind) == (found.fault, found.here.kind)
    monkeypatch.undo()
    assert not eval(line, vars(verdict)).fault


def test_difference_that_is_none_is_found(monkeypatch):
    listed = differences.Difference("float stride", {"stride": ["7.0"]}, differences.VALUE_ERROR)
    monkeypatch.setitem(differences.DECLARED, "no such row", [listed])
    judgement = verdict.judge(LEGAL, {"stride": "7.0"})
    assert judgement.fault == "listed as a difference (float stride), but judged alike"


@pytest.mark.parametrize(
    ("odd", "kind", "differences"),
    [
        ({"kernel_size": "0", "stride": "()"}, "ValueError", [differences.SEVERAL]),
        ({"w_init": "2", "padding": "np.int64(1)"}, "accepted", ["scalar w_init", "NumPy padding"]),
        ({"w_init": "2", "padding": "'same'"}, "ValueError", []),
        ({"w_init": "2", "groups": "0"}, "ValueError", ["scalar w_init", "groups 0"]),
        ({"lhs_dilation": "2", "padding": "1"}, "accepted", []),
    ],
)
def test_several_odd_arguments(odd, kind, differences):
    judgement = verdict.judge(LEGAL, odd)
    assert not judgement.fault, str(judgement)
    assert judgement.here.kind == kind
    assert judgement.differences == differences

"""Both layers accept or refuse the same argument lists, except as `docs/differences.md` says."""

import itertools
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ..arguments import differences, judge
from ..arguments.lists import ArgumentList, cards, lists, random_list, sizes_of
from ..sides import jax_conv

PAGE = (Path(__file__).parents[2] / "docs/differences.md").read_text("utf-8")
LEGAL = {
    "in_size": (5, 8, 4),
    "out_channels": 6,
    "kernel_size": (3, 2),
    "w_init": jax_conv.jax.numpy.ones,
}
SIZES = sizes_of(LEGAL)


@pytest.fixture(scope="module")
def thousand():
    return [judge.judge(given) for given in itertools.islice(lists(0), 1000)]


def test_answers_are_the_same(thousand):
    found = [
        f"judge.again(0, {i}): {each}" for i, each in enumerate(thousand) if each.error is not None
    ]
    assert not found, "\n\n".join([f"{len(found)} of 1000 argument lists:", *found[:5]])


def test_lists_are_a_mixture(thousand):
    kinds = Counter(judgement.there.kind for judgement in thousand)
    assert kinds[differences.ACCEPTED] > 250
    assert kinds[differences.VALUE_ERROR] > 150
    assert kinds[differences.TYPE_ERROR] > 150
    odd = [odd for judgement in thousand for odd in judgement.given.odd]
    assert sum(each.argument == "x" for each in odd) > 80
    assert set(odd) == set(cards())
    plain = [judgement for judgement in thousand if not judgement.given.odd]
    assert len(plain) > 50
    assert {judgement.here.kind for judgement in plain} == {differences.ACCEPTED}


def test_differences_are_those_of_the_page():
    section = PAGE[PAGE.index("## Differences from the reference") :]
    table = section[: section.index("\n\n", section.index("|---|"))]
    rows = [row.strip("| ") for row in re.findall(r"^\|.*", table, re.MULTILINE)][2:]
    assert rows == list(differences.DECLARED)


def test_rows_that_nothing_shows_are_those_that_cannot_be_shown():
    rows = differences.DECLARED
    empty = [row for row, differences in rows.items() if not differences]
    assert [row.split()[0] for row in empty] == ["kernel", "`TruncatedNormal`", "`seed`:", "of"]


@pytest.mark.parametrize("name", differences.differences())
def test_a_difference_is_shown_by_whatever_it_lists(name):
    pick = random.Random(0)
    difference = differences.differences()[name]
    for odd in (card for card in cards() if card.difference == name):
        given = (random_list(pick, (odd,)) for _ in range(100))
        shown = next(each for each in given if difference.name in names_shown_by(each))
        judgement = judge.judge(shown)
        assert judgement.error is None, str(judgement)
        assert judgement.differences == [name]


def names_shown_by(given):
    return [difference.name for difference in judge.shown_by(given)]


def test_names_of_differences_are_unique():
    listed = [difference.name for row in differences.DECLARED.values() for difference in row]
    assert len({*listed, differences.SEVERAL}) == len(listed) + 1


def test_several_wrong_arguments_do_make_a_difference(thousand):
    assert [each for each in thousand if each.differences == [differences.SEVERAL]]


# Other tests only lower the reference's pass.
@pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning")  # by a NumPy 0
def test_a_reference_that_runs_gives_the_same_answer(thousand):
    for judgement in thousand[::50]:

        def run(judgement=judgement):
            arguments, x = judgement.given.arguments_and_input()
            jax_conv.clear_caches()
            return jax_conv.reference(x, **arguments).shape

        assert judge.answer_of(run).agrees(judgement.there), str(judgement)


def odd(argument, value):
    """The odd argument with that value, by its type and its text."""
    for card in cards():
        if card.argument == argument:
            found = card.value(SIZES)
            if type(found) is type(value) and repr(found) == repr(value):
                return card
    raise LookupError(argument, value)


@pytest.mark.parametrize(
    ("changes", "values", "kind", "differences"),
    [
        ({}, {"kernel_size": 0, "stride": ()}, "ValueError", [differences.SEVERAL]),
        ({}, {"w_init": 2, "padding": np.int64(1)}, "accepted", ["scalar w_init", "NumPy padding"]),
        ({}, {"w_init": 2, "padding": "same"}, "ValueError", []),
        ({}, {"w_init": 2, "groups": 0}, "ValueError", ["scalar w_init", "groups 0"]),
        ({"padding": 1}, {"lhs_dilation": 2}, "accepted", []),
    ],
)
def test_several_odd_arguments(changes, values, kind, differences):
    chosen = tuple(odd(argument, value) for argument, value in values.items())
    judgement = judge.judge(ArgumentList(SIZES, LEGAL | changes, chosen))
    assert judgement.error is None, str(judgement)
    assert judgement.here.kind == kind
    assert judgement.differences == differences

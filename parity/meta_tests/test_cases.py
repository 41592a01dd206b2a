"""Cases, the grid that covers their options, and the arrays drawn for them."""

import random
from itertools import combinations, islice, product

import numpy as np
import pytest
import torch

from torchconv2d.lowerings.choose_gradient import choose_weight_gradient, own_weight_gradient

from ..cases import covering, numbers
from ..cases.case import Case
from ..cases.grid import (
    CHOSEN,
    DEMANDING,
    DTYPES,
    OPTIONS,
    _fits,
    _reads_input,
    covered,
    grid,
    random_cases,
)
from ..definition import expected
from ..definition.arrays import wide
from ..definition.convolution import convolve, gradients
from ..sides import port

GRID = grid()


def test_each_two_values_meet_in_the_grid():
    met = set()
    for case in GRID:
        chosen = {name: getattr(case, name) for name in OPTIONS}
        met.update(frozenset(pair) for pair in combinations(chosen.items(), 2))
    for (a, values), (b, others) in combinations(OPTIONS.items(), 2):
        for value, other in product(values, others):
            if _fits(a, value, b, other) and _fits(b, other, a, value):
                assert frozenset(((a, value), (b, other))) in met


def test_most_cases_of_the_grid_read_their_input():
    """In the others, crops or large kernels leave nothing to read."""
    reading = [_reads_input({name: getattr(case, name) for name in OPTIONS}) for case in GRID]
    assert sum(reading) > 0.7 * len(GRID)
    assert not all(reading)


@pytest.mark.parametrize("case", DEMANDING, ids=str)
def test_a_demanding_case_is_computed_by_its_lowering(case):
    conv = port.layer(case, numbers.integers(case))
    assert type(conv.lowering).__name__ == case.lowering


@pytest.mark.parametrize("name", CHOSEN)
def test_a_chosen_lowering_leaves_its_gradients_to_another(name):
    conv = port.layer(CHOSEN[name], numbers.integers(CHOSEN[name]))
    assert type(conv.lowering).__name__ == name
    own = own_weight_gradient(conv.geometry, type(conv.lowering))
    chosen = choose_weight_gradient(conv.geometry, type(conv.lowering))
    assert conv.convolution._gradient_kind is not None
    assert (chosen is own) is (name != "Transposed")


def test_the_same_seed_gives_the_same_grid_and_another_seed_another():
    covered.cache_clear()
    assert grid() == GRID
    assert {case.dtype for case in grid(["float32"])} == {"float32"}
    assert [case._replace(seed=0) for case in grid(seed=1)] != [
        case._replace(seed=0) for case in GRID
    ]


def test_covering_is_small():
    """Four options of three values need 9 rows; the greedy method needs a few more."""
    options = {name: range(3) for name in "abcd"}
    rows = list(covering.rows(options, lambda *_: True, lambda _: True, 0))
    assert 9 <= len(rows) <= 13


def test_covering_ends_even_if_no_row_counts_for_a_pair():
    options = {"a": (0, 1), "b": (0, 1)}
    rows = list(covering.rows(options, lambda *_: True, lambda row: row["a"] == 0, 0))
    assert len(rows) == 4  # two of them cannot count


def test_random_cases_are_reproducible_one_by_one():
    few = list(random_cases(5, seed=3))
    assert few == list(islice(random_cases(10**9, seed=3), 5))  # they are made one at a time
    assert few != list(random_cases(5, seed=4))
    assert {case.dtype for case in random_cases(50, ["float16"])} == {"float16"}


@pytest.mark.parametrize("case", [*GRID, *random_cases(200, seed=1)], ids=str)
def test_a_case_reads_back(case):
    assert Case.parse(str(case)) == case


def test_one_int_is_both_of_a_pair():
    case = Case.parse("stride=2, kernel=[3], size=9, lhs_dilation=(2, 3), padding=1")
    assert case == Case(stride=(2, 2), kernel=(3, 3), size=(9, 9), lhs_dilation=(2, 3), padding=1)
    assert Case.parse(str(case)) == case


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stride=(2, 1", "not a list of options"),
        ("(2, 1)", "not a list of options"),
        ("colour=3", "no option colour"),
        ("stride=open('x')", "malformed"),
        ("stride=0", "`stride` must be at least 1, got 0"),
        ("lhs_dilation=(2, 0)", "`lhs_dilation` must be at least 1, got 0"),
        ("kernel=(3, 3, 3)", "`kernel` must have one entry, .* got 3"),
        ("size=7.5", "`size` must be an int or a sequence"),
        ("padding='FULL'", "`padding` must be 'SAME' or 'VALID', got 'FULL'"),
        ("padding=1.5", "`padding` must be"),
        ("channels=4", r"`channels` must be \(in, out, groups\), got 4"),
        ("channels=(4, 6, 3)", "must be divisible by `groups`"),
        ("batch=0", "`batch` must be at least 1"),
        ("seed=-1", "`seed` must be an int of at least 0"),
    ],
)
def test_a_text_that_is_not_a_case_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        Case.parse(text)


@pytest.mark.parametrize(
    ("padding", "pads"),
    [
        ("SAME", "SAME"),
        (-1, ((-1, -1), (-1, -1))),
        ((1, 2), ((1, 1), (2, 2))),
        (((1, 2),), ((1, 2), (1, 2))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
    ],
)
def test_spellings_of_padding(padding, pads):
    assert Case(padding=padding).pads == pads


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_holds_all_numbers_and_all_sums_of_integers(dtype):
    for case in grid([dtype])[::6]:
        for drawn in (numbers.integers(case), numbers.normals(case)):
            for array in (drawn.x, drawn.kernel, drawn.cotangent):
                there = torch.from_numpy(array).to(getattr(torch, dtype))
                np.testing.assert_array_equal(wide(there), array)
        drawn = numbers.integers(case)
        sums = expected.value(drawn, case.geometry)
        for array in sums:
            if array is not None:
                there = torch.from_numpy(np.asarray(array)).to(getattr(torch, dtype))
                np.testing.assert_array_equal(wide(there), array)
        assert not drawn.x.size or drawn.x.any()
        assert drawn.kernel.any()


def test_the_mask_is_the_same_for_integers_and_normals():
    for case in GRID:
        np.testing.assert_array_equal(numbers.integers(case).mask, numbers.normals(case).mask)


@pytest.mark.parametrize("memory", OPTIONS["memory"])
@pytest.mark.parametrize("channel_first", [False, True])
def test_memory_is_laid_out_as_asked(memory, channel_first):
    case = Case(memory=memory, channel_first=channel_first)
    drawn = numbers.integers(case)
    x = port.images(case, drawn.x)
    assert x.is_contiguous() == (memory == "contiguous")
    assert (0 in x.stride()) == (memory == "expanded")
    np.testing.assert_array_equal(port.array(case, x), drawn.x)


@pytest.mark.parametrize("option", ["mask", "memory"])
def test_unknown_names_are_refused(option):
    case = Case(**{option: "another"})
    with pytest.raises(ValueError, match=f"no {option} 'another'"):
        port.images(case, numbers.integers(case).x)


def test_gradients_are_the_adjoint():
    """``<convolve(dx, k), y> = <dx, by_x>`` and the same for the kernel, exactly."""
    draw = random.Random(0)
    for case in random_cases(40, ["float64"], seed=draw.randrange(99)):
        drawn = numbers.integers(case)
        by_x, by_kernel = gradients(drawn.x, drawn.kernel, drawn.cotangent, **case.geometry)
        y = convolve(drawn.x, drawn.kernel, **case.geometry)
        inner = (y * drawn.cotangent).sum()
        assert (by_x * drawn.x).sum() == inner
        assert (by_kernel * drawn.kernel).sum() == inner

"""Cases, the grid that covers their options, and the numbers drawn for them."""

import random
from itertools import combinations, islice, product

import numpy as np
import pytest
import torch

from ..cases import covering
from ..cases import numbers as arrays
from ..cases.case import Case
from ..cases.grid import CHOSEN, DEMANDING, DTYPES, OPTIONS, _fits, _reads_input, beyond, grid
from ..definition import expected
from ..definition.convolution import convolve, transposed
from ..sides import port

GRID = grid()


def test_in_the_grid_every_two_values_meet():
    met = set()
    for case in GRID:
        chosen = {name: getattr(case, name) for name in OPTIONS}
        met.update(frozenset(pair) for pair in combinations(chosen.items(), 2))
    for (a, values), (b, others) in combinations(OPTIONS.items(), 2):
        for value, other in product(values, others):
            if _fits(a, value, b, other) and _fits(b, other, a, value):
                assert frozenset(((a, value), (b, other))) in met


def test_most_of_the_grid_puts_something_to_the_test():
    """The rest is needed: crops and large kernels that leave nothing, whatever else is chosen."""
    reading = [_reads_input({name: getattr(case, name) for name in OPTIONS}) for case in GRID]
    assert sum(reading) > 0.7 * len(GRID)
    assert not all(reading)


@pytest.mark.parametrize("case", DEMANDING, ids=str)
def test_what_is_demanding_is_computed_by_the_way_that_it_is_for(case):
    conv = port.layer(case, arrays.whole(case))
    assert type(conv.lowering).__name__ == case.way


@pytest.mark.parametrize("way", CHOSEN)
def test_what_is_chosen_has_its_gradients_from_others(way):
    conv = port.layer(CHOSEN[way], arrays.whole(CHOSEN[way]))
    assert type(conv.lowering).__name__ == way
    assert conv.lowering.by_hand
    assert conv.lowering.quicker or way != "Transposed"


def test_the_grid_is_the_same_each_time_and_another_by_another_seed():
    assert grid() == GRID
    assert {case.dtype for case in grid(["float32"])} == {"float32"}
    assert [case._replace(seed=0) for case in grid(seed=1)] != [
        case._replace(seed=0) for case in GRID
    ]


def test_covering_is_small():
    """Of 4 options of 3 values no fewer than 9 rows will do; greedy needs a few more."""
    options = {name: range(3) for name in "abcd"}
    rows = list(covering.rows(options, lambda *_: True, lambda _: True, 0))
    assert 9 <= len(rows) <= 13


def test_covering_needs_rows_that_count_and_ends_without():
    options = {"a": (0, 1), "b": (0, 1)}
    rows = list(covering.rows(options, lambda *_: True, lambda row: row["a"] == 0, 0))
    assert len(rows) == 4  # two of them cannot count, and are still there


def test_random_cases_are_reproducible_one_by_one():
    few = list(beyond(5, seed=3))
    assert few == list(islice(beyond(10**9, seed=3), 5))  # and are made when asked for
    assert few != list(beyond(5, seed=4))
    assert {case.dtype for case in beyond(50, ["float16"])} == {"float16"}


@pytest.mark.parametrize("case", [*GRID, *beyond(200, seed=1)], ids=str)
def test_a_case_reads_back(case):
    assert Case.parse(str(case)) == case


def test_one_int_is_both_of_a_pair():
    case = Case.parse("stride=2, kernel=[3], size=9, lhs_dilation=(2, 3), padding=1")
    assert case == Case(stride=(2, 2), kernel=(3, 3), size=(9, 9), lhs_dilation=(2, 3), padding=1)
    assert Case.parse(str(case)) == case


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stride=(2, 1", "no list of options"),
        ("(2, 1)", "no list of options"),
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
def test_what_is_no_case_is_refused(text, reason):
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
def test_numbers_are_the_dtypes_and_whole_sums_exact(dtype):
    for case in grid([dtype])[::6]:
        for numbers in (arrays.whole(case), arrays.normal(case)):
            for array in (numbers.x, numbers.kernel, numbers.cotangent):
                there = torch.from_numpy(array).to(getattr(torch, dtype))
                np.testing.assert_array_equal(arrays.wide(there), array)
        whole = arrays.whole(case)
        sums = expected.value(case, whole)
        for array in sums:
            if array is not None:
                there = torch.from_numpy(np.asarray(array)).to(getattr(torch, dtype))
                np.testing.assert_array_equal(arrays.wide(there), array)
        assert not whole.x.size or whole.x.any()
        assert whole.kernel.any()


def test_the_mask_is_the_same_for_whole_and_other_numbers():
    for case in GRID:
        np.testing.assert_array_equal(arrays.whole(case).mask, arrays.normal(case).mask)


@pytest.mark.parametrize("memory", OPTIONS["memory"])
@pytest.mark.parametrize("channel_first", [False, True])
def test_memory_is_laid_out_as_asked(memory, channel_first):
    case = Case(memory=memory, channel_first=channel_first)
    numbers = arrays.whole(case)
    x = port.images(case, numbers.x)
    assert x.is_contiguous() == (memory == "contiguous")
    assert (0 in x.stride()) == (memory == "expanded")
    np.testing.assert_array_equal(port.array(case, x), numbers.x)


@pytest.mark.parametrize("option", ["mask", "memory"])
def test_unknown_names_are_refused(option):
    case = Case(**{option: "another"})
    with pytest.raises(ValueError, match=f"no {option} 'another'"):
        port.images(case, arrays.whole(case).x)


def test_transposed_is_the_transpose():
    """``<convolve(dx, k), y> = <dx, by_x>`` and the same for the kernel, exactly."""
    draw = random.Random(0)
    for case in beyond(40, ["float64"], seed=draw.randrange(99)):
        numbers = arrays.whole(case)
        by_x, by_kernel = transposed(numbers.x, numbers.kernel, numbers.cotangent, **case.geometry)
        y = convolve(numbers.x, numbers.kernel, **case.geometry)
        inner = (y * numbers.cotangent).sum()
        assert (by_x * numbers.x).sum() == inner
        assert (by_kernel * numbers.kernel).sum() == inner

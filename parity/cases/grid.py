"""The cases: a grid that contains each pair of values of two options, and random cases."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from torchconv2d.lowerings import LOWERINGS

from . import covering
from .case import Case, Pair
from .numbers import canvas

DTYPES = ("float32", "float64", "bfloat16", "float16", "complex64", "complex128")
HALF = ("bfloat16", "float16")

# The first value of each option fits every value of the others. Sizes, strides, dilations and
# padding differ between the axes where they can, so that swapped axes show.
OPTIONS: dict[str, Sequence[Any]] = {
    "size": ((7, 6), (6, 9), (1, 5), (8, 1), (2, 3)),
    "channels": (
        (4, 6, 1),
        (4, 6, 2),
        (4, 4, 4),
        (3, 6, 3),
        (1, 5, 1),
        (4, 1, 1),
        (1, 1, 1),
        (16, 32, 2),
    ),
    "kernel": ((3, 2), (1, 1), (2, 5), (4, 3), (9, 8)),
    "stride": ((1, 1), (2, 3), (3, 1), (1, 2), (4, 6)),
    "padding": (
        "SAME",
        "VALID",
        2,
        (1, 3),
        ((1, 2),),
        ((2, 1), (0, 3)),
        ((9, 4), (1, 8)),  # larger than the kernel
        -1,
        ((-1, 2), (2, -1)),
        ((-2, 2), (-1, 4)),
        ((-10, 13), (1, 0)),  # crops all of the input at the top
        ((1, 0), (7, -5)),  # crops nearly all of it at the right
    ),
    # These share no factor, some factors, or all factors with the strides.
    "lhs_dilation": ((1, 1), (2, 3), (3, 1), (1, 2), (6, 4)),
    "rhs_dilation": ((1, 1), (2, 3), (1, 2), (3, 1)),
    "mask": (None, "bool", "real", "taps", "outputs", "number"),
    "bias": (False, True),
    "channel_first": (False, True),
    "batch": (2, None, 1, 3),  # a check adds an empty batch
    "memory": ("contiguous", "permuted", "other layout", "expanded", "sliced"),
    "channels_last_weight": (False, True),
    # If the lowering applies, it is used instead of the layer's choice.
    "lowering": (None, *(lowering.__name__ for lowering in LOWERINGS)),
    "dtype": DTYPES,
}


# Cases for lowerings that few geometries can use.
DEMANDING = (
    Case(
        kernel=(4, 3), padding=((2, 1), (1, 2)), lhs_dilation=(2, 3), bias=True, lowering="Subpixel"
    ),
    Case(channels=(4, 6, 2), kernel=(3, 4), padding=1, lhs_dilation=(1, 2), lowering="Subpixel"),
    Case(channels=(4, 3, 1), kernel=(3, 4), lhs_dilation=(2, 3), bias=True, lowering="RowSums"),
    Case(
        kernel=(4, 3),
        padding=((1, 3), (-1, 2)),
        stride=(1, 2),
        rhs_dilation=(2, 1),
        lowering="RowSums",
    ),
    Case(channels=(9, 1, 1), kernel=(3, 4), padding=1, lhs_dilation=(2, 3), lowering="MatmulFold"),
    Case(channels=(4, 3, 1), kernel=(2, 5), rhs_dilation=(2, 1), bias=True, lowering="MatmulFold"),
    Case(channels=(4, 6, 2), padding=((1, 2), (0, 1)), lhs_dilation=(2, 3), lowering="Transposed"),
    Case(
        channels=(4, 6, 1),
        kernel=(5, 3),
        stride=(3, 5),
        padding=((2, 4), (0, 3)),
        lhs_dilation=(4, 7),
        bias=True,
        lowering="TapSums",
    ),
    Case(
        size=(6, 8),
        channels=(4, 8, 4),
        kernel=(3, 5),
        stride=(2, 3),
        bias=True,
        lowering="OverPadded",
    ),
)


# Sizes for which the layer chooses these lowerings, and another lowering for the gradients.
CHOSEN = {
    "Transposed": Case(channels=(4, 16, 1), kernel=(3, 4), lhs_dilation=(2, 3), bias=True),
    "MatmulFold": Case(size=(16, 15), channels=(24, 1, 1), kernel=(5, 3), batch=1),
    "RowSums": Case(size=(26, 22), channels=(32, 3, 1), kernel=(5, 3), batch=1),
    "Plain": Case(size=(20, 19), channels=(2, 32, 1), kernel=(7, 5), batch=1),
}


def grid(dtypes: Sequence[str] = DTYPES, seed: int = 0) -> list[Case]:
    """The demanding and the chosen cases, then the covering array, each with its own seed."""
    cases = [case._replace(dtype=dtype) for case in DEMANDING for dtype in dtypes]
    cases += [case._replace(dtype=dtype) for case in CHOSEN.values() for dtype in dtypes[:2]]
    cases += covered(tuple(dtypes), seed)
    return [case._replace(seed=seed + number) for number, case in enumerate(cases)]


@cache
def covered(dtypes: tuple[str, ...], seed: int) -> list[Case]:
    """The covering array, which takes seconds to make."""
    options = {**OPTIONS, "dtype": dtypes}
    return [Case(**row) for row in covering.rows(options, _fits, _reads_input, seed)]


def _fits(option: str, value: Any, other: str, other_value: Any) -> bool:
    """All values fit each other, except a padding that crops more than the input."""
    if option != "padding" or other != "size" or isinstance(value, str):
        return True
    pads = Case(padding=value).pads
    return all(n + sum(pad) >= 0 for n, pad in zip(other_value, pads, strict=True))


def _reads_input(row: dict[str, Any]) -> bool:
    """Whether some output reads the input and is more than the bias."""
    plan = canvas(Case(**row))
    return all(
        set(plan.places[axis]).intersection(
            window * plan.stride[axis] + tap * plan.rhs_dilation[axis]
            for window in range(plan.windows[axis])
            for tap in range(row["kernel"][axis])
        )
        for axis in (0, 1)
    )


def random_cases(count: int, dtypes: Sequence[str] = DTYPES, seed: int = 0) -> Iterator[Case]:
    """Random cases, made one at a time; the n-th does not depend on ``count``."""
    chance = random.Random(seed)
    for _ in range(count):
        yield random_case(chance, dtypes)


def random_case(chance: random.Random, dtypes: Sequence[str] = DTYPES) -> Case:
    def pair(most: int) -> Pair:
        return chance.randint(1, most), chance.randint(1, most)

    def rarely(most: int) -> Pair:
        """Mostly one, so that most options of a case are ordinary."""
        return chance.choice(((1, 1), (1, 1), pair(most)))

    size, kernel, lhs_dilation, rhs_dilation = pair(9), pair(5), rarely(4), rarely(3)
    groups = chance.choice((1, 1, 2, 3))
    pads = [
        _random_pads(chance, (n - 1) * gap + 1, (k - 1) * r + 1)
        for n, gap, k, r in zip(size, lhs_dilation, kernel, rhs_dilation, strict=True)
    ]
    return Case(
        size=size,
        channels=(groups * chance.randint(1, 3), groups * chance.randint(1, 3), groups),
        kernel=kernel,
        stride=rarely(4),
        padding=chance.choice(("SAME", "VALID", chance.randint(0, 4), tuple(pads), tuple(pads))),
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        mask=chance.choice(OPTIONS["mask"]),
        bias=chance.random() < 0.5,
        channel_first=chance.random() < 0.5,
        batch=chance.choice(OPTIONS["batch"]),
        memory=chance.choice(OPTIONS["memory"]),
        channels_last_weight=chance.random() < 0.5,
        lowering=chance.choice((None, chance.choice(OPTIONS["lowering"]))),
        dtype=chance.choice(dtypes),
        seed=chance.randrange(2**32),
    )


def _random_pads(chance: random.Random, dilated: int, extent: int) -> Pair:
    """From crops of the whole input to zeros beyond the kernel; together they crop at most all."""
    before, after = sorted(chance.randint(-dilated, extent + 2) for _ in range(2))
    after = max(after, -dilated - before)
    return (before, after) if chance.random() < 0.5 else (after, before)

"""A hypothesis strategy for cases, which shrinks towards a plain case."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import assume

from ..cases.case import Case
from ..cases.grid import DTYPES, OPTIONS

_PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def any_case(draw):
    size = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    groups, ins, outs = (draw(st.integers(1, 3)) for _ in range(3))
    side = st.tuples(st.integers(-5, 6), st.integers(-5, 6))
    padding = draw(
        st.sampled_from(["VALID", "SAME"]) | st.integers(0, 4) | side | st.tuples(side, side)
    )
    case = Case(
        size=size,
        channels=(groups * ins, groups * outs, groups),
        kernel=draw(_PAIRS),
        stride=draw(_PAIRS),
        padding=padding,
        lhs_dilation=draw(_PAIRS),
        rhs_dilation=draw(_PAIRS),
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

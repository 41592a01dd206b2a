"""The geometry compared with counting on lists, which uses none of the package's formulas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from torchconv2d import Conv2d
from torchconv2d.geometry import Axis, plan

axes = st.builds(
    Axis,
    size=st.integers(0, 9),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    lhs_dilation=st.integers(1, 4),
    rhs_dilation=st.integers(1, 4),
    before=st.integers(-30, 9),
    after=st.integers(-30, 9),
)


def dilated_list(axis: Axis) -> list[int]:
    """The dilated axis: input entries as 1, 2, ..., inserted zeros as 0."""
    entries: list[int] = []
    for entry in range(1, axis.size + 1):
        entries += ([0] * (axis.lhs_dilation - 1) if entries else []) + [entry]
    return entries


def padded_list(axis: Axis) -> list[int]:
    """The list with zeros added around it, or entries removed, one at a time; zeros first."""
    entries = [0] * max(axis.before, 0) + dilated_list(axis) + [0] * max(axis.after, 0)
    for _ in range(max(-axis.before, 0)):
        entries.pop(0)
    for _ in range(max(-axis.after, 0)):
        entries.pop()
    return entries


def count_windows(axis: Axis) -> int:
    """Lay the kernel's taps on the padded axis, one stride further each time, while they fit."""
    length, start, windows = len(padded_list(axis)), 0, 0
    while all(start + tap * axis.rhs_dilation < length for tap in range(axis.kernel)):
        windows, start = windows + 1, start + axis.stride
    return windows


def readings(axis: Axis) -> list[list[int]]:
    """What each tap of each window reads: an entry, or 0."""
    entries = padded_list(axis)
    taps = range(0, axis.kernel * axis.rhs_dilation, axis.rhs_dilation)
    starts = range(0, count_windows(axis) * axis.stride, axis.stride)
    return [[entries[start + tap] for tap in taps] for start in starts]


@given(axes)
def test_sizes_are_what_counting_finds(axis: Axis) -> None:
    assert axis.dilated == len(dilated_list(axis))
    assume(axis.padded >= 0)
    assert axis.padded == len(padded_list(axis))
    assert axis.out == count_windows(axis)


@given(axes)
def test_the_window_rebuilds_the_padded_axis(axis: Axis) -> None:
    assume(axis.padded >= 0)
    start, length, zeros_before, zeros_after = axis.window
    assert 0 <= start <= axis.dilated
    assert 0 <= length <= axis.dilated - start
    kept = dilated_list(axis)[start : start + length]
    assert [0] * zeros_before + kept + [0] * zeros_after == padded_list(axis)


@given(axes, st.sampled_from(["SAME", "SAME_LOWER"]))
def test_same_gives_as_many_outputs_as_strides_start_in_the_input(axis: Axis, name: str) -> None:
    planned = make_plan(axis, name)
    assert planned.out == len(range(0, planned.dilated, axis.stride))
    if planned.out == 1:
        return  # entries and zeros after a single window are dropped
    before, after = planned.before, planned.after
    total = before + after
    # The extra zero goes after or before. With one zero fewer, a window would be missing.
    assert {"SAME": after - before, "SAME_LOWER": before - after}[name] == total % 2
    if total and axis.size:
        assert count_windows(planned._replace(before=0, after=total - 1)) < planned.out


@given(axes)
def test_valid_adds_nothing(axis: Axis) -> None:
    assert readings(make_plan(axis, "VALID")) == readings(axis._replace(before=0, after=0))


@given(axes)
def test_explicit_padding_is_read_as_it_is_and_refused_only_where_it_takes_too_much(
    axis: Axis,
) -> None:
    pads = ((axis.before, axis.after), (0, 0))
    if axis.before + axis.after + len(dilated_list(axis)) < 0:
        with pytest.raises(ValueError, match=r"padding.*height"):
            make_plan(axis, pads)
    else:
        assert readings(make_plan(axis, pads)) == readings(axis)


def make_plan(axis: Axis, padding: Any) -> Axis:
    """The height of a plan with a different width."""
    geometry = plan(
        size=(axis.size, 11),
        kernel=(axis.kernel, 3),
        stride=(axis.stride, 2),
        padding=padding,
        lhs_dilation=(axis.lhs_dilation, 3),
        rhs_dilation=(axis.rhs_dilation, 2),
        in_channels=4,
        out_channels=6,
        groups=2,
    )
    assert (geometry.in_channels, geometry.out_channels, geometry.groups) == (4, 6, 2)
    assert geometry.width[:5] == (11, 3, 2, 3, 2)
    return geometry.height


@given(axes)
def test_an_axis_reads_its_input_where_a_tap_meets_an_entry(axis: Axis) -> None:
    assume(axis.padded >= 0)
    entries = padded_list(axis)
    starts = range(0, count_windows(axis) * axis.stride, axis.stride)
    read = {entries[start + u * axis.rhs_dilation] for start in starts for u in range(axis.kernel)}
    assert axis.reads_input == (bool(read - {0}))


def test_huge_geometries_are_planned_at_once() -> None:
    """Counting would take hours."""
    largest = 2**31 - 1
    assert not Axis(7, 3, 2, 2, 2, largest // 2 * 2 + 1, -largest).reads_input
    assert Axis(7, 3, 1, 1, 1, largest, largest).reads_input
    assert Axis(largest, 3, largest, 1, 1, 0, 0).reads_input
    layer = Conv2d((7, 6, 4), 6, (3, 2), lhs_dilation=(largest, 1), padding=(largest, 3))
    assert layer.out_size == (6 * largest + 1 + 2 * largest - 2, 11, 6)


def test_an_output_too_large_to_address_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"an output of fewer than 2\*\*59 numbers, not of \d+: \("
    ):
        Conv2d((7, 6, 4), 6, (3, 2), lhs_dilation=2**27)

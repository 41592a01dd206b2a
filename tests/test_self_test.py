"""The test of the processor, which decides where a layer computes in bfloat16."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import normal_numbers
from torch import Tensor

from torchconv2d import Conv2d
from torchconv2d.geometry import plan
from torchconv2d.lowerings import self_test
from torchconv2d.lowerings.self_test import Sample

STRIDES, PADDING = (1, 2), (1, 2)


def exactly(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The outputs, each rounded once to ``dtype``."""
    return F.conv2d(sample.x.double(), sample.weight.double(), None, STRIDES, PADDING).to(dtype)


def in_parts(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The sum over the kernel's rows of sums that are rounded."""
    rows = torch.eye(sample.weight.size(2)).reshape(-1, 1, 1, sample.weight.size(2), 1)
    parts = [replaced(sample, weight=sample.weight * row) for row in rows]
    return sum(exactly(part, dtype) for part in parts)  # pyright: ignore


def replaced(sample: Sample, **operands: Tensor) -> Sample:
    other = copy.copy(sample)
    vars(other).update(operands)
    return other


def cleared(sample: Sample, dtype: torch.dtype) -> Tensor:
    """A NaN is taken for a zero."""
    return exactly(replaced(sample, x=sample.x.nan_to_num(nan=0.0)), dtype)


def reading_one_more(sample: Sample, dtype: torch.dtype) -> Tensor:
    """Each window reads one more column of one channel, and multiplies it by zero.

    oneDNN reads one more number if the number of channels is odd.
    """
    x, weight = sample.x.double(), sample.weight.double()
    further = torch.zeros_like(weight[:, :1])
    more = F.conv2d(F.pad(x[:, :1], (2, 2, 1, 1)).roll(-1, 3), further, None, STRIDES)
    return (F.conv2d(x, weight, None, STRIDES, PADDING) + more).to(dtype)


@pytest.mark.parametrize("channels", [(1, 1), (4, 6), (33, 5)])
@pytest.mark.parametrize("wrong", [None, in_parts, cleared, reading_one_more])
def test_the_self_test_of_the_outputs(channels: tuple[int, int], wrong: Any) -> None:
    geometry = plan((9, 8), (3, 2), STRIDES, ((1, 1), (2, 2)), (1, 1), (1, 1), *channels, 1)

    def compute(sample: Sample, dtype: torch.dtype) -> Tensor:
        return (wrong if wrong and dtype == torch.bfloat16 else exactly)(sample, dtype)

    for channels_last in ((False, True), (True, False)):
        samples = self_test.of_outputs(geometry, channels_last)
        assert self_test.sums_exactly(compute, samples) is (wrong is None)


@pytest.mark.parametrize("at", [(0, 0), (3, 5), (7, 2)])
def test_a_leak_into_a_single_output_is_found(at: tuple[int, int]) -> None:
    """The output reads one more entry next to its window; rows follow each other in memory."""
    geometry = plan((9, 8), (3, 3), (1, 1), "SAME", (1, 1), (1, 1), 2, 3, 1)
    row, column = at
    unread = [(row, (column + 2) % 8), ((row + 2) % 9, column), ((row + 2) % 9, (column + 2) % 8)]
    for other in unread:

        def leaking(sample: Sample, dtype: torch.dtype, other: tuple[int, int] = other) -> Tensor:
            y = F.conv2d(sample.x.double(), sample.weight.double(), None, 1, 1)
            if dtype == torch.bfloat16:
                y[:, :, row, column] += 0 * sample.x[:, :1, other[0], other[1]]
            return y.to(dtype)

        samples = self_test.of_outputs(geometry, (True, True))
        assert not self_test.sums_exactly(leaking, samples), other


def test_a_leak_between_groups_is_found() -> None:
    geometry = plan((5, 4), (1, 1), (1, 1), "SAME", (1, 1), (1, 1), 9, 6, 3)

    def leaking(sample: Sample, dtype: torch.dtype) -> Tensor:
        y = F.conv2d(sample.x.double(), sample.weight.double(), groups=3)
        if dtype == torch.bfloat16:  # each channel reads the next one too
            y[:, 1:2] += 0 * sample.x[:, 3:4]
        return y.to(dtype)

    assert not self_test.sums_exactly(leaking, self_test.of_outputs(geometry, (True, True)))


@pytest.mark.usefixtures("_tested_again")
def test_rows_of_a_larger_image_are_read_as_any_image() -> None:
    """Of such a view, slices have another memory format, in which oneDNN may spread a NaN."""
    layer = Conv2d((3, 28, 2), 4, 1, stride=(2, 1), groups=2).bfloat16()
    x = normal_numbers((2, 6, 28, 2), 3, torch.bfloat16)[:, :3]
    x[0, 0, 9, 0] = torch.nan
    with torch.no_grad():
        y = layer(x)
    assert y.isnan().nonzero().tolist() == [[0, 0, 9, 0], [0, 0, 9, 1]]


def of_weight(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The weight gradient of a valid convolution, tap by tap, each sum rounded once."""
    x, gradient = sample.x.double(), sample.gradient.double()
    rows, columns = gradient.shape[2:]
    taps = [
        torch.einsum("bohw,bchw->oc", gradient, x[:, :, u : u + rows, v : v + columns])
        for u in range(3)
        for v in range(2)
    ]
    return torch.stack(taps, -1).unflatten(-1, (3, 2)).to(dtype)


def of_weight_in_parts(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The sum over the images of sums that are rounded."""
    pairs = zip(sample.x.split(1), sample.gradient.split(1), strict=True)
    return sum(of_weight(replaced(sample, x=x, gradient=g), dtype) for x, g in pairs)  # pyright: ignore


def of_weight_reading_one_more(sample: Sample, dtype: torch.dtype) -> Tensor:
    """Each tap multiplies one more column of the image by zero."""
    found = of_weight(sample, dtype)
    for v in range(2):
        column = sample.x[:, :, :, sample.gradient.size(3) - 1 + v :][..., 1:2]
        found[:, :, :, v] += 0 * column.sum().to(dtype)
    return found


def of_weight_mixing_channels(sample: Sample, dtype: torch.dtype) -> Tensor:
    """The last channel reads the others' gradients too."""
    found = of_weight(sample, dtype)
    found[-1] += 0 * sample.gradient.sum().to(dtype)
    return found


@pytest.mark.parametrize(
    "wrong",
    [None, of_weight_in_parts, of_weight_reading_one_more, of_weight_mixing_channels],
)
def test_the_self_test_of_the_weight_gradient(wrong: Any) -> None:
    geometry = plan((9, 8), (3, 2), (1, 1), "VALID", (1, 1), (1, 1), 4, 5, 1)

    def compute(sample: Sample, dtype: torch.dtype) -> Tensor:
        return (wrong if wrong and dtype == torch.bfloat16 else of_weight)(sample, dtype)

    samples = self_test.of_weight_gradient(geometry, (True, False))
    assert self_test.sums_exactly(compute, samples) is (wrong is None)


@pytest.mark.usefixtures("_tested_again")
def test_an_entry_beside_the_window_does_not_reach_the_output() -> None:
    """On processors with bfloat16 instructions oneDNN spreads a NaN here, so float32 is used."""
    layer = Conv2d((1, 5, 1), 1, 1, stride=(2, 3), padding=((2, 1), (0, 3)), b_init=0.5).bfloat16()
    x = normal_numbers((2, 1, 5, 1), 3, torch.bfloat16)
    for column in range(5):
        spoilt = x.clone()
        spoilt[0, 0, column] = torch.nan
        with torch.no_grad():
            reached = layer(spoilt).isnan()[0, 1, :, 0].tolist()
        assert reached == [column == 0, column == 3, False]

"""The memory that the layer allocates: the sum over all operations."""

from __future__ import annotations

import math

import pytest
import torch
from operations import Operations

from torchconv2d import Conv2d

BATCH = 3


def beyond_the_output(layer: Conv2d) -> float:
    """Bytes allocated in inference beyond the output, divided by the output's bytes."""
    x = torch.randn(BATCH, *layer.in_size)
    with torch.no_grad(), Operations() as operations:
        y = layer(x)
    known = {each.untyped_storage().data_ptr() for each in (x, *layer.parameters())}
    storages = [each.untyped_storage() for each in operations.made]
    new = {each.data_ptr(): each.nbytes() for each in storages if each.data_ptr() not in known}
    assert y.untyped_storage().data_ptr() in new
    return (sum(new.values()) - y.nbytes) / y.nbytes


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": (3, 5)},
        {"kernel_size": (5, 3), "stride": (3, 2), "padding": "VALID"},
        {"kernel_size": 3, "padding": (1, 2), "rhs_dilation": (2, 1)},
        {"kernel_size": (3, 7), "groups": 8, "out_channels": 8},
        {"kernel_size": 1, "padding": [(-1, -2), (0, -3)]},
    ],
)
@pytest.mark.parametrize("channel_first", [False, True])
def test_even_padding_allocates_the_output_alone(arguments: dict, channel_first: bool) -> None:
    in_size = (8, 21, 26) if channel_first else (21, 26, 8)
    options = {"out_channels": 24, **arguments}
    assert beyond_the_output(Conv2d(in_size, channel_first=channel_first, **options)) == 0


def test_uneven_padding_of_a_larger_input_copies_the_output_not_the_input() -> None:
    layer = Conv2d((56, 58, 32), 32, 3, stride=2, groups=32)
    assert beyond_the_output(layer) < 1.2  # the outputs that are dropped, a row and a column


@pytest.mark.parametrize("dilation", [2, 4, 8])
@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        # Transposed: the flipped weight.
        ({"out_channels": 24}, 0.1),
        # Subpixel: all phases, the interleaved phases, and the weights.
        ({"out_channels": 2}, 3),
        # Phases: each phase.
        ({"out_channels": 24, "stride": 3}, 1.3),
    ],
)
def test_dilation_allocates_no_more_the_more_it_dilates(
    arguments: dict, most: float, dilation: int
) -> None:
    layer = Conv2d((20, 23, 16), kernel_size=2 * dilation, lhs_dilation=dilation, **arguments)
    dilated = math.prod((20 * dilation, 23 * dilation, 16)) / math.prod(layer.out_size)
    figure = beyond_the_output(layer)
    assert figure < most
    assert figure < dilated

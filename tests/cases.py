"""The table of layers that drives the tests; ``refusals.py`` has the arguments to refuse.

Every case is a dictionary of arguments of ``Conv2d``. Height and width, input and output channels,
and all values per axis differ, so that swaps show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import torchconv2d
from parity.definition.expected import layer_output

BASE: dict[str, Any] = {"in_size": (7, 6, 4), "out_channels": 6, "kernel_size": (3, 2)}

_checkerboard = np.arange(3 * 2 * 4 * 6).reshape(3, 2, 4, 6) % 3 > 0


def _drawn_mask(shape: tuple[int, ...]) -> torch.Tensor:
    return (torch.arange(int(np.prod(shape))).reshape(shape) % 5 > 1).float()


VALID: dict[str, dict[str, Any]] = {
    # padding
    "same": {},
    "same_odd": {"kernel_size": (3, 5)},
    "same_stride": {"stride": (2, 3)},
    "same_stride_even_input": {"in_size": (8, 10, 4), "kernel_size": 3, "stride": 2},
    "same_stride_beyond_kernel": {"kernel_size": (2, 1), "stride": (3, 4)},
    "valid": {"padding": "VALID"},
    "valid_stride": {"padding": "VALID", "stride": (2, 3)},
    "int": {"padding": 2},
    "int_negative": {"padding": -1},
    "per_axis": {"padding": (1, 2)},
    "per_axis_mixed": {"padding": (-1, 2)},
    "one_pair": {"padding": [(2, 1)]},
    "pairs": {"padding": [(1, 2), (0, 1)]},
    "pairs_as_lists": {"padding": [[0, 2], [1, 0]], "stride": (1, 2)},
    "even_but_for_the_stride": {"padding": [(1, 0), (2, 3)], "kernel_size": 3, "stride": (4, 3)},
    "crop": {"padding": [(-1, -2), (0, -1)]},
    "crop_stride": {"padding": [(-1, -1), (-2, 0)], "stride": (2, 1)},
    "crop_before_pad_after": {"padding": [(-1, 2), (-2, 3)]},
    "pad_before_crop_after": {"padding": [(2, -1), (3, -2)]},
    "crop_past_the_input": {"padding": [(-9, 12), (1, 0)]},
    "crop_past_the_end": {"padding": [(12, -9), (0, 1)]},
    "pad_beyond_the_kernel": {"padding": [(4, 4), (3, 3)]},
    # dilation of the kernel
    "rhs": {"rhs_dilation": (2, 3)},
    "rhs_stride": {"rhs_dilation": (3, 2), "stride": (2, 3)},
    "rhs_valid": {"rhs_dilation": (2, 4), "padding": "VALID"},
    # dilation of the input
    "lhs_same": {"lhs_dilation": (2, 3)},
    "lhs_valid": {"lhs_dilation": (3, 2), "padding": "VALID"},
    "lhs_upsample": {"lhs_dilation": 2, "kernel_size": (4, 3), "padding": [(2, 2), (1, 2)]},
    "lhs_one_axis": {"lhs_dilation": (1, 2), "padding": [(1, 1), (1, 0)]},
    "lhs_output_padding": {"lhs_dilation": (3, 2), "padding": [(2, 4), (1, 2)]},
    "lhs_uneven_crop": {"lhs_dilation": 2, "kernel_size": 3, "padding": [(2, 1), (1, 2)]},
    "lhs_wide_padding": {"lhs_dilation": (2, 3), "padding": [(4, 5), (6, 2)]},
    "lhs_crop": {"lhs_dilation": (2, 3), "padding": [(-3, 1), (2, -4)]},
    "lhs_crop_past_the_input": {"lhs_dilation": 2, "padding": [(-14, 6), (0, 1)]},
    "lhs_stride": {"lhs_dilation": (2, 3), "stride": (3, 2)},
    "lhs_small_phases": {"kernel_size": (3, 4), "lhs_dilation": (3, 4), "stride": (2, 3)},
    "lhs_equals_stride": {"lhs_dilation": 3, "stride": 3, "padding": [(2, 1), (1, 3)]},
    "lhs_stride_rhs": {"lhs_dilation": (2, 3), "stride": (3, 2), "rhs_dilation": (2, 1)},
    "lhs_rhs": {"lhs_dilation": (3, 2), "rhs_dilation": (2, 3)},
    # an output padding above the stride, which ONNX does not have
    "lhs_rhs_apart": {"kernel_size": (3, 4), "lhs_dilation": (4, 1), "rhs_dilation": (1, 3)},
    # channels
    "groups": {"groups": 2},
    "groups_lhs": {"groups": 2, "lhs_dilation": (2, 3)},
    "depthwise_stride": {
        "in_size": (8, 10, 4),
        "out_channels": 4,
        "groups": 4,
        "kernel_size": 3,
        "stride": 2,
    },
    "depthwise": {"groups": 4, "out_channels": 4},
    "depthwise_multiplier": {"groups": 4, "out_channels": 12, "stride": (2, 1)},
    "depthwise_lhs_stride": {"groups": 4, "out_channels": 8, "lhs_dilation": 2, "stride": (1, 3)},
    "one_input_channel": {"in_size": (7, 6, 1)},
    "one_input_channel_lhs": {"in_size": (7, 6, 1), "lhs_dilation": 2},
    "one_input_channel_one_column": {
        "in_size": (9, 5, 1),
        "kernel_size": 4,
        "stride": (1, 2),
        "padding": "VALID",
    },
    "one_input_channel_one_column_lhs": {
        "in_size": (9, 3, 1),
        "kernel_size": (3, 5),
        "stride": (1, 4),
        "lhs_dilation": (2, 3),
        "padding": [(1, 0), (0, 1)],
    },
    "groups_flat_kernel": {
        "in_size": (5, 5, 6),
        "out_channels": 9,
        "kernel_size": (1, 5),
        "stride": (3, 4),
        "padding": [(3, 0), (0, 0)],
        "groups": 3,
    },
    "groups_flat_kernel_lhs": {
        "in_size": (7, 7, 4),
        "kernel_size": (3, 1),
        "stride": (2, 1),
        "lhs_dilation": (1, 3),
        "rhs_dilation": (4, 4),
        "groups": 2,
    },
    "lone_tap_dilated": {
        "in_size": (8, 1, 4),
        "kernel_size": (4, 1),
        "stride": (3, 2),
        "rhs_dilation": (1, 2),
        "padding": (0, 1),
    },
    "one_output_channel": {"out_channels": 1},
    "lone_output_channel": {"in_size": (16, 15, 24), "out_channels": 1, "kernel_size": (5, 3)},
    "lone_output_channel_lhs": {
        "in_size": (14, 16, 20),
        "out_channels": 1,
        "kernel_size": (3, 4),
        "lhs_dilation": (2, 3),
        "padding": [(2, 1), (1, 3)],
    },
    "few_output_channels": {"in_size": (34, 27, 12), "out_channels": 3, "kernel_size": (4, 7)},
    "few_output_channels_lhs": {
        "in_size": (27, 34, 12),
        "out_channels": 2,
        "kernel_size": (5, 9),
        "lhs_dilation": (3, 2),
        "padding": [(3, 2), (4, 5)],
    },
    "few_input_channels": {
        "in_size": (83, 70, 2),
        "out_channels": 12,
        "kernel_size": (5, 7),
        "stride": (2, 3),
    },
    "few_output_channels_subpixel": {
        "kernel_size": (4, 3),
        "out_channels": 2,
        "lhs_dilation": (2, 3),
        "padding": [(1, 2), (2, 1)],
    },
    # sizes
    "pointwise": {"kernel_size": 1},
    "pointwise_stride": {"kernel_size": 1, "stride": (3, 2)},
    "one_pixel": {"in_size": (1, 1, 4)},
    "one_pixel_lhs": {"in_size": (1, 1, 4), "lhs_dilation": 3, "padding": 2},
    "one_row": {"in_size": (1, 9, 4)},
    "kernel_beyond_input": {"kernel_size": (9, 8)},
    # mask, bias, layout
    "mask": {"w_mask": _checkerboard},
    "mask_scalar": {"w_mask": -2.0},
    "mask_per_tap": {"w_mask": np.arange(6.0).reshape(3, 2, 1, 1) - 2},
    "mask_per_output": {"w_mask": [1, 0, 2, 0, -1, 3]},
    "mask_drawn": {"w_mask": _drawn_mask},
    "mask_lhs": {"w_mask": _checkerboard, "lhs_dilation": (2, 3), "b_init": [3, 1, 4, 1, -5, 9]},
    "bias": {"b_init": np.array([3, 1, 4, 1, -5, 9])},
    "bias_stride": {"b_init": 2.0, "stride": (2, 3)},
    "channel_first": {"in_size": (4, 7, 6), "channel_first": True, "b_init": [3, 1, 4, 1, -5, 9]},
    "channel_first_lhs": {"in_size": (4, 7, 6), "channel_first": True, "lhs_dilation": (2, 3)},
    "channel_first_stride": {
        "in_size": (4, 7, 6),
        "channel_first": True,
        "stride": (2, 3),
        "w_mask": _checkerboard,
    },
    # nothing to compute
    "empty": {"kernel_size": (8, 2), "padding": "VALID", "b_init": 1.0},
    "empty_width": {"kernel_size": (3, 9), "padding": [(0, 0), (1, 0)]},
    "empty_after_crop": {"padding": [(-4, -3), (0, 0)]},
    "empty_lhs": {"lhs_dilation": 2, "kernel_size": (14, 2), "padding": "VALID"},
    "no_entry": {"lhs_dilation": 3, "stride": 3, "kernel_size": 1, "padding": 1, "b_init": 2.0},
    "no_output_channels": {"out_channels": 0, "b_init": 1.0, "w_mask": 2.0},
}


def whole_numbers(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Integers from -4 to 4, in both parts of complex numbers: their sums are exact."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randint(-4, 5, shape, generator=generator).to(dtype)
    if dtype.is_complex:
        value = value + 1j * torch.randint(-4, 5, shape, generator=generator).to(dtype)
    return value


def normal_numbers(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Standard normal numbers, drawn in float64 and rounded to ``dtype``."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(shape, generator=generator, dtype=wide).to(dtype)


def make_layer(
    case: str,
    /,
    dtype: torch.dtype = torch.float32,
    numbers: Any = whole_numbers,
    **changes: Any,
) -> torchconv2d.Conv2d:
    """The layer of a valid case; ``numbers`` draws its kernel, with a seed from the name."""
    arguments = {
        **BASE,
        "w_init": lambda shape: numbers(shape, len(case), dtype),
        **VALID[case],
        "dtype": dtype,
        **changes,
    }
    return torchconv2d.Conv2d(**arguments)


def make_input(
    layer: torchconv2d.Conv2d, numbers: Any = whole_numbers, batch: tuple[int, ...] = (2,)
) -> torch.Tensor:
    """An input for the layer."""
    return numbers((*batch, *layer.in_size), 17, layer.weight.dtype)


def assert_within_the_bound(layer: torchconv2d.Conv2d, x: torch.Tensor) -> None:
    """Whether gradients are recorded is the caller's choice."""
    value, bound = layer_output(layer, x)
    assert torch.all((layer(x).double() - value).abs() <= bound)

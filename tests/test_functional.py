"""``conv_general_dilated``: every layout, both group counts, every refusal."""

from __future__ import annotations

import itertools
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from cases import VALID, make_input, make_layer, whole_numbers

from torchconv2d import conv_general_dilated

NHWC = ("NHWC", "HWIO", "NHWC")


def operands(in_channels: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    x = whole_numbers((2, 7, 6, 4), 1, torch.float64)
    return x, whole_numbers((3, 2, in_channels, 6), 2, torch.float64)


@pytest.mark.parametrize("name", VALID)
def test_it_is_the_layer_without_a_state(name: str) -> None:
    layer = make_layer(name, b_init=None, dtype=torch.float64)
    x = make_input(layer)
    layout = "NCHW" if layer.channel_first else "NHWC"
    y = conv_general_dilated(
        x,
        layer.kernel if layer.w_mask is None else layer.kernel * layer.w_mask,
        layer.stride,
        layer.padding,
        layer.lhs_dilation,
        layer.rhs_dilation,
        (layout, "HWIO", layout),
        layer.groups,
    )
    assert torch.equal(y, layer(x))
    assert y.is_contiguous()


ORDERS = ["".join(order) for order in itertools.permutations("NCHW")]


@pytest.mark.parametrize("lhs", ORDERS)
def test_any_order_of_axes(lhs: str) -> None:
    """Every order of the input's axes, each with different orders for output and kernel."""
    at = ORDERS.index(lhs)
    out = ORDERS[(at * 7 + 5) % 24]
    # The order of H and W in the kernel's string determines which axis has which stride.
    rhs = ORDERS[(at * 11 + 3) % 24].replace("N", "O").replace("C", "I")
    x, kernel = operands()
    pads, stride, dilation = [(2, 0), (-1, 1)], (2, 3), (1, 2)
    expected = conv_general_dilated(x, kernel, stride, pads, (2, 1), dilation, NHWC)
    if rhs.index("H") > rhs.index("W"):
        stride, pads, dilation, lhs_dilation = stride[::-1], pads[::-1], dilation[::-1], (1, 2)
    else:
        lhs_dilation = (2, 1)
    y = conv_general_dilated(
        torch.einsum(f"NHWC->{lhs}", x),
        torch.einsum(f"HWIO->{rhs}", kernel),
        stride,
        pads,
        lhs_dilation,
        dilation,
        (lhs, rhs, out),
    )
    assert torch.equal(y, torch.einsum(f"NHWC->{out}", expected))
    assert y.is_contiguous()


def test_spatial_axes_by_any_name_and_specs_by_number() -> None:
    x, kernel = operands()
    expected = conv_general_dilated(x, kernel, (2, 1), "SAME", dimension_numbers=NHWC)
    named = conv_general_dilated(
        x, kernel, (2, 1), "SAME", dimension_numbers=["N0xC", "0xIO", "N0xC"]
    )
    assert torch.equal(named, expected)
    specs = namedtuple("ConvDimensionNumbers", "lhs_spec rhs_spec out_spec")
    numbers = specs((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    numbered = conv_general_dilated(x, kernel, (2, 1), "SAME", dimension_numbers=numbers)
    assert torch.equal(numbered, expected)
    default = conv_general_dilated(
        x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), (2, 1), "SAME"
    )
    assert torch.equal(default, expected.permute(0, 3, 1, 2))


def test_same_lower_puts_the_extra_zero_before() -> None:
    x, kernel = operands()
    for spelling in ("SAME_LOWER", "same_lower"):
        lower = conv_general_dilated(x, kernel, (2, 1), spelling, dimension_numbers=NHWC)
        # Height 7, kernel 3, stride 2: one before and one after. Width 6, kernel 2: one before.
        assert torch.equal(
            lower,
            conv_general_dilated(x, kernel, (2, 1), [(1, 1), (1, 0)], dimension_numbers=NHWC),
        )
    same = conv_general_dilated(x, kernel, (2, 1), "same", dimension_numbers=NHWC)
    assert not torch.equal(lower, same)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_batch_groups_are_convolved_each_with_its_outputs(count: int) -> None:
    x = whole_numbers((6, 7, 6, 4), 1, torch.float64)
    kernel = whole_numbers((3, 2, 4, 12), 2, torch.float64)
    y = conv_general_dilated(x, kernel, (2, 1), "SAME", (1, 2), None, NHWC, batch_group_count=count)
    parts = [
        conv_general_dilated(part, taps, (2, 1), "SAME", (1, 2), None, NHWC)
        for part, taps in zip(x.chunk(count, 0), kernel.chunk(count, 3), strict=True)
    ]
    assert torch.equal(y, torch.cat(parts, 3))


def test_sizes_of_zero() -> None:
    kernel = whole_numbers((3, 2, 4, 6), 2, torch.float64).requires_grad_()
    for shape, expected in (
        ((0, 7, 6, 4), (0, 8, 5, 6)),
        ((2, 0, 6, 4), (2, 1, 5, 6)),
        ((2, 7, 1, 4), (2, 8, 0, 6)),
    ):
        x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        y = conv_general_dilated(x, kernel, (1, 1), [(1, 2), (0, 0)], dimension_numbers=NHWC)
        assert y.shape == expected
        gradients = torch.autograd.grad(y.sum(), (x, kernel))
        assert [g.shape for g in gradients] == [x.shape, kernel.shape]
    x = torch.ones(2, 0, 6, 4, dtype=torch.float64)
    y = conv_general_dilated(
        x, kernel, (1, 1), [(1, 2), (0, 0)], dimension_numbers=NHWC, batch_group_count=2
    )
    assert torch.equal(y, torch.zeros(1, 1, 5, 6, dtype=torch.float64))
    x = torch.ones(2, 7, 6, 0, dtype=torch.float64)
    y = conv_general_dilated(x, kernel[:, :, :0], (1, 1), "VALID", dimension_numbers=NHWC)
    assert torch.equal(y, torch.zeros(2, 5, 5, 6, dtype=torch.float64))


@pytest.mark.parametrize("as_array", [np.array, torch.tensor])
def test_arrays_as_strides_dilations_and_padding(as_array: Any) -> None:
    x, kernel = operands()
    stride, pads, lhs_dilation, rhs_dilation = (2, 3), [(2, 0), (-1, 1)], (2, 1), (1, 2)
    settings = stride, pads, lhs_dilation, rhs_dilation
    expected = conv_general_dilated(x, kernel, *settings, NHWC)
    y = conv_general_dilated(x, kernel, *map(as_array, settings), NHWC)
    assert torch.equal(y, expected)
    pairs = [as_array(pair) for pair in pads]
    y = conv_general_dilated(x, kernel, [*map(as_array, stride)], pairs, (2, 1), (1, 2), NHWC)
    assert torch.equal(y, expected)


def test_the_other_arguments_of_jax_may_say_nothing_new() -> None:
    """Flax and Haiku pass both as None at each call."""
    x, kernel = operands()
    expected = conv_general_dilated(x, kernel, (2, 1), "SAME", None, None, NHWC)
    for dtype in (None, torch.float64, np.float64, np.dtype("float64"), "float64"):
        y = conv_general_dilated(
            x, kernel, (2, 1), "SAME", None, None, NHWC, 1, 1, None, preferred_element_type=dtype
        )
        assert torch.equal(y, expected)


CALL: dict[str, Any] = {
    "lhs": torch.zeros(2, 7, 6, 4),
    "rhs": torch.zeros(3, 2, 4, 6),
    "window_strides": (1, 1),
    "padding": "SAME",
    "dimension_numbers": NHWC,
}


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"lhs": torch.zeros(2, 7, 4)}, ValueError, ["lhs", "four axes", "(2, 7, 4)"]),
        ({"rhs": torch.zeros(3, 2, 2, 4, 6)}, ValueError, ["rhs", "four axes", "(3, 2, 2, 4, 6)"]),
        ({"lhs": [[0.0]]}, TypeError, ["lhs", "Tensor", "list"]),
        ({"lhs": torch.zeros(2, 7, 6, 4).bool()}, TypeError, ["lhs", "torch.bool"]),
        ({"rhs": torch.zeros(3, 2, 4, 6).double()}, TypeError, ["float32", "float64"]),
        ({"rhs": torch.zeros(3, 2, 4, 6, device="meta")}, ValueError, ["cpu", "meta"]),
        ({"rhs": torch.zeros(3, 2, 5, 6)}, ValueError, ["rhs", "4 / 1", "5"]),
        ({"rhs": torch.zeros(0, 2, 4, 6)}, ValueError, ["rhs", "tap", "(0, 2)"]),
        ({"window_strides": (1, 2, 3)}, TypeError, ["window_strides", "(1, 2, 3)"]),
        ({"window_strides": (0, 1)}, ValueError, ["window_strides", "0"]),
        ({"padding": "FULL"}, ValueError, ["padding", "'SAME_LOWER'", "'FULL'"]),
        ({"padding": [(1, 2), (3,)]}, ValueError, ["padding", "(3,)"]),
        ({"padding": [(-9, 0), (0, 0)]}, ValueError, ["padding", "height", "2 too many"]),
        ({"lhs_dilation": (0, 1)}, TypeError, ["lhs_dilation", "0"]),
        ({"rhs_dilation": (1.5, 1)}, TypeError, ["rhs_dilation", "1.5"]),
        ({"feature_group_count": 0}, ValueError, ["feature_group_count", "0"]),
        ({"feature_group_count": 2}, ValueError, ["feature_group_count", "4 / 2"]),
        (
            {"feature_group_count": 4, "rhs": torch.zeros(3, 2, 1, 6)},
            ValueError,
            ["feature_group_count", "4", "6"],
        ),
        ({"batch_group_count": 3}, ValueError, ["batch_group_count", "3", "batch, 2"]),
        (
            {"batch_group_count": 4, "lhs": torch.zeros(4, 7, 6, 4)},
            ValueError,
            ["batch_group_count", "4", "6 output"],
        ),
        (
            {"batch_group_count": 2, "feature_group_count": 2, "rhs": torch.zeros(3, 2, 2, 6)},
            ValueError,
            ["batch_group_count", "feature_group_count"],
        ),
        ({"dimension_numbers": "NHWC"}, TypeError, ["dimension_numbers", "'NHWC'"]),
        ({"dimension_numbers": ("NHWC", "HWIO")}, TypeError, ["dimension_numbers", "three"]),
        ({"dimension_numbers": ("NHWC", "HWIO", "NHC")}, TypeError, ["out", "four", "'NHC'"]),
        ({"dimension_numbers": ("NHWW", "HWIO", "NHWC")}, TypeError, ["lhs", "different"]),
        ({"dimension_numbers": ("NHWC", "HWIC", "NHWC")}, TypeError, ["rhs", "'O'", "'HWIC'"]),
        ({"dimension_numbers": ("NXYC", "HWIO", "NHWC")}, TypeError, ["same two", "NXYC"]),
        ({"dimension_numbers": (0, 1, 2)}, TypeError, ["dimension_numbers", "got 1"]),
        ({"window_strides": np.array([1.5, 1])}, TypeError, ["window_strides", "1.5"]),
        ({"window_strides": np.array([[1, 2]])}, TypeError, ["window_strides", "[1, 2]"]),
        ({"padding": np.array([1, 2, 3])}, ValueError, ["padding", "[1, 2, 3]"]),
        ({"precision": "highest"}, ValueError, ["precision", "'highest'", "full_precision"]),
        (
            {"preferred_element_type": torch.float64},
            TypeError,
            ["preferred_element_type", "torch.float32", "torch.float64", ".to(dtype)"],
        ),
        ({"preferred_element_type": np.int32}, TypeError, ["preferred_element_type", "int32"]),
        ({"preferred_element_type": "wide"}, TypeError, ["preferred_element_type", "'wide'"]),
    ],
)
def test_refused(changes: dict[str, Any], error: type[Exception], fragments: list[str]) -> None:
    assert conv_general_dilated(**CALL).shape == (2, 7, 6, 6)
    with pytest.raises(error) as caught:
        conv_general_dilated(**{**CALL, **changes})
    assert type(caught.value) is error
    for fragment in fragments:
        assert fragment in str(caught.value)

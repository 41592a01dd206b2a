"""Which lowering a layer gets."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from cases import VALID, make_layer, whole_numbers

from torchconv2d import lowerings
from torchconv2d.geometry import plan
from torchconv2d.lowerings.choose import choose_for_export, has_few_outputs, most_images
from torchconv2d.lowerings.choose_gradient import (
    PhasesWeightGradient,
    TapSumsWeightGradient,
    has_own_gradients,
)


@pytest.mark.parametrize(
    ("lowering", "names"),
    [
        (lowerings.BiasOnly, ["empty", "empty_after_crop", "crop_past_the_input", "no_entry"]),
        (lowerings.Plain, ["valid_stride", "int", "int_negative", "crop_stride", "depthwise_odd"]),
        (lowerings.Plain, ["even_but_for_the_stride", "pointwise_stride", "same_odd"]),
        (lowerings.OverPadded, ["groups", "depthwise_stride"]),
        (lowerings.RowSums, ["few_output_channels", "few_output_channels_lhs"]),
        (lowerings.MatmulFold, ["lone_output_channel", "lone_output_channel_lhs"]),
        (lowerings.Subpixel, ["few_output_channels_subpixel", "lhs_one_axis"]),
        (
            lowerings.Padded,
            [
                "same",
                "pairs",
                "same_stride_even_input",
                "crop_before_pad_after",
                "pad_before_crop_after",
            ],
        ),
        (lowerings.Transposed, ["lhs_upsample", "lhs_uneven_crop", "lhs_same"]),
        (lowerings.Phases, ["depthwise_lhs_stride", "groups_flat_kernel_lhs", "lhs_stride_rhs"]),
        (lowerings.TapSums, ["lhs_small_phases"]),
    ],
)
def test_the_choice(lowering: type[lowerings.Lowering], names: list[str]) -> None:
    odd = {"depthwise_odd": {"groups": 4, "out_channels": 4, "kernel_size": (3, 5)}}
    odd["same_odd"] = {"kernel_size": (3, 5)}
    for name in names:
        layer = make_layer(name if name in VALID else "same", **odd.get(name, {}))
        assert type(layer.lowering) is lowering, name
        assert lowerings.choose(layer.geometry) is lowering


@pytest.mark.parametrize(
    ("channels", "kernel", "rhs_dilation", "lowering"),
    [
        ((16, 32, 1), (4, 3), (2, 3), lowerings.Phases),  # two of twelve have six taps each
        ((16, 32, 1), (7, 3), (3, 3), lowerings.Phases),  # four of twelve have five or six
        ((16, 32, 1), (4, 3), (3, 3), lowerings.Transposed),  # four of twelve have three each
        ((16, 32, 1), (5, 7), (3, 2), lowerings.Transposed),  # all twelve have some
        ((64, 32, 4), (4, 3), (2, 3), lowerings.Transposed),  # eight outputs a group
        ((32, 32, 4), (4, 3), (2, 3), lowerings.Phases),  # ... of eight inputs
        ((16, 32, 1), (1, 1), (2, 3), lowerings.Transposed),
    ],
)
def test_phases_need_many_taps(
    channels: tuple[int, int, int],
    kernel: tuple[int, int],
    rhs_dilation: tuple[int, int],
    lowering: type[lowerings.Lowering],
) -> None:
    geometry = plan((9, 8), kernel, (1, 1), "SAME", (4, 3), rhs_dilation, *channels)
    assert lowerings.choose(geometry) is lowering


def test_tap_sums_are_not_for_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = plan((28, 27), (4, 5), (2, 2), "SAME", (3, 3), (1, 1), 64, 16, 1)
    assert lowerings.choose(geometry) is lowerings.TapSums
    most = int(most_images(geometry, lowerings.TapSums))
    assert 4 <= most <= 16
    assert most_images(geometry, lowerings.Phases) > 1_000_000
    images = whole_numbers((most + 1, 64, 28, 27), 1, torch.float32)
    weight = whole_numbers((16, 64, 4, 5), 2, torch.float32).requires_grad_()
    used: list[type] = []

    def counted(call: Any) -> Any:
        def run(self: Any, *operands: Any) -> Any:
            used.append(type(self))
            return call(self, *operands)

        return run

    for kind in (lowerings.TapSums, lowerings.Phases):
        monkeypatch.setattr(kind, "outputs", counted(kind.outputs))
    for of_weight in (TapSumsWeightGradient, PhasesWeightGradient):
        monkeypatch.setattr(of_weight, "__call__", counted(of_weight.__call__))
    convolve = lowerings.Convolution(geometry)
    outputs, gradients = list[torch.Tensor](), list[torch.Tensor]()
    for part in (images[:most], images[most:], images):
        outputs.append(convolve(part, weight, None))
        cotangent = whole_numbers((most + 1, *outputs[-1].shape[1:]), 3, torch.float32)
        cotangent = cotangent[most:] if len(part) == 1 else cotangent[: len(part)]
        gradients += torch.autograd.grad(outputs[-1], weight, cotangent)
    few = [lowerings.TapSums, TapSumsWeightGradient]
    assert used == [*few, *few, lowerings.Phases, PhasesWeightGradient]
    assert torch.equal(outputs[2], torch.cat(outputs[:2]))
    assert torch.equal(gradients[2], gradients[0] + gradients[1])


@pytest.mark.parametrize(
    ("padding", "dilation", "groups", "with_avx512", "with_avx2"),
    [
        ((9, 4), (2, 3), 8, lowerings.Plain, lowerings.Plain),
        ((9, 5), (2, 3), 8, lowerings.Plain, lowerings.Padded),
        ((0, 7), (2, 3), 8, lowerings.Padded, lowerings.Padded),
        ((0, 7), (2, 1), 8, lowerings.Plain, lowerings.Plain),
        ((0, 7), (2, 3), 4, lowerings.Plain, lowerings.Plain),
    ],
)
def test_a_depthwise_kernel_meets_few_padded_columns(
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    with_avx512: type[lowerings.Lowering],
    with_avx2: type[lowerings.Lowering],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For more columns oneDNN has no fast code, which depends on the processor."""
    pads = tuple((each, each) for each in padding)
    geometry = plan((121, 122), (3, 3), (1, 1), pads, (1, 1), dilation, 8, 8, groups)
    for has_avx512, lowering in ((True, with_avx512), (False, with_avx2)):
        module = sys.modules[lowerings.choose.__module__]
        monkeypatch.setattr(module, "has_avx512", lambda has=has_avx512: has)
        assert lowerings.choose(geometry) is lowering
        assert choose_for_export(geometry) is lowerings.Plain
        convolve = lowerings.Convolution(geometry)
        x = whole_numbers((2, 8, 121, 122), 1, torch.float32)
        weight = whole_numbers((8, 8 // groups, 3, 3), 2, torch.float32).requires_grad_()
        oracle = lowerings.Convolution(geometry, lowerings.ZeroInsertion)
        y, truth = convolve(x, weight, None), oracle(x, weight, None)
        assert torch.equal(y, truth)
        cotangent = whole_numbers(tuple(y.shape), 3, torch.float32)
        found, expected = (torch.autograd.grad(each, weight, cotangent) for each in (y, truth))
        assert torch.equal(*found, *expected)  # each is a tuple of one


@pytest.mark.parametrize(
    ("stride", "dilation", "groups", "own"),
    [
        ((1, 2), (2, 3), 32, True),
        ((1, 2), (2, 3), 4, True),
        ((1, 1), (2, 3), 32, True),
        ((1, 1), (2, 3), 4, False),
        ((1, 2), (1, 1), 32, False),
        ((1, 2), (2, 3), 1, False),
    ],
)
def test_dilated_groups_are_differentiated_as_a_convolution(
    stride: tuple[int, int], dilation: tuple[int, int], groups: int, own: bool
) -> None:
    """torch's gradient of the image takes up to eighteen times as long."""
    geometry = plan((70, 61), (3, 3), stride, "VALID", (1, 1), dilation, 32, 32, groups)
    assert has_own_gradients(geometry, lowerings.Plain) is own
    assert not has_own_gradients(geometry, lowerings.Plain, of_input=False)
    x = whole_numbers((2, 32, 70, 61), 1, torch.float32).requires_grad_()
    weight = whole_numbers((32, 32 // groups, 3, 3), 2, torch.float32)
    y = lowerings.Convolution(geometry)(x, weight, None)
    truth = lowerings.Convolution(geometry, lowerings.ZeroInsertion)(x, weight, None)
    cotangent = whole_numbers(tuple(y.shape), 3, torch.float32)
    found, expected = (torch.autograd.grad(each, x, cotangent)[0] for each in (y, truth))
    assert torch.equal(found, expected)


def test_few_input_channels_are_differentiated_as_row_sums() -> None:
    geometry = make_layer("few_input_channels").geometry
    assert has_few_outputs(geometry.adjoint())
    assert lowerings.choose(geometry.adjoint()) is lowerings.RowSums
    for lowering in (lowerings.Plain, lowerings.Padded):
        assert has_own_gradients(geometry, lowering)

"""The layer's values: exact where sums are exact, elsewhere within the proved bound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import (
    VALID,
    assert_within_the_bound,
    make_input,
    make_layer,
    normal_numbers,
    whole_numbers,
)

from parity.definition import expected as definition

REAL = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
COMPLEX = [torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", REAL + COMPLEX, ids=str)
@pytest.mark.parametrize("name", VALID)
def test_whole_numbers_give_the_exact_result(name: str, dtype: torch.dtype) -> None:
    layer = make_layer(name, dtype)
    x = make_input(layer)
    y = layer(x)
    assert y.shape == (2, *layer.out_size)
    assert y.dtype == dtype
    assert y.is_contiguous()
    assert torch.equal(y, definition.layer_output(layer, x).value.to(dtype))


@pytest.mark.parametrize("recorded", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("name", VALID)
def test_rounding_stays_within_the_bound(name: str, dtype: torch.dtype, recorded: bool) -> None:
    layer = make_layer(name, dtype, normal_numbers)
    with torch.set_grad_enabled(recorded):
        assert_within_the_bound(layer, make_input(layer, normal_numbers))


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_rounding_stays_within_the_bound_of_a_long_sum(dtype: torch.dtype) -> None:
    """With 4,500 products per output, a half-precision accumulator would show."""
    layer = make_layer(
        "valid", dtype, normal_numbers, in_size=(9, 6, 300), kernel_size=(5, 3), out_channels=5
    )
    assert_within_the_bound(layer, make_input(layer, normal_numbers))


@pytest.mark.parametrize("name", VALID)
def test_without_a_batch_and_with_an_empty_one(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer, batch=(3,))
    y = layer(x)
    single = layer(x[1])
    assert single.shape == layer.out_size
    assert single.is_contiguous()
    assert torch.equal(single, y[1])
    none = x[:0].requires_grad_()
    assert layer(none).shape == (0, *layer.out_size)
    gradients = torch.autograd.grad(layer(none).sum(), (none, layer.weight))
    assert gradients[0].shape == none.shape
    assert torch.equal(gradients[1], torch.zeros_like(layer.weight))


@pytest.mark.parametrize("name", VALID)
def test_gradients_of_whole_numbers_are_exact(name: str) -> None:
    """By linearity, the gradients predict the oracle's change of the output exactly."""
    layer = make_layer(name, torch.float64)
    x = make_input(layer).requires_grad_()
    y = layer(x)
    cotangent = whole_numbers(tuple(y.shape), 23, torch.float64)
    (y * cotangent).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    dx = whole_numbers(tuple(x.shape), 29, torch.float64)
    dw = whole_numbers(tuple(layer.weight.shape), 31, torch.float64)
    before = definition.layer_output(layer, x).value
    bias = 0.0 if layer.bias is None else layer.bias.detach().reshape(-1, 1, 1)
    bias = bias if layer.channel_first or layer.bias is None else bias.reshape(-1)
    along_x = ((definition.layer_output(layer, dx).value - bias) * cotangent).sum()
    assert (x.grad * dx).sum() == along_x
    with torch.no_grad():
        layer.weight += dw
    along_w = ((definition.layer_output(layer, x).value - before) * cotangent).sum()
    assert (layer.weight.grad * dw).sum() == along_w
    if layer.bias is not None:
        channels = (0, 2, 3) if layer.channel_first else (0, 1, 2)
        assert torch.equal(layer.bias.grad, cotangent.sum(channels))
    if layer.w_mask is not None:
        masked = (layer.w_mask == 0).permute(3, 2, 0, 1)
        assert torch.all(layer.weight.grad[masked] == 0)


DERIVATIVES = ["same_stride", "crop_before_pad_after", "lhs_stride_rhs", "lhs_same", "groups_lhs"]
DERIVATIVES += ["mask_lhs", "channel_first_stride", "same_stride_even_input", "empty"]


# torch compiles its forward-mode formulas with a compiler that it deprecates.
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_every_kind(name: str, dtype: torch.dtype) -> None:
    small = (4, 5, 3) if VALID[name].get("channel_first") else (5, 3, 4)
    small = {"same_stride": (5, 3, 2), "same_stride_even_input": (4, 6, 1)}.get(name, small)
    layer = make_layer(name, dtype, normal_numbers, in_size=small)
    x = make_input(layer, normal_numbers, batch=(1,)).requires_grad_()

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        names = (name for name, _ in layer.named_parameters())
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), x)

    inputs = (x, *layer.parameters())
    # By random projections, since entry by entry it would take minutes. A test above compares the
    # gradients with the oracle entry by entry.
    forward = dtype == torch.float64
    assert torch.autograd.gradcheck(run, inputs, check_forward_ad=forward, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("name", VALID)
def test_the_inputs_strides_do_not_matter(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer)
    expected = layer(x)
    padded = torch.nn.functional.pad(x, (1, 2, 3, 1))
    slices = padded[:, :, 3:-1, 1:-2]
    assert not slices.is_contiguous()
    for other in (slices, x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)):
        assert torch.equal(other, x)
        y = layer(other)
        assert torch.equal(y, expected)
        assert y.is_contiguous() or layer.channel_first
    expanded = x[:1].expand(3, -1, -1, -1)
    assert torch.equal(layer(expanded), expected[:1].expand(3, -1, -1, -1))


@pytest.mark.parametrize("name", VALID)
def test_vmap_is_a_loop(name: str) -> None:
    layer = make_layer(name)
    x = make_input(layer, batch=(3, 2))
    for in_dim in (0, 1):
        mapped = torch.func.vmap(layer, in_dims=in_dim)(x)
        looped = torch.stack([layer(each) for each in x.unbind(in_dim)])
        assert torch.equal(mapped, looped)


BAD = [float("nan"), float("inf"), float("-inf")]
UNMASKED = [name for name in VALID if "w_mask" not in VALID[name]]


def one_bad_entry(name: str, dtype: torch.dtype, bad: float) -> tuple[Any, ...]:
    """A layer of ones, and an input with one bad entry; the same layer without bias, and an input
    with a one there and zeros elsewhere, whose output shows what reads that entry."""
    layer = make_layer(name, dtype, w_init=1.0)
    x = make_input(layer)
    at = (1, x.size(1) // 2, x.size(2) - 1, x.size(3) // 3)
    x[at] = bad
    marked = torch.zeros_like(x)
    marked[at] = 1.0
    return layer, x, make_layer(name, dtype, w_init=1.0, b_init=None), marked


# oneDNN's bfloat16 convolution of one input channel multiplies a neighbour by an added zero.
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("name", UNMASKED)
def test_a_bad_entry_reaches_the_outputs_that_read_it_and_no_other(
    name: str, dtype: torch.dtype, bad: float
) -> None:
    layer, x, quiet, marked = one_bad_entry(name, dtype, bad)
    reached, reads = ~layer(x).isfinite(), definition.layer_output(quiet, marked).value != 0
    if dtype == torch.bfloat16 and layer.in_channels == 1:
        assert torch.all(reached[reads])
    else:
        assert torch.equal(reached, reads)


# oneDNN in bfloat16 spreads NaN in the weight gradient, and in the forward of one channel (above).
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", UNMASKED)
def test_a_bad_entry_reaches_the_taps_that_read_it_and_no_other(
    name: str, dtype: torch.dtype
) -> None:
    layer, x, quiet, marked = one_bad_entry(name, dtype, float("nan"))
    layer(x).sum().backward()
    quiet(marked).sum().backward()
    reached, reads = ~layer.weight.grad.isfinite(), quiet.weight.grad != 0
    assert torch.equal(reached, reads)

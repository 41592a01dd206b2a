"""Mutants that the outputs of a layer in training do not show, or only some of them.

They are in one lowering, in a gradient, in a few geometries, in what a call leaves behind, or in
``conv_general_dilated``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.autograd import forward_ad

import torchconv2d
from torchconv2d import Conv2d, conv2d, functional, geometry
from torchconv2d.lowerings import (
    BiasOnly,
    ByHand,
    Even,
    Folded,
    Lowering,
    Phases,
    Rows,
    Transposed,
    by_hand,
    phases,
    subpixel,
)

from . import planting
from .planting import Mutant


def _no_borders(original: Any, lowering: Even, *operands: Tensor) -> Tensor:
    with patch.object(lowering, "_parts", lowering._parts[:1]):
        return original(lowering, *operands)


def _corners_twice(original: Any, lowering: Even, *operands: Tensor) -> Tensor:
    (_, main), *borders = lowering._parts
    above_below = [v for v, h in borders if h is main]
    left_right = [h for _, h in borders if h is not main]
    corners = [(v, h) for v in above_below for h in left_right]
    with patch.object(lowering, "_parts", [*lowering._parts, *corners]):
        return original(lowering, *operands)


def _within_alone(original: Any, lowering: Transposed, *operands: Tensor) -> Tensor:
    """Only the entries that meet all taps, if there are any."""
    longest = max(lowering._runs, key=lambda run: run[0].taps * run[1].taps)
    with patch.object(lowering, "_runs", [longest]):
        return original(lowering, *operands)


def _doubled_by_another(original: Any, lowering: ByHand, gradient: Tensor) -> ByHand:
    """The weight gradient twice, where a quicker lowering computes it."""
    found = original(lowering, gradient)
    if found is lowering:
        return found
    twice = copy(found)
    twice.weight_gradient = lambda *operands: 2 * found.weight_gradient(*operands)
    return twice


def _doubled_for_few_inputs(original: Any, lowering: ByHand, *operands: Tensor) -> Tensor:
    return original(lowering, *operands) * (1 + lowering._adjoint.has_few_outputs)


def _shares_in_reverse(original: Any, lowering: Folded, x: Tensor, weight: Tensor) -> Tensor:
    return original(lowering, x, weight.flip(2, 3))


def _rows_in_reverse(original: Any, lowering: Rows, *operands: Any) -> Tensor:
    with patch.object(lowering, "rows", lowering.rows[::-1]):
        return original(lowering, *operands)


def _other_end(original: Any, axis: geometry.Axis) -> geometry.Axis:
    adjoint = original(axis)
    return adjoint._replace(before=adjoint.after, after=adjoint.before)


def _reversed_taps(original: Any, lowering: Phases, x: Tensor, weight: Tensor, bias: Any) -> Tensor:
    for axis, step in ((2, lowering.step_u), (3, lowering.step_v)):
        order = torch.arange(weight.size(axis))
        for first in range(step):
            order[first::step] = order[first::step].flip(0)
        weight = weight.index_select(axis, order)
    return original(lowering, x, weight, bias)


def _doubled(gradient_of: Tensor) -> Tensor:
    """The same value, with twice the gradient."""
    return 2 * gradient_of - gradient_of.detach()


def _frozen(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    return x if weight.requires_grad else _doubled(x), weight, bias


def _input_needs_none(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    return x, weight if x.requires_grad else _doubled(weight), bias


def _is_mapped(tensor: Tensor) -> bool:
    """By ``vmap``, be it within another transformation."""
    inside = torch._C._functorch
    while inside.is_gradtrackingtensor(tensor):
        tensor = inside.get_unwrapped(tensor)
    return inside.is_batchedtensor(tensor)


def _per_sample(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    return x, _doubled(weight) if _is_mapped(x) else weight, bias


def _ensemble(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    return x, weight.flip(2) if _is_mapped(weight) else weight, bias


def _weight_without_tangent(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    alone = forward_ad.unpack_dual(x).tangent is None
    return x, forward_ad.unpack_dual(weight).primal if alone else weight, bias


def _as_if_contiguous(tensor: Tensor) -> Tensor:
    strides = torch.empty(tensor.shape, device="meta").stride()
    return tensor.as_strided(tensor.shape, strides) if 0 not in tensor.stride() else tensor


def _with_gradient(change: Callable[[Tensor], Tensor]) -> Mutant:
    """``change`` of the cotangent."""

    def forward(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
        y = original(layer, x)
        if y.requires_grad:
            y.register_hook(change)
        return y

    return planting.forward(forward)


def _mask_for_the_gradient_alone(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    if layer.w_mask is None:
        return original(layer, x)
    masked = layer.weight * conv2d.kernel_to_weight(layer.w_mask)
    weight = masked + (layer.weight - masked).detach()
    with patch.object(Conv2d, "forward", original), patch.object(layer, "w_mask", None):
        return torch.func.functional_call(layer, {"weight": weight}, (x,))


def _remembers(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    """The first weight of a layer that is not in training."""
    if torch.is_grad_enabled():
        return original(layer, x)
    first = layer.__dict__.setdefault("_first", layer.weight.detach().clone())
    with patch.object(Conv2d, "forward", original):
        return torch.func.functional_call(layer, {"weight": first}, (x,))


def _overwrites(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    y = original(layer, x)
    if not torch.is_grad_enabled() and 0 not in x.stride():
        x.mul_(-1)
    return y


def _in_torchs_layout(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    y = original(layer, x)
    return y.contiguous() if layer.channel_first else y


def _single_image(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    if x.dim() == 4 or layer.bias is None or not layer.channel_first:
        return original(layer, x)
    with patch.object(Conv2d, "forward", original):
        return torch.func.functional_call(layer, {"bias": layer.bias.flip(0)}, (x,))


def _narrow_complex(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    y = original(layer, x)
    return y.to(torch.complex64).to(y.dtype) if y.is_complex() else y


def _half_as_torch_does(original: Any, lowering: Lowering, *operands: Any) -> Tensor:
    half = operands[0].dtype == torch.float16
    return lowering.compute(*operands) if half else original(lowering, *operands)


def _where_stride_exceeds(
    original: Any, padding: Any, axis: int, dilated: int, extent: int, stride: int
) -> tuple[int, int]:
    before, after = original(padding, axis, dilated, extent, stride)
    return (before - 1, after + 1) if stride > extent and before else (before, after)


def _twin(change: Callable[..., Any]) -> Mutant:
    """``change`` of the options of ``conv_general_dilated``, and of its left operand."""

    def call(original: Any, lhs: Tensor, rhs: Tensor, **options: Any) -> Tensor:
        return original(*change(lhs, rhs, options), **options)

    return planting.replaced(torchconv2d, "conv_general_dilated", call)


def _interleaved(lhs: Tensor, rhs: Tensor, options: Any) -> tuple[Tensor, Tensor]:
    axis, groups = options["dimension_numbers"][0].index("N"), options["batch_group_count"]
    order = torch.arange(lhs.size(axis)).reshape(groups, -1).T.flatten()
    return lhs.index_select(axis, order), rhs


def _strides_by_name(lhs: Tensor, rhs: Tensor, options: Any) -> tuple[Tensor, Tensor]:
    """Vertical first, whatever the kernel's order of axes."""
    spec = options["dimension_numbers"][1]
    if spec.index("W") < spec.index("H"):
        options["window_strides"] = options["window_strides"][::-1]
    return lhs, rhs


MUTANTS: dict[str, Mutant] = {
    # one lowering
    "Even's weight gradient without borders": planting.replaced(
        Even, "weight_gradient", _no_borders
    ),
    "Even's weight gradient, corners twice": planting.replaced(
        Even, "weight_gradient", _corners_twice
    ),
    "Transposed's weight gradient without borders": planting.replaced(
        Transposed, "weight_gradient", _within_alone
    ),
    "weight gradient of a quicker lowering twice": planting.replaced(
        ByHand, "quickest", _doubled_by_another
    ),
    "input gradient by rows twice": planting.replaced(
        ByHand, "input_gradient", _doubled_for_few_inputs
    ),
    "taps of the shares in reverse": planting.replaced(Folded, "sums", _shares_in_reverse),
    "rows of the kernel in reverse": planting.replaced(Rows, "outputs", _rows_in_reverse),
    "the shared phase begun one too late": planting.replaced(
        subpixel, "_ahead", lambda ahead, axis: (ahead(axis) + 1) % axis.lhs_dilation
    ),
    "input gradient from the other end": planting.replaced(geometry.Axis, "adjoint", _other_end),
    "input gradient by the kernel as it is": planting.replaced(
        by_hand, "adjoint_weight", lambda adjoint, weight, groups: adjoint(weight, groups).flip(2)
    ),
    "taps of each phase in reverse": planting.replaced(Phases, "outputs", _reversed_taps),
    "no bias where no window reads": planting.replaced(
        BiasOnly, "compute", lambda compute, lowering, x, w, b: compute(lowering, x, w, None)
    ),
    # few geometries
    "a common divisor taken for one": planting.replaced(
        phases, "gcd", lambda _, a, b: b if a % b == 0 else 1
    ),
    "a gap after the last pixel": planting.replaced(
        geometry, "dilate", lambda _, size, dilation: size * dilation
    ),
    "shifted where the stride exceeds the kernel": planting.replaced(
        geometry, "pads", _where_stride_exceeds
    ),
    "many channels in reverse": planting.operands(
        lambda x, w, b: (x.flip(1) if x.size(1) >= 16 else x, w, b)
    ),
    "bias of a channel-first single image": planting.forward(_single_image),
    # derivatives
    "a frozen layer's input gradient": planting.operands(_frozen),
    "weight gradient if the input needs none": planting.operands(_input_needs_none),
    "gradients of samples apart": planting.operands(_per_sample),
    "weights of an ensemble upside down": planting.operands(_ensemble),
    "no tangent of the weight alone": planting.operands(_weight_without_tangent),
    "strides of the cotangent ignored": _with_gradient(_as_if_contiguous),
    "no second derivative": _with_gradient(Tensor.detach),
    "gradients rounded to bfloat16": _with_gradient(
        lambda g: g.bfloat16().to(g.dtype) if g.dtype == torch.float32 else g
    ),
    "the mask in the gradient alone": planting.forward(_mask_for_the_gradient_alone),
    # arithmetic
    "complex64 for complex128": planting.forward(_narrow_complex),
    "float16 as torch computes it": planting.replaced(Lowering, "forward", _half_as_torch_does),
    "a NaN in the bias for all channels": planting.operands(
        lambda x, w, b: (x, w, None if b is None else b + 0 * b.sum())
    ),
    # what is left behind, and memory
    "the first weight remembered": planting.forward(_remembers),
    "the input overwritten": planting.forward(_overwrites),
    "channels-last memory not kept": planting.forward(_in_torchs_layout),
    "strides of the weight ignored": planting.operands(
        lambda x, w, b: (x, _as_if_contiguous(w), b)
    ),
    # conv_general_dilated
    "SAME_LOWER as SAME": planting.replaced(
        functional, "_padding", lambda of, value: of("SAME" if value == "SAME_LOWER" else value)
    ),
    "order of the output's axes not undone": planting.replaced(
        functional, "inverse", lambda _, order: order
    ),
    "strides by name, not by the kernel's order": _twin(_strides_by_name),
    "groups of the batch interleaved": _twin(_interleaved),
}

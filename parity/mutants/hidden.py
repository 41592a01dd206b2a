"""Mutants that change none or few of the outputs of a layer in training.

They are in one lowering, in a gradient, in a few geometries, in the state that a call leaves, or in
``conv_general_dilated``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.autograd import forward_ad

import torchconv2d
from torchconv2d import Conv2d, conv2d, functional, geometry
from torchconv2d.lowerings import (
    BiasOnly,
    Convolution,
    MatmulFold,
    Phases,
    RowSums,
    TapSums,
    any_size,
    convolution,
    padded,
    per_size,
    phases,
    subpixel,
    tap_sums,
    transposed,
)
from torchconv2d.lowerings.choose import has_few_outputs
from torchconv2d.lowerings.choose_gradient import own_weight_gradient
from torchconv2d.lowerings.computation import Computation

from . import planting
from .planting import Mutant


def _padded_first(original: Any, lowering: padded.Padded, x: Tensor) -> Tensor:
    """Pad at the other end of each axis."""
    left, right, above, below = lowering.zeros
    with patch.object(lowering, "zeros", (right, left, below, above)):
        return original(lowering, x)


def _within_alone(original: Any, by: transposed.RunsWeightGradient, *operands: Tensor) -> Tensor:
    """Use only the entries that meet all taps, if there are any."""
    longest = max(by.runs, key=lambda run: run[0].taps * run[1].taps)
    with patch.object(by, "runs", [longest]):
        return original(by, *operands)


def _doubled_by_another(original: Any, convolve: Convolution, *operands: Tensor) -> Tensor:
    """Double the weight gradient if a faster one than the lowering's own computes it."""
    own = own_weight_gradient(convolve.geometry, type(convolve.lowering))
    is_own = own is None or convolve._gradient_kind is own
    return original(convolve, *operands) * (1 if is_own else 2)


def _doubled_for_few_inputs(original: Any, convolve: Convolution, *operands: Tensor) -> Tensor:
    doubled = has_few_outputs(convolve.geometry.adjoint())
    return original(convolve, *operands) * (1 + doubled)


def _shares_in_reverse(original: Any, lowering: MatmulFold, x: Tensor, weight: Tensor) -> Tensor:
    return original(lowering, x, weight.flip(2, 3))


def _other_zeros(original: Any, axis: geometry.Axis) -> list[tap_sums.Reads]:
    return [
        each._replace(zeros_before=each.zeros_after, zeros_after=each.zeros_before)
        for each in original(axis)
    ]


def _first_taps(original: Any, axis: geometry.Axis) -> list[tap_sums.Reads]:
    return list({each.phase: each for each in reversed(original(axis))}.values())


def _rows_in_reverse(original: Any, lowering: RowSums, *operands: Any) -> Tensor:
    with patch.object(lowering, "rows", lowering.rows[::-1]):
        return original(lowering, *operands)


def _other_end(original: Any, axis: geometry.Axis) -> geometry.Axis:
    adjoint = original(axis)
    return adjoint._replace(before=adjoint.after, after=adjoint.before)


def _reversed_taps(original: Any, lowering: Phases, x: Tensor, weight: Tensor, bias: Any) -> Tensor:
    for axis, step in ((2, lowering.step_v), (3, lowering.step_h)):
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
    """Whether ``vmap`` maps the tensor, even within another transformation."""
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
    """Apply ``change`` to the cotangent."""

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


_FIRST_WEIGHTS: WeakKeyDictionary[Conv2d, Tensor] = WeakKeyDictionary()


def _remembers(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    """Use a layer's first weight, if it is not in training."""
    if torch.is_grad_enabled():
        return original(layer, x)
    first = _FIRST_WEIGHTS.setdefault(layer, layer.weight.detach().clone())
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


def _half_as_torch_does(original: Any, convolve: Any, x: Tensor, weight: Tensor) -> bool:
    return x.dtype == torch.float16 or original(convolve, x, weight)


def _where_stride_exceeds(
    original: Any, padding: Any, axis: int, dilated: int, extent: int, stride: int
) -> tuple[int, int]:
    before, after = original(padding, axis, dilated, extent, stride)
    return (before - 1, after + 1) if stride > extent and before else (before, after)


def _twin(change: Callable[..., Any]) -> Mutant:
    """Apply ``change`` to the options and the operands of ``conv_general_dilated``."""

    def call(original: Any, lhs: Tensor, rhs: Tensor, **options: Any) -> Tensor:
        return original(*change(lhs, rhs, options), **options)

    return planting.replaced(torchconv2d, "conv_general_dilated", call)


def _interleaved(lhs: Tensor, rhs: Tensor, options: Any) -> tuple[Tensor, Tensor]:
    axis, groups = options["dimension_numbers"][0].index("N"), options["batch_group_count"]
    order = torch.arange(lhs.size(axis)).reshape(groups, -1).T.flatten()
    return lhs.index_select(axis, order), rhs


def _strides_by_name(lhs: Tensor, rhs: Tensor, options: Any) -> tuple[Tensor, Tensor]:
    """Take the vertical stride first, whatever the kernel's order of axes."""
    spec = options["dimension_numbers"][1]
    if spec.index("W") < spec.index("H"):
        options["window_strides"] = options["window_strides"][::-1]
    return lhs, rhs


MUTANTS: dict[str, Mutant] = {
    # one lowering
    "zeros of the padded copy at the other end": planting.replaced(
        padded.Padded, "pad", _padded_first
    ),
    "Transposed's weight gradient without borders": planting.replaced(
        transposed.RunsWeightGradient, "__call__", _within_alone
    ),
    "Transposed's weight gradient by torch if an entry is NaN": planting.replaced(
        transposed, "is_known_finite", lambda original, x: original(x.nan_to_num(0, 0, 0))
    ),
    "weight gradient of a quicker lowering twice": planting.replaced(
        Convolution, "weight_gradient", _doubled_by_another
    ),
    "input gradient by rows twice": planting.replaced(
        Convolution, "input_gradient", _doubled_for_few_inputs
    ),
    "taps of the shares in reverse": planting.replaced(MatmulFold, "sums", _shares_in_reverse),
    "columns of the taps in reverse": planting.replaced(
        TapSums, "outputs", lambda outputs, lowering, x, w, b: outputs(lowering, x, w.flip(3), b)
    ),
    "zeros of each tap at the other end": planting.replaced(tap_sums, "reads", _other_zeros),
    "no sum over the taps of a phase": planting.replaced(tap_sums, "reads", _first_taps),
    "no bias of a sum over taps": planting.replaced(
        TapSums, "outputs", lambda outputs, lowering, x, w, b: outputs(lowering, x, w, None)
    ),
    "weight gradient of a tap from the first phase": planting.replaced(
        tap_sums, "_outputs", lambda outputs, tap, axis: outputs(tap._replace(phase=0), axis)
    ),
    "rows of the kernel in reverse": planting.replaced(RowSums, "outputs", _rows_in_reverse),
    "the shared phase begun one too late": planting.replaced(
        subpixel, "_ahead", lambda ahead, axis: (ahead(axis) + 1) % axis.lhs_dilation
    ),
    "input gradient from the other end": planting.replaced(geometry.Axis, "adjoint", _other_end),
    "input gradient by the kernel as it is": planting.replaced(
        convolution,
        "adjoint_weight",
        lambda adjoint, weight, groups: adjoint(weight, groups).flip(2),
    ),
    "taps of each phase in reverse": planting.replaced(Phases, "outputs", _reversed_taps),
    "no bias where no window reads": planting.replaced(
        BiasOnly, "outputs", lambda outputs, lowering, x, w, b: outputs(lowering, x, w, None)
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
    # any image size
    "rows and columns of an image swapped": planting.replaced(
        per_size, "plan", lambda plan, size, *rest: plan(size[::-1], *rest)
    ),
    "in graphs, the extra zero before": planting.replaced(
        any_size, "same_pads", lambda pads, *given: pads(*given)[::-1]
    ),
    "in graphs, SAME as for stride 1": planting.replaced(
        any_size, "same_pads", lambda pads, n, extent, stride, lower: pads(n, extent, 1, lower)
    ),
    "in graphs, a gap after the last pixel": planting.replaced(
        any_size, "dilated_size", lambda _, size, dilation: size * dilation
    ),
    "in graphs, no zeros for a window that does not fit": planting.replaced(
        any_size, "_has_room", lambda *_: True
    ),
    "in graphs, a transposed kernel not flipped": planting.replaced(
        any_size, "adjoint_weight", lambda adjoint, weight, groups: adjoint(weight, groups).flip(2)
    ),
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
    "float16 as torch computes it": planting.replaced(
        Computation, "_is_right_in_own_dtype", _half_as_torch_does
    ),
    "a NaN in the bias for all channels": planting.operands(
        lambda x, w, b: (x, w, None if b is None else b + 0 * b.sum())
    ),
    # state that a call leaves, and memory
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

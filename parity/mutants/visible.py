"""The mutants: mistakes planted in the port one at a time, to test the suite.

The grid without JAX must catch each of them. A mutant that survives shows a gap in the suite, or it
changes nothing and does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from torchconv2d import Conv2d, conv2d, geometry
from torchconv2d.lowerings import Phases, phases

from . import hidden as hidden_mutants
from . import planting
from .planting import Mutant


def _with_mask(change: Callable[[Tensor], Tensor | None]) -> Mutant:
    def forward(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
        mask = layer.w_mask
        layer.w_mask = None if mask is None else change(mask)
        try:
            return original(layer, x)
        finally:
            layer.w_mask = mask

    return planting.forward(forward)


def _swap(pair: tuple[int, int]) -> tuple[int, int]:
    return pair[1], pair[0]


def _same_on_the_undilated_size(
    size: Any, kernel: Any, stride: Any, padding: Any, lhs: Any, rhs: Any, *channels: int
) -> tuple[Any, ...]:
    if padding == "SAME":
        extents = [geometry.dilate(k, r) for k, r in zip(kernel, rhs, strict=True)]
        padding = tuple(map(geometry.same_padding, size, extents, stride))
    return size, kernel, stride, padding, lhs, rhs, *channels


def _zero_extended(original: Any, *arguments: Any) -> Any:
    """Plan for one more row of the kernel, which will be zeros, and one more row of padding."""
    planned = original(*arguments)
    tall = planned.height
    tall = tall._replace(kernel=tall.kernel + 1, after=tall.after + tall.rhs_dilation)
    return planned._replace(height=tall)


_zero_extended_kernel = planting.together(
    planting.planner(_zero_extended),
    planting.operands(lambda x, weight, bias: (x, F.pad(weight, (0, 0, 0, 1)), bias)),
)


def _as_if_contiguous(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    strides = torch.empty(x.shape, device="meta").stride()
    return original(layer, x.as_strided(x.shape, strides) if 0 not in x.stride() else x)


def _bias_by_row(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    y = original(layer, x)
    rows = torch.arange(y.size(-2 if layer.channel_first else -3), device=y.device)
    rows = rows.reshape(-1, 1) if layer.channel_first else rows.reshape(-1, 1, 1)
    return y if layer.bias is None else y + rows.to(y.dtype)


def _in_dtype(original: Any, layer: Conv2d, x: Tensor, wide: Any, narrow: Any) -> Tensor:
    """Compute ``wide`` numbers with a rounding to ``narrow``."""
    y = original(layer, x)
    return y.to(narrow).to(wide) if y.dtype == wide else y


def _half_accumulator(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    """Round partial sums to half precision: sum even and odd input channels separately."""
    if layer.weight.dtype not in (torch.float16, torch.bfloat16):
        return original(layer, x)
    y, weight = 0, layer.weight
    for part in (0, 1):
        keep = (torch.arange(weight.size(1)) % 2 == part).to(weight.dtype).reshape(-1, 1, 1)
        parameters = {"weight": weight * keep}
        with patch.object(Conv2d, "forward", original):
            y = y + torch.func.functional_call(layer, parameters, (x,))
    return y if layer.bias is None else y - _bias_of(layer)


def _bias_of(layer: Conv2d) -> Tensor:
    return layer.bias.reshape(-1, 1, 1) if layer.channel_first else layer.bias


def _wrong_gradient(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    return 2 * x - x.detach(), weight, bias


def _mask_after_bias(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    if layer.w_mask is None or layer.bias is None:
        return original(layer, x)
    with patch.object(Conv2d, "forward", original):
        masked = {"bias": layer.bias * layer.w_mask[0, 0, 0]}
        return torch.func.functional_call(layer, masked, (x,))


def _straight_through_mask(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    """The gradient ignores the mask."""
    if layer.w_mask is None:
        return original(layer, x)
    masked = layer.weight * conv2d.kernel_to_weight(layer.w_mask)
    weight = layer.weight + (masked - layer.weight).detach()
    with patch.object(Conv2d, "forward", original), patch.object(layer, "w_mask", None):
        return torch.func.functional_call(layer, {"weight": weight}, (x,))


def _not_dense(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    return original(layer, x).transpose(-1, -2).contiguous().transpose(-1, -2)


def _keeps_the_batch(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    return original(layer, x if x.dim() == 4 else x.unsqueeze(0))


def _first_of_the_batch(original: Any, layer: Conv2d, x: Tensor) -> Tensor:
    y = original(layer, x)
    return y[:1].expand_as(y).contiguous() if x.dim() == 4 and len(x) > 1 else y


def _transposed_taps(x: Tensor, weight: Tensor, bias: Any) -> tuple[Any, ...]:
    """Read rows of taps as columns."""
    rows, columns = weight.shape[2:]
    swapped = weight.transpose(2, 3).reshape(*weight.shape[:2], rows, columns)
    return x, swapped, bias


def _reversed_phases(original: Any, axis: Any) -> Any:
    found = original(axis)
    return found[::-1]


def _next_tap(original: Any, axis: Any) -> Any:
    return [phase._replace(first_tap=phase.first_tap + 1) for phase in original(axis)]


def _swapped_weave(original: Any, lowering: Phases, *operands: Any) -> Tensor:
    y, rows = original(lowering, *operands), lowering.counts[0]
    return y if y.size(2) % rows else y.unflatten(2, (-1, rows)).flip(3).flatten(2, 3)


MUTANTS: dict[str, Mutant] = {
    # geometry
    "before and after swapped": planting.pads(lambda before, after: (after, before)),
    "one zero more before, one less after": planting.pads(
        lambda before, after: (before + 1, after - 1)
    ),
    "a crop off by one": planting.pads(
        lambda before, after: (before + 1, after - 1) if before < 0 else (before, after)
    ),
    "pads of the axes swapped": planting.replaced(
        geometry, "pads", lambda pads, padding, axis, *rest: pads(padding, 1 - axis, *rest)
    ),
    "SAME_LOWER for SAME": planting.plan(
        lambda n, k, s, p, *rest: (n, k, s, "SAME_LOWER" if p == "SAME" else p, *rest)
    ),
    "VALID for SAME": planting.plan(
        lambda n, k, s, p, *rest: (n, k, s, "VALID" if p == "SAME" else p, *rest)
    ),
    "SAME on the undilated size": planting.plan(_same_on_the_undilated_size),
    "strides swapped": planting.plan(lambda n, k, s, *rest: (n, k, _swap(s), *rest)),
    "lhs_dilation swapped": planting.plan(
        lambda n, k, s, p, lhs, *rest: (n, k, s, p, _swap(lhs), *rest)
    ),
    "rhs_dilation swapped": planting.plan(
        lambda n, k, s, p, lhs, rhs, *rest: (n, k, s, p, lhs, _swap(rhs), *rest)
    ),
    "lhs_dilation ignored": planting.plan(
        lambda n, k, s, p, lhs, *rest: (n, k, s, p, (1, 1), *rest)
    ),
    "rhs_dilation ignored": planting.plan(
        lambda n, k, s, p, lhs, rhs, *rest: (n, k, s, p, lhs, (1, 1), *rest)
    ),
    # phases
    "phases in the wrong order": planting.replaced(phases, "split", _reversed_phases),
    "each phase from the next tap": planting.replaced(phases, "split", _next_tap),
    "phases woven the wrong way": planting.replaced(Phases, "outputs", _swapped_weave),
    # kernel and groups
    "kernel flipped": planting.operands(lambda x, w, b: (x, w.flip(2, 3), b)),
    "kernel flipped upside down": planting.operands(lambda x, w, b: (x, w.flip(2), b)),
    "taps read by column": planting.operands(_transposed_taps),
    "kernel extended with zeros": _zero_extended_kernel,
    "input channels in reverse": planting.operands(lambda x, w, b: (x.flip(1), w, b)),
    "output channels in reverse": planting.operands(lambda x, w, b: (x, w.flip(0), b)),
    "weights of the groups rotated": planting.operands(
        lambda x, w, b: (x, w.roll(len(w) // (x.size(1) // w.size(1)), 0), b)
    ),
    "kernel conjugated": planting.operands(lambda x, w, b: (x, w.conj(), b)),
    # mask
    "mask ignored": _with_mask(lambda mask: None),
    "mask applied twice": _with_mask(lambda mask: mask * mask),
    "mask taken for true or false": _with_mask(lambda mask: (mask != 0).to(mask.dtype)),
    "mask upside down": _with_mask(lambda mask: mask.flip(0)),
    "mask after the bias": planting.forward(_mask_after_bias),
    "the gradient passes the mask by": planting.forward(_straight_through_mask),
    # bias
    "bias dropped": planting.operands(lambda x, w, b: (x, w, None)),
    "bias added twice": planting.operands(lambda x, w, b: (x, w, None if b is None else 2 * b)),
    "bias by row": planting.forward(_bias_by_row),
    "bias of the channels in reverse": planting.operands(
        lambda x, w, b: (x, w, None if b is None else b.flip(0))
    ),
    # arithmetic
    "float32 for float64": planting.forward(
        lambda original, layer, x: _in_dtype(original, layer, x, torch.float64, torch.float32)
    ),
    "half-precision sums": planting.forward(_half_accumulator),
    "a NaN anywhere is everywhere": planting.operands(lambda x, w, b: (x + 0 * x.sum(), w, b)),
    "a gradient too large": planting.operands(_wrong_gradient),
    "no gradient by the weight": planting.operands(lambda x, w, b: (x, w.detach() + 0 * w, b)),
    # layout
    "strides of the input ignored": planting.forward(_as_if_contiguous),
    "output not dense": planting.forward(_not_dense),
    "a single image returned as a batch": planting.forward(_keeps_the_batch),
    "the first image for all": planting.forward(_first_of_the_batch),
    **hidden_mutants.MUTANTS,
}

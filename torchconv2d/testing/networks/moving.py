"""Operations that only move or compare numbers: they add no error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..bound import unit_roundoff
from .terms import NoBoundError, Term, leaves, mapped, plus, values

aten = torch.ops.aten

MOVES: set[Any] = {
    aten.alias.default,
    aten.as_strided.default,
    aten.cat.default,
    aten.channel_shuffle.default,
    aten.clone.default,
    aten.detach.default,
    aten.diagonal.default,
    aten.expand.default,
    aten.flip.default,
    aten.gather.default,
    aten.im2col.default,
    aten.index.Tensor,
    aten.index_select.default,
    aten.lift_fresh.default,
    aten.permute.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.reflection_pad2d.default,
    aten.repeat.default,
    aten.replication_pad2d.default,
    aten.roll.default,
    aten.select.int,
    aten.select_backward.default,
    aten.slice.Tensor,
    aten.slice_backward.default,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.stack.default,
    aten.t.default,
    aten.transpose.int,
    aten.unbind.int,
    aten.unfold.default,
    aten.unsqueeze.default,
    aten.upsample_nearest2d.default,
    aten.upsample_nearest2d.vec,
    aten.view.default,
    aten._unsafe_view.default,
    aten._reshape_alias.default,
    aten.neg.default,
    aten.abs.default,
}

FACTORIES: set[Any] = {
    aten.empty_like.default,
    aten.full_like.default,
    aten.new_empty.default,
    aten.new_full.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.ones_like.default,
    aten.zeros_like.default,
}

IN_PLACE: dict[Any, Any] = {
    aten.abs_.default: aten.abs.default,
    aten.add_.Scalar: aten.add.Scalar,
    aten.add_.Tensor: aten.add.Tensor,
    aten.celu_.default: aten.celu.default,
    aten.clamp_.default: aten.clamp.default,
    aten.clamp_max_.default: aten.clamp_max.default,
    aten.clamp_min_.default: aten.clamp_min.default,
    aten.copy_.default: aten.copy.default,
    aten.div_.Scalar: aten.div.Scalar,
    aten.div_.Tensor: aten.div.Tensor,
    aten.elu_.default: aten.elu.default,
    aten.erf_.default: aten.erf.default,
    aten.exp_.default: aten.exp.default,
    aten.gelu_.default: aten.gelu.default,
    aten.hardsigmoid_.default: aten.hardsigmoid.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.log1p_.default: aten.log1p.default,
    aten.log_.default: aten.log.default,
    aten.mish_.default: aten.mish.default,
    aten.mul_.Scalar: aten.mul.Scalar,
    aten.mul_.Tensor: aten.mul.Tensor,
    aten.neg_.default: aten.neg.default,
    aten.pow_.Scalar: aten.pow.Tensor_Scalar,
    aten.reciprocal_.default: aten.reciprocal.default,
    aten.relu_.default: aten.relu.default,
    aten.rsqrt_.default: aten.rsqrt.default,
    aten.sigmoid_.default: aten.sigmoid.default,
    aten.silu_.default: aten.silu.default,
    aten.sqrt_.default: aten.sqrt.default,
    aten.sub_.Scalar: aten.sub.Scalar,
    aten.sub_.Tensor: aten.sub.Tensor,
    aten.tanh_.default: aten.tanh.default,
    aten.threshold_.default: aten.threshold.default,
}


def moved(func: Any, args: Any, kwargs: Any) -> Any:
    """The result of an operation that moves its errors as it moves its numbers."""
    value = func(*values(args), **values(kwargs))
    if all(each.error is None for each in leaves((args, kwargs)) if isinstance(each, Term)):
        return mapped(lambda each: Term(each, None), value)

    def error_of(each: Any) -> Any:
        if not isinstance(each, Term):
            return each
        return each.shown if each.value.is_floating_point() else each.value

    errors = mapped(error_of, (args, kwargs))
    moved_too = leaves(func(*errors[0], **errors[1]))
    return mapped(lambda each: Term(each, next(moved_too)), value)


def _larger(func: Any) -> Callable[..., Term]:
    def rule(dtype: torch.dtype, a: Term, b: Term) -> Term:
        value = func(a.value, b.value)
        exact = a.error is None and b.error is None
        return Term(value, None if exact else torch.maximum(a.shown, b.shown).expand(value.shape))

    return rule


def _max_pool(dtype: torch.dtype, x: Term, *settings: Any) -> tuple[Term, Term]:
    value, places = aten.max_pool2d_with_indices(x.value, *settings)
    error = None if x.error is None else aten.max_pool2d_with_indices(x.error, *settings)[0]
    return Term(value, error), Term(places, None)


def _amax(dtype: torch.dtype, x: Term, *settings: Any) -> Term:
    error = None if x.error is None else torch.amax(x.error, *settings)
    return Term(torch.amax(x.value, *settings), error)


def _constant_pad(dtype: torch.dtype, x: Term, pads: Sequence[int], value: float = 0) -> Term:
    error = None if x.error is None else aten.constant_pad_nd(x.error, pads, 0)
    return Term(aten.constant_pad_nd(x.value, pads, value), error)


def _masked_fill(dtype: torch.dtype, x: Term, mask: Term, value: float) -> Term:
    error = None if x.error is None else x.error.masked_fill(mask.value, 0)
    return Term(x.value.masked_fill(mask.value, value), error)


def _nan_to_num(dtype: torch.dtype, x: Term, *numbers: float) -> Term:
    error = None if x.error is None else x.error.masked_fill(~x.value.isfinite(), 0)
    return Term(x.value.nan_to_num(*numbers), error)


def _to(dtype: torch.dtype, x: Term, /, **settings: Any) -> Any:
    target = settings.get("dtype")
    if target is not None and not target.is_floating_point:
        return aten._to_copy(x.value, dtype=target)
    device = settings.get("device")
    value, error = (None if t is None else t.to(device, copy=True) for t in x)
    assert value is not None
    if target is not None and unit_roundoff(target) > unit_roundoff(dtype):
        error = plus(error, unit_roundoff(target) * value.abs())
    return Term(value, error)


def _copied(dtype: torch.dtype, target: Term, source: Term, *settings: Any) -> Term:
    if target.error is None and source.error is not None:
        raise NoBoundError("no bound for a tensor that is changed in place")
    value, error = source
    shape = target.value.shape
    return Term(value.expand(shape), None if error is None else error.expand(shape))


RULES: dict[Any, Callable[..., Any]] = {
    aten._to_copy.default: _to,
    aten.amax.default: _amax,
    aten.constant_pad_nd.default: _constant_pad,
    aten.copy.default: _copied,
    aten.masked_fill.Scalar: _masked_fill,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.maximum.default: _larger(torch.maximum),
    aten.minimum.default: _larger(torch.minimum),
    aten.nan_to_num.default: _nan_to_num,
}

"""Normalizations: a difference from a mean, divided by a root of a variance; and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..bound import accumulator, unit_roundoff
from .products import axes_sum, mul, sub, sum_like
from .terms import NoBoundError, Term, plus

aten = torch.ops.aten


def _scaled(
    dtype: torch.dtype, centred: Term, variance: Term, eps: float, weight: Term | None,
    bias: Term | None, magnitude: Tensor,
) -> Term:  # fmt: skip
    """``centred / sqrt(variance + eps) * weight + bias``, with the operations in any order.

    ``magnitude`` is the sum of the absolute values that ``centred`` is the difference of. It is
    changed in place.
    """
    u = unit_roundoff(dtype)
    inverse = (variance.value + eps).rsqrt()
    gain = inverse if weight is None else inverse * weight.value
    shift = torch.zeros_like(gain) if bias is None else bias.value
    value = torch.addcmul(shift, centred.value, gain)
    relative = None if variance.error is None else variance.error * inverse.square() / 2
    passed = plus(
        None if centred.error is None else centred.error * gain.abs(),
        None if relative is None else relative * (centred.value * gain).abs(),
    )
    # A difference, a sum, a root, a quotient, two products and a sum: at most 8 roundings.
    own = magnitude.mul_(8 * u * gain.abs()).add_(8 * u * shift.abs())
    return Term(value, plus(passed, own.add_(value.abs(), alpha=u)))


def _statistics(dtype: torch.dtype, x: Term, axes: list[int]) -> tuple[Term, Term, Tensor]:
    """``x`` less its mean, its variance, and the magnitude of the difference."""
    u = unit_roundoff(accumulator(dtype))
    count = math.prod(x.value.shape[axis] for axis in axes)
    mean = x.value.mean(axes, keepdim=True)
    second = x.value.square().mean(axes, keepdim=True)
    centred = x.value - mean
    variance = centred.square().mean(axes, keepdim=True)
    mean_error = (count + 2) * u * x.value.abs().mean(axes, keepdim=True)
    if x.error is not None:
        mean_error = mean_error + x.error.mean(axes, keepdim=True)
    # The variance may be the mean square less the squared mean (as in Flax), which cancels.
    variance_error = (count + 4) * u * (second + mean.square()) + 2 * mean.abs() * mean_error
    if x.error is not None:
        variance_error = variance_error + 2 * (centred.abs() * x.error).mean(axes, keepdim=True)
    return (
        Term(centred, plus(mean_error, x.error)),
        Term(variance, variance_error),
        x.value.abs() + mean.abs(),
    )


def _batch_norm(
    dtype: torch.dtype, x: Term, weight: Term | None, bias: Term | None, mean: Term | None,
    variance: Term | None, training: bool, momentum: float, eps: float,
) -> tuple[Any, ...]:  # fmt: skip
    column = [-1] + [1] * (x.value.dim() - 2)
    weight, bias = (t and Term(t.value.reshape(column), None) for t in (weight, bias))
    if training or mean is None or variance is None:
        axes = [axis for axis in range(x.value.dim()) if axis != 1]
        centred, spread, magnitude = _statistics(dtype, x, axes)
    else:
        at = mean.value.reshape(column)
        centred, magnitude = Term(x.value - at, x.error), x.value.abs().add_(at.abs())
        spread = Term(variance.value.reshape(column), None)
    result = _scaled(dtype, centred, spread, eps, weight, bias, magnitude)
    nothing = Term(x.value.new_zeros(0), None)
    return result, nothing, nothing


def _layer_norm(
    dtype: torch.dtype, x: Term, shape: Sequence[int], weight: Term | None, bias: Term | None,
    eps: float,
) -> tuple[Term, Term, Term]:  # fmt: skip
    axes = list(range(x.value.dim() - len(shape), x.value.dim()))
    centred, variance, magnitude = _statistics(dtype, x, axes)
    result = _scaled(dtype, centred, variance, eps, weight, bias, magnitude)
    return result, *_saved(x.value.mean(axes, keepdim=True), variance.value, eps)


def _saved(mean: Tensor, variance: Tensor, eps: float) -> tuple[Term, Term]:
    """What a norm keeps for its gradient."""
    return Term(mean, None), Term((variance + eps).rsqrt(), None)


def _group_norm(
    dtype: torch.dtype, x: Term, weight: Term | None, bias: Term | None, n: int, c: int,
    places: int, groups: int, eps: float,
) -> tuple[Term, Term, Term]:  # fmt: skip
    def split(tensor: Tensor) -> Tensor:
        return tensor.reshape(n, groups, c // groups, places)

    column = [1, groups, c // groups, 1]
    weight, bias = (t and Term(t.value.reshape(column), None) for t in (weight, bias))
    grouped = Term(split(x.value), None if x.error is None else split(x.error))
    centred, variance, magnitude = _statistics(dtype, grouped, [2, 3])
    value, error = _scaled(dtype, centred, variance, eps, weight, bias, magnitude)
    assert error is not None
    shape = x.value.shape
    mean, inverse = _saved(grouped.value.mean([2, 3]), variance.value.reshape(n, groups), eps)
    return Term(value.reshape(shape), error.reshape(shape)), mean, inverse


def _batch_norm_backward(
    dtype: torch.dtype, gradient: Term, x: Term, weight: Term | None, mean: Term | None,
    variance: Term | None, saved_mean: Any, saved_inverse: Any, training: bool, eps: float,
    wanted: Sequence[bool],
) -> tuple[Term | None, ...]:  # fmt: skip
    if training or mean is None or variance is None:
        raise NoBoundError("no bound for the gradient of a norm by the statistics of the batch")
    column = [-1] + [1] * (x.value.dim() - 2)
    inverse = _inverse(dtype, (variance.value + eps).rsqrt().reshape(column), None)
    shift = Term(mean.value.reshape(column), None)
    normal = mul(dtype, _difference(dtype, x, shift), inverse)
    gain = inverse if weight is None else mul(dtype, inverse, _reshaped(weight, column))
    axes = [axis for axis in range(x.value.dim()) if axis != 1]
    return (
        mul(dtype, gradient, gain),
        axes_sum(dtype, mul(dtype, gradient, normal), axes),
        axes_sum(dtype, gradient, axes),
    )


def _inverse(dtype: torch.dtype, value: Tensor, variance: Term | None) -> Term:
    """The inverse deviation: a sum, a root and a quotient of the variance."""
    spread = None if variance is None else variance.shown * value**3 / 2
    return Term(value, plus(spread, 4 * unit_roundoff(dtype) * value))


def _difference(dtype: torch.dtype, x: Term, mean: Term) -> Term:
    """``x - mean``, also if both are multiplied by the inverse deviation first."""
    size = x.value.abs() + mean.value.abs()
    passed = plus(x.error, mean.error, 3 * unit_roundoff(dtype) * size)
    return Term(x.value - mean.value, passed)


def _reshaped(term: Term, shape: Sequence[int]) -> Term:
    return Term(*(None if each is None else each.reshape(shape) for each in term))  # pyright: ignore


def _through_statistics(
    dtype: torch.dtype, gradient: Term, x: Term, inverse: Tensor, axes: list[int]
) -> tuple[Term, Term]:
    """The gradient by the input of ``(x - mean) / deviation``, and this itself."""
    average = sum_like(aten.mean.dim)
    _, variance, _ = _statistics(dtype, x, axes)
    deviation = _inverse(dtype, inverse, variance)
    count = math.prod(x.value.shape[axis] for axis in axes)
    mean = x.value.mean(axes, keepdim=True)
    size = (count + 2) * unit_roundoff(dtype) * x.value.abs().mean(axes, keepdim=True)
    normal = mul(dtype, _difference(dtype, x, Term(mean, size)), deviation)
    along = average(dtype, mul(dtype, gradient, normal), axes, True)
    apart = sub(dtype, gradient, average(dtype, gradient, axes, True))
    return mul(dtype, deviation, sub(dtype, apart, mul(dtype, normal, along))), normal


def _layer_norm_backward(
    dtype: torch.dtype, gradient: Term, x: Term, shape: Sequence[int], mean: Term, inverse: Term,
    weight: Term | None, bias: Term | None, wanted: Sequence[bool],
) -> tuple[Term | None, ...]:  # fmt: skip
    rank = x.value.dim() - len(shape)
    scaled = gradient if weight is None else mul(dtype, gradient, weight)
    axes, others = list(range(rank, x.value.dim())), list(range(rank))
    by_input, normal = _through_statistics(dtype, scaled, x, inverse.value, axes)
    by_weight = axes_sum(dtype, mul(dtype, gradient, normal), others)
    return by_input, by_weight, axes_sum(dtype, gradient, others)


def _group_norm_backward(
    dtype: torch.dtype, gradient: Term, x: Term, mean: Term, inverse: Term, weight: Term | None,
    n: int, c: int, places: int, groups: int, wanted: Sequence[bool],
) -> tuple[Term | None, ...]:  # fmt: skip
    split = [n, groups, c // groups, places]
    grouped = _reshaped(gradient, split)
    weights = None if weight is None else _reshaped(weight, [1, groups, c // groups, 1])
    scaled = grouped if weights is None else mul(dtype, grouped, weights)
    deviation = inverse.value.reshape(n, groups, 1, 1)
    by_input, normal = _through_statistics(dtype, scaled, _reshaped(x, split), deviation, [2, 3])
    by_weight = axes_sum(dtype, mul(dtype, grouped, normal), [0, 3])
    by_bias = axes_sum(dtype, grouped, [0, 3])
    return _reshaped(by_input, x.value.shape), _reshaped(by_weight, [c]), _reshaped(by_bias, [c])


RULES: dict[Any, Callable[..., Any]] = {
    aten.native_batch_norm.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten.native_group_norm.default: _group_norm,
    aten.native_group_norm_backward.default: _group_norm_backward,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_layer_norm_backward.default: _layer_norm_backward,
}

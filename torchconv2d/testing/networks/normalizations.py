"""Normalizations: a difference from a mean, divided by a root of a variance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..bound import accumulator, unit_roundoff
from .terms import Term, plus

aten = torch.ops.aten


def _scaled(
    dtype: torch.dtype, centred: Term, variance: Term, eps: float, weight: Term | None,
    bias: Term | None, magnitude: Tensor,
) -> Term:  # fmt: skip
    """``centred / sqrt(variance + eps) * weight + bias``, with the operations in any order.

    ``magnitude`` is the sum of the absolute values that ``centred`` is the difference of.
    """
    u = unit_roundoff(dtype)
    inverse = (variance.value + eps).rsqrt()
    gain = inverse if weight is None else inverse * weight.value
    shift = 0.0 if bias is None else bias.value
    value = centred.value * gain + shift
    relative = None if variance.error is None else variance.error * inverse.square() / 2
    passed = plus(
        None if centred.error is None else centred.error * gain.abs(),
        None if relative is None else relative * (centred.value * gain).abs(),
    )
    # A difference, a sum, a root, a quotient, two products and a sum: at most 8 roundings.
    own = 8 * u * (magnitude * gain.abs() + abs(shift)) + u * value.abs()
    return Term(value, plus(passed, own))


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
        centred, magnitude = Term(x.value - at, x.error), x.value.abs() + at.abs()
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
    nothing = Term(x.value.new_zeros(0), None)
    return result, nothing, nothing


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
    nothing = Term(x.value.new_zeros(0), None)
    shape = x.value.shape
    return Term(value.reshape(shape), error.reshape(shape)), nothing, nothing


RULES: dict[Any, Callable[..., Any]] = {
    aten.native_batch_norm.default: _batch_norm,
    aten.native_group_norm.default: _group_norm,
    aten.native_layer_norm.default: _layer_norm,
}

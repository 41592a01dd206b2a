"""The gradients of functions of one number, and of the softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..bound import unit_roundoff
from .terms import SMALLEST_NORMAL, Term, plus

aten = torch.ops.aten

# They take the gradient, then what the slope is computed from: the argument, or the result.
_OF_ONE_NUMBER: list[Any] = [
    aten.gelu_backward.default,
    aten.hardsigmoid_backward.default,
    aten.hardswish_backward.default,
    aten.hardtanh_backward.default,
    aten.leaky_relu_backward.default,
    aten.mish_backward.default,
    aten.sigmoid_backward.default,
    aten.silu_backward.default,
    aten.softplus_backward.default,
    aten.tanh_backward.default,
    aten.threshold_backward.default,
]

# With their usual settings no slope of these functions has a larger one, kinks aside: 1.76 for
# SELU, 2 for a tanh's result.
_STEEPEST = 2.0


def _times_slope(
    slope: Callable[[Tensor], Tensor], dtype: torch.dtype, gradient: Term, x: Term
) -> Term:
    """The gradient times the slope at ``x``."""
    u = 8 * unit_roundoff(dtype)
    # At a kink each number between the slopes of both sides is right, also without an error of x.
    reach = x.shown + u * x.value.abs() + SMALLEST_NORMAL
    here = slope(x.value)
    ends = [(slope(x.value + side * reach) - here).abs() for side in (-1, 1)]
    # From an end to any place on the same side of the kink, a slope changes by its own slope.
    spread = torch.maximum(*ends) + 2 * _STEEPEST * reach
    # The slopes are sums of at most four terms that are products of x and of numbers below 1.
    own = u * (1 + x.value.abs())
    passed = None if gradient.error is None else gradient.error * (here.abs() + spread + own)
    value = gradient.value * here
    return Term(value, plus(passed, gradient.value.abs() * (spread + own)))


def _function(
    func: Any, dtype: torch.dtype, gradient: Term, x: Term, *settings: Any, **named: Any
) -> Term:
    plain = [each.value if isinstance(each, Term) else each for each in settings]

    def slope(at: Tensor) -> Tensor:
        return func(torch.ones_like(at), at, *plain, **named)

    return _times_slope(slope, dtype, gradient, x)


def _elu(dtype: torch.dtype, gradient: Term, alpha: float, scale: float, input_scale: float,
         is_result: bool, x: Term) -> Term:  # fmt: skip
    def slope(at: Tensor) -> Tensor:
        return aten.elu_backward(torch.ones_like(at), alpha, scale, input_scale, is_result, at)

    return _times_slope(slope, dtype, gradient, x)


def _log_sigmoid(dtype: torch.dtype, gradient: Term, x: Term, _: Term) -> Term:
    return _times_slope(lambda at: torch.sigmoid(-at), dtype, gradient, x)


def _softmax(dtype: torch.dtype, gradient: Term, y: Term, axis: int, _: Any) -> Term:
    u, count = unit_roundoff(dtype), y.value.shape[axis]
    product = gradient.value * y.value
    total = product.sum(axis, keepdim=True)
    apart = gradient.value - total
    total_error = ((count + 2) * u * product.abs() + gradient.shown * y.value.abs()
                   + gradient.value.abs() * y.shown).sum(axis, keepdim=True)  # fmt: skip
    own = 3 * u * y.value.abs() * (gradient.value.abs() + total.abs())
    passed = y.shown * apart.abs() + (y.value.abs() + y.shown) * (gradient.shown + total_error)
    return Term(y.value * apart, passed + own)


def _log_softmax(dtype: torch.dtype, gradient: Term, y: Term, axis: int, _: Any) -> Term:
    u, count = unit_roundoff(dtype), y.value.shape[axis]
    weight, total = y.value.exp(), gradient.value.sum(axis, keepdim=True)
    weight_error = weight * torch.expm1(y.shown + 8 * u * (1 + y.value.abs()))
    total_error = ((count + 2) * u * gradient.value.abs() + gradient.shown).sum(axis, keepdim=True)
    own = 3 * u * (gradient.value.abs() + weight * total.abs())
    passed = weight_error * total.abs() + (weight + weight_error) * total_error
    return Term(gradient.value - weight * total, gradient.shown + passed + own)


def _sign(dtype: torch.dtype, x: Term) -> Term:
    """The slope of the absolute value; any number from -1 to 1 is right where x may be 0."""
    sign = x.value.sign()
    return Term(sign, torch.where(x.value.abs() <= x.shown, 2.0, 0.0))


RULES: dict[Any, Callable[..., Any]] = {
    aten._log_softmax_backward_data.default: _log_softmax,
    aten._softmax_backward_data.default: _softmax,
    aten.elu_backward.default: _elu,
    aten.log_sigmoid_backward.default: _log_sigmoid,
    aten.sgn.default: _sign,
    **{func: partial(_function, func) for func in _OF_ONE_NUMBER},
}

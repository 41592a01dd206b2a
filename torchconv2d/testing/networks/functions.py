"""Functions of one number, and the softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ..bound import unit_roundoff
from .terms import SMALLEST_NORMAL, Term, values

aten = torch.ops.aten


class Roundings(NamedTuple):
    """How many roundings of the argument and the value a function is worth.

    Attributes:
        roundings: a small whole number; 0 for functions that only compare.
        cancels: whether it computes its value as a difference of numbers of the argument's size.
    """

    roundings: int
    cancels: bool = False


# The largest error of torch's and of JAX's functions, over six scales of arguments, is 4.3.
_COMPARES, _COMPUTES, _CANCELS = Roundings(0), Roundings(8), Roundings(8, cancels=True)

_ELEMENTWISE: dict[Any, Roundings] = {
    aten.clamp.default: _COMPARES,
    aten.clamp_min.default: _COMPARES,
    aten.clamp_max.default: _COMPARES,
    aten.hardtanh.default: _COMPARES,
    aten.relu.default: _COMPARES,
    aten.threshold.default: _COMPARES,
    aten.celu.default: _COMPUTES,
    aten.elu.default: _COMPUTES,
    aten.exp.default: _COMPUTES,
    aten.erf.default: _COMPUTES,
    aten.gelu.default: _CANCELS,
    aten.hardsigmoid.default: _COMPUTES,
    aten.hardswish.default: _CANCELS,
    aten.leaky_relu.default: Roundings(1),
    aten.log.default: _COMPUTES,
    aten.log1p.default: _COMPUTES,
    aten.log_sigmoid_forward.default: _COMPUTES,
    aten.mish.default: _CANCELS,
    aten.pow.Tensor_Scalar: _COMPUTES,
    aten.reciprocal.default: _COMPUTES,
    aten.rsqrt.default: _COMPUTES,
    aten.sigmoid.default: _COMPUTES,
    aten.silu.default: _COMPUTES,
    aten.softplus.default: _COMPUTES,
    aten.sqrt.default: _COMPUTES,
    aten.tanh.default: _COMPUTES,
}


def _elementwise(
    func: Any, each: Roundings, dtype: torch.dtype, x: Term, *args: Any, **kwargs: Any
) -> Any:
    others, named = values(args), values(kwargs)
    u = each.roundings * unit_roundoff(dtype)

    def f(argument: Tensor) -> Tensor:
        result: Any = func(argument, *others, **named)
        return cast(Tensor, result[0] if isinstance(result, tuple) else result)

    value = f(x.value)
    if x.error is None and not u:
        return Term(value, None)
    # How far the value changes over the interval that the argument may be in: each function is
    # monotone there, or (silu, gelu, mish, hardswish) convex around its minimum, and then the
    # larger change at the two ends bounds those between them. It holds at a kink too.
    reach = x.shown + u * x.value.abs()
    spread = torch.maximum((f(x.value + reach) - value).abs(), (f(x.value - reach) - value).abs())
    own = u * (x.value.abs() if each.cancels else value.abs())
    if u:  # an exponential, perhaps the factor of the argument, may be flushed to 0
        own = own + SMALLEST_NORMAL * x.value.abs().clamp(min=1)
    error = (spread + own).nan_to_num(nan=torch.inf)
    if func is aten.log_sigmoid_forward.default:
        return Term(value, error), Term(torch.zeros_like(value), None)
    return Term(value, error)


def _softmax(dtype: torch.dtype, x: Term, axis: int, half_to_float: bool) -> Term:
    u = unit_roundoff(dtype)
    value = torch.softmax(x.value, axis)
    distance = (x.value - x.value.amax(axis, keepdim=True)).abs()
    exponent = x.shown + u * (distance + 8)
    passed = value * (exponent + (value * exponent).sum(axis, keepdim=True))
    return Term(value, passed + (value.shape[axis] + 4) * u * value)


def _log_softmax(dtype: torch.dtype, x: Term, axis: int, half_to_float: bool) -> Term:
    u = unit_roundoff(dtype)
    value, weights = torch.log_softmax(x.value, axis), torch.softmax(x.value, axis)
    distance = (x.value - x.value.amax(axis, keepdim=True)).abs()
    exponent = x.shown + u * (distance + 8)
    passed = exponent + (weights * exponent).sum(axis, keepdim=True)
    return Term(value, passed + (value.shape[axis] + 4) * u + u * value.abs())


RULES: dict[Any, Callable[..., Any]] = {
    aten._log_softmax.default: _log_softmax,
    aten._softmax.default: _softmax,
    **{func: partial(_elementwise, func, each) for func, each in _ELEMENTWISE.items()},
}

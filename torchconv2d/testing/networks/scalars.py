"""The numbers in a program, such as the 0.3 of ``0.3 * x``, and the errors of rounding them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..bound import unit_roundoff
from .terms import Term, plus, values


def rounded(
    result: Any, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], dtype: torch.dtype
) -> Any:
    """The result of an operation, which rounds each number among its arguments to ``dtype``.

    The error is how far the value changes with the number. Normalizations have several results;
    their only number is added to a variance, and is too small to matter.
    """
    if not isinstance(result, Term):
        return result
    places = [*enumerate(args), *kwargs.items()]
    error = result.error
    for place, number in places:
        if isinstance(number, float) and _is_rounded(number, dtype):
            moved = [
                _value(func, args, kwargs, place, number * (1 + sign * unit_roundoff(dtype)))
                for sign in (-1, 1)
            ]
            apart = [each.sub_(result.value).abs_() for each in moved]
            error = plus(error, torch.maximum(*apart).nan_to_num_(nan=0.0))
    return Term(result.value, error)


def _is_rounded(number: float, dtype: torch.dtype) -> bool:
    nearest = torch.tensor(number, dtype=dtype, device="cpu").item()
    return math.isfinite(nearest) and nearest != number


def _value(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], place: int | str, number: float
) -> Tensor:
    changed, named = list(args), dict(kwargs)
    if isinstance(place, int):
        changed[place] = number
    else:
        named[place] = number
    return func(*values(changed), **values(named))

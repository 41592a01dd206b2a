"""How each operation of torch passes on errors, and which it adds.

A rule receives the dtype that results are rounded to and the operation's arguments, each tensor as
a :class:`Term`, and returns the result as a term. Errors are bounded to first order, as in
:func:`torchconv2d.testing.rounding_bound`.
"""

from __future__ import annotations

from typing import Any

import torch

from . import backward, functions, moving, normalizations, products, scalars, slopes
from .terms import NoBoundError, Term, leaves, values

RULES = {
    **moving.RULES,
    **functions.RULES,
    **slopes.RULES,
    **products.RULES,
    **normalizations.RULES,
    **backward.RULES,
}

# Operations that have a faster way to their value in float64.
_VALUES: dict[Any, Any] = {torch.ops.aten.convolution.default: products.convolution}


def value_of(func: Any, args: Any, kwargs: Any) -> Any:
    """The results of an operation on the values alone."""
    return _VALUES.get(func, func)(*values(args), **values(kwargs))


def applied(func: Any, args: Any, kwargs: Any, dtype: torch.dtype) -> Any:
    """The results of an operation as terms, with the errors of rounding each to ``dtype``."""
    if any(isinstance(each, Term) and each.value.is_complex() for each in leaves(args)):
        raise NoBoundError("complex numbers")
    func = moving.IN_PLACE.get(func, func)
    if func in RULES:
        result = RULES[func](dtype, *args, **kwargs)
        return scalars.rounded(result, func, args, kwargs, dtype)
    if func in moving.MOVES:
        return moving.moved(func, args, kwargs)
    if func in moving.FACTORIES:
        made = func(*values(args), **{**values(kwargs), "dtype": torch.float64})
        return Term(made, made.sub(made.to(dtype)).abs_())
    result = func(*values(args), **values(kwargs))
    if any(each.is_floating_point() for each in leaves(result)):
        raise NoBoundError(f"no bound for {func}")
    return result

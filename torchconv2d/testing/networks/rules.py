"""How each operation of torch passes on errors, and which it adds.

A rule receives the dtype that results are rounded to and the operation's arguments, each tensor as
a :class:`Term`, and returns the result as a term. Errors are bounded to first order, as in
:func:`torchconv2d.testing.rounding_bound`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from . import backward, functions, moving, normalizations, products, slopes
from .terms import NoBoundError, Term, is_term, values

RULES = {
    **moving.RULES,
    **functions.RULES,
    **slopes.RULES,
    **products.RULES,
    **normalizations.RULES,
    **backward.RULES,
}


def applied(func: Any, args: Any, kwargs: Any, dtype: torch.dtype) -> Any:
    """The results of an operation as terms, with the errors of rounding each to ``dtype``."""
    if any(
        isinstance(t, Term) and t.value.is_complex()
        for t in pytree.tree_leaves(args, is_leaf=is_term)
    ):
        raise NoBoundError("complex numbers")
    func = moving.IN_PLACE.get(func, func)
    if func in RULES:
        return RULES[func](dtype, *args, **kwargs)
    if func in moving.MOVES:
        return moving.moved(func, args, kwargs)
    if func in moving.FACTORIES:
        made = func(*values(args), **{**values(kwargs), "dtype": torch.float64})
        return Term(made, torch.zeros_like(made))
    result = func(*values(args), **values(kwargs))
    leaves = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    if any(leaf.is_floating_point() for leaf in leaves):
        raise NoBoundError(f"no bound for {func}")
    return result

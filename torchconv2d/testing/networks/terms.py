"""A value with a bound on its error, which the rules take and return."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

# Processors and compilers may replace a smaller number by 0.
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


class Term(NamedTuple):
    """A value and the bound on its error, both in float64; no bound means no error."""

    value: Tensor
    error: Tensor | None

    @property
    def shown(self) -> Tensor:
        """The bound as a tensor."""
        return torch.zeros_like(self.value) if self.error is None else self.error


class NoBoundError(Exception):
    """There is no rule for an operation; the message names it."""


def is_term(leaf: object) -> bool:
    """Whether a tree ends here."""
    return isinstance(leaf, Term)


def values(tree: Any) -> Any:
    """The values of all terms in a tree."""
    return pytree.tree_map_only(Term, lambda t: t.value, tree, is_leaf=is_term)


def plus(*errors: Tensor | float | None) -> Tensor | None:
    """The sum of errors, None for 0."""
    there = [error for error in errors if error is not None]
    return cast("Tensor | None", sum(there[1:], there[0]) if there else None)

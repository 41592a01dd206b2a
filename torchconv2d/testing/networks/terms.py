"""A value with a bound on its error, which the rules take and return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

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


# The arguments of an operation are lists, tuples and dictionaries, and a network has hundreds of
# operations: torch's functions for trees of any kind take several times as long.
def leaves(tree: Any) -> Iterator[Any]:
    """The tensors and terms in a tree."""
    if isinstance(tree, (Tensor, Term)):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for each in cast("list[Any]", tree):
            yield from leaves(each)
    elif isinstance(tree, dict):
        yield from leaves(list(cast("dict[str, Any]", tree).values()))


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with the function's result in the place of each tensor and each term.

    >>> mapped(Tensor.tolist, [torch.ones(2), {"alpha": 3}])
    [[1.0, 1.0], {'alpha': 3}]
    """
    if isinstance(tree, (Tensor, Term)):
        return function(tree)
    if isinstance(tree, (list, tuple)):
        several = [mapped(function, each) for each in cast("list[Any]", tree)]
        return several if isinstance(tree, list) else tuple(several)
    if isinstance(tree, dict):
        named = cast("dict[str, Any]", tree)
        return {name: mapped(function, each) for name, each in named.items()}
    return tree


def values(tree: Any) -> Any:
    """The tree with the value of each term in its place."""
    return mapped(lambda each: each.value if isinstance(each, Term) else each, tree)


def plus(*errors: Tensor | float | None) -> Tensor | None:
    """The sum of errors, None for 0."""
    there = [error for error in errors if error is not None]
    return cast("Tensor | None", sum(there[1:], there[0]) if there else None)

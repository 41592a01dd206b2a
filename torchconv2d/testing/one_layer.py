"""Whether a function is one layer, so that the bound on rounding errors holds for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, permutations

import torch
from torch import Tensor

# Relative to the largest result. Rounding in float64 is far below it, another layer far above.
_NEGLIGIBLE = 1e-6


def why_not_one_layer(
    function: Callable[..., Tensor], arguments: Sequence[Tensor], names: Sequence[str]
) -> str | None:
    """What shows that ``function`` is more than one linear layer; None if nothing does.

    A layer is linear in each argument, except for a bias. So are two layers in a row, but there the
    parameters of one multiply those of the other. In one layer only a kernel and its mask multiply
    each other, entry by entry. Results that are 0 are left out, so a ReLU behind the layer does not
    matter.

    Args:
        function: it returns a tensor.
        arguments: in float64 or complex128, the image first.
        names: the names of the arguments in the answer.

    Example:
        >>> x, kernel = torch.randn(2, 3, 5, 7).double(), torch.randn(3, 3, 1, 1).double()
        >>> def two_layers(x, kernel):
        ...     return torch.conv2d(torch.conv2d(x, kernel), kernel)
        >>> why_not_one_layer(torch.conv2d, [x, kernel], ["the image", "the kernel"])
        >>> why_not_one_layer(two_layers, [x, kernel], ["the image", "the kernel"])
        'it is not linear in the kernel'
    """

    def scaled(factors: Mapping[int, Tensor | float]) -> Tensor:
        return function(*(each * factors.get(j, 1) for j, each in enumerate(arguments))).detach()

    value, twice = scaled({}), [scaled({j: 2}) for j in range(len(arguments))]
    for j, name in enumerate(names):
        if not _cancel(scaled({j: 4}), -3 * twice[j], 2 * value):
            return f"it is not linear in {name}"
    for j, k in combinations(range(1, len(names)), 2):
        if _cancel(scaled({j: 2, k: 2}), -twice[j], -twice[k], value):
            continue
        signs = _signs(arguments[j], arguments[k])
        if not any(_cancel(scaled({j: first, k: second}), -value) for first, second in signs):
            return f"{names[j]} and {names[k]} multiply each other, as in two layers"
    return None


def _cancel(*terms: Tensor) -> bool:
    """Whether the sum is 0 wherever each term is finite and not 0."""
    stacked = torch.stack(terms)
    stacked = stacked[:, (stacked.isfinite() & (stacked != 0)).all(0)]
    if not stacked.numel():
        return True
    return bool((stacked.sum(0).abs() <= _NEGLIGIBLE * stacked.abs().amax()).all())


def _signs(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Random signs for two tensors that cancel in their entrywise product, for each order of axes.

    If the tensors are a kernel and its mask, one of these pairs leaves the result as it is.
    """
    if first.numel() < second.numel():
        yield from ((signs, turned) for turned, signs in _signs(second, first))
        return
    shape = [1] * (first.dim() - second.dim()) + list(second.shape)
    drawn = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0))
    signs = (2 * drawn - 1).to(first)
    for order in permutations(range(len(shape))):
        turned = signs.permute(order)
        if all(n in (1, m) for n, m in zip(turned.shape, first.shape, strict=True)):
            yield turned, signs.reshape(second.shape)

"""The order of axes on both sides: channels last, channels first, or the same."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

Order = tuple[int, ...]

# By the rank of a tensor.
ORDERS: dict[int, dict[str, Order]] = {
    4: {
        "the same": (0, 1, 2, 3),
        "channels last to channels first": (0, 3, 1, 2),
        "channels first to channels last": (0, 2, 3, 1),
    },
    3: {
        "the same": (0, 1, 2),
        "channels last to channels first": (0, 2, 1),
        "channels last to channels first, without a batch": (2, 0, 1),
    },
}


def fitting(reference: Sequence[int], own: Sequence[int]) -> list[str]:
    """The layouts that turn the reference's shape into the port's.

    >>> fitting((2, 8, 6, 3), (2, 3, 8, 6))
    ['channels last to channels first']
    """
    if len(reference) != len(own):
        return []
    orders = ORDERS.get(len(own), {"the same": tuple(range(len(own)))})
    return [name for name, order in orders.items() if [reference[i] for i in order] == list(own)]


def turned(tensor: Tensor, layout: str) -> Tensor:
    """The reference's tensor in the port's layout."""
    orders = ORDERS.get(tensor.dim(), {})
    return tensor.permute(orders[layout]) if layout in orders else tensor
